from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from .base import Applied, Fault, Sleep, Step, Steps, Target

DELAY = "delay"
"""Counter: injected delay, in microseconds."""

MICROSECONDS = 1_000_000
LEFT_FOR_THE_APPLICATION_SECONDS = 0.5
"""How much of a Lambda invocation's time a delay leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Fault):
    """Delay the call, but not past a Lambda invocation's time unless that is allowed."""

    seconds: float
    allow_timeout: bool = False
    kind = "wait"
    order = 1

    def apply(self, target: Target) -> Applied | Steps:
        seconds = self.seconds
        if seconds and not self.allow_timeout:
            seconds = min(seconds, max(target.remaining_seconds() - LEFT_FOR_THE_APPLICATION_SECONDS, 0.0))
        return self._wait(target, seconds) if seconds else self._applied(0.0, seconds)

    def _wait(self, target: Target, seconds: float) -> Steps:
        return self._applied((yield from _wait(target, seconds)), seconds)

    def _applied(self, waited: float, seconds: float) -> Applied:
        details = {"seconds": waited}
        if seconds < self.seconds:
            details["cut_from_seconds"] = self.seconds
        return Applied(details=details, counters={DELAY: round(waited * MICROSECONDS)} if waited else {})


def _wait(target: Target, seconds: float) -> Generator[Step, Any, float]:
    """Sleep in pieces. Between two it asks whether the run goes on: a stop ends the delays under way, too."""
    waited = 0.0
    while waited < seconds:
        piece = min(seconds - waited, target.seconds_until_stale(), target.run.expires_at - target.now())
        if piece <= 0:
            break
        yield Sleep(piece)
        waited += piece
        if waited < seconds and not (yield from target.is_active()):
            break
    return round(waited, 3)
