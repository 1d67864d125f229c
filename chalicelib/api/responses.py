"""Renders a run, an experiment and an entry of the history for the API."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from ..access import Caller, Role
from ..experiments.base import Experiment, Limits
from ..results.tally import Tally
from ..runs.event import Event
from ..runs.options import StartOptions
from ..runs.run import Run
from . import results
from .requests import schema
from .shapes import Entry, ShownCaller, ShownExperiment, ShownHalt, ShownRun, iso

UNREADABLE = (
    "Another version of the module wrote this run, and this process cannot read its parameters: it injects nothing for "
    "it. It can be stopped."
)
DAMAGED = (
    "The item of this run in the table is damaged: what could not be read is left out, and nothing is injected for it. "
    "It can be stopped."
)
NOT_BEGUN = (
    "Its start is still to come, since the clock of the process that started it is ahead of the table's: until then it "
    "hits nothing. Stop it, correct that clock, and start it again."
)


def experiment(described: Experiment, limits: Limits) -> ShownExperiment:
    return {"name": described.name, "description": described.description, "parameters": schema(described, limits)}


def inactive(described: Experiment) -> ShownRun:
    """An experiment that never ran, in the shape of a run."""
    shown: dict[str, Any] = {
        "run_id": None,
        "name": described.name,
        "label": described.name,
        "scenario": None,
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
        "results": {},
    }
    return cast("ShownRun", {**_no_options(), **shown})


def run(
    shown: Run,
    now: float,
    tally: Tally | None = None,
    *,
    whole: bool = True,
    catalogue: Mapping[str, Experiment] | None = None,
) -> ShownRun:
    """`whole` is with what happened when, and how long it took. The description is the catalogue's.

    `tally` is None where nothing was counted, and `results.UNREAD` where that is not known.
    """
    ended = shown if shown.ended_at is not None and shown.ended_at < shown.expires_at else None
    fixed = {
        "run_id": shown.run_id,
        "name": shown.experiment,
        "label": shown.label,
        "scenario": shown.scenario,
        "description": _description(shown.experiment, catalogue or {}),
        "status": shown.status(now),
        "parameters": dict(shown.parameters),
        "start_time": _moment(shown.started_at),
        "end_time": _moment((ended and ended.ended_at) or shown.expires_at),
        "remaining_seconds": shown.remaining_seconds(now),
        "started_by": shown.started_by or None,
        "started_from": shown.started_from or None,
        **_end(ended),
        "defect": _defect(shown, now),
        "results": {} if shown.damaged else results.results(shown, tally, now, whole=whole),
    }
    options = {name: each for name, each in _options(shown, tally, now).items() if name not in fixed}
    return cast("ShownRun", {**fixed, **options})


def _moment(epoch_seconds: float) -> str | None:
    """None for one that could not be read."""
    return None if math.isinf(epoch_seconds) else iso(epoch_seconds)


def _defect(shown: Run, now: float) -> str | None:
    if shown.damaged:
        return DAMAGED
    if shown.unreadable:
        return UNREADABLE
    return shown.defect or (None if shown.has_begun(now) else NOT_BEGUN)


def _description(name: str, catalogue: Mapping[str, Experiment]) -> str:
    """An experiment's; empty for one that this version does not have."""
    return catalogue[name].description if name in catalogue else ""


def _end(ended: Run | None) -> dict[str, Any]:
    """Who ended it, from where and why; one whose time was up ended by itself."""
    return {name: getattr(ended, name, None) for name in ("ended_by", "ended_from", "end_reason")}


def _options(shown: Run, tally: Tally | None, now: float) -> dict[str, Any]:
    """The options that the run was started with; of its hypothesis also the verdict."""
    return {**_no_options(), **shown.options, "hypothesis": results.hypothesis(shown, tally, now)}


@cache
def _no_options() -> Mapping[str, Any]:
    return StartOptions().model_dump(mode="json")


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
