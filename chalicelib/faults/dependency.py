import math
from dataclasses import dataclass
from functools import partial

from ..dependencies import Dependency
from .base import FAILED_CALLS, Applied, Counter, Fail, Failure, Fault, HitCall, Outcome, Steps, Way
from .wait import INJECTED_DELAY, LIMIT, wait

TIMEOUT = Failure(way="timeout")
LASTING: frozenset[Way] = frozenset({"slow", "lost_reply"})
"""Ways to fail that go on after the call is made, until the run is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailDependency(Fault):
    """Delay an outgoing call, or let it fail, or both: a client that does not wait so long gives it up itself."""

    dependency: Dependency
    in_background: bool = False
    """Whether calls are hit, too, that serve no request."""
    delay_seconds: float = 0.0
    """How long the call is delayed; infinite: for as long as its client waits."""
    failure: Failure | None = None
    """How it fails; None: it does not, unless its client gives it up."""
    kind = "dependency"
    applies_to = "dependency"
    order = 110
    counters = (Counter(name=FAILED_CALLS, title="Outgoing calls made to fail", unit="calls"), INJECTED_DELAY)

    @property
    def way(self) -> str:
        """How the call fails, or `latency`."""
        return self.failure.way if self.failure else "timeout" if math.isinf(self.delay_seconds) else "latency"

    def apply(self, call: HitCall) -> Applied | Steps:
        return self._delay(call) if self.delay_seconds else self._applied(Applied(), self._failure(call))

    def _failure(self, call: HitCall) -> Failure | None:
        if self.failure is None or self.failure.way not in LASTING:
            return self.failure
        return self.failure._replace(goes_on=call.goes_on, longest_seconds=call.limit(LIMIT))

    def _delay(self, call: HitCall) -> Steps:
        """As long as it is to last, but no longer than its client waits, or the stage allows, or the run lasts.

        A client without a time-out waits until the run is over, and then gets its answer. One with a time-out that is
        longer than the stage allows is told before its time.
        """
        patience, limit = call.client_timeout_seconds(), call.limit(LIMIT)
        wanted = min(self.delay_seconds, patience)
        waits = min(wanted, limit)
        longest = max(min(waits, call.run.expires_at - call.now()), 0.0)
        waited = yield from wait(call, longest if math.isinf(wanted) else wanted, longest, partial(float, math.inf))
        is_whole = waited.details["seconds"] >= round(waits, 3)
        return self._applied(waited, TIMEOUT if is_whole and self._outlasts(patience, limit) else self._failure(call))

    def _outlasts(self, patience: float, limit: float) -> bool:
        """Whether the client gives up, if the delay is as long as the stage allows."""
        delay = self.delay_seconds if math.isinf(self.delay_seconds) else min(self.delay_seconds, limit)
        return delay >= patience < math.inf

    @staticmethod
    def _applied(waited: Applied, failure: Failure | None) -> Applied:
        if failure is None:
            return waited
        outcome: Outcome = Fail(failure)
        return Applied(
            outcome=outcome,
            details={**waited.details, "failure": failure.way},
            counters={**waited.counters, FAILED_CALLS: 1},
        )
