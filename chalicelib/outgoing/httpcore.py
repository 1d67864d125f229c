"""httpcore, which httpx calls with, on a thread and on an event loop. One call is one that a pool is given.

Its exceptions are httpcore's, of which httpx makes its own. A pool repeats only connecting, and so is what this file
lets fail before there would be a connection: each attempt is a call.
"""

import math
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from contextlib import aclosing
from copy import copy
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn

from .. import time_limits
from ..faults.base import ALL_FAULTS, Failure, Way
from ..injection.call import OutgoingCall
from ..injection.loops import AnyLoop
from . import causes
from .answers import SAFE_TO_REPEAT, body_of, headers_of, reason_of, status_of
from .content import content_of
from .installation import Patch
from .pace import Pace
from .passing import described, is_to_be_asked, send, send_on_loop

if TYPE_CHECKING:
    from httpcore2 import AsyncConnectionPool, ConnectionPool, Request, Response

CLIENT = "httpx"
FAULTS = ALL_FAULTS
WITHOUT_TLS = FAULTS - {"tls"}
SCHEMES: dict[bytes, tuple[str, int, frozenset[str]]] = {
    b"http": ("http", 80, WITHOUT_TLS),
    b"https": ("https", 443, FAULTS),
    b"ws": ("ws", 80, WITHOUT_TLS),
    b"wss": ("wss", 443, FAULTS),
}
"""What is said of a call, its default port, and which faults it can meet."""
UNKNOWN = ("", 0, WITHOUT_TLS)
"""A scheme that a pool refuses."""

BACKOFF_SECONDS = 0.5
"""httpcore's own: how long it waits before it connects for the third time; then twice as long, and so on."""

LOOP = AnyLoop()


def patches() -> Iterator[Patch]:
    return patches_of(sys.modules["httpcore"], CLIENT)


def patches_of(core: Any, client: str) -> Iterator[Patch]:
    """Of httpcore, or of a package that does the same under another name."""
    pools = core.ConnectionPool, core.AsyncConnectionPool
    wraps_ = _Wraps(core, client)
    yield Patch(pools[0], "handle_request", wraps_.on_thread)
    yield Patch(pools[1], "handle_async_request", wraps_.on_loop)


