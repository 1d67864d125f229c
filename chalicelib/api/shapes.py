"""The shapes of the answers: what `openapi.py` publishes, and `responses.py` makes."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, with_config
from typing_extensions import TypedDict  # pydantic asks for it, before Python 3.12

from ..results.audit import Finding
from ..runs.options import Hypothesis, StartOptions
from .requests import options_schema


def iso(epoch_seconds: float) -> str:
    """A time: ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _with_fields_of(model: type[BaseModel]) -> Callable[[dict[str, Any]], None]:
    """Extends the schema of an answer by the fields of a request's model, which it repeats."""

    def extend(content: dict[str, Any]) -> None:
        for name, part in options_schema(model)["properties"].items():
            if name not in content["properties"]:
                content["properties"][name] = _repeated(part, has_null=model.model_fields[name].default is None)
                content["required"].append(name)

    return extend


def _repeated(part: dict[str, Any], *, has_null: bool) -> dict[str, Any]:
    shown = {name: each for name, each in part.items() if name not in ("default", "examples")}
    return {"anyOf": [shown, {"type": "null"}]} if has_null and "anyOf" not in shown else shown


ECHO = ConfigDict(json_schema_extra=_with_fields_of(StartOptions))
"""An answer that shows a run shows the options that it was started with, whatever they are."""


class ShownExperiment(TypedDict):
    """An experiment that can be started. `parameters` is a JSON Schema with the limits that hold here and now."""

    name: str
    description: str
    parameters: dict[str, Any]


Verdict = Literal["held", "failed", "too_few_requests", "cannot_tell"]


class ShownFigure(TypedDict):
    """One bound of a hypothesis, and what was observed; `low` to `high` is the 95 % confidence interval.

    `needed` is how many more requests the verdict `held` takes, if they are as those so far. `reason` is why there can
    be no verdict.
    """

    measure: Literal["error_rate", "p95_seconds"]
    allowed: float
    observed: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    needed: int | None
    reason: str | None


class JudgedSide(TypedDict):
    """The verdict on the requests of one side. `requests` are those that could be judged."""

    verdict: Verdict
    requests: int
    explanation: str
    figures: list[ShownFigure]


class JudgedSides(TypedDict, total=False):
    """The sides that the hypothesis is about."""

    untouched: JudgedSide
    hit: JudgedSide


@with_config(ConfigDict(json_schema_extra=_with_fields_of(Hypothesis)))
class ShownHypothesis(TypedDict):
    """What was expected, and the verdict, the worst of its sides': a preliminary one while the run is active.

    `figures` are those of the untouched requests, or of the hit ones where only these are judged.
    """

    verdict: Verdict
    explanation: str
    figures: list[ShownFigure]
    sides: JudgedSides


class ShownSide(TypedDict):
    """Requests that the run hit, or that no run hit. `statuses` counts responses by class, such as `2xx`."""

    requests: int
    statuses: dict[str, int]
    p50_seconds: float | None
    p95_seconds: float | None
    p99_seconds: float | None


class ShownBucket(TypedDict):
    """How many requests took up to this time, and longer than the time of the bucket before."""

    up_to_seconds: float
    hit: int
    untouched: int


class ShownSlice(TypedDict):
    """A part of the run's duration, `seconds` long. `errors` are the application's own server errors."""

    at: str
    seconds: float
    hit: int
    untouched: int
    errors: int
    injected_errors: int
    hit_mean_seconds: float | None
    untouched_mean_seconds: float | None


class ShownCounter(TypedDict):
    """What the faults of a run have counted, in words: `title` and `unit` are for people."""

    name: str
    title: str
    unit: str
    value: float


class OfEachSide(TypedDict):
    """Requests that call the dependency: of which the run hit such a call, and those that no run hit."""

    hit: int
    untouched: int


class CallsPerRequest(TypedDict):
    """How many calls such a request makes on average; null where there is none."""

    hit: float | None
    untouched: float | None


class ResultsOfDependency(TypedDict):
    """What the calls to one dependency came to. Each attempt of a client's retries is a call.

    `client` is the library that makes them. `errors` are the calls that failed, by themselves or by the run;
    `unreached` those whose client cannot be made to meet the fault. `amplification` is how many times as many calls a
    request makes where they are hit. What the application answered to the requests of which a call was hit:
    `survived` below 400, `degraded` 4xx, `failed` 5xx or never; `effective_error_rate` is the share of the failed ones,
    after all retries and fallbacks.
    """

    name: str
    client: str
    calls: int
    calls_hit: int
    errors: int
    unreached: int
    requests: OfEachSide
    calls_per_request: CallsPerRequest
    amplification: float | None
    survived: int
    degraded: int
    failed: int
    effective_error_rate: float | None


class ShownTest(TypedDict):
    """The calls to `/test`, which count nowhere else."""

    requests: int
    hit: int


