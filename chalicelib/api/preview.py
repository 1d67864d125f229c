"""What a run, or a start, would do to one described request.

Pure: it starts nothing, counts nothing and draws nothing.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import NamedTuple, Protocol, cast

from ..errors import ChaosError
from ..experiments.base import Experiment, Parameters
from ..faults.base import Chance, Fault
from ..paths import PathSet
from ..runs.key import Key
from ..runs.options import First
from ..runs.run import Run
from ..runs.target import Matcher, Target
from .described import DescribedCall, DescribedRequest
from .endpoints import TEST
from .problems import invalid, shown, wrong
from .shapes import Preview, PreviewedFault, Refused, ShownCriterion, iso

log = logging.getLogger(__name__)

WHOLE = 100.0
DIGITS = 12
"""Of a probability, which is a product of decimal fractions."""


# What decides


class Decides(Protocol):
    """One thing that decides whether a call is hit, as the data plane explains it."""

    @property
    def name(self) -> str: ...
    @property
    def allowed(self) -> object: ...
    @property
    def seen(self) -> object: ...
    @property
    def probability(self) -> float: ...


class Selects(Protocol):
    """What decides for one run, on the data plane."""

    def explain(self, call: DescribedCall) -> Sequence[Decides]:
        """In the order in which it is decided."""

    def chance_of(self, call: DescribedCall) -> Chance | None:
        """What the faults' own shares are drawn from where a key decides."""


class MakeSelector(Protocol):
    """Makes what decides for a run; None for a run of which only the percentage decides."""

    def __call__(
        self, run: Run, share: float, matcher: Matcher | None, *, clock: Callable[[], float]
    ) -> Selects | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlane:
    """What decides in this process: what a preview answers is decided by the same."""

    selector: MakeSelector
    excluded: PathSet
    prefix: str
    why_not: Callable[[Run, Parameters], str | None]
    """Why a run must not hit anything, where the stage does not permit it."""
    inherited: Callable[[Run, str | None], bool | None] = lambda _run, _baggage: None
    """What a baggage says of a request, for a run: whether it is hit; None where the run decides itself."""


class Criterion(NamedTuple):
    """One thing that decides. `probability` is None where nothing is known of it."""

    name: str
    allowed: object
    seen: object
    probability: float | None


@dataclass(frozen=True, slots=True)
class Previewed:
    """A run, or the one that a start would make; then `is_started` is false. `refused` is why a start would be."""

    run: Run
    experiment: Experiment
    is_started: bool
    refused: Sequence[ChaosError] = ()


def explained(previewed: Previewed, request: DescribedRequest, data_plane: DataPlane, now: float) -> Preview:
    """What the run does to the request: a run at this moment, a start at its full share.

    Raises InvalidParameters for a run that this version cannot read.
    """
    try:
        return _Preview(previewed, request, data_plane, now).answer()
    except ValueError as error:
        log.warning("Run %s cannot be previewed: %s", previewed.run.run_id, error)
        allowed = "the id of a run that this version of the module can read"
        raise invalid([wrong("run_id", allowed, shown(previewed.run.run_id))]) from None


