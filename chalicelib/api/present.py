"""How a run and an experiment look in the API. The types are what `openapi.py` publishes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic asks for it, before Python 3.12

from ..experiment import Experiment, Limits
from ..runs.event import Event
from ..runs.run import Run
from .body import schema


class ShownExperiment(TypedDict):
    """`parameters` is a JSON Schema."""

    name: str
    description: str
    parameters: dict[str, Any]


class ShownRun(TypedDict):
    """Times are ISO 8601 in UTC; `end_time` is the planned end while it runs."""

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
    reason: str | None
    alarms: list[str]
    ended_by: str | None
    ended_from: str | None
    end_reason: str | None
    defect: str | None
    results: dict[str, Any]


class StoppedRun(ShownRun):
    """`effective_everywhere_by` is when the last environment has obeyed."""

    effective_everywhere_by: str


class ShownHalt(TypedDict):
    halted_at: str
    halted_by: str
    reason: str


class Halted(ShownHalt):
    """`ended_runs` are the ids of those that it ended."""

    ended_runs: list[str]
    effective_everywhere_by: str


class Resumed(TypedDict):
    """`halt` is the one that is over."""

    resumed_at: str
    resumed_by: str
    halt: ShownHalt


class Entry(TypedDict):
    """`action` is `run`, with the run, or what else happened, with its details."""

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
    """The newest first. `next` is the `before` of the next page, where there is one."""

    entries: list[Entry]
    next: str | None


class Listed(TypedDict):
    halt: ShownHalt | None
    available_experiments: list[ShownExperiment]
    active_experiments: list[ShownRun]


class Tested(TypedDict):
    """`environment` tells apart the processes that answer; `injected` is what was done to this request."""

    message: str
    timestamp: str
    environment: str
    active_chaos_experiments: list[str]
    injected: list[Mapping[str, Any]]


def iso(epoch_seconds: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def experiment(described: Experiment, limits: Limits) -> ShownExperiment:
    return {"name": described.name, "description": described.description, "parameters": schema(described, limits)}


def inactive(described: Experiment) -> ShownRun:
    """An experiment that never ran, in the shape of a run."""
    return {
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
        "reason": None,
        "alarms": [],
        "ended_by": None,
        "ended_from": None,
        "end_reason": None,
        "defect": None,
        "results": {},
    }


def run(shown: Run, now: float) -> ShownRun:
    ended = shown.status(now) in ("stopped", "aborted")
    return {
        "run_id": shown.run_id,
        "name": shown.experiment.name,
        "description": shown.experiment.description,
        "status": shown.status(now),
        "parameters": shown.parameters.model_dump(),
        "start_time": iso(shown.started_at),
        "end_time": iso(shown.ended_at if ended and shown.ended_at is not None else shown.expires_at),
        "remaining_seconds": shown.remaining_seconds(now),
        "started_by": shown.started_by,
        "started_from": shown.started_from or None,
        "reason": shown.reason,
        "alarms": list(shown.alarms),
        "ended_by": shown.ended_by if ended else None,
        "ended_from": shown.ended_from if ended else None,
        "end_reason": shown.end_reason if ended else None,
        "defect": shown.defect,
        "results": {},
    }


def halt(event: Event) -> ShownHalt:
    return {"halted_at": iso(event.at), "halted_by": event.by, "reason": event.reason or ""}


def entry(kept: Run | Event, now: float) -> Entry:
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
        "experiment": kept.experiment.name,
        "run": run(kept, now),
        "details": {},
    }