class ShownPhase(TypedDict):
    """Requests that no run hit, in one part of the experiment."""

    requests: int
    errors: int
    error_rate: float | None
    p95_seconds: float | None


class ShownPhases(TypedDict):
    """What is usual, what was while requests were hit, and what was up to 60 seconds afterwards.

    `before` is null unless the hypothesis has `baseline_seconds`, `after` is null until the run has ended.
    """

    before: ShownPhase | None
    during: ShownPhase
    after: ShownPhase | None


class ShownAfter(TypedDict):
    """A part of the time after the run. `slow` are the requests that took longer than the hypothesis' `p95_seconds`."""

    at: str
    seconds: float
    requests: int
    errors: int
    slow: int
    mean_seconds: float | None


class ShownRecovery(TypedDict):
    """When the application was back within the bounds of the hypothesis after the end of the run; null if not yet."""

    recovered_after_seconds: float | None
    explanation: str


class ShownFinding(TypedDict):
    """Something about the retries and time-outs of an outgoing call that does harm when its dependency fails.

    `place` is the line of the application that makes it, such as `shop/orders.py:42`; empty where nobody can tell.
    `calls` show it. `remedy` is what to change there.
    """

    finding: Finding
    client: str
    dependency: str
    place: str
    calls: int
    explanation: str
    remedy: str


class Results(TypedDict, total=False):
    """What all environments have counted and flushed so far; empty before the first flush.

    Requests that only another run hit are in `requests` alone. `efficacy` is whether the run did hit requests as it was
    to. `actual_error_rate` is the share of all requests that this run answered with an error. `died` are requests that
    began and were never answered, `open` those of which that is not known yet. `injected_delay_seconds` and
    `held_memory_mb` are totals of all environments. `counters` has these, and what other kinds of fault count, where it
    is not zero. `recovery` is null while the run is active, and without a
    hypothesis. The history leaves out `distribution`, `timeline` and `after`.
    `matched` are the requests that the target matched, `without_key` those that were not hit because they lack the key,
    `would_hit` those that the dry run would have hit; each is null where the run has no such option.
    Of a run about outgoing calls `matched`, `would_hit` and `efficacy` are about these calls, `unreached` are those
    that could not be made to meet its fault, and `dependencies` is what came of them, at most 20 and the others as one;
    both are null for other runs. A request is hit if one of its calls was.
    `audit` is what its outgoing calls show of retries and time-outs, the worst first; null for a run about requests.
    """

    requests: int
    requests_hit: int
    requests_untouched: int
    matched: int | None
    without_key: int | None
    would_hit: int | None
    unreached: int | None
    dependencies: list[ResultsOfDependency] | None
    efficacy: Literal["confirmed", "too_few", "never_hit"]
    efficacy_explanation: str
    environments: int
    died: int
    open: int
    test: ShownTest
    actual_error_rate: float | None
    injected_errors: int
    injected_delay_seconds: float
    held_memory_mb: int
    counters: list[ShownCounter]
    hit: ShownSide
    untouched: ShownSide
    phases: ShownPhases
    recovery: ShownRecovery | None
    audit: list[ShownFinding] | None
    distribution: list[ShownBucket]
    timeline: list[ShownSlice]
    after: list[ShownAfter]


@with_config(ECHO)
class ShownRun(TypedDict):
    """A run, or an experiment that never ran (`inactive`). Times are ISO 8601 in UTC.

    Beside what is listed here it has the options that it was started with. `name` is that of its experiment, `label`
    its own, and `scenario` the id of the runs that were started together with it. While it is active `end_time` is its
    planned end. `defect` is an exception of the experiment's own code: where it was raised, requests stayed untouched.
    """

    run_id: str | None
    name: str
    label: str
    scenario: str | None
    description: str
    status: Literal["running", "completed", "stopped", "aborted", "inactive"]
    parameters: dict[str, Any]
    start_time: str | None
    end_time: str | None
    remaining_seconds: float
    started_by: str | None
    started_from: str | None
    ended_by: str | None
    ended_from: str | None
    end_reason: str | None
    defect: str | None
    hypothesis: ShownHypothesis | None
    results: Results


@with_config(ECHO)
class StoppedRun(ShownRun):
    """The run that was stopped, of several the newest one. `stopped_runs` are all of them, the newest first.

    `effective_everywhere_by` is when the last environment obeys.
    """

    stopped_runs: list[ShownRun]
    effective_everywhere_by: str


@with_config(ECHO)
class StatusOfRun(ShownRun):
    """The newest active run, or the last one. `runs` are all active ones, the newest first."""

    runs: list[ShownRun]


class StartedScenario(TypedDict):
    """Runs that were started together. `scenario` is their id, by which they can be stopped."""

    scenario: str
    runs: list[ShownRun]


class ShownHalt(TypedDict):
    """When everything was halted, by whom, and why."""

    halted_at: str
    halted_by: str
    reason: str


