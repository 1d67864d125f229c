"""How long the machine kept this process waiting: no delay of what is measured, and bounds are beside it."""

import threading
import time
from collections.abc import Callable
from typing import Self

TICK_SECONDS = 0.01


class Stalls:
    """While entered, a thread sleeps again and again, and notes how much too late it wakes."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock` is that of the moments which `between` is asked for."""
        self._clock = clock
        self._over = threading.Event()
        self._late: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._tick)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def longest(self) -> float:
        """Seconds."""
        return max((late for _, late in list(self._late)), default=0.0)

    def between(self, since: float, until: float) -> float:
        """The seconds of all that ended between two moments, or soon after."""
        return sum(late for woke, late in list(self._late) if since <= woke <= until + late)

    def _tick(self) -> None:
        before = self._clock()
        while not self._over.wait(TICK_SECONDS):
            now = self._clock()
            late = now - before - 2 * TICK_SECONDS
            if late > 0:
                self._late.append((now, late))
            before = now
