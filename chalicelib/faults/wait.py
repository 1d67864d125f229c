import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from .base import Applied, Fault, HitCall, Sleep, Steps

DELAY = "delay"
"""Counter: injected delay, in microseconds."""

MICROSECONDS = 1_000_000
LEFT_FOR_THE_APPLICATION_SECONDS = 0.5
"""How much of the time that a call may take a delay leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Fault):
    """Delay the call, but not past the time that it may take, unless that is allowed."""

    seconds: float
    allow_timeout: bool = False
    kind = "wait"
    order = 1

    def apply(self, call: HitCall) -> Applied | Steps:
        seconds = self.seconds
        if not seconds:
            return self._applied(0.0, seconds)
        left = _unlimited if self.allow_timeout else partial(_left, call)
        seconds = min(seconds, left())
        return self._wait(call, seconds, left) if seconds > 0 else self._applied(0.0, 0.0)

    def _wait(self, call: HitCall, seconds: float, left: Callable[[], float]) -> Steps:
        """Sleep in pieces. Between two it asks whether the run goes on: a stop ends the delays under way, too.

        The time that it takes to ask is part of the delay. It also asks how much time is left.
        """
        began, slept, waited = call.timer(), 0.0, 0.0
        while waited < seconds:
            piece = min(seconds - waited, call.seconds_until_stale(), call.run.expires_at - call.now())
            if piece <= 0:
                break
            yield Sleep(piece)
            slept += piece
            waited = max(slept, call.timer() - began)
            if waited < seconds and not (yield from call.is_active()):
                break
            waited = max(slept, call.timer() - began)
            seconds = min(seconds, waited + left())
        return self._applied(round(min(waited, seconds), 3), seconds)

    def _applied(self, waited: float, seconds: float) -> Applied:
        details = {"seconds": waited}
        if seconds < self.seconds:
            details["cut_from_seconds"] = self.seconds
        return Applied(details=details, counters={DELAY: round(waited * MICROSECONDS)} if waited else {})


def _left(call: HitCall) -> float:
    return call.remaining_seconds() - LEFT_FOR_THE_APPLICATION_SECONDS


def _unlimited() -> float:
    return math.inf
