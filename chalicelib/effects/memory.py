"""Memory that runs hold in this environment: really resident, bounded, given back when the run is over."""

import logging
import math
import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import spare_memory
from .base import ActiveRun, Surroundings
from .holder import Holder, Holding
from .machine_lock import MachineLock

log = logging.getLogger(__name__)

MB = 1024 * 1024
SLICE_MB = 16
SHARES = 16
"""How many times what is taken at once must be spare: so many processes may take it at the same time."""

MEMORY = "memory_mb"
"""Counter: memory that environments hold, in MB."""

_WRITTEN = b"\xaa" * MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Memory, all at once or in equal steps, each of which lasts `step_seconds`; the last one ends with the run."""

    megabytes: int
    steps: int = 1
    step_seconds: float = 0.0


class HeldMemory(Holding):
    """Memory that is held for a run: `megabytes`, which grow to what is wanted in so many steps."""

    def __init__(self, run: ActiveRun, wanted: Wanted) -> None:
        super().__init__(run)
        self.megabytes = 0
        self.due_at = -math.inf
        self._wanted = wanted
        self._slices: list[mmap.mmap] = []
        self._step = 0
        self._reported = -1

    @property
    def is_reported(self) -> bool:  # type: ignore[override]
        return self.megabytes == self._reported

    @property
    def details(self) -> Mapping[str, Any]:
        return {MEMORY: self.megabytes}

    def take_counters(self) -> Mapping[str, int]:
        added, self._reported = self.megabytes - max(self._reported, 0), self.megabytes
        return {MEMORY: added} if added else {}

    def advance(self, now: float) -> int:
        """How much is due, now that its next step has begun. It begins once, also where less can be spared then."""
        while self._step < self._wanted.steps and now >= self._begins_at(self._step + 1):
            self._step += 1
        self.due_at = self._begins_at(self._step + 1)
        return self._wanted.megabytes * self._step // self._wanted.steps

    def _begins_at(self, step: int) -> float:
        """The last step ends with the run; the first one has begun whenever it is asked for."""
        steps = self._wanted.steps
        if step == 1:
            return -math.inf
        return self.run.expires_at - (steps - step + 1) * self._wanted.step_seconds if step <= steps else math.inf

    def add(self, megabytes: int) -> None:
        part = mmap.mmap(-1, megabytes * MB)
        for _ in range(megabytes):
            part.write(_WRITTEN)
        self._slices.append(part)
        self.megabytes += megabytes

    def release(self) -> None:
        for part in self._slices:
            part.close()

    def abandon(self) -> None:
        self.release()


class Memory(Holder[HeldMemory, Wanted]):
    """Mapped, not from the heap, so that it all goes back at once; written to, or its pages would not be there."""

    def __init__(
        self,
        surroundings: Surroundings,
        *,
        spare_mb: Callable[[], int] | None = None,
        machine: MachineLock | None = None,
    ) -> None:
        super().__init__(surroundings)
        self._spare_mb = spare_mb or partial(spare_memory.spare_mb, surroundings.lambda_memory_mb)
        self._machine = machine or MachineLock(sleep=surroundings.sleep)

    @property
    def held_mb(self) -> int:
        return sum(held.megabytes for held in self.holdings)

    def available_mb(self) -> int:
        """The most that a run started now could hold: what is spare, and what gives way to it."""
        return self._spare_mb() + self.held_mb

    def take(self, run: ActiveRun, wanted: Wanted) -> HeldMemory:
        return HeldMemory(run, wanted)  # its first step is due

    def advance(self, holding: HeldMemory) -> None:
        """Take what is due since its last step."""
        due = holding.advance(self._clock())
        self._fill(holding, due)

    def _fill(self, held: HeldMemory, megabytes: int) -> None:
        while held.megabytes < megabytes and self._goes_on(held.run):
            with self._machine.held() as is_mine:  # other processes see the same memory, and want it, too
                size = self._next_mb(megabytes - held.megabytes) if is_mine else 0
                if size > 0:
                    held.add(size)
            if size <= 0:
                log.warning(
                    "Run %s holds %d of %d MB: this environment has no more memory to spare",
                    held.run.run_id,
                    held.megabytes,
                    megabytes,
                )
                return

    def _next_mb(self, wanted: int) -> int:
        """How much to take at once. The less is left the less: other containers do not know of this one's lock."""
        spare = self._spare_mb()
        return min(SLICE_MB, wanted, max(spare // SHARES, 1) if spare > 0 else 0)
