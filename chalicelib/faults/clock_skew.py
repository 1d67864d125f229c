from collections.abc import Sequence
from dataclasses import dataclass

from ..effects.clock_skew import SKEWED, ClockSkew, Wanted
from .base import Counter
from .hold import Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class SkewClock(Hold):
    """Shift what modules see as the time; those named, or the host's own."""

    seconds: float
    modules: Sequence[str] = ()
    kind = "skew_clock"
    effect = ClockSkew
    counters = (Counter(name=SKEWED, title="Modules with a shifted clock, total of all environments", unit="modules"),)

    @property
    def wanted(self) -> Wanted:
        return Wanted(seconds=self.seconds, modules=self.modules)
