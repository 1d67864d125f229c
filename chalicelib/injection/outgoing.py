"""Outgoing calls: which of them the active runs are about, what they meet, and what is remembered of them."""

import logging
import math
from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, cast

from ..results.tally import MATCHED, UNREACHED, WOULD_HIT
from ..time_limits import pass_on
from .call import DependencyCall, OutgoingCall
from .current import CURRENT
from .decide import Hit, decide
from .engine import Engine, InjectionResult, met
from .observed import Observed
from .plan import Outgoing, Plan
from .propagation import HEADER as BAGGAGE
from .propagation import Propagation, with_members

if TYPE_CHECKING:
    from ..faults.dependency import FailDependency

log = logging.getLogger(__name__)

MOST_PASSAGES = 1000
"""How many calls are remembered of one request: one that retries without end counts the others by themselves."""


Asked = tuple[Callable[[OutgoingCall], bool], Outgoing]
Travelling = tuple[Plan, Propagation]


class Passage:
    """One outgoing call that a run is about, or that is observed: from when to when, for which request, what hit it,
    and how it ended.

    Each attempt of a client's retries is one. `result` is for the call what a request has, too; times are the timer's.
    """

    __slots__ = (
        "began",
        "call",
        "content",
        "ended",
        "error",
        "flow",
        "inbound",
        "is_limited",
        "left_seconds",
        "met",
        "place",
        "result",
        "status",
    )

    def __init__(
        self, call: OutgoingCall, met: Sequence[Outgoing], inbound: InjectionResult | None, engine: Engine
    ) -> None:
        self.call = call
        self.met = met
        self.inbound = inbound
        self.began = self.ended = engine.process.timer()
        self.result = InjectionResult(
            [outgoing.plan for outgoing in met],
            DependencyCall(call, inbound.call if inbound else None),
            self.began,
            engine.process.name,
        )
        self.status: int | None = None
        """Of the answer; None where there was none, or the library's calls have no status."""
        self.error: type[BaseException] | None = None
        """What it raised: not the exception itself, which would hold all that its frames do."""
        self.place = ""
        """Where the application makes it: `orders.py:42`."""
        self.content = 0
        """A hash of what tells it from other calls with the same path."""
        self.flow: Hashable = None
        """The thread or the task that makes it."""
        self.is_limited = False
        """Whether it has no time-out of its own, but who awaits it gives it up after a time."""
        self.left_seconds = math.inf
        """How long the request may still take when the call begins, as far as this process knows."""

    def release(self) -> None:
        """Let the request go, which has this, and all that the client sends: only numbers are asked for after its end.

        Otherwise bodies and connections would live until a garbage collection, or for as long as the request does.
        """
        self.inbound = None
        self.call.release()


