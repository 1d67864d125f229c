import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from .base import Applied, Counter, Fault, HitCall, Sleep, Steps

DELAY = "delay"
"""Counter: injected delay, in microseconds."""

MICROSECONDS = 1_000_000
LONGEST_SECONDS = 60.0
"""The longest delay there can be."""

INJECTED_DELAY = Counter(
    name="injected_delay_seconds",
    title="Injected delay, total",
    unit="seconds",
    key=DELAY,
    per_unit=MICROSECONDS,
    metric="InjectedDelay",
)
"""What all faults that delay add to."""

Quantile = Callable[[float], float]
"""From a chance to the delay below which that share of all delays lies: how delays differ."""

LIMIT = "delay_seconds"
"""The parameter whose limit in the stage holds for every delay."""

LEFT_FOR_THE_APPLICATION_SECONDS = 0.5
"""How much of the time that a call may take a delay leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Fault):
    """Delay the call, but not past the time that it may take, unless that is allowed."""

    seconds: float = 0.0
    quantile: Quantile | None = None
    """Instead of `seconds`: what each call draws from, up to the longest delay that the stage allows."""
    allow_timeout: bool = False
    kind = "wait"
    order = 10
    counters = (INJECTED_DELAY,)

    def apply(self, call: HitCall) -> Applied | Steps:
        wanted = self.seconds if self.quantile is None else _drawn(self.quantile, call)
        if not wanted:
            return _applied(0.0, wanted, wanted)
        left = _unlimited if self.allow_timeout else partial(_left, call)
        seconds = min(wanted, left())
        return wait(call, wanted, seconds, left) if seconds > 0 else _applied(0.0, 0.0, wanted)


def _drawn(quantile: Quantile, call: HitCall) -> float:
    seconds = quantile(call.chance())
    longest = call.limit(LIMIT)
    if 0 <= seconds <= longest and seconds <= LONGEST_SECONDS:
        return seconds
    return max(0.0, min(seconds, longest, LONGEST_SECONDS))


def wait(call: HitCall, wanted: float, seconds: float, left: Callable[[], float]) -> Steps:
    """Sleep for `seconds` of what was wanted, in pieces.

    Between two it asks whether the run goes on: a stop ends the delays under way, too. The time that it takes to ask is
    part of the delay. It also asks how much time is left.
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
    return _applied(round(min(waited, seconds), 3), seconds, wanted)


def _applied(waited: float, seconds: float, wanted: float) -> Applied:
    details = {"seconds": waited}
    if seconds < wanted:
        details["cut_from_seconds"] = round(wanted, 3)
    return Applied(details=details, counters={DELAY: round(waited * MICROSECONDS)} if waited else {})


def _left(call: HitCall) -> float:
    return call.remaining_seconds() - LEFT_FOR_THE_APPLICATION_SECONDS


def _unlimited() -> float:
    return math.inf
