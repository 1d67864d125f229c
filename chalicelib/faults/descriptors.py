from dataclasses import dataclass

from ..effects.descriptors import HELD, Descriptors, Wanted
from .base import Counter
from .hold import Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldDescriptors(Hold):
    """Keep all file descriptors of the process but so many."""

    left: int
    kind = "hold_descriptors"
    effect = Descriptors
    counters = (Counter(name=HELD, title="Held file descriptors, total of all environments", unit="descriptors"),)

    @property
    def wanted(self) -> Wanted:
        return Wanted(left=self.left)
