from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from .base import DISCONNECT, PROCEED, Applied, Counter, Fault, HitCall, Step, Steps
from .disconnect import CONNECTIONS, DROPPED
from .wait import INJECTED_DELAY, LIMIT, wait

TIMEOUTS = "injected_timeouts"
"""Counter: requests that were left without an answer until it was too late for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence(Fault):
    """Leave the call without an answer, and drop its connection in the end.

    As long as the call may take, less a margin, and not above `longest_seconds`. Where the run ends before, or is
    stopped, the application answers.
    """

    longest_seconds: float
    margin_seconds: float
    ends_with_client: bool
    """Whether it is over where the client has gone."""
    kind = "timeout"
    order = 20
    counters = (
        Counter(name=TIMEOUTS, title="Requests left without an answer", unit="requests"),
        INJECTED_DELAY,
        *CONNECTIONS,
    )

    def apply(self, call: HitCall) -> Applied | Steps:
        seconds = min(self.longest_seconds, call.limit(LIMIT), self._left(call))
        return self._wait(call, max(0.0, seconds))

    def _wait(self, call: HitCall, seconds: float) -> Steps:
        waited = yield from wait(call, seconds, seconds, lambda: self._left(call))
        details = {"seconds": waited.details["seconds"]}
        if not (yield from self._goes_on(call)):
            return Applied(PROCEED, details, waited.counters)
        return Applied(DISCONNECT, details, {**waited.counters, TIMEOUTS: 1, DROPPED: 1})

    def _goes_on(self, call: HitCall) -> Generator[Step, Any, bool]:
        return call.run.expires_at > call.now() and (yield from call.is_active())

    def _left(self, call: HitCall) -> float:
        if self.ends_with_client and call.is_client_gone():
            return 0.0
        return call.remaining_seconds() - self.margin_seconds