class _Preview:
    """One answer, while it is made. Raises ValueError for a run that this version cannot read."""

    def __init__(self, previewed: Previewed, request: DescribedRequest, data_plane: DataPlane, now: float) -> None:
        run = previewed.run
        if run.unreadable:
            raise ValueError("another version wrote it, or it is damaged")
        self._is_started = previewed.is_started
        self._run = run
        self._options = run.options
        self._parameters: Parameters = previewed.experiment.Parameters.model_validate(run.parameters)
        self._target = Target.stored(run.options.get("target"))
        self._applies_to = previewed.experiment.applies_to
        self._faults = _faults(previewed.experiment, self._parameters)
        self._refused = previewed.refused
        self._request = request
        self._call = request.call
        self._data_plane = data_plane
        self._now = now

    def answer(self) -> Preview:
        criteria = [
            *self._place(),
            *self._moment(),
            *self._environments(),
            *self._outgoing(),
            *self._selection(),
            *self._applied(),
            *self._budget(),
        ]
        return {
            "would_hit": _verdict(criteria),
            "criteria": [_shown(each) for each in criteria],
            "faults": [self._shown_fault(each) for each in self._faults],
            "refused": [_refused(each) for each in self._refused],
            "dry_run": self._run.is_dry,
            "applies_to": self._applies_to,
        }

    def _shown_fault(self, fault: Fault) -> PreviewedFault:
        """With the parameters of the experiment's own, in the words of the start."""
        own = {name: value for name, value in self._run.parameters.items() if name not in Parameters.model_fields}
        return cast("PreviewedFault", {**own, "kind": fault.kind, "share": fault.share})

    def _place(self) -> Iterator[Criterion]:
        """Whether requests for the path can be hit at all."""
        path, prefix = self._call.name, self._data_plane.prefix
        is_control_plane = f"{path.rstrip('/')}/".startswith(f"{prefix}/")
        is_test = path.rstrip("/") == prefix + TEST
        is_excluded = not is_test and (is_control_plane or path in self._data_plane.excluded)
        excluded = [*self._data_plane.excluded.paths, f"{prefix}/*"]
        yield Criterion("excluded", {"not": excluded}, path, _certain(not is_excluded))

    def _moment(self) -> Iterator[Criterion]:
        """Whether the run hits anything at this moment."""
        run, now = self._run, self._now
        if not self._is_started:
            return
        is_hitting = run.is_active(now) and run.has_begun(now) and now >= run.hits_from
        times = {"from": _moment(run.hits_from), "until": _moment(run.over_at)}
        yield Criterion("active", times, iso(now), _certain(is_hitting))
        why_not = self._data_plane.why_not(run, self._parameters)
        if why_not:
            yield Criterion("permitted", True, why_not, 0.0)  # noqa: FBT003 - JSON

    def _environments(self) -> Iterator[Criterion]:
        """Whether the run hits anything in the environment that gets the request, which nobody knows yet."""
        if self._target is None:
            return
        percentage, functions = self._target.environments_percentage, self._target.functions
        if percentage is not None:
            yield Criterion("target.environments_percentage", percentage, None, percentage / WHOLE)
        if functions is not None:
            yield Criterion("target.functions", functions, self._request.function, self._is_of_function())

    def _is_of_function(self) -> float | None:
        if self._target is None or self._request.function is None:
            return None
        return _certain(self._target.has_function(self._request.function))

    def _outgoing(self) -> Iterator[Criterion]:
        """Whether the request makes a call that the run is about, which nobody knows. What follows is about each."""
        if self._applies_to == "dependency":
            yield Criterion("dependency", self._run.dependency, None, None)

    def _selection(self) -> list[Criterion]:
        """What a service before has decided; or the target, then sticky or the percentage, then every.

        Of outgoing calls it has decided whether the run is about the request, which is what the target would say.
        """
        inherited = self._data_plane.inherited(self._run, self._call.header("baggage"))
        if inherited is None:
            return self._chosen()
        decided = Criterion("propagate", True, inherited, _certain(inherited))  # noqa: FBT003 - JSON
        if self._applies_to != "dependency":
            return [decided]
        return [decided, *(each for each in self._chosen() if not each.name.startswith("target."))]

    def _chosen(self) -> list[Criterion]:
        key = self._key_without_verdict
        selector = self._selector(without=("sticky",) if key else ())
        if selector is None:
            return [*self._keyed("sticky", key), self._percentage()]
        decided = [
            Criterion(each.name, each.allowed, each.seen, each.probability) for each in selector.explain(self._call)
        ]
        return [*self._keyed("sticky", key), *decided]

    def _percentage(self) -> Criterion:
        percentage = self._parameters.percentage
        return Criterion("percentage", percentage, None, percentage / WHOLE)

    @property
    def _key_without_verdict(self) -> Key | None:
        """Of a start whose keys are decided by its id, which it does not have yet."""
        is_decided = self._is_started or "seed" in self._options
        return None if is_decided or "sticky" not in self._options else Key.stored(self._options["sticky"])

    def _keyed(self, name: str, key: Key | None) -> Iterator[Criterion]:
        """Whether the request has the key at all."""
        if key:
            seen = key.reader()(self._call)
            yield Criterion(name, key.model_dump(exclude_none=True), seen, _certain(seen is not None))

    def _selector(self, *, without: Sequence[str] = ()) -> Selects | None:
        """What decides for the run, less some of its options."""
        options = {name: value for name, value in self._options.items() if name not in without}
        matcher = self._target.matcher(None) if self._target else None
        share = self._parameters.percentage / WHOLE
        return self._data_plane.selector(replace(self._run, options=options), share, matcher, clock=self._clock)

    def _clock(self) -> float:
        """Now; of a start, when its ramp is over."""
        return self._now if self._is_started else math.inf

    def _applied(self) -> Iterator[Criterion]:
        """Whether any fault is about such a call, and is met, where each of them has a share of its own."""
        kinds = [fault.kind for fault in self._faults]
        concerned = [fault for fault in self._faults if fault.concerns(self._call)]
        if len(concerned) < len(kinds):
            yield Criterion("concerned", kinds, [fault.kind for fault in concerned], _certain(bool(concerned)))
        shares = [min(fault.share, 1.0) for fault in concerned]
        missed = math.prod(1.0 - share for share in shares)
        if missed and concerned:
            yield Criterion("faults", {"shares": shares}, None, self._drawn(1.0 - missed))

    def _drawn(self, otherwise: float) -> float:
        """Where a key decides, it also decides which faults are met."""
        selector = None if self._key_without_verdict else self._selector()
        drawn = selector.chance_of(self._call) if selector else None
        if drawn is None:
            return otherwise
        return _certain(
            any((each.share >= 1.0 or drawn() < each.share) and each.concerns(self._call) for each in self._faults)
        )

    def _budget(self) -> Iterator[Criterion]:
        """How many calls may still be hit. What a run has left of that is in the table, and is not read."""
        left = None if self._is_started else 1.0
        first, most = self._options.get("first"), self._options.get("max_requests")
        if first:
            known = First.model_validate(first)
            yield from self._keyed("first.key", known.key)
            yield Criterion("first.requests", known.requests, None, left)
        if most:
            yield Criterion("max_requests", most, None, left)


