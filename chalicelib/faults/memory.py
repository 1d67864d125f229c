from dataclasses import dataclass

from ..effects.memory import MEMORY, Memory, Wanted
from .base import Counter
from .hold import Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldMemory(Hold):
    """Keep memory resident; in equal steps until the run ends."""

    megabytes: int
    steps: int = 1
    step_seconds: float = 0.0
    """How long each step lasts. The last one ends with the run."""
    kind = "hold"
    effect = Memory
    counters = (Counter(name="held_memory_mb", title="Held memory, total of all environments", unit="MB", key=MEMORY),)

    @property
    def wanted(self) -> Wanted:
        return Wanted(megabytes=self.megabytes, steps=self.steps, step_seconds=self.step_seconds)
