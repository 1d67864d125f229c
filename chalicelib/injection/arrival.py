"""When a call arrived, where something before this process says so: what a client waits for includes the queue."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .call import Call

REQUEST_START = ("x-request-start", "x-queue-start")
"""The headers in which a proxy or a load balancer writes when it took the request."""

WRITTEN = re.compile(r"\s*(?:t\s*=\s*)?(\d+(?:\.\d+)?)")
UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (1e8, 1.0))
"""From which number on epoch time is in nanoseconds, microseconds, milliseconds, seconds; and how many a second has."""

GATEWAY_TIMES = ("requestTimeEpoch", "timeEpoch")
"""In milliseconds: of a REST API, and of an HTTP API or a function's URL."""

LONGEST_SECONDS = 3600.0
"""What is longer ago is a clock that goes wrong."""

Arrival = Callable[[Call, float], float | None]
"""From a call and the time now to how many seconds ago it arrived; None where that is not known."""


def arrival(*, trusts_headers: bool) -> Arrival:
    """By API Gateway's event, and by a header where whoever is in front of the process may be believed."""
    return partial(_since_arrival, trusts_headers=trusts_headers)


def _since_arrival(call: Call, now: float, *, trusts_headers: bool) -> float | None:
    arrived_at = gateway_time(call.gateway)
    if arrived_at is None and trusts_headers:
        arrived_at = _by_header(call)
    if arrived_at is None or not 0.0 <= now - arrived_at <= LONGEST_SECONDS:
        return None
    return now - arrived_at


def gateway_time(context: Mapping[str, Any] | None) -> float | None:
    """When API Gateway took the request, in epoch seconds, by the `requestContext` of its event."""
    for name in GATEWAY_TIMES if context else ():
        written = context.get(name)  # type: ignore[union-attr] # it is not None
        if isinstance(written, int | float) and not isinstance(written, bool):
            return written / 1000
    return None


def _by_header(call: Call) -> float | None:
    for name in REQUEST_START:
        if (text := call.header(name)) and (arrived_at := request_start(text)) is not None:
            return arrived_at
    return None


def request_start(text: str) -> float | None:
    """Epoch seconds of a header such as `t=1700000000.123`; None for what is no time of this century."""
    written = WRITTEN.match(text)
    number = float(written[1]) if written else 0.0
    return next((number / unit for least, unit in UNITS if number >= least), None)
