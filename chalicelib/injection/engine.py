"""The engine: what the active runs do to one call, from its arrival to its answer. Decides and counts; it never waits.

What may wait is a generator of steps, which the drivers carry out: on a thread, or on an event loop.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

from ..effects.base import ActiveRun, Effect, Surroundings
from ..faults import base
from ..faults.base import PROCEED, Answer, Applied, Chance, Change, Exit, Outcome, RefreshSnapshot, RunBlocking, Step
from ..paths import PathSet
from ..results.recorder import Recorder
from ..results.tally import WOULD_HIT
from ..runs.run import Run
from .arrival import Arrival
from .budgets import Budget
from .call import Call
from .decide import Hit, decide
from .plan import Plan, recorded
from .propagation import UNREAD, Verdicts
from .snapshot import Snapshot

if TYPE_CHECKING:
    from .exits import Exits
    from .outgoing import Passage

log = logging.getLogger(__name__)

E = TypeVar("E", bound=Effect)

FLUSH_SECONDS = 1.0
"""How much time an invocation must have left to flush counts to the table."""

LATE_SECONDS = 0.05
"""After how long on its way to its route a call asks again whether the runs go on that were active at its arrival."""

REFRESH = RefreshSnapshot()

UNFINISHED: Final = Applied()
"""What a fault did to a call while it is applied, and where the host's time-out ends the call meanwhile: it was hit."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Process:
    """What is this process's own: its name in answers and logs, its clock (epoch seconds) and its chance."""

    name: str
    clock: Callable[[], float]
    chance: Chance
    timer: Callable[[], float] = time.perf_counter


@dataclass(slots=True, eq=False)
class AppliedHit:
    """What one fault of one run did to a call."""

    plan: Plan
    kind: str
    applied: Applied

    @property
    def shown(self) -> dict[str, Any]:
        """As the test endpoint shows it."""
        run = self.plan.run
        return {"experiment": run.experiment, "run_id": run.run_id, "fault": self.kind, **self.applied.details}