class Halted(ShownHalt):
    """The halt that is in effect. `ended_runs` are the ids of the runs that this request ended."""

    ended_runs: list[str]
    effective_everywhere_by: str


class Resumed(TypedDict):
    """`halt` is the halt that was resumed from."""

    resumed_at: str
    resumed_by: str
    halt: ShownHalt


class Entry(TypedDict):
    """One entry of the history. If `action` is `run`, `run` is the run; otherwise `details` says what happened."""

    id: str
    at: str
    action: Literal["run", "halt", "resume", "refusal", "token_created", "token_revoked"]
    by: str
    source: str
    reason: str | None
    experiment: str | None
    run: ShownRun | None
    details: Mapping[str, Any]


class History(TypedDict):
    """Entries, newest first. `next` is the `before` of the next page, or null on the last page."""

    entries: list[Entry]
    next: str | None


class Report(TypedDict):
    """The run, and in `events` what else happened from its start to 5 seconds after its end."""

    run: ShownRun
    events: list[Entry]


class ShownDependency(TypedDict):
    """What processes have called with one client library: an AWS operation, or a host and its port.

    `errors` are exceptions and the statuses 429 and from 500 on. `faults` are those that its calls can be made to meet:
    with `dependency` they are what a start of `dependency_failure` takes. `note` says why there are none, or null.
    """

    client: str
    dependency: str
    calls: int
    errors: int
    p50_seconds: float | None
    p95_seconds: float | None
    faults: list[str]
    note: str | None


class Dependencies(TypedDict):
    """What processes have called in the observations of the last hour, the most calls first.

    `observing` is whether they were observing already when this was asked, `observing_since` when that began,
    and `observed_until` when it ends unless somebody asks again. `message` says what to do now.
    """

    observing: bool
    observing_since: str
    observed_until: str
    message: str
    dependencies: list[ShownDependency]


class ShownCriterion(TypedDict):
    """One thing that decides: what the start says (`allowed`), what the request has (`seen`), and how likely it passes.

    `passes` is null where that is not certain, and `probability` where nothing is known of it: how much is left of
    `first` and `max_requests` of a run, or which function gets the request.
    """

    name: str
    allowed: Any
    seen: Any
    passes: bool | None
    probability: float | None


class PreviewedFault(TypedDict):
    """A fault that a share of the hit requests meets. It also has the parameters of the experiment."""

    kind: str
    share: float


class Refused(TypedDict):
    """Why a start would be refused, as the refusal would say it."""

    code: str
    message: str
    details: list[Mapping[str, Any]]


class Preview(TypedDict):
    """What would become of the request, if it reaches a route of the application.

    `would_hit` is true or false where that is certain, otherwise how likely it is, as long as something is left of
    `first` and `max_requests`. It is true of a dry run that would hit the request, too. `refused` is empty where a
    start would not be refused.
    `applies_to` is `dependency` for a run about outgoing calls, which hits no request itself: then `would_hit` is false
    where the request is not in the target, and otherwise how likely each call to the dependency is hit that is made for
    it. It is never true, since nobody knows whether the request makes one.
    """

    would_hit: bool | float
    criteria: list[ShownCriterion]
    faults: list[PreviewedFault]
    refused: list[Refused]
    dry_run: bool
    applies_to: Literal["request", "invocation", "dependency"]


class ShownCaller(TypedDict):
    """Who sent the request, and the role that decides what is allowed."""

    name: str
    role: Literal["viewer", "operator"]


class Listed(TypedDict):
    """Experiments and active runs.

    `production` is true if the stage is named like production, and `locked` if therefore nothing can be started. `halt`
    is null unless everything is halted. `caller` is whom the token belongs to. `warnings` are sentences to read before
    a start: that a halt would not be answered in time, for instance.
    `start_options` is a JSON Schema of what a start may have beside the name and the parameters of its experiment.
    """

    caller: ShownCaller
    application: str
    stage: str
    production: bool
    locked: bool
    halt: ShownHalt | None
    warnings: list[str]
    start_options: dict[str, Any]
    available_experiments: list[ShownExperiment]
    active_experiments: list[ShownRun]


class Tested(TypedDict):
    """What this request met. `environment` identifies the process that answered.

    `active_chaos_experiments` are the names of the active experiments, `injected` the faults that this request was hit
    by, and `would_hit` the labels of the dry runs that would have hit it. Those of `about_outgoing_calls` hit nothing
    here, since the endpoint calls nothing. `problem` is null, or `store_unavailable` if the table could not be read:
    the active experiments are then unknown or outdated.
    """

    message: str
    timestamp: str
    environment: str
    active_chaos_experiments: list[str]
    about_outgoing_calls: list[str]
    injected: list[Mapping[str, Any]]
    would_hit: list[str]
    problem: Literal["store_unavailable"] | None
