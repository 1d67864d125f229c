"""urllib3, and what calls with it: requests. One call is one attempt, on a new connection or a pooled one."""

import json
import math
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial, wraps
from io import BytesIO
from typing import Any

from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError, ReadTimeoutError
from urllib3.util.timeout import Timeout

from ..faults.base import Failure, Way
from ..injection.call import OutgoingCall
from .installation import Patch
from .passing import is_to_be_asked, send

CLIENT = "urllib3"
FAULTS = frozenset(
    {"latency", "error", "throttle", "timeout", "refused", "reset", "dns", "tls", "lost_reply", "slow", "garbage"}
)
SAFE_TO_REPEAT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


def patches() -> Iterator[Patch]:
    yield Patch(HTTPConnectionPool, "_make_request", _patched)


def _patched(original: Callable[..., HTTPResponse]) -> Callable[..., HTTPResponse]:
    @wraps(original)
    def _make_request(
        self: HTTPConnectionPool, conn: HTTPConnection, method: str, url: str, *args: Any, **kwargs: Any
    ) -> HTTPResponse:
        def proceed() -> HTTPResponse:
            return original(self, conn, method, url, *args, **kwargs)

        if not is_to_be_asked():
            return proceed()
        call = _call(self, method, url, kwargs)
        return send(call, proceed, partial(_fail, self, conn, call), _status)

    return _make_request


def _call(pool: HTTPConnectionPool, method: str, url: str, options: dict[str, Any]) -> OutgoingCall:
    headers = options.get("headers") or {}
    return OutgoingCall(
        CLIENT,
        FAULTS,
        host=pool.host.strip("[]").lower(),
        port=pool.port or 0,
        scheme=pool.scheme,
        path=url.partition("?")[0],
        method=method,
        timeout_seconds=_seconds(options.get("timeout")),
        is_repeatable=method in SAFE_TO_REPEAT or "Idempotency-Key" in headers,
        get_header=partial(_get_header, options),
        set_header=partial(_set_header, options),
    )


def _get_header(options: dict[str, Any], name: str) -> str | None:
    headers = options.get("headers") or {}
    found = [headers[key] for key in headers if key.lower() == name]
    return found[0].decode("latin-1") if found and isinstance(found[0], bytes) else next(iter(found), None)


def _set_header(options: dict[str, Any], name: str, value: str) -> None:
    headers = (options.get("headers") or {}).copy()
    headers[next((key for key in headers if key.lower() == name), name)] = value
    options["headers"] = headers


def _seconds(timeout: Any) -> float:
    """How long the client waits for an answer."""
    seconds = timeout.read_timeout if isinstance(timeout, Timeout) else timeout
    return float(seconds) if isinstance(seconds, int | float) else math.inf


def _status(response: HTTPResponse) -> int:
    return response.status


def _fail(
    pool: HTTPConnectionPool,
    conn: HTTPConnection,
    call: OutgoingCall,
    failure: Failure,
    proceed: Callable[[], HTTPResponse],
) -> HTTPResponse:
    raising: dict[Way, Callable[[], Exception]] = {
        "timeout": lambda: ReadTimeoutError(
            pool, call.path, f"Read timed out. (read timeout={call.timeout_seconds:g})"
        ),
        "refused": lambda: NewConnectionError(
            conn, "Failed to establish a new connection: [Errno 111] Connection refused"
        ),
        "reset": lambda: ConnectionResetError(104, "Connection reset by peer"),
        "dns": lambda: NameResolutionError(
            pool.host, conn, socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        ),
        "tls": lambda: ssl.SSLCertVerificationError(1, "certificate verify failed: certificate has expired"),
    }
    if failure.way in raising:
        make = raising[failure.way]
        raise make()
    if failure.way == "lost_reply":
        proceed().close()
        raise ConnectionResetError(104, "Connection reset by peer")
    if failure.way == "slow":
        return proceed()  # TODO: slow
    return _answer(failure)


def _answer(failure: Failure) -> HTTPResponse:
    status = failure.status or (429 if failure.way == "throttle" else 503)
    body = failure.body if isinstance(failure.body, str) else json.dumps(failure.body or {})
    return HTTPResponse(BytesIO(body.encode()), headers=failure.headers, status=status, preload_content=False)
