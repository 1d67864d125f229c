from dataclasses import dataclass

from ..effects.thread_pools import THREADS, ThreadPools, Wanted
from .base import Counter
from .hold import HoldPlaces


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldThreads(HoldPlaces):
    """Keep all threads but so many of each pool from work until the run ends."""

    threads_left: int
    kind = "threads"
    effect = ThreadPools
    counters = (Counter(name=THREADS, title="Held threads, total of all environments", unit="threads"),)

    @property
    def wanted(self) -> Wanted:
        return Wanted(threads_left=self.threads_left)