class InjectionResult:
    """What happened to one call while runs were active: made when it arrives, complete when its route answers.

    Only a call that reached a route may be hit, and only such a call is counted.
    """

    __slots__ = (
        "answer",
        "began",
        "budgets",
        "call",
        "changes",
        "environment",
        "flushes_begun",
        "hits",
        "is_answered",
        "is_test",
        "knows_arrival",
        "meets",
        "notes",
        "outcome",
        "passages",
        "plans",
        "problem",
        "reached_route",
        "verdicts",
    )

    def __init__(
        self, plans: Sequence[Plan], call: Call, began: float, environment: str, *, is_test: bool = False
    ) -> None:
        self.plans = plans
        self.call = call
        self.began = began
        self.environment = environment
        self.is_test = is_test
        self.hits: list[AppliedHit] = []
        self.changes: Sequence[tuple[Plan, Change]] = ()
        """What becomes of the application's answer, by which runs, in this order."""
        self.answer: Any = None
        """The boundary's own, which applies them."""
        self.budgets: Sequence[Budget] = ()
        """Those that have admitted it, and whose hit is not over before this process ends."""
        self.notes: Sequence[tuple[Run, str]] = ()
        """The counters of runs that it adds 1 to, beside those of faults and requests."""
        self.passages: list[Passage] = []
        """The outgoing calls that were made meanwhile, and that a run is about."""
        self.meets: Collection[str] = ()
        """The ids of the runs that are about to hit it."""
        self.knows_arrival = False
        """Whether its time began in front of this process, so that no queue is left out."""
        self.flushes_begun = False
        """Whether the table is to know that it has begun, before anything happens to it."""
        self.outcome: Outcome = PROCEED
        self.reached_route = False
        self.is_answered = False
        """Whether its answer has begun. A context that outlives the call has its result, too."""
        self.verdicts: Verdicts = UNREAD
        self.problem: Literal["store_unavailable"] | None = None

    def drop_defective(self) -> None:
        """Forget a fault that raised an exception: it did nothing."""
        self.hits = [hit for hit in self.hits if hit.applied is not UNFINISHED]

    def note(self, run: Run, name: str) -> None:
        """Add 1 to a counter of a run, beside those of faults and requests."""
        self.notes = (*self.notes, (run, name))

    @property
    def would_hit(self) -> list[str]:
        """The labels of the dry runs that would have hit it."""
        labels = {run.label: None for run, name in self.notes if name == WOULD_HIT}
        return list(labels)  # each once, however many outgoing calls of the request it would have hit

    @property
    def remaining_seconds(self) -> float:
        """How long the call may still take."""
        return self.call.remaining_seconds

    @property
    def workers(self) -> int | None:
        """How many workers the process has, where a call that waits occupies one and nobody sees who queues for it."""
        return None if self.knows_arrival else self.call.workers

    @property
    def active_names(self) -> list[str]:
        """The names of the experiments that were active, each once."""
        return list(dict.fromkeys(plan.run.experiment for plan in self.plans))

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a response that was hit, or that a dry run would have hit; empty for an untouched one."""
        headers = self._headers_of_hits() if self.hits else {}
        if self.notes and (dry := self.would_hit):
            headers["X-Chaos-Dry-Run"] = ", ".join(dry)
        return headers

    def _headers_of_hits(self) -> dict[str, str]:
        plan = self.hits[0].plan
        headers = {
            "X-Chaos-Experiment": plan.run.experiment,
            "X-Chaos-Environment": self.environment,
            "X-Chaos-Run": plan.run_id,
        }
        if len(self.hits) > 1:
            headers["X-Chaos-Experiment"] = _once_each(hit.plan.run.experiment for hit in self.hits)
            headers["X-Chaos-Run"] = _once_each(hit.plan.run_id for hit in self.hits)
        for hit in self.hits:
            if "cut_from_seconds" in hit.applied.details:
                cut = headers.get("X-Chaos-Cut")
                headers["X-Chaos-Cut"] = f"{cut}, {hit.plan.run.experiment}" if cut else hit.plan.run.experiment
        return headers


def _once_each(names: Iterable[str]) -> str:
    """In their order."""
    return ", ".join(dict.fromkeys(names))


class Blocked:
    """The answer of `Engine.arrive_now` where something has to be done first that may block."""


BLOCKED: Final = Blocked()


@dataclass(slots=True, eq=False)
class HitByPlan:
    """One call and one run, for a fault."""

    engine: "Engine"
    result: InjectionResult
    plan: Plan
    chance: Chance

    @property
    def run(self) -> Plan:
        return self.plan

    @property
    def kind(self) -> base.Kind:
        return self.result.call.kind

    @property
    def event(self) -> Any:  # noqa: ANN401 - JSON
        return self.result.call.event

    def remaining_seconds(self) -> float:
        call = self.result.call
        if call.kind == "invocation":  # no gateway and no server waits for it
            return call.remaining_seconds
        passed = self.engine.process.timer() - self.result.began
        return min(call.remaining_seconds, self.engine.longest_request_seconds - passed)

    def is_client_gone(self) -> bool:
        return self.result.call.is_client_gone

    def client_timeout_seconds(self) -> float:
        return self.result.call.timeout_seconds

    def seconds_until_stale(self) -> float:
        return self.engine.snapshot.seconds_until_stale()

    def is_active(self) -> Generator[Step, Any, bool]:
        return self.engine.is_active(self.plan)

    def goes_on(self) -> bool:
        return any(each.run_id == self.plan.run_id for each in self.engine.snapshot.last_known())

    def now(self) -> float:
        return self.engine.process.clock()

    def timer(self) -> float:
        return self.engine.process.timer()

    def limit(self, parameter: str) -> float:
        return self.engine.limits.get(parameter, math.inf)

    def effect(self, kind: type[E]) -> E:
        return self.engine.effect(kind)


class Slots:
    """How many calls may be hit at a time. Safe to share between threads, and faster than a semaphore."""

    __slots__ = ("_free",)

    def __init__(self, number: int) -> None:
        self._free = deque([None] * number)

    def take(self) -> bool:
        """Whether there was a free one."""
        try:
            self._free.pop()
        except IndexError:
            return False
        return True

    def give_back(self) -> None:
        self._free.append(None)


@dataclass(kw_only=True, eq=False)
class Engine:
    """One for each process. `slots` bounds how many calls are being hit at a time, and `excluded` are never hit.

    `longest_request_seconds` is the time limit of a call where it does not know a shorter one itself.
    """

    snapshot: Snapshot
    recorder: Recorder
    process: Process
    arrival: Arrival | None = None
    """None where nothing in front of this process says when a call arrived."""
    excluded: PathSet = field(default_factory=lambda: PathSet(()))
    slots: Slots = field(default_factory=lambda: Slots(1000))
    longest_request_seconds: float = math.inf
    limits: Mapping[str, float] = field(default_factory=dict)
    """Those of the stage, by the parameter's name."""
    sleep: Callable[[float], None] = time.sleep
    lambda_memory_mb: int | None = None
    record_defect: Callable[[Run, str], None] = lambda _run, _defect: None
    """Lets a run say what is wrong with it here. May block, and raise."""

    def __post_init__(self) -> None:
        # Every request passes here: nothing is looked up twice.
        self._effects: tuple[Effect, ...] = ()
        self._effect_of_kind: dict[Any, Effect] = {}
        self._making = threading.Lock()
        self._excluded = self.excluded or None
        self.exits: Exits | None = None
        """How it ends; None where it cannot."""

    def effect(self, kind: Callable[[Surroundings], E]) -> E:
        """The one of that kind in this process, with methods of its own for the faults that use it."""
        with self._making:
            if kind not in self._effect_of_kind:
                self._add(kind(self._surroundings), kind)
            return cast("E", self._effect_of_kind[kind])

    def add_effect(self, effect: Effect, kind: Callable[[Surroundings], Effect] | None = None) -> None:
        """For one that needs the engine itself; or one that stands for another kind."""
        with self._making:
            self._add(effect, kind or type(effect))

    def abandon_effects(self) -> None:
        """Let go of what this process, a copy, has inherited of them."""
        for effect in self._effects:
            effect.abandon()

    def _add(self, effect: Effect, kind: Any) -> None:  # noqa: ANN401 - whatever it is found by
        self._effect_of_kind[kind] = effect
        self._effects = tuple(self._effect_of_kind.values())

    @property
    def effects(self) -> Sequence[Effect]:
        return self._effects

    @property
    def _surroundings(self) -> Surroundings:
        return Surroundings(
            active=self.snapshot.get,
            clock=self.process.clock,
            sleep=self.sleep,
            seconds_until_stale=self.snapshot.seconds_until_stale,
            lambda_memory_mb=self.lambda_memory_mb,
            count=self._count_held,
            record_problem=self._record_problem,
        )

    def _count_held(self, run: ActiveRun, counters: Mapping[str, int]) -> None:
        self.recorder.count_held(cast("Plan", run), counters)

    def _record_problem(self, run: ActiveRun, problem: str) -> None:
        recorded(self.record_defect, cast("Plan", run).run, problem)

    def is_idle(self) -> bool:
        """Whether calls pass through: nothing is active, held or to be flushed, and no read is due."""
        plans = self.snapshot.cached()
        if plans or plans is None or self.recorder.is_needed:
            return False
        for effect in self._effects:  # noqa: SIM110 - every request passes here, and any() costs twice as much
            if effect.is_holding:
                return False
        return True

    # Its arrival

    def arrive_now(self, call: Call) -> InjectionResult | Blocked | None:
        """The call's result to be; None where nothing is active. BLOCKED where `arrive` must do something first."""
        if self._excluded and call.name in self._excluded:
            return None
        plans = self.snapshot.cached()
        if plans is None:
            return BLOCKED
        for effect in self._effects:
            if effect.is_holding and effect.is_due(plans):
                return BLOCKED
        if not plans:
            if self.recorder.is_flush_due():
                return BLOCKED
            if not self.recorder.is_watching:
                return None
        process = self.process
        return InjectionResult(plans, call, process.timer(), process.name)

    def arrive(self, call: Call) -> Generator[Step, Any, InjectionResult | None]:
        """As `arrive_now`, with what may block: the read of the table, effects that are over, pending counts."""
        plans = self.snapshot.cached()
        if plans is None:
            plans = yield REFRESH
        return (yield from self._receive(call, plans))

    def arrive_at_test(self, call: Call) -> Generator[Step, Any, InjectionResult]:
        """The arrival of a call to the test endpoint, which always reads the table."""
        plans = yield RunBlocking(self.snapshot.get_fresh)
        result = yield from self._receive(call, plans)
        result = result or self._result(plans, call)
        result.is_test = True
        if self.snapshot.is_unreachable:
            result.problem = "store_unavailable"
        return result

    def _receive(self, call: Call, plans: Sequence[Plan]) -> Generator[Step, Any, InjectionResult | None]:
        for effect in self._effects:
            if effect.is_holding and effect.is_due(plans):
                yield RunBlocking(partial(effect.settle, plans))
        if not plans and self.may_flush(call):  # otherwise this call flushes when it ends
            yield RunBlocking(self.recorder.flush)
        return self._result(plans, call) if plans or self.recorder.is_watching else None

    def _result(self, plans: Sequence[Plan], call: Call) -> InjectionResult:
        return InjectionResult(plans, call, self.process.timer(), self.process.name)

    # In the route's place

    def decide(self, result: InjectionResult) -> list[Hit] | None:
        """What the call meets, now that it has reached a route; None where there is nothing to apply."""
        result.reached_route = True
        hits = decide(result.plans, self.process.chance, result)
        if result.is_test:
            return hits or None
        if hits:
            result.meets = hits[0][0].meets if len(hits) == 1 else met(hits)
        result.flushes_begun = self.recorder.begin(result) and self._has_time_to_flush(result.call)
        return hits if hits or result.flushes_begun else None

    def apply(self, result: InjectionResult, hits: Sequence[Hit]) -> Generator[Step, Any, Outcome]:
        """Apply the hits, until one of them decides the outcome."""
        try:
            if result.flushes_begun:
                yield RunBlocking(self.recorder.flush_begun)
            if hits and self.slots.take():
                try:
                    yield from self._apply(result, hits)
                finally:
                    self.slots.give_back()
        finally:
            result.meets = ()
        outcome = result.outcome
        if isinstance(outcome, Exit) and outcome.after_seconds is None and self.exits:
            yield RunBlocking(partial(self.exits.leave, result))
        return result.outcome

    def _apply(self, result: InjectionResult, hits: Sequence[Hit]) -> Generator[Step, Any, None]:
        is_late = self.process.timer() - result.began >= LATE_SECONDS
        limited: dict[str, bool] = {}
        used: list[Budget] = []
        try:
            for plan, fault, chance in hits:
                if (is_late or result.hits) and not (yield from self.is_active(plan)):
                    continue  # it ended while the application, or an earlier fault, delayed this call
                if plan.is_limited:
                    if plan.run_id not in limited:
                        limited[plan.run_id] = yield from _is_to_hit(plan, result, used)
                    if not limited[plan.run_id]:
                        continue
                hit = AppliedHit(plan, fault.kind, UNFINISHED)
                result.hits.append(hit)
                applied = fault.apply(HitByPlan(self, result, plan, chance))
                if not isinstance(applied, Applied):
                    applied = yield from applied
                hit.applied = applied
                if applied.did_nothing or applied.change is not None:
                    _note_last(result, hit)
                if applied.outcome is not PROCEED:
                    result.outcome = applied.outcome
                    result.changes = ()  # it is not the application that answers
                    break
        finally:
            ends = _over(result, used) if used else ()
        for end in ends:
            yield RunBlocking(end)

    def is_active(self, plan: Plan) -> Generator[Step, Any, bool]:
        """Whether a run goes on, by the snapshot, which is refreshed where that is due."""
        plans = self.snapshot.cached()
        if plans is None:
            plans = yield REFRESH
        return any(each.run_id == plan.run_id for each in plans)

    # Its answer

    def count(self, result: InjectionResult, status: int | None) -> None:
        """Count a call that is answered, or that ended without an answer (None). Does not block, and never raises."""
        if not result.reached_route:
            return
        try:
            if result.is_test:
                self.recorder.count_test(result)
                return
            seconds = self.process.timer() - result.began
            if self.arrival:
                since = self.arrival(result.call, self.process.clock())
                result.knows_arrival = since is not None
                seconds = max(seconds, since or 0.0)  # how long the client has waited, as far as that is known
            self.recorder.count(result, status, seconds)
        except Exception:
            log.exception("Could not count a request")

    def count_change(self, result: InjectionResult, plan: Plan, counters: Mapping[str, int]) -> None:
        """Count what a run did to an answer that is over now. Does not block, and never raises."""
        if result.is_test or not result.reached_route:
            return
        try:
            self.recorder.count_late(result, plan, counters)
        except Exception:
            log.exception("Could not count what became of an answer")

    def end(self, result: InjectionResult) -> None:
        """To be called when the application is done with a call, and its answer is with the server."""
        if result.outcome is not PROCEED and self.exits:
            self.exits.leave_later(result)

    def may_flush(self, call: Call) -> bool:
        """Whether pending counts are due to be flushed, and the call has the time for it."""
        return self.recorder.is_flush_due() and call.remaining_seconds >= FLUSH_SECONDS

    @staticmethod
    def _has_time_to_flush(call: Call) -> bool:
        """Not where that is unknown: the call continues all the same."""
        try:
            return call.remaining_seconds >= FLUSH_SECONDS
        except Exception as error:  # noqa: BLE001 - whatever a host's context raises
            log.warning("A call does not say how much time it has left: %s", error)
            return False


