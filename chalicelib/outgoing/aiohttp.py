"""aiohttp, from version 3.12. One call is one attempt, on a new connection or a pooled one; so is each redirect.

The place is where aiohttp's own middlewares are, behind those of the application: there is the request as it will be
sent, and its answer, below what aiohttp repeats. `BaseConnector.connect` would not know when the answer comes, nor what
it is. There, what is to be answered otherwise gets a connection that leads nowhere.
"""

import asyncio
import errno
import math
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from inspect import signature
from time import monotonic
from typing import Any

from aiohttp import (
    BaseConnector,
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientError,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ServerDisconnectedError,
)
from aiohttp import client_exceptions as errors
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.helpers import sentinel
from aiohttp.streams import EmptyStreamReader, StreamReader

from ..faults.base import ALL_FAULTS, Failure, Way
from ..injection.call import OutgoingCall
from . import causes
from .answers import SAFE_TO_REPEAT, on_the_wire
from .content import content_of
from .installation import Patch
from .pace import Pace
from .passing import described, is_to_be_asked, send_on_loop

CLIENT = "aiohttp"
FAULTS = ALL_FAULTS
WITHOUT_TLS = FAULTS - {"tls"}
SCHEMES = {"ws": "http", "wss": "https"}
WITH_TLS = frozenset({"https", "wss"})

Handler = Callable[[ClientRequest], Awaitable[ClientResponse]]
Connect = Callable[[BaseConnector, ClientRequest], Connection]

UNLIMITED = 2**40
"""How much a slow answer may buffer: it is read no faster than it is to come."""

_INSTEAD: ContextVar[Connect | None] = ContextVar("chaos_experiments_aiohttp_connection", default=None)
"""What makes the connection of the attempt that is under way, in place of its connector."""


def patches() -> Iterator[Patch]:
    if "middlewares" in signature(ClientSession._request).parameters:  # noqa: SLF001 - what all requests pass
        yield Patch(ClientSession, "_request", _requesting)
        yield Patch(BaseConnector, "connect", _connecting)


def _requesting(original: Callable[..., Awaitable[ClientResponse]]) -> Callable[..., Awaitable[ClientResponse]]:
    @wraps(original)
    def _request(self: ClientSession, *args: Any, **options: Any) -> Awaitable[ClientResponse]:
        if not is_to_be_asked():
            return original(self, *args, **options)
        timeout, middlewares = options.get("timeout", sentinel), options.get("middlewares")
        attempt = partial(_attempt, monotonic(), self._timeout if timeout is sentinel else timeout)
        options["middlewares"] = (*(self._middlewares if middlewares is None else middlewares), attempt)
        return original(self, *args, **options)

    return _request


def _connecting(original: Callable[..., Awaitable[Connection]]) -> Callable[..., Awaitable[Connection]]:
    @wraps(original)
    def connect(self: BaseConnector, req: ClientRequest, *args: Any, **options: Any) -> Awaitable[Connection]:
        instead = _INSTEAD.get()
        return original(self, req, *args, **options) if instead is None else _connected(instead, self, req)

    return connect


async def _connected(instead: Connect, connector: BaseConnector, request: ClientRequest) -> Connection:
    return instead(connector, request)


def _attempt(began: float, limits: Any, request: ClientRequest, handler: Handler) -> Awaitable[ClientResponse]:
    fail = partial(_fail, began, limits, request)
    return send_on_loop(described(_call, request, limits), partial(handler, request), fail, _status)


def _seconds(limits: Any) -> tuple[float, float]:
    """How long a request waits: for all of it, and for its server."""
    if isinstance(limits, ClientTimeout):
        return limits.total or math.inf, limits.sock_read or math.inf
    return limits or math.inf, math.inf


def _call(request: ClientRequest, limits: Any) -> OutgoingCall:
    url, method, headers = request.url, request.method, request.headers
    scheme = url.scheme
    total, read = _seconds(limits)
    faults = FAULTS if scheme in WITH_TLS else WITHOUT_TLS
    seconds, is_safe = min(total, read), method in SAFE_TO_REPEAT
    call = OutgoingCall(CLIENT, faults, url.host or "", url.port or 0, timeout_seconds=seconds, is_repeatable=is_safe)
    call.describe_request(SCHEMES.get(scheme, scheme), method, url.raw_path, partial(_content, request))
    call.get_header, call.set_header = headers.get, headers.__setitem__
    return call


def _content(request: ClientRequest) -> Hashable:
    return content_of(request.url.raw_path_qs, getattr(request.body, "_value", request.body))


def _status(response: ClientResponse) -> int:
    status: int = response.status
    return status


