"""A run, compiled when the snapshot is read, so that a request only looks at what it needs."""

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, cast

from ..faults.base import Fault, Kind, Unavailable
from ..runs.run import NEVER, Run
from .budgets import Budget
from .propagation import Propagation, Seal
from .selection import Selector, selector

if TYPE_CHECKING:
    from ..experiments.base import Experiment, Parameters
    from ..faults.dependency import FailDependency
    from ..runs.target import Matcher

log = logging.getLogger(__name__)

WHOLE = 100.0
LONGEST_DEFECT = 100
BY_ORDER = attrgetter("order")


MOST_SEEN = 200
"""How many runs this process remembers to have seen."""

ID = re.compile("[!-~]{1,64}")
"""What can be an id, and a label: both are sent in headers of responses."""


class Plan:
    """What a run does to the calls that it hits, how many it hits (`share`, from 0 to 1), and from when until when.

    A run that first looks at what is normal has two plans: one that hits nothing, and then the other one.
    """

    __slots__ = (
        "_ends",
        "_timer",
        "active_from",
        "budget",
        "expires_at",
        "faults",
        "is_dry",
        "is_limited",
        "meets",
        "outgoing",
        "propagation",
        "run",
        "run_id",
        "selector",
        "share",
        "takes_verdicts",
    )

    def __init__(self, run: Run, share: float, faults: tuple[Fault, ...], *, active_from: float = NEVER) -> None:
        self.run = run
        self.run_id = run.run_id
        self.active_from = active_from
        self.expires_at = run.expires_at
        self.share = share
        self.faults = faults
        self.selector: Selector | None = None
        """Decides instead of `share`, where there is one."""
        self.budget: Budget | None = None
        self.is_dry = run.is_dry
        self.is_limited = self.is_dry
        """Whether it is dry or has a budget."""
        self.meets = frozenset(() if self.is_dry else (run.run_id,))
        """The id of the run, where it does anything."""
        self.outgoing: Outgoing | None = None
        """What it does to outgoing calls, instead of to requests."""
        self.propagation: Propagation | None = None
        """How its verdicts on requests travel between services, where they do."""
        self.takes_verdicts = True
        """Whether those of services before decide here: not where its target names other functions."""
        self._timer: Callable[[], float] | None = None
        self._ends = 0.0

    def limit(self, seen: "Seen", duration_seconds: float, timer: Callable[[], float]) -> None:
        """However clocks are set or step, it lasts no longer than its duration after this process first saw it.

        That is twice: by the clock, which goes on while a Lambda environment is frozen, and by the timer, which never
        steps.
        """
        run = self.run
        begins = max(seen.at, run.started_at)
        self.expires_at = min(self.expires_at, begins + max(duration_seconds, 0.0))
        self._ends = seen.ticks + self.expires_at - seen.at
        self._timer = timer

    def remaining_seconds(self, now: float) -> float:
        """Until its end; 0 where it is over, or has not begun, since whoever started it had a clock that was ahead."""
        if not self.run.has_begun(now):
            return 0.0
        left = self.expires_at - now
        if self._timer:
            left = min(left, self._ends - self._timer())
        return max(left, 0.0)

    def baseline(self, until: float) -> "Plan":
        """The plan that comes before this one, and hits nothing. It looks at the same outgoing calls."""
        plan = Plan(self.run, 0.0, ())
        plan.expires_at = min(until, self.run.expires_at)
        if self.outgoing:
            plan.outgoing = self.outgoing._replace(plan=Plan(self.run, 0.0, self.hitting.faults))
        plan.propagation, plan.takes_verdicts = self.propagation, self.takes_verdicts
        return plan

    def of_outgoing_calls(self, target: "Matcher | None") -> "Plan":
        """The plan of a run that hits no request, but outgoing calls, as this one says."""
        plan = Plan(self.run, 0.0, (), active_from=self.active_from)
        plan.outgoing = Outgoing(self, target)
        return plan

    def travel_by(self, propagation: Propagation | None) -> None:
        """Take what services before have decided about requests, and tell others."""
        self.propagation = propagation
        if self.outgoing:
            self.outgoing = self.outgoing._replace(propagation=self.inherits)

    @property
    def inherits(self) -> Propagation | None:
        """By which services before may have decided about a call here."""
        return self.propagation if self.takes_verdicts else None

    @property
    def hitting(self) -> "Plan":
        """The plan with what the run does: this one, or that of its outgoing calls."""
        return self.outgoing.plan if self.outgoing else self

    def is_active(self, now: float) -> bool:
        return now >= self.active_from and self.remaining_seconds(now) > 0


class Outgoing(NamedTuple):
    """What a run does to outgoing calls: `plan` has its share, selector, budget and faults, as another's of requests.

    `target` is the run's target, of the request that a call is made for; None where it has none.
    """

    plan: Plan
    target: "Matcher | None"
    propagation: Propagation | None = None
    """By which a service before may have decided instead of the target."""

    @property
    def fault(self) -> "FailDependency | None":
        """None where the experiment raised an exception: then no call is the run's."""
        return cast("FailDependency", self.plan.faults[0]) if self.plan.faults else None


class Seen(NamedTuple):
    """When this process first saw a run: by the clock, and by the timer."""

    at: float
    ticks: float


class Environment(NamedTuple):
    """This process, as targets name it, by its own name, and by the Lambda function's where it is one; and its seal."""

    name: str = ""
    function: str = ""
    seal: Seal | None = None
    """With which it tells other services what it has decided; None where it does not."""


NOWHERE = Environment()


Key = tuple[str, str, bool]
"""By which a run is known that need not be compiled again."""


def _key(run: Run) -> Key:
    return run.experiment, run.run_id, run.unreadable


