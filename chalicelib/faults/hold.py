from dataclasses import dataclass
from functools import partial

from .base import Applied, Fault, RunBlocking, Steps, Target

MEMORY = "memory_mb"
"""Counter: memory that environments hold, in MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(Fault):
    """Keep memory resident in the environment, once, for as long as the run lasts."""

    megabytes: int
    kind = "hold"
    order = 0

    def apply(self, target: Target) -> Applied | Steps:
        held = target.effect("memory").held_for(target.run)
        return self._hold(target) if held is None else Applied(details={"memory_mb": held})

    def _hold(self, target: Target) -> Steps:
        memory = target.effect("memory")
        held, added = yield RunBlocking(partial(memory.hold, target.run, self.megabytes))
        return Applied(details={"memory_mb": held}, counters={MEMORY: added} if added else {})
