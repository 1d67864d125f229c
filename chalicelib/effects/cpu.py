"""CPU time that runs use in this environment, in threads of the operating system.

Threads, not processes: `pbkdf2_hmac` works without the interpreter's lock, so that Python threads keep their pace,
and a thread is gone with its process, however that ends, where a child would have to notice.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import pbkdf2_hmac
from typing import Any

from . import cores, native
from .base import ActiveRun, Surroundings
from .holder import Holder, Holding

log = logging.getLogger(__name__)

CPU = "cpu_milliseconds"
"""Counter: CPU time that environments used for the run, in milliseconds."""

MILLISECONDS = 1000

PERIOD_SECONDS = 0.1
"""In each of these it works for a part, and sleeps for the rest."""

PIECE_SECONDS = 0.05
"""How long it works at a time, before it sees whether it is over.

After each piece it asks for the interpreter's lock, which a thread that computes keeps for 5 ms.
"""

MADE_UP_SECONDS = 1.0
"""For how long it makes up, where others needed the core."""

LEAST_ITERATIONS = 100
FIRST_ITERATIONS_PER_SECOND = 200_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The share of one core that each of so many threads uses."""

    load: float
    cores: int = 1


class Burner:
    """A thread that uses a share of one core. `used_seconds` is the CPU time that it has had."""

    def __init__(self, load: float) -> None:
        self.used_seconds = 0.0
        self._load = load
        self._alarm = native.Alarm()
        self._has_begun = False
        self._iterations_per_second = FIRST_ITERATIONS_PER_SECOND

    def start(self) -> None:
        native.start(self._burn)

    def end(self) -> None:
        """Within one piece of work. Does not wait for it."""
        if not self._alarm.is_over:
            self._alarm.ring()

    def _burn(self) -> None:
        """What others took from it, it makes up for; that of a second at most, or of a frozen process it had much."""
        if self._has_begun:  # it was started twice, since the host has interrupted the first time
            return
        self._has_begun = True
        owed, before = 0.0, time.monotonic()
        while not self._alarm.is_over:
            now = time.monotonic()
            owed = min(owed + self._load * (now - before), self._load * MADE_UP_SECONDS)
            before = now
            if owed > self._load * PERIOD_SECONDS / 2:
                owed -= self._work(min(owed, PIECE_SECONDS))
            else:
                self._alarm.sleep(PERIOD_SECONDS)

    def _work(self, seconds: float) -> float:
        """Use about so much CPU time. How much it was."""
        iterations = max(LEAST_ITERATIONS, int(seconds * self._iterations_per_second))
        began = time.thread_time()
        pbkdf2_hmac("sha256", b"chaos", b"experiments", iterations)
        used = time.thread_time() - began
        if used > 0:
            self._iterations_per_second = iterations / used
        self.used_seconds += used
        return used


class HeldCpu(Holding):
    """The threads that use CPU time for a run: `load` is the share of a core that each wants."""

    def __init__(self, run: ActiveRun, load: float, number: int) -> None:
        super().__init__(run)
        self._load = load
        self.due_at = -math.inf
        self._reported = 0
        self._burners = [Burner(load) for _ in range(number)]
        self._waiting = list(self._burners)
        """Those that are not started yet."""

    def start(self) -> None:
        """Raises RuntimeError where there can be no more threads."""
        while self._waiting:
            self._waiting[-1].start()
            self._waiting.pop()

    @property
    def shown(self) -> Mapping[str, Any]:
        return {"load": round(self._load, 3), "cores": len(self._burners)}

    def take_counters(self) -> Mapping[str, int]:
        used = int(sum(burner.used_seconds for burner in self._burners) * MILLISECONDS)
        added, self._reported = used - self._reported, used
        return {CPU: added} if added else {}

    def release(self) -> None:
        for burner in self._burners:
            burner.end()


class Cpu(Holder[HeldCpu, Wanted]):
    """It competes for cores as any other thread does, so each thread of the process goes on to have its share."""

    def __init__(
        self, surroundings: Surroundings, *, available: Callable[[int | None], float] = cores.available
    ) -> None:
        super().__init__(surroundings)
        self._available = available
        self._lambda_memory_mb = surroundings.lambda_memory_mb

    def take(self, run: ActiveRun, wanted: Wanted) -> HeldCpu:
        native.require_threads()
        available = self._available(self._lambda_memory_mb)
        number = min(wanted.cores, math.ceil(available))
        load = min(wanted.load, available / number)
        if load * number < wanted.load * wanted.cores:
            log.warning(
                "Run %s uses %g of the %g cores that it asks for: this environment has no more",
                run.run_id,
                round(load * number, 3),
                wanted.load * wanted.cores,
            )
        return HeldCpu(run, load, number)  # its first step starts it

    def advance(self, holding: HeldCpu) -> None:
        holding.due_at = math.inf
        holding.start()
