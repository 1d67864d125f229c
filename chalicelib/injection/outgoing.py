"""Outgoing calls: which of them the active runs are about, what they meet, and what is remembered of them."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from ..results.tally import MATCHED, UNREACHED, WOULD_HIT
from .call import DependencyCall, OutgoingCall
from .current import CURRENT
from .decide import Hit, decide
from .engine import Engine, InjectionResult
from .plan import Outgoing, Plan
from .propagation import HEADER as BAGGAGE
from .propagation import Propagation, with_members

if TYPE_CHECKING:
    from ..faults.dependency import FailDependency

log = logging.getLogger(__name__)


class Passage:
    """One outgoing call that a run is about: from when to when, for which request, what hit it, and how it ended.

    Each attempt of a client's retries is one. `result` is for the call what a request has, too; times are the timer's.
    """

    __slots__ = ("began", "call", "ended", "error", "inbound", "met", "place", "result", "status")

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
        self.error: BaseException | None = None
        self.place = ""
        """Where the application makes it: `orders.py:42`."""


class OutgoingCalls:
    """The outgoing calls of this process, for the runs of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def enter(self, call: OutgoingCall) -> Passage | None:
        """None where no run is about the call. Does not block."""
        met = _about(self._plans(), call)
        if not met:
            return None
        inbound = self._inbound()
        met = [outgoing for outgoing in met if _is_in_scope(outgoing, inbound)]
        return Passage(call, met, inbound, self._engine) if met else None

    def decide(self, passage: Passage) -> list[Hit]:
        """What the call meets. A fault that its client's file cannot let it meet is left out, and counted."""
        result = passage.result
        for plan in result.plans:
            result.note(plan.run, MATCHED)
        hits: list[Hit] = []
        for hit in decide(result.plans, self._engine.process.chance, result):
            if cast("FailDependency", hit[1]).way in passage.call.faults:
                hits.append(hit)
            else:
                result.note(hit[0].run, UNREACHED)
        if hits and passage.inbound:
            passage.inbound.meets = {*passage.inbound.meets, *(plan.run_id for plan, _, _ in hits if not plan.is_dry)}
        return hits

    def finish(self, passage: Passage, status: int | None, error: BaseException | None) -> None:
        """Remember how the call has ended, with its request where there is one. Does not block, and never raises."""
        try:
            passage.ended = self._engine.process.timer()
            passage.status, passage.error = status, error
            inbound, result = passage.inbound, passage.result
            if inbound is None or inbound.is_answered:
                self._engine.recorder.count_outgoing(passage)
                return
            inbound.hits.extend(result.hits)
            inbound.notes = (*inbound.notes, *result.notes)
            inbound.passages.append(passage)
        except Exception:
            log.exception("Could not count an outgoing call")

    def mark(self, call: OutgoingCall) -> None:
        """Send along what is decided about the request that the call is made for. Does not block, and never raises."""
        if call.set_header is None or call.get_header is None:
            return
        try:
            members = self._verdicts()
            if members and not (call.get_header("authorization") or "").startswith("AWS"):
                call.set_header(BAGGAGE, with_members(call.get_header(BAGGAGE), members))
        except Exception:
            log.exception("Could not mark an outgoing call")

    def _verdicts(self) -> list[str]:
        """As members of a baggage, of the runs whose verdicts travel."""
        travelling = [(plan, plan.propagation) for plan in self._plans() if plan.propagation is not None]
        inbound = self._inbound() if travelling else None
        if inbound is None:
            return []
        known = {plan.run_id for plan in inbound.plans}
        found = [_verdict(*each, inbound) for each in travelling if each[0].run_id in known]
        return [member for member in found if member]

    def _plans(self) -> Sequence[Plan]:
        plans = self._engine.snapshot.cached()
        return self._engine.snapshot.last_known() if plans is None else plans

    def _inbound(self) -> InjectionResult | None:
        """The request that is being served here and now, for which the call is made."""
        current = CURRENT.get()
        if current is None or current[0].engine is not self._engine or current[1].is_answered:
            return None
        return current[1]


def _about(plans: Sequence[Plan], call: OutgoingCall) -> list[Outgoing]:
    """What runs that are about the call's dependency do. Every outgoing call passes here while a run is about any."""
    met: list[Outgoing] = []
    for plan in plans:
        outgoing = plan.outgoing
        if outgoing is not None and (fault := outgoing.fault) is not None and fault.dependency.matches(call):
            met.append(outgoing)
    return met


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