class OutgoingCalls:
    """The outgoing calls of this process, for the runs of one engine."""

    def __init__(self, engine: Engine, observed: Observed, server_seconds: float = math.inf) -> None:
        """`server_seconds`: after how long the server ends a request."""
        self._engine = engine
        self._observed = observed
        self._server_seconds = server_seconds
        self._cached, self._last_known = engine.snapshot.cached, engine.snapshot.last_known
        self._noting = Lock()
        self._asked: tuple[Sequence[Plan], Sequence[Asked], Sequence[Travelling]] = ((), (), ())
        """What each outgoing call is asked for the active plans, and which of these tell other services what they
        decide. One tuple, so that no thread sees half of it."""

    @property
    def are_observed(self) -> bool:
        """Whether somebody asks what this process calls."""
        return self._observed.is_on

    def enter(self, call: OutgoingCall) -> Passage | None:
        """None where no run is about the call, and it is not observed. Does not block.

        Every outgoing call passes here while a run is about any.
        """
        plans = self._cached()
        if plans is None:
            plans = self._last_known()
        known, asked, _ = self._asked
        if known is not plans:
            asked = _asked_for(plans)
            self._asked = plans, asked, _travelling(plans)
        met: list[Outgoing] | None = None
        for matches, outgoing in asked:
            if matches(call):
                met = [*met, outgoing] if met else [outgoing]
        is_observed = self._observed.is_on and call.step != "lookup"
        if met is None and not is_observed:
            return None
        inbound = self._inbound()
        met = [each for each in met or () if _is_its_step(each, call) and _is_in_scope(each, inbound)]
        if not met and not is_observed:
            return None
        passage = Passage(call, met, inbound, self._engine)
        if met:
            self._describe(passage)
        return passage

    def _describe(self, passage: Passage) -> None:
        """Note what the audit of retries and time-outs asks for."""
        # asyncio, which a process in which nothing runs does without
        from .places import place  # noqa: PLC0415
        from .tasks import flow, is_time_limited  # noqa: PLC0415

        try:
            passage.place, passage.flow = place(), flow()
            call, inbound = passage.call, passage.inbound
            passage.content = hash(call.content()) if call.content else 0
            passage.is_limited = math.isinf(call.timeout_seconds) and is_time_limited()
            if inbound:
                left = self._server_seconds - (passage.began - inbound.began)
                passage.left_seconds = min(inbound.remaining_seconds, left)
        except Exception:
            log.exception("Could not note where an outgoing call is made")

    def decide(self, passage: Passage) -> list[Hit]:
        """What the call meets. A defect is logged, and then it is nothing."""
        try:
            return self._decide(passage)
        except Exception as error:
            pass_on(error)
            log.exception("What an outgoing call meets could not be decided; it is made untouched")
            return []

    def _decide(self, passage: Passage) -> list[Hit]:
        """A fault that its client's file cannot let it meet is left out, and counted."""
        result = passage.result
        for plan in result.plans:
            if plan.share:  # not during a baseline, when none is to be hit
                result.note(plan.run, MATCHED)
        hits: list[Hit] = []
        for hit in decide(result.plans, self._engine.process.chance, result):
            if cast("FailDependency", hit[1]).way in passage.call.faults:
                hits.append(hit)
            else:
                result.note(hit[0].run, UNREACHED)
        if hits and passage.inbound:
            passage.inbound.meets = {*passage.inbound.meets, *met(hits)}
        return hits

    def finish(self, passage: Passage, status: int | None, error: BaseException | None) -> None:
        """Remember how the call has ended, with its request where there is one. Does not block, and never raises."""
        try:
            passage.ended = self._engine.process.timer()
            passage.status, passage.error = status, None if error is None else type(error)
            self._observed.count(passage.call, passage.ended - passage.began, status, error)
            if not passage.met:
                return
            inbound, result = passage.inbound, passage.result
            if inbound is None or inbound.is_answered or len(inbound.passages) >= MOST_PASSAGES:
                self._engine.recorder.count_outgoing(passage)
            else:
                inbound.hits.extend(result.hits)
                inbound.passages.append(passage)
                with self._noting:  # a request may make calls on several threads
                    inbound.notes = (*inbound.notes, *result.notes)
                    over = {plan.run_id for plan in result.plans}
                    inbound.meets = [run_id for run_id in inbound.meets if run_id not in over]
            passage.release()
        except Exception:
            log.exception("Could not count an outgoing call")

    def mark(self, call: OutgoingCall) -> None:
        """Send along what is decided about the request that the call is made for. Does not block, and never raises.

        To be called after `enter`.
        """
        travelling = self._asked[2]
        if not travelling or call.set_header is None or call.get_header is None:
            return
        try:
            members = self._verdicts(travelling)
            if members and not (call.get_header("authorization") or "").startswith("AWS"):
                call.set_header(BAGGAGE, with_members(call.get_header(BAGGAGE), members))
        except Exception:
            log.exception("Could not mark an outgoing call")

    def _verdicts(self, travelling: Sequence[Travelling]) -> list[str]:
        """As members of a baggage."""
        inbound = self._inbound()
        if inbound is None:
            return []
        known = {plan.run_id for plan in inbound.plans}
        found = [_verdict(*each, inbound) for each in travelling if each[0].run_id in known]
        return [member for member in found if member]

    def _inbound(self) -> InjectionResult | None:
        """The request that is being served here and now, for which the call is made."""
        current = CURRENT.get()
        if current is None or current[0].engine is not self._engine or current[1].is_answered:
            return None
        return current[1]


def _asked_for(plans: Sequence[Plan]) -> Sequence[Asked]:
    """What a call to a run's dependency matches, and what the run does to it."""
    found = [plan.outgoing for plan in plans if plan.outgoing]
    return [(outgoing.fault.dependency.matches, outgoing) for outgoing in found if outgoing.fault]


def _travelling(plans: Sequence[Plan]) -> Sequence[Travelling]:
    return [(plan, plan.propagation) for plan in plans if plan.propagation is not None]


def _is_its_step(outgoing: Outgoing, call: OutgoingCall) -> bool:
    """Whether the run is about this part of a call: a socket's look-up of a name is one of its own."""
    fault = outgoing.fault
    return call.step is None or (fault is not None and (call.step == "lookup") is (fault.way == "dns"))


def _is_in_scope(outgoing: Outgoing, inbound: InjectionResult | None) -> bool:
    if inbound is None:
        return outgoing.fault is not None and outgoing.fault.in_background
    return _is_aimed_at(outgoing, inbound)


def _is_aimed_at(outgoing: Outgoing, inbound: InjectionResult) -> bool:
    """Whether the run is about the request: as a service before has decided, or else by its target."""
    inherited = outgoing.propagation.inherited(inbound) if outgoing.propagation is not None else None
    if inherited is not None:
        return inherited.is_hit
    return outgoing.target is None or outgoing.target.matches(inbound.call)


def _verdict(plan: Plan, propagation: Propagation, inbound: InjectionResult) -> str | None:
    """What is sent along of a run; None where nothing is decided, or what a service before has decided is over."""
    inherited = propagation.inherited(inbound)
    if inherited is not None:
        return propagation.passed_on(inherited)
    if plan.outgoing is not None:
        is_hit = _is_aimed_at(plan.outgoing, inbound)
    elif inbound.reached_route:
        is_hit = _is_hit(plan.run_id, inbound)
    else:
        return None
    return propagation.own(is_hit=is_hit, until=plan.expires_at)


def _is_hit(run_id: str, inbound: InjectionResult) -> bool:
    """Whether the run has hit the request, or would have, were it not dry."""
    noted = (name == WOULD_HIT and run.run_id == run_id for run, name in inbound.notes)
    return any(hit.plan.run_id == run_id for hit in inbound.hits) or any(noted)
