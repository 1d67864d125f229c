"""How a run and an experiment look in the API. The types are what `openapi.py` publishes."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, with_config
from typing_extensions import TypedDict  # pydantic asks for it, before Python 3.12

from ..access import Caller, Role
from ..experiments.base import Experiment, Limits
from ..faults.answer import ERRORS
from ..faults.hold import MEMORY
from ..results.judgement import Figure, judge
from ..results.tally import REQUESTS, Side, Slice, Tally, upper_bound
from ..runs.event import Event
from ..runs.options import Hypothesis, StartOptions
from ..runs.run import Run
from .requests import options_schema, schema


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


class ShownFigure(TypedDict):
    """One bound of a hypothesis, and what was observed; `low` to `high` is the 95 % confidence interval."""

    measure: Literal["error_rate", "p95_seconds"]
    allowed: float
    observed: float | None
    low: float | None
    high: float | None
    verdict: Literal["held", "failed", "too_few_requests"]


@with_config(ConfigDict(json_schema_extra=_with_fields_of(Hypothesis)))
class ShownHypothesis(TypedDict):
    """What was expected of untouched requests, and the verdict: a preliminary one while the run is active."""

    verdict: Literal["held", "failed", "too_few_requests"]
    explanation: str
    figures: list[ShownFigure]


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


class Results(TypedDict, total=False):
    """What all environments have counted and flushed so far; empty before the first flush.

    Requests that only another run hit are in `requests` alone. `actual_error_rate` is the share of all requests that
    this run answered with an error. `injected_delay_seconds` and `held_memory_mb` are totals of all environments.
    `distribution` and `timeline` are left out in the history.
    """

    requests: int
    requests_hit: int
    requests_untouched: int
    environments: int
    actual_error_rate: float | None
    injected_errors: int
    injected_delay_seconds: float
    held_memory_mb: int
    hit: ShownSide
    untouched: ShownSide
    distribution: list[ShownBucket]
    timeline: list[ShownSlice]


@with_config(ECHO)
class ShownRun(TypedDict):
    """A run, or an experiment that never ran (`inactive`). Times are ISO 8601 in UTC.

    Beside what is listed here it has the options that it was started with. While it is active `end_time` is its planned
    end. `defect` is an exception of the experiment's own code: where it was raised, requests stayed untouched.
    """

    run_id: str | None
    name: str
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
    """The run that was stopped. `effective_everywhere_by` is when the last environment obeys."""

    effective_everywhere_by: str


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

    `active_chaos_experiments` are the names of the active experiments, and `injected` the faults that this request was
    hit by. `problem` is null, or `store_unavailable` if the table could not be read: the active experiments are then
    unknown or outdated.
    """

    message: str
    timestamp: str
    environment: str
    active_chaos_experiments: list[str]
    injected: list[Mapping[str, Any]]
    problem: Literal["store_unavailable"] | None


UNREAD = Tally()
"""Instead of a tally that could not be read."""

UNREADABLE = (
    "Another version of the module wrote this run, and this process cannot read its parameters: it injects nothing for "
    "it. It can be stopped."
)
NOT_READ = "The results could not be read from the table. Try again."