def _certain(passes: bool) -> float:  # noqa: FBT001 - what it turns into a probability
    return 1.0 if passes else 0.0


def _moment(epoch_seconds: float) -> str | None:
    """None for one that could not be read."""
    return None if math.isinf(epoch_seconds) else iso(epoch_seconds)


def _verdict(criteria: Sequence[Criterion]) -> bool | float:
    """True or false where that is certain, otherwise how likely it is: while there is something left of the budget."""
    likely = math.prod(1.0 if each.probability is None else each.probability for each in criteria)
    if not likely:
        return False
    return all(each.probability == 1.0 for each in criteria) or _rounded(likely)


def _rounded(probability: float) -> float:
    return float(f"{probability:.{DIGITS}g}")


def _shown(criterion: Criterion) -> ShownCriterion:
    likely = criterion.probability
    return {
        "name": criterion.name,
        "allowed": criterion.allowed,
        "seen": criterion.seen,
        "passes": bool(likely) if likely in (0.0, 1.0) else None,
        "probability": None if likely is None else _rounded(likely),
    }


def _faults(experiment: Experiment, parameters: Parameters) -> list[Fault]:
    """In the order in which they are applied; none where the experiment raises, as then in each environment."""
    try:
        return sorted(experiment.faults(parameters), key=attrgetter("order"))
    except Exception as error:  # noqa: BLE001 - a defect of the experiment, which then hits nothing
        log.warning("Experiment %s raised an exception: %s", experiment.name, error)
        return []


def _refused(error: ChaosError) -> Refused:
    return {"code": error.code, "message": error.message, "details": error.details}
