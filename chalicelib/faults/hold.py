from dataclasses import dataclass
from functools import partial

from .base import Applied, Fault, HitCall, RunBlocking, Steps

MEMORY = "memory_mb"
"""Counter: memory that environments hold, in MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(Fault):
    """Keep memory resident in the environment, once, for as long as the run lasts."""

    megabytes: int
    kind = "hold"
    order = 0

    def apply(self, call: HitCall) -> Applied | Steps:
        held = call.effect("memory").held_for(call.run)
        return self._hold(call) if held is None else Applied(details={"memory_mb": held})

    def _hold(self, call: HitCall) -> Steps:
        memory = call.effect("memory")
        held, added = yield RunBlocking(partial(memory.hold, call.run, self.megabytes))
        return Applied(details={"memory_mb": held}, counters={MEMORY: added} if added else {})