def iso(epoch_seconds: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def experiment(described: Experiment, limits: Limits) -> ShownExperiment:
    return {"name": described.name, "description": described.description, "parameters": schema(described, limits)}


def inactive(described: Experiment) -> ShownRun:
    """An experiment that never ran, in the shape of a run."""
    shown = {
        "run_id": None,
        "name": described.name,
        "description": described.description,
        "status": "inactive",
        "parameters": {},
        "start_time": None,
        "end_time": None,
        "remaining_seconds": 0.0,
        "started_by": None,
        "started_from": None,
        "ended_by": None,
        "ended_from": None,
        "end_reason": None,
        "defect": None,
        **_no_options(),
        "results": {},
    }
    return cast("ShownRun", shown)


def run(
    shown: Run,
    now: float,
    tally: Tally | None = None,
    *,
    whole: bool = True,
    catalogue: Mapping[str, Experiment] | None = None,
) -> ShownRun:
    """`whole` is with what happened when, and how long it took. The description is the catalogue's."""
    ended = shown if shown.status(now) in ("stopped", "aborted") else None
    fixed = {
        "run_id": shown.run_id,
        "name": shown.experiment,
        "description": _description(shown.experiment, catalogue or {}),
        "status": shown.status(now),
        "parameters": dict(shown.parameters),
        "start_time": iso(shown.started_at),
        "end_time": iso((ended and ended.ended_at) or shown.expires_at),
        "remaining_seconds": shown.remaining_seconds(now),
        "started_by": shown.started_by,
        "started_from": shown.started_from or None,
        **_end(ended),
        "defect": UNREADABLE if shown.unreadable else shown.defect,
        "results": _results(shown, tally or UNREAD, whole=whole),
    }
    options = {name: each for name, each in _options(shown, tally or Tally()).items() if name not in fixed}
    return cast("ShownRun", {**fixed, **options})


def _description(name: str, catalogue: Mapping[str, Experiment]) -> str:
    """An experiment's; empty for one that this version does not have."""
    return catalogue[name].description if name in catalogue else ""


def _end(ended: Run | None) -> dict[str, Any]:
    """Who ended it, from where and why; one whose time was up ended by itself."""
    return {name: getattr(ended, name, None) for name in ("ended_by", "ended_from", "end_reason")}


def _options(shown: Run, tally: Tally) -> dict[str, Any]:
    """The options that the run was started with; of its hypothesis also the verdict."""
    return {**_no_options(), **shown.options, "hypothesis": _hypothesis(shown, tally)}


@cache
def _no_options() -> Mapping[str, Any]:
    return StartOptions().model_dump(mode="json")


def _hypothesis(shown: Run, tally: Tally) -> ShownHypothesis | None:
    expected = shown.hypothesis
    if expected is None:
        return None
    judgement = judge(expected, tally)
    judged: ShownHypothesis = {
        "verdict": judgement.verdict,
        "explanation": NOT_READ if tally is UNREAD else judgement.explanation,
        "figures": [_figure(figure) for figure in judgement.figures],
    }
    return cast("ShownHypothesis", {**shown.options["hypothesis"], **expected.model_dump(mode="json"), **judged})


def _figure(figure: Figure) -> ShownFigure:
    return {
        "measure": figure.measure,
        "allowed": figure.allowed,
        "observed": _rounded(figure.observed),
        "low": _rounded(figure.low),
        "high": _rounded(figure.high),
        "verdict": figure.verdict,
    }


def _results(shown: Run, tally: Tally, *, whole: bool) -> Results:
    if tally is UNREAD:
        return {}
    requests = tally.get(REQUESTS)
    shown_results: Results = {
        "requests": requests,
        "requests_hit": tally.requests("hit"),
        "requests_untouched": tally.requests("untouched"),
        "environments": tally.environments,
        "actual_error_rate": _rounded(tally.get(ERRORS) / requests) if requests else None,
        "injected_errors": tally.get(ERRORS),
        "injected_delay_seconds": round(tally.delay_seconds, 3),
        "held_memory_mb": tally.get(MEMORY),
        "hit": _side(tally, "hit"),
        "untouched": _side(tally, "untouched"),
    }
    if whole:
        shown_results["distribution"] = _distribution(tally)
        shown_results["timeline"] = [_slice(part) for part in tally.timeline(shown)]
    return shown_results


def _side(tally: Tally, side: Side) -> ShownSide:
    return {
        "requests": tally.requests(side),
        "statuses": tally.statuses(side),
        "p50_seconds": _rounded(tally.percentile(side, 0.5)),
        "p95_seconds": _rounded(tally.percentile(side, 0.95)),
        "p99_seconds": _rounded(tally.percentile(side, 0.99)),
    }


def _distribution(tally: Tally) -> list[ShownBucket]:
    """From the first bucket that has something to the last one."""
    hit, untouched = tally.buckets("hit"), tally.buckets("untouched")
    numbers = hit.keys() | untouched.keys()
    if not numbers:
        return []
    return [
        {"up_to_seconds": round(upper_bound(n), 6), "hit": hit.get(n, 0), "untouched": untouched.get(n, 0)}
        for n in range(min(numbers), max(numbers) + 1)
    ]


def _slice(part: Slice) -> ShownSlice:
    return {
        "at": iso(part.at),
        "seconds": round(part.seconds, 3),
        "hit": part.hit,
        "untouched": part.untouched,
        "errors": part.errors,
        "injected_errors": part.injected_errors,
        "hit_mean_seconds": _rounded(part.hit_mean_seconds),
        "untouched_mean_seconds": _rounded(part.untouched_mean_seconds),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def caller(caller: Caller) -> ShownCaller:
    return {"name": caller.name, "role": "operator" if caller.role >= Role.OPERATOR else "viewer"}


def halt(event: Event) -> ShownHalt:
    return {"halted_at": iso(event.at), "halted_by": event.by, "reason": event.reason or ""}


def entry(
    kept: Run | Event,
    now: float,
    tallies: Mapping[str, Tally],
    catalogue: Mapping[str, Experiment] | None = None,
) -> Entry:
    if isinstance(kept, Event):
        return {
            "id": kept.event_id,
            "at": iso(kept.at),
            "action": kept.action,
            "by": kept.by,
            "source": kept.source,
            "reason": kept.reason,
            "experiment": kept.experiment,
            "run": None,
            "details": kept.details,
        }
    return {
        "id": kept.run_id,
        "at": iso(kept.started_at),
        "action": "run",
        "by": kept.started_by,
        "source": kept.started_from,
        "reason": kept.reason,
        "experiment": kept.experiment,
        "run": run(kept, now, tallies.get(kept.run_id), whole=False, catalogue=catalogue),
        "details": {},
    }
