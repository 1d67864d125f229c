"""Renders a run, an experiment and an entry of the history for the API."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

from ..access import Caller, Role
from ..experiments.base import Experiment, Limits
from ..faults.answer import ERRORS
from ..faults.hold import MEMORY
from ..results.judgement import Figure, judge
from ..results.tally import REQUESTS, Side, Slice, Tally, upper_bound
from ..runs.event import Event
from ..runs.options import StartOptions
from ..runs.run import Run
from .requests import schema
from .shapes import (
    Entry,
    Results,
    ShownBucket,
    ShownCaller,
    ShownExperiment,
    ShownFigure,
    ShownHalt,
    ShownHypothesis,
    ShownRun,
    ShownSide,
    ShownSlice,
)

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