def _note_last(result: InjectionResult, hit: AppliedHit) -> None:
    """Note what the last hit of a call did to it, and forget one that did nothing; `/test` says why it did not."""
    if hit.applied.did_nothing and not result.is_test:
        result.hits.pop()
    if hit.applied.change is not None:
        result.changes = (*result.changes, (hit.plan, hit.applied.change))


def met(hits: Sequence[Hit]) -> Collection[str]:
    """The ids of the runs that a call is about to be hit by."""
    return frozenset[str]().union(*(plan.meets for plan, _, _ in hits))


def _over(result: InjectionResult, used: Sequence[Budget]) -> Sequence[Callable[[], None]]:
    """Say that the hit is over, where the process does not end with it. What is left to do, and may block."""
    if isinstance(result.outcome, Exit):
        result.budgets = used
        return ()
    return [end for budget in used if (end := budget.over())]


def _is_to_hit(plan: Plan, result: InjectionResult, used: list[Budget]) -> Generator[Step, Any, bool]:
    """Whether a run that is dry, or may hit but so many calls, hits this one. It uses its budget up in both cases.

    `used` gets the budget that has admitted the call.
    """
    if plan.budget is not None:
        admitted = plan.budget.admit(result.call, result.note)
        if not (admitted if isinstance(admitted, bool) else (yield from admitted)):
            result.meets = {run_id for run_id in result.meets if run_id != plan.run_id}
            return False
        used.append(plan.budget)
    if plan.is_dry:
        result.note(plan.run, WOULD_HIT)
    return not plan.is_dry


def answer_of(result: InjectionResult) -> Answer | None:
    """The answer in the application's place, where a fault decided so."""
    return result.outcome if isinstance(result.outcome, Answer) else None
