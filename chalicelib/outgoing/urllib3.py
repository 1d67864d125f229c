"""urllib3, and what calls with it: requests. One call is one attempt, on a new connection or a pooled one.

Of version 1.26, `_make_request` has other options and returns what `http.client` has read; urllib3 then makes its own
response of it. So an answer is parsed by `http.client` from bytes, whatever the version.
"""

import math
import socket
from collections.abc import Callable, Hashable, Iterator
from functools import wraps
from http.client import HTTPResponse as Parsed
from http.client import RemoteDisconnected
from inspect import signature
from io import BufferedReader, BytesIO, RawIOBase
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from urllib3 import HTTPResponse
from urllib3._collections import HTTPHeaderDict
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import NewConnectionError, ReadTimeoutError, SSLError
from urllib3.util.connection import is_connection_dropped
from urllib3.util.timeout import Timeout

from .. import time_limits
from ..faults.base import ALL_FAULTS, Failure, Way
from ..injection.call import OutgoingCall
from . import causes
from .answers import SAFE_TO_REPEAT, on_the_wire
from .content import content_of
from .installation import Patch
from .pace import Pace
from .passing import described, is_to_be_asked, is_within, send

try:
    from urllib3.exceptions import NameResolutionError
except ImportError:  # version 1.26
    NameResolutionError = None  # type: ignore[assignment, misc]

CLIENT = "urllib3"
FAULTS = ALL_FAULTS
WITHOUT_TLS = FAULTS - {"tls"}

IS_CURRENT = NameResolutionError is not None
"""Whether it is version 2, where `_make_request` makes urllib3's own response."""

UNREAD = {"preload_content": False} if IS_CURRENT else {}
"""Options for an answer whose body is not read yet."""
UNREAD_AND_KEPT = {**UNREAD, "response_conn": None} if IS_CURRENT else {}
"""As that, and it does not give its connection back to the pool."""
RAW = {"decode_content": False} if IS_CURRENT else {}

NOT_CONNECTED = "Failed to establish a new connection"
NUMBER = (int, float)
READ_BYTES = 65_536


def patches() -> Iterator[Patch]:
    yield Patch(HTTPConnectionPool, "_make_request", _patched)


def _patched(original: Callable[..., Any]) -> Callable[..., Any]:
    names = list(signature(original).parameters)[4:]

    @wraps(original)
    def _make_request(
        self: HTTPConnectionPool, conn: HTTPConnection, method: str, url: str, *args: Any, **options: Any
    ) -> Any:
        if not is_to_be_asked() or len(args) > len(names):
            return original(self, conn, method, url, *args, **options)
        if args:
            options.update(zip(names, args, strict=False))
        attempt = _Attempt(original, self, conn, method, url, options=options)
        return send(described(attempt.described), attempt.proceed, attempt.fail, _status)

    return _make_request


def _status(response: Any) -> int | None:
    status: int | None = response.status
    return status