def _without(plans: Mapping[Key, tuple[Plan, ...]], keys: set[Key]) -> Mapping[Key, tuple[Plan, ...]]:
    return {key: each for key, each in plans.items() if key not in keys} if keys else plans


class Compiler:
    """From active runs to plans; each run is compiled once.

    A run that this version of the module cannot read is left out, and so is one that `why_not` says something against.
    One whose target is not this `environment` hits nothing, and its untouched calls are counted. One whose experiment
    raises has no faults; where it says that this process cannot do it as yet, it is compiled again at the next read.
    `record_defect` is called with the reason; it may block, and raise.
    Without a clock a run lasts until its `expires_at`, whenever it was first seen. `budgets` are what runs may still
    hit in all environments together.
    """

    def __init__(
        self,
        catalogue: "Callable[[], Mapping[str, Experiment]]",
        record_defect: Callable[[Run, str], None],
        why_not: "Callable[[Run, Parameters], str | None]" = lambda _run, _parameters: None,
        *,
        environment: Environment = NOWHERE,
        budgets: Callable[[Run], Budget | None] = lambda _run: None,
        clock: Callable[[], float] | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalogue = catalogue
        self._record_defect = record_defect
        self._why_not = why_not
        self._environment = environment
        self._budgets = budgets
        self._clock = clock
        self._timer = timer
        self._seen: dict[str, Seen] = {}
        self._plans: dict[Key, tuple[Plan, ...]] = {}
        self._postponed: set[Key] = set()
        """The runs that this process could not inject when it compiled them, and can perhaps at the next read."""

    def __call__(self, runs: Iterable[Run]) -> list[Plan]:
        known, self._postponed = _without(self._plans, self._postponed), set()
        keyed = {_key(run): run for run in runs}
        self._plans = {key: known[key] if key in known else self._compile(run) for key, run in keyed.items()}
        return [plan for plans in self._plans.values() for plan in plans]

    def _compile(self, run: Run) -> tuple[Plan, ...]:
        try:
            _require_readable(run)
            experiment = self._catalogue()[run.experiment]
            parameters = experiment.Parameters.model_validate(run.parameters)
            whole = self._plan(run, parameters, experiment.applies_to)
        except Exception as error:  # noqa: BLE001 - whatever a validator raises, the other runs go on
            log.warning("Skipped run %s of %s, which this version cannot read: %s", run.run_id, run.experiment, error)
            return ()
        if reason := self._why_not(run, parameters):
            log.warning("Skipped run %s of %s: %s", run.run_id, run.experiment, reason, extra={"run_id": run.run_id})
            recorded(self._record_defect, run, f"not injected: {reason}")
            return ()
        try:
            whole.hitting.faults = tuple(sorted(experiment.faults(parameters), key=BY_ORDER))
        except Unavailable as reason:
            self._postponed.add(_key(run))
            recorded(self._record_defect, run, f"not injected by environment {self._environment.name} as yet: {reason}")
        except Exception as error:
            log.exception("Experiment %s raised an exception; its run %s hits nothing", run.experiment, run.run_id)
            recorded(self._record_defect, run, f"{type(error).__name__}: {error}")
        if self._environment.seal:
            whole.travel_by(self._environment.seal.propagation(run))
        plans = (whole,) if whole.active_from == NEVER else (whole.baseline(run.hits_from), whole)
        if self._clock:
            duration = min(parameters.duration_seconds, run.duration_seconds)
            for plan in (*plans, whole.hitting):
                plan.limit(self._first_seen(run, self._clock()), duration, self._timer)
        return plans

    def _first_seen(self, run: Run, now: float) -> Seen:
        """Remembered for a while, since a run that was not active for a moment is compiled anew."""
        if run.run_id not in self._seen and len(self._seen) >= MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        return self._seen.setdefault(run.run_id, Seen(now, self._timer()))

    def _plan(self, run: Run, parameters: "Parameters", applies_to: Kind) -> Plan:
        """The run's plan, without its faults. Raises ValueError where its options cannot be read."""
        from ..runs.target import Target  # noqa: PLC0415 - pydantic, which a process in which nothing runs does without

        active_from = run.hits_from if run.hits_from > run.started_at else NEVER
        target = Target.stored(run.options.get("target"))
        here = self._environment
        if target and not target.has_environment(run.run_id, here.name, here.function):
            return Plan(run, 0.0, (), active_from=active_from)
        plan = Plan(run, parameters.percentage / WHOLE, (), active_from=active_from)
        matcher = target.matcher(here.function) if target else None
        is_outgoing = applies_to == "dependency"
        plan.selector = selector(run, plan.share, None if is_outgoing else matcher, clock=self._clock or time.time)
        plan.budget = self._budgets(run)
        plan.is_limited = plan.is_dry or plan.budget is not None
        made = plan.of_outgoing_calls(matcher) if is_outgoing else plan
        made.takes_verdicts = target is None or target.has_function(here.function)
        return made


def recorded(record_defect: Callable[[Run, str], None], run: Run, defect: str) -> None:
    """Let a run say what is wrong with it, unless another environment was first."""
    if run.defect:
        return
    try:
        record_defect(run, defect[:LONGEST_DEFECT])
    except Exception as error:  # noqa: BLE001 - the application's request goes on
        log.warning("Could not record the defect of run %s: %s", run.run_id, error)


def _require_readable(run: Run) -> None:
    """Raises ValueError."""
    if run.unreadable:
        raise ValueError("another version wrote it, or it is damaged")
    if not ID.fullmatch(run.run_id):
        raise ValueError(f"{run.run_id[:LONGEST_DEFECT]!r} is no id")
    if run.is_dry and not ID.fullmatch(run.label):
        raise ValueError(f"{run.label[:LONGEST_DEFECT]!r} is no label")