class _Wraps:
    """What is made of the two methods of a package's pools."""

    def __init__(self, core: Any, client: str) -> None:
        self._core = core
        self._client = client

    def on_thread(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def handle_request(pool: "ConnectionPool", request: "Request") -> Any:
            if not is_to_be_asked():
                return original(pool, request)
            waits = _before_retries(pool)
            while True:
                attempt = _Attempt(self._core, original, pool, request)
                try:
                    call = described(attempt.described, self._client)
                    return send(call, attempt.proceed, attempt.fail, _status)
                except self._core.ConnectError:
                    seconds = next(waits, None) if attempt.is_unconnected else None
                    if seconds is None:
                        raise
                pool._network_backend.sleep(seconds)  # noqa: SLF001 - as its connections do

        return handle_request

    def on_loop(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        async def handle_async_request(pool: "AsyncConnectionPool", request: "Request") -> Any:
            if not is_to_be_asked():
                return await original(pool, request)
            waits = _before_retries(pool)
            while True:
                attempt = _Attempt(self._core, original, pool, request)
                try:
                    call = described(attempt.described, self._client)
                    return await send_on_loop(call, attempt.proceed, attempt.fail_on_loop, _status)
                except self._core.ConnectError:
                    seconds = next(waits, None) if attempt.is_unconnected else None
                    if seconds is None:
                        raise
                await pool._network_backend.sleep(seconds)  # noqa: SLF001 - as its connections do

        return handle_async_request


def _before_retries(pool: Any) -> Iterator[float]:
    """How long a pool waits before each time that it connects again."""
    for number in range(pool._retries):  # noqa: SLF001 - its connections get it as it is
        yield BACKOFF_SECONDS * 2.0 ** (number - 1) if number else 0.0


def _status(response: "Response") -> int:
    return response.status


class _Attempt:
    """One attempt of a call: what a method of a pool was called with."""

    __slots__ = ("_core", "_original", "_pool", "_request", "is_unconnected")

    def __init__(self, core: Any, original: Callable[..., Any], pool: Any, request: "Request") -> None:
        self._core = core
        self._original = original
        self._pool = pool
        self._request = request
        self.is_unconnected = False
        """Whether it has been made to fail before there would be a connection."""

    def described(self, client: str) -> OutgoingCall:
        request = self._request
        url = request.url
        method = request.method.decode()
        scheme, port, faults = SCHEMES.get(url.scheme, UNKNOWN)
        call = OutgoingCall(
            client,
            faults,
            url.host.decode().lower(),
            url.port or port,
            timeout_seconds=self._waits_seconds(),
            is_repeatable=method in SAFE_TO_REPEAT,
        )
        call.describe_request(scheme, method, url.target.partition(b"?")[0].decode("latin-1"), self.content)
        call.get_header, call.set_header = self.get_header, self.set_header
        return call

    def content(self) -> Hashable:
        stream = self._request.stream
        return content_of(self._request.url.target, getattr(stream, "_stream", stream))

    def _waits_seconds(self) -> float:
        timeout = self._request.extensions.get("timeout")
        seconds = timeout.get("read") if timeout else None
        return math.inf if seconds is None else seconds

    def get_header(self, name: str) -> str | None:
        wanted = name.lower().encode()
        for key, value in self._request.headers:
            if key.lower() == wanted:
                return value.decode("latin-1")
        return None

    def set_header(self, name: str, value: str) -> None:
        wanted = name.lower().encode()
        others = [each for each in self._request.headers if each[0].lower() != wanted]
        self._request = copy(self._request)
        self._request.headers = [*others, (name.encode(), value.encode())]

    def proceed(self) -> Any:
        """What the method returns: an answer, or what is to be awaited for one."""
        return self._original(self._pool, self._request)

    def fail(self, failure: Failure, _proceed: Callable[[], "Response"]) -> "Response":
        if failure.way == "lost_reply":
            lost = self.proceed()
            try:
                for _ in lost.stream:
                    if not failure.goes_on():
                        break
            finally:
                lost.close()
        if failure.way in ERRORS:
            self._raise(failure.way)
        if failure.way == "slow":
            slow = self.proceed()
            return self._slow(slow, _Trickle(slow.stream, Pace(failure, self._waits_seconds()), self._core.ReadTimeout))
        return self._answer(failure, self._core.NetworkStream())

    async def fail_on_loop(self, failure: Failure, _proceed: Callable[[], Awaitable["Response"]]) -> "Response":
        if failure.way == "lost_reply":
            lost = await self.proceed()
            try:
                async with aclosing(aiter(lost.stream)) as parts:
                    async for _ in parts:
                        if not failure.goes_on():
                            break
            finally:
                await lost.aclose()
        if failure.way in ERRORS:
            self._raise(failure.way)
        if failure.way == "slow":
            slow = await self.proceed()
            pace = Pace(failure, self._waits_seconds())
            return self._slow(slow, _TrickleOnLoop(slow.stream, pace, self._core.ReadTimeout))
        return self._answer(failure, self._core.AsyncNetworkStream())

    def _raise(self, way: Way) -> NoReturn:
        name, cause = ERRORS[way]
        self.is_unconnected = way in BEFORE_CONNECTING
        error = cause()
        raise getattr(self._core, name)(error or DISCONNECTED) from error

    def _slow(self, response: "Response", stream: Any) -> "Response":
        slow: Response = self._core.Response(
            response.status, headers=response.headers, content=stream, extensions=response.extensions
        )
        return slow

    def _answer(self, failure: Failure, network: Any) -> "Response":
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers_of(failure).items()]
        answer: Response = self._core.Response(
            status_of(failure),
            headers=headers,
            content=b"" if self._request.method == b"HEAD" else body_of(failure),
            extensions={
                "http_version": b"HTTP/1.1",
                "reason_phrase": reason_of(failure).encode(),
                "network_stream": network,
            },
        )
        return answer


DISCONNECTED = "Server disconnected without sending a response."


ERRORS: dict[Way, tuple[str, Callable[[], Exception | None]]] = {
    "timeout": ("ReadTimeout", causes.timed_out),
    "refused": ("ConnectError", causes.refused),
    "reset": ("ReadError", causes.reset),
    "dns": ("ConnectError", causes.not_resolved),
    "tls": ("ConnectError", causes.not_trusted),
    "lost_reply": ("RemoteProtocolError", lambda: None),
}
"""httpcore's exception, and of what it makes that."""
BEFORE_CONNECTING: frozenset[Way] = frozenset({"refused", "dns", "tls"})


class _Trickle:
    """The body of an answer whose bytes come slowly."""

    def __init__(self, stream: Any, pace: Pace, timed_out: type[Exception]) -> None:
        self._stream = stream
        self._pace = pace
        self._timed_out = timed_out

    def __iter__(self) -> Iterator[bytes]:
        try:
            for part in self._stream:
                for piece in _pieces(part, self._pace.piece):
                    for seconds in self._pace.waits(len(piece)):
                        time_limits.sleep(seconds)
                    yield piece
        except TimeoutError as error:
            self.close()
            raise self._timed_out(error) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._stream.close()


class _TrickleOnLoop:
    """As `_Trickle`, on an event loop."""

    def __init__(self, stream: Any, pace: Pace, timed_out: type[Exception]) -> None:
        self._stream = stream
        self._pace = pace
        self._timed_out = timed_out

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async with aclosing(aiter(self._stream)) as parts:
                async for part in parts:
                    for piece in _pieces(part, self._pace.piece):
                        for seconds in self._pace.waits(len(piece)):
                            await LOOP.sleep(seconds)
                        yield piece
        except TimeoutError as error:
            await self.aclose()
            raise self._timed_out(error) from error
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        await self._stream.aclose()


def _pieces(part: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(part), size):
        yield part[start : start + size]