class _Attempt:
    """One attempt of a call: what `_make_request` was called with."""

    __slots__ = ("_conn", "_method", "_options", "_original", "_pool", "_url", "_waits_seconds")

    def __init__(
        self,
        original: Callable[..., Any],
        pool: HTTPConnectionPool,
        conn: HTTPConnection,
        method: str,
        url: str,
        *,
        options: dict[str, Any],
    ) -> None:
        self._original = original
        self._pool = pool
        self._conn = conn
        self._method = method
        self._url = url
        self._options = options
        self._waits_seconds = _seconds(options.get("timeout"))

    def described(self) -> OutgoingCall:
        pool, method, url = self._pool, self._method, self._url
        scheme, host, port = pool.scheme, pool.host, pool.port or 0
        if url[:4] == "http":  # and no path: a proxy is asked to forward it
            scheme, host, port, url = _address(url)
        faults = FAULTS if scheme == "https" else WITHOUT_TLS
        is_safe, seconds = method in SAFE_TO_REPEAT, self._waits_seconds
        call = OutgoingCall(CLIENT, faults, host, port, timeout_seconds=seconds, is_repeatable=is_safe)
        call.describe_request(scheme, method, url.partition("?")[0], self.content)
        call.get_header, call.set_header = self.get_header, self.set_header
        return call

    def content(self) -> Hashable:
        return content_of(self._url, self._options.get("body"))

    def get_header(self, name: str) -> str | None:
        key = self._key(name)
        value = self._options["headers"][key] if key is not None else None
        return value.decode("latin-1") if isinstance(value, bytes) else value

    def set_header(self, name: str, value: str) -> None:
        headers = self._options.get("headers")
        headers = {} if headers is None else headers.copy()
        headers[self._key(name) or name] = value
        self._options["headers"] = headers

    def _key(self, name: str) -> Any:
        """A header as the client spells it."""
        wanted = name.lower()
        for key in self._options.get("headers") or ():
            if (key.decode("latin-1") if isinstance(key, bytes) else key).lower() == wanted:
                return key
        return None

    def proceed(self) -> Any:
        conn = self._conn
        if is_within() and conn.sock is not None and is_connection_dropped(conn):  # while it was delayed
            self._reconnect()
        return self._original(self._pool, conn, self._method, self._url, **self._options)

    def _proceed_with(self, options: dict[str, Any]) -> Any:
        """`options` are used in place of those of the call."""
        self._options = {**self._options, **options}
        return self.proceed()

    def _reconnect(self) -> None:
        """As urllib3 does it when it takes a connection from its pool."""
        is_tunnel = bool(getattr(self._conn, "_tunnel_host", None))
        self._conn.close()
        if is_tunnel:
            self._pool._prepare_proxy(self._conn)  # noqa: SLF001 - nothing else opens one

    def fail(self, failure: Failure, _proceed: Callable[[], Any]) -> Any:
        if failure.way == "lost_reply":
            self._lose_reply(failure)
        error = self._error(failure.way)
        if error is not None:
            if self._conn.proxy:  # it is not the proxy that fails
                self._conn._has_connected_to_proxy = True  # noqa: SLF001 - urllib3 asks for nothing else
            raise error
        return self._slow(failure) if failure.way == "slow" else self._answer(failure)

    def _error(self, way: Way) -> Exception | None:
        """None where it fails with an answer."""
        make: dict[Way, Callable[[], Exception]] = {
            "timeout": lambda: ReadTimeoutError(
                self._pool, self._url, f"Read timed out. (read timeout={self._waits_seconds:g})"
            ),
            "refused": lambda: NewConnectionError(self._conn, f"{NOT_CONNECTED}: {causes.refused()}"),
            "reset": causes.reset,
            "dns": self._not_resolved,
            "tls": lambda: SSLError(causes.not_trusted()),
            "lost_reply": lambda: RemoteDisconnected("Remote end closed connection without response"),
        }
        return make[way]() if way in make else None

    def _not_resolved(self) -> Exception:
        error = causes.not_resolved()
        if NameResolutionError is None:
            return NewConnectionError(self._conn, f"{NOT_CONNECTED}: {error}")
        return NameResolutionError(self._pool.host, self._conn, error)

    def _lose_reply(self, failure: Failure) -> None:
        """Make the call, and read its answer to the end."""
        response = self._proceed_with(UNREAD_AND_KEPT)
        while failure.goes_on() and response.read(READ_BYTES, **RAW):
            pass

    def _slow(self, failure: Failure) -> Any:
        is_to_be_read = self._options.get("preload_content", True)
        response = self._proceed_with(UNREAD)
        parsed = response._original_response if IS_CURRENT else response  # noqa: SLF001 - it has no other name
        if parsed is not None and parsed.fp is not None:
            pace = Pace(failure, self._waits_seconds)
            parsed.fp = BufferedReader(_Trickle(parsed.fp, pace), min(pace.piece, READ_BYTES))
        if IS_CURRENT and is_to_be_read:
            response.read(decode_content=self._options.get("decode_content", True), cache_content=True)
        return response

    def _answer(self, failure: Failure) -> Any:
        parsed = Parsed(_Bytes(on_the_wire(failure, self._method)), method=self._method)  # type: ignore[arg-type]
        parsed.begin()
        if not IS_CURRENT:
            return parsed
        options = self._options
        response = HTTPResponse(
            body=parsed,
            headers=HTTPHeaderDict(parsed.msg.items()),
            status=parsed.status,
            version=parsed.version,
            reason=parsed.reason,
            preload_content=options.get("preload_content", True),
            decode_content=options.get("decode_content", True),
            original_response=parsed,
            enforce_content_length=options.get("enforce_content_length", True),
            request_method=self._method,
            request_url=self._url,
        )
        response.retries = options.get("retries")
        response._connection = options.get("response_conn")  # noqa: SLF001 - as `_make_request` does
        response._pool = self._pool  # noqa: SLF001
        return response


def _seconds(timeout: Any) -> float:
    """How long the client waits for an answer."""
    if not isinstance(timeout, Timeout):
        return timeout if isinstance(timeout, NUMBER) else _default_seconds()
    read, total = timeout._read, timeout.total  # noqa: SLF001 - what is public has to be started first
    if isinstance(total, NUMBER):
        return min(total, read) if isinstance(read, NUMBER) else total
    if isinstance(read, NUMBER):
        return read
    return math.inf if read is None else _default_seconds()


def _default_seconds() -> float:
    seconds = socket.getdefaulttimeout()
    return math.inf if seconds is None else seconds


def _address(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), parts.path or "/"


class _Bytes:
    """A socket that has received some bytes, as far as `http.client` asks."""

    def __init__(self, received: bytes) -> None:
        self._received = received

    def makefile(self, _mode: str) -> BinaryIO:
        return BytesIO(self._received)


class _Trickle(RawIOBase):
    """A file of a socket whose bytes come slowly."""

    def __init__(self, file: Any, pace: Pace) -> None:
        self._file = file
        self._pace = pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = self._file.read1(min(len(buffer), self._pace.piece))
        buffer[: len(read)] = read
        for seconds in self._pace.waits(len(read)):
            time_limits.sleep(seconds)
        return len(read)

    def fileno(self) -> int:
        number: int = self._file.fileno()
        return number

    def close(self) -> None:
        try:
            self._file.close()
        finally:
            super().close()
