"""What was injected, as attributes of the current OpenTelemetry span, where `opentelemetry-api` is installed."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from ..faults.answer import ERRORS
from ..faults.wait import DELAY, MICROSECONDS
from .served import ServedCall

log = logging.getLogger(__name__)

EXPERIMENTS_ATTRIBUTE = "chaos.experiments"
RUNS_ATTRIBUTE = "chaos.run_ids"
ENVIRONMENT_ATTRIBUTE = "chaos.environment"
DELAY_ATTRIBUTE = "chaos.delay_seconds"
ERROR_ATTRIBUTE = "chaos.injected_error"
"""Stable names: dashboards and alarms are made of them."""


def annotate(call: ServedCall) -> None:
    """Set the attributes of the current span. Nothing where no fault hit the call. Never raises."""
    if not call.hits:
        return
    try:
        current_span = _current_span()
        span = current_span() if current_span else None
        if span and span.is_recording():
            span.set_attributes(_attributes(call))
    except Exception:
        log.exception("Could not set the attributes of a request's span")


def _attributes(call: ServedCall) -> dict[str, Any]:
    runs = [hit.plan.run for hit in call.hits]
    counters = [hit.applied.counters for hit in call.hits]
    return {
        EXPERIMENTS_ATTRIBUTE: [run.experiment for run in runs],
        RUNS_ATTRIBUTE: [run.run_id for run in runs],
        ENVIRONMENT_ATTRIBUTE: call.environment,
        DELAY_ATTRIBUTE: sum(counted.get(DELAY, 0) for counted in counters) / MICROSECONDS,
        ERROR_ATTRIBUTE: any(ERRORS in counted for counted in counters),
    }


@cache
def _current_span() -> Callable[[], Any] | None:
    try:
        from opentelemetry.trace import get_current_span  # noqa: PLC0415 - only where something is hit
    except ImportError:
        return None
    return get_current_span
