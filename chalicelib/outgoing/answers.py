"""The answers over HTTP that calls meet instead of their dependency's own: one place for all client libraries."""

import json
from http import HTTPStatus

from ..faults.base import RETRY_AFTER_SECONDS, Failure

SAFE_TO_REPEAT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""The methods that do no harm when a call is made twice."""

STATUSES = {"throttle": 429, "garbage": 200}
"""Of the ways to fail whose status nobody chooses."""
ERROR_STATUS = 503

GARBAGE = b'<!DOCTYPE html>\x00<title>{"garbage": '
"""Neither JSON, as its headers say, nor anything else."""


def status_of(failure: Failure) -> int:
    return failure.status or STATUSES.get(failure.way, ERROR_STATUS)


def reason_of(failure: Failure) -> str:
    """The words that go with the status; empty where it has none."""
    try:
        return HTTPStatus(status_of(failure)).phrase
    except ValueError:
        return ""


def headers_of(failure: Failure) -> dict[str, str]:
    """Those that the run says, and those that the answer needs, too."""
    is_json = failure.way == "garbage" or not isinstance(failure.body, str | None)
    needed = {
        "Content-Type": "application/json" if is_json else "text/plain; charset=utf-8",
        "Content-Length": str(len(body_of(failure))),
    }
    if failure.way == "throttle":
        needed["Retry-After"] = str(RETRY_AFTER_SECONDS)
    said = {name.lower() for name in failure.headers}
    return {**{name: value for name, value in needed.items() if name.lower() not in said}, **failure.headers}


def body_of(failure: Failure) -> bytes:
    if failure.way == "garbage":
        return GARBAGE
    if failure.body is None:
        return reason_of(failure).encode()
    return (failure.body if isinstance(failure.body, str) else json.dumps(failure.body)).encode()


def on_the_wire(failure: Failure, method: str, *headers: str) -> bytes:
    """The whole answer to a request, as HTTP/1.1 has it; `headers` are lines besides."""
    lines = [f"HTTP/1.1 {status_of(failure)} {reason_of(failure)}", *headers]
    lines += [f"{name}: {value}" for name, value in headers_of(failure).items()]
    body = b"" if method == "HEAD" else body_of(failure)
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
