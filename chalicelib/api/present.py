"""How a run and an experiment look in the API."""

from datetime import UTC, datetime
from typing import Any

from ..experiment import Experiment, Limits
from ..runs.run import Run
from .body import schema


def iso(epoch_seconds: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def experiment(described: Experiment, limits: Limits) -> dict[str, Any]:
    return {"name": described.name, "description": described.description, "parameters": schema(described, limits)}


def inactive(described: Experiment) -> dict[str, Any]:
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


def run(shown: Run, now: float) -> dict[str, Any]:
    content = {
        **inactive(shown.experiment),
        "run_id": shown.run_id,
        "status": shown.status(now),
        "parameters": shown.parameters.model_dump(),
        "start_time": iso(shown.started_at),
        "end_time": iso(shown.expires_at),
        "remaining_seconds": shown.remaining_seconds(now),
        "started_by": shown.started_by,
        "reason": shown.reason,
    }
    if shown.ended_at is not None and content["status"] == "stopped":
        content |= {"end_time": iso(shown.ended_at), "ended_by": shown.ended_by, "end_reason": shown.end_reason}
    return content