async def _fail(
    began: float,
    limits: Any,
    request: ClientRequest,
    failure: Failure,
    proceed: Callable[[], Awaitable[ClientResponse]],
) -> ClientResponse:
    if failure.way in ERRORS:
        raise ERRORS[failure.way](request.connection_key)
    if failure.way == "timeout":
        raise _timed_out(limits)
    if failure.way == "lost_reply":
        await _lose_reply(await proceed(), failure)
        raise ServerDisconnectedError
    if failure.way == "slow":
        return _slow(await proceed(), failure, began, limits)
    with _connected_by(_answering(request, failure)):
        return await proceed()


@contextmanager
def _connected_by(connection: Connect) -> Iterator[None]:
    token = _INSTEAD.set(connection)
    try:
        yield
    finally:
        _INSTEAD.reset(token)


def _timed_out(limits: Any) -> Any:
    """As aiohttp has it: another class where the server is waited for than where all of the request takes too long."""
    total, read = _seconds(limits)
    if read <= total:
        timed_out = getattr(errors, "SocketTimeoutError", errors.ServerTimeoutError)
        return timed_out("Timeout on reading data from socket")
    return TimeoutError()


async def _lose_reply(response: ClientResponse, failure: Failure) -> None:
    """Read the answer to its end: then its server has done all that it was asked for."""
    try:
        while failure.goes_on() and await response.content.readany():
            pass
    finally:
        response.close()


def _reset(_key: Any) -> Any:
    return ClientOSError(*causes.reset().args)


def _refused(key: Any) -> Any:
    where = (key.host, key.port)
    return ClientConnectorError(key, ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed {where!r}"))


def _not_resolved(key: Any) -> Any:
    kind = getattr(errors, "ClientConnectorDNSError", ClientConnectorError)
    return kind(key, causes.not_resolved())


def _not_trusted(key: Any) -> Any:
    return ClientConnectorCertificateError(key, causes.not_trusted())


ERRORS: Mapping[Way, Callable[[Any], Exception]] = {
    "refused": _refused,
    "reset": _reset,
    "dns": _not_resolved,
    "tls": _not_trusted,
}


def _answering(request: ClientRequest, failure: Failure) -> Connect:
    """Makes a connection that leads nowhere, and from which an answer comes, whatever is sent."""
    answer = on_the_wire(failure, request.method, "Connection: close")

    def connect(connector: BaseConnector, req: ClientRequest) -> Connection:
        loop = asyncio.get_running_loop()
        protocol = ResponseHandler(loop)
        protocol.connection_made(_Nowhere(protocol, answer, loop))
        return Connection(connector, req.connection_key, protocol, loop)

    return connect


class _Nowhere(asyncio.Transport):
    """A transport whose other end answers as soon as something is sent, and hangs up."""

    def __init__(self, protocol: ResponseHandler, answer: bytes, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._protocol = protocol
        self._answer = answer
        self._loop = loop
        self._is_closed = False

    def write(self, _data: Any) -> None:
        answer, self._answer = self._answer, b""
        if answer:
            self._loop.call_soon(self._protocol.data_received, answer)
            self._loop.call_soon(self._protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        self._is_closed = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0


_TRICKLING: set[asyncio.Task[None]] = set()
"""A loop holds its tasks weakly."""


def _slow(response: ClientResponse, failure: Failure, began: float, limits: Any) -> ClientResponse:
    """An answer whose body trickles."""
    source, loop = response.content, asyncio.get_running_loop()
    if isinstance(source, EmptyStreamReader):
        return response
    protocol, (total, read) = BaseProtocol(loop), _seconds(limits)
    protocol.connection_made(asyncio.Transport())
    slow = StreamReader(protocol, UNLIMITED, timer=source._timer, loop=loop)  # noqa: SLF001 - the request's
    response.content = slow
    pace, until = Pace(failure, read), None if math.isinf(total) else loop.time() + began + total - monotonic()
    task = loop.create_task(_trickle(source, slow, pace, until, _timed_out(limits)))
    _TRICKLING.add(task)
    task.add_done_callback(_TRICKLING.discard)
    return response


async def _trickle(
    source: StreamReader, slow: StreamReader, pace: Pace, until: float | None, timed_out: Exception
) -> None:
    """From one to the other. aiohttp itself looks at the time no more when the answer has been received."""
    try:
        async with asyncio.timeout_at(until):
            while slow.exception() is None and (piece := await source.read(pace.piece)):
                for seconds in pace.waits(len(piece)):
                    await asyncio.sleep(seconds)
                slow.feed_data(piece)
        slow.feed_eof()
    except TimeoutError:
        slow.set_exception(timed_out)
    except ClientError as error:
        slow.set_exception(error)
