from dataclasses import dataclass

from .base import Applied, Counter, Exit, Fault, HitCall

CRASHES = "crashes"
"""Counter: processes that were ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash(Fault):
    """End the process that serves the call: instead of an answer, or after it."""

    exit_code: int
    after_seconds: float | None = None
    """How long after the answer; None: there is none."""
    kind = "crash"
    order = 30
    counters = (Counter(name=CRASHES, title="Crashed processes", unit="processes"),)

    def apply(self, call: HitCall) -> Applied:
        del call
        return Applied(outcome=Exit(self.exit_code, self.after_seconds), details={"exit_code": self.exit_code})
