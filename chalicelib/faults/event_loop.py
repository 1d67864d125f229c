from dataclasses import dataclass

from ..effects.event_loops import BLOCKED, BLOCKS, MICROSECONDS, EventLoops, Wanted
from .base import Counter
from .hold import HoldPlaces


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLoop(HoldPlaces):
    """Block the event loop again and again until the run ends."""

    block_seconds: float
    every_seconds: float
    kind = "block"
    effect = EventLoops
    counters = (
        Counter(name=BLOCKS, title="Blocks of event loops, total of all environments", unit="blocks"),
        Counter(
            name="blocked_seconds",
            title="Blocked time of event loops, total of all environments",
            unit="seconds",
            key=BLOCKED,
            per_unit=MICROSECONDS,
        ),
    )

    @property
    def wanted(self) -> Wanted:
        return Wanted(block_seconds=self.block_seconds, every_seconds=self.every_seconds)
