"""How a run and an experiment look in the API. The types are what `openapi.py` publishes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic asks for it, before Python 3.12

from ..experiment import Experiment, Limits
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
    status: Literal["running", "completed", "stopped", "inactive"]
    parameters: dict[str, Any]
    start_time: str | None
    end_time: str | None
    remaining_seconds: float
    started_by: str | None
    reason: str | None
    ended_by: str | None
    end_reason: str | None
    results: dict[str, Any]


class StoppedRun(ShownRun):
    """`effective_everywhere_by` is when the last environment has obeyed."""

    effective_everywhere_by: str


class Listed(TypedDict):
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
        "reason": None,
        "ended_by": None,
        "end_reason": None,
        "results": {},
    }


def run(shown: Run, now: float) -> ShownRun:
    ended = shown.ended_at is not None and shown.status(now) == "stopped"
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
        "reason": shown.reason,
        "ended_by": shown.ended_by if ended else None,
        "end_reason": shown.end_reason if ended else None,
        "results": {},
    }
