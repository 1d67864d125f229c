from dataclasses import dataclass
from functools import partial

from .base import Applied, Counter, Fault, HitCall, RunBlocking, Steps

MEMORY = "memory_mb"
"""Counter: memory that environments hold, in MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(Fault):
    """Keep memory resident in the environment, once, for as long as the run lasts; in equal steps until its end."""

    megabytes: int
    steps: int = 1
    step_seconds: float = 0.0
    """How long each step lasts. The last one ends with the run."""
    kind = "hold"
    order = 0
    counters = (Counter(name="held_memory_mb", title="Held memory, total of all environments", unit="MB", key=MEMORY),)

    def apply(self, call: HitCall) -> Applied | Steps:
        held = call.effect("memory").held_for(call.run)
        return self._hold(call) if held is None else Applied(details={"memory_mb": held})

    def _hold(self, call: HitCall) -> Steps:
        memory = call.effect("memory")
        wanted = partial(memory.hold, call.run, self.megabytes, steps=self.steps, step_seconds=self.step_seconds)
        held, added = yield RunBlocking(wanted)
        return Applied(details={"memory_mb": held}, counters={MEMORY: added} if added else {})
