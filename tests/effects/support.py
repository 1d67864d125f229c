"""What effects are made of, in tests."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chalicelib.effects.base import ActiveRun, Surroundings
from chalicelib.effects.machine_lock import MachineLock
from chalicelib.effects.memory import Memory, Wanted

UNSHARED = MachineLock(Path("nowhere"))
"""Instead of the one that all processes of this machine wait for, those of other tests, too."""


def surroundings(
    active: Callable[[], Sequence[ActiveRun]] = lambda: (),
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    **more: Any,
) -> Surroundings:
    """Those of a process that reads the table once a second."""
    return Surroundings(active=active, clock=clock, sleep=sleep, seconds_until_stale=lambda: 1.0, **more)


def hold(memory: Memory, run: ActiveRun, megabytes: int, **steps: Any) -> tuple[int, int]:
    """How much is held for the run, and how much of it nobody has counted yet, in MB."""
    details, counters = memory.hold(run, Wanted(megabytes=megabytes, **steps))
    return details.get("memory_mb", 0), counters.get("memory_mb", 0)
