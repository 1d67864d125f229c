"""What was injected, as attributes of the current OpenTelemetry span, where `opentelemetry-api` is installed."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from ..injection.engine import Injected

log = logging.getLogger(__name__)

EXPERIMENTS = "chaos.experiments"
RUNS = "chaos.run_ids"
ENVIRONMENT = "chaos.environment"
DELAY = "chaos.delay_seconds"
ERROR = "chaos.injected_error"
"""Stable names: dashboards and alarms are made of them."""


def annotate(injected: Injected) -> None:
    """Nothing where no fault hit the request. Never raises."""
    if not injected.hits:
        return
    try:
        current_span = _current_span()
        if current_span:
            current_span().set_attributes(
                {
                    EXPERIMENTS: [hit["experiment"] for hit in injected.hits],
                    RUNS: [hit["run_id"] for hit in injected.hits],
                    ENVIRONMENT: injected.environment,
                    DELAY: float(sum(hit.get("seconds", 0.0) for hit in injected.hits)),
                    ERROR: injected.answer is not None,
                }
            )
    except Exception:
        log.exception("Could not set the attributes of a request's span")


@cache
def _current_span() -> Callable[[], Any] | None:
    try:
        from opentelemetry.trace import get_current_span  # noqa: PLC0415 - only where something is hit
    except ImportError:
        return None
    return get_current_span
