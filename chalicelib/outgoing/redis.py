"""redis-py, with threads and with asyncio. One call is one attempt of a command or a pipeline, with its answer.

Whatever sends commands on a connection by other ways (publish and subscribe, clusters) is called when it sends. What a
connection does to be one (its socket, HELLO, AUTH, SELECT) is part of no call.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial, wraps
from typing import Any

from redis import client, connection
from redis.asyncio import client as client_on_loop
from redis.asyncio import connection as connection_on_loop
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import InvalidResponse, RedisError, ResponseError
from redis.exceptions import TimeoutError as TimedOut

from .. import time_limits
from ..faults.base import Failure, Way
from ..injection.call import OutgoingCall
from .answers import GARBAGE
from .installation import Patch
from .pace import Pace
from .passing import described, is_to_be_asked, no_status, part_of_a_call, send, send_on_loop

CLIENT = "redis"
FAULTS = frozenset({"latency", "timeout", "refused", "reset", "dns", "lost_reply", "garbage", "slow"})
AS_IT_IS_SENT = FAULTS - {"slow"}
"""Where a patch does not see the answer."""

ERRORS: Mapping[Way, Callable[[str], RedisError]] = {
    "timeout": lambda at: TimedOut(f"Timeout reading from {at}"),
    "refused": lambda at: NotConnected(f"Error 111 connecting to {at}. Connection refused."),
    "reset": lambda at: NotConnected(f"Error while reading from {at} : (104, 'Connection reset by peer')"),
    "lost_reply": lambda at: NotConnected(f"Error while reading from {at} : (104, 'Connection reset by peer')"),
    "dns": lambda at: NotConnected(f"Error -2 connecting to {at}. Name or service not known."),
    "garbage": lambda _: InvalidResponse(f"Protocol Error: {GARBAGE!r}"),
}


def patches() -> Iterator[Patch]:
    yield from _patches(client, connection.AbstractConnection, (_answered, _sent, _connected))
    on_loop = (_answered_on_loop, _sent_on_loop, _connected_on_loop)
    yield from _patches(client_on_loop, connection_on_loop.AbstractConnection, on_loop)


def _patches(clients: Any, connections: type, wraps_of: Sequence[Callable[[Any], Any]]) -> Iterator[Patch]:
    answered, sent, connected = wraps_of
    yield Patch(clients.Redis, "_send_command_parse_response", answered)
    yield Patch(clients.Pipeline, "_execute_transaction", answered)
    yield Patch(clients.Pipeline, "_execute_pipeline", answered)
    yield Patch(connections, "send_packed_command", sent)
    # before version 6, all of it was in `connect`
    yield Patch(
        connections, "connect_check_health" if hasattr(connections, "connect_check_health") else "connect", connected
    )


def _is_call(conn: Any) -> bool:
    """Not with a cache in front of the connection, nor at a socket of this machine, which has no host."""
    return bool(getattr(conn, "host", "")) and not hasattr(conn, "_conn") and is_to_be_asked()


def _call(conn: Any, faults: frozenset[str]) -> OutgoingCall:
    host, port, seconds = conn.host.lower(), conn.port, conn.socket_timeout
    timeout_seconds = math.inf if seconds is None else seconds
    return OutgoingCall(CLIENT, faults, host=host, port=port, timeout_seconds=timeout_seconds, is_repeatable=False)


def _error(conn: Any, way: Way) -> RedisError:
    return ERRORS[way](f"{conn.host}:{conn.port}")


def _answered(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def attempt(self: Any, conn: Any, *args: Any, **options: Any) -> Any:
        if not _is_call(conn):
            return original(self, conn, *args, **options)
        proceed = partial(original, self, conn, *args, **options)
        return send(described(_call, conn, FAULTS), proceed, partial(_fail, conn), no_status)

    return attempt


def _answered_on_loop(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(original)
    async def attempt(self: Any, conn: Any, *args: Any, **options: Any) -> Any:
        if not _is_call(conn):
            return await original(self, conn, *args, **options)
        proceed = partial(original, self, conn, *args, **options)
        return await send_on_loop(described(_call, conn, FAULTS), proceed, partial(_fail_on_loop, conn), no_status)

    return attempt


def _sent(original: Callable[..., None]) -> Callable[..., None]:
    @wraps(original)
    def send_packed_command(self: Any, *args: Any, **options: Any) -> Any:
        if not _is_call(self):
            return original(self, *args, **options)
        proceed = partial(original, self, *args, **options)

        def fail(failure: Failure, _proceed: "Callable[[], Any]") -> Any:  # quoted, or each call would evaluate it
            return _fail(self, failure, lambda: (proceed(), self.read_response(push_request=True)))

        return send(described(_call, self, AS_IT_IS_SENT), proceed, fail, no_status)

    return send_packed_command


def _sent_on_loop(original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @wraps(original)
    async def send_packed_command(self: Any, *args: Any, **options: Any) -> Any:
        if not _is_call(self):
            return await original(self, *args, **options)
        proceed = partial(original, self, *args, **options)

        async def answered() -> Any:
            await proceed()
            return await self.read_response(push_request=True)

        async def fail(failure: Failure, _proceed: "Callable[[], Awaitable[Any]]") -> Any:
            return await _fail_on_loop(self, failure, answered)

        return await send_on_loop(described(_call, self, AS_IT_IS_SENT), proceed, fail, no_status)

    return send_packed_command


def _connected(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def connect(self: Any, *args: Any, **options: Any) -> Any:
        with part_of_a_call():
            return original(self, *args, **options)

    return connect


def _connected_on_loop(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(original)
    async def connect(self: Any, *args: Any, **options: Any) -> Any:
        with part_of_a_call():
            return await original(self, *args, **options)

    return connect


def _fail(conn: Any, failure: Failure, proceed: Callable[[], Any]) -> Any:
    if failure.way == "slow":
        return _trickled(conn, failure, proceed())
    if failure.way == "lost_reply":
        with suppress(ResponseError):
            proceed()
    conn.disconnect()
    raise _error(conn, failure.way)


async def _fail_on_loop(conn: Any, failure: Failure, proceed: Callable[[], Awaitable[Any]]) -> Any:
    if failure.way == "slow":
        return await _trickled_on_loop(conn, failure, await proceed())
    if failure.way == "lost_reply":
        with suppress(ResponseError):
            await proceed()
    await conn.disconnect(nowait=True)
    raise _error(conn, failure.way)


def _trickled(conn: Any, failure: Failure, answer: Any) -> Any:
    """The client gives out no part of an answer, so it is as good as one that comes whole, and late."""
    try:
        for seconds in _waits(conn, failure, answer):
            time_limits.sleep(seconds)
    except TimeoutError:
        conn.disconnect()
        raise _error(conn, "timeout") from None
    return answer


async def _trickled_on_loop(conn: Any, failure: Failure, answer: Any) -> Any:
    try:
        for seconds in _waits(conn, failure, answer):
            await asyncio.sleep(seconds)
    except TimeoutError:
        await conn.disconnect(nowait=True)
        raise _error(conn, "timeout") from None
    return answer


def _waits(conn: Any, failure: Failure, answer: Any) -> Iterator[float]:
    """How long to sleep. Raises TimeoutError where not even a byte comes while the client waits for one."""
    pace, left = Pace(failure, _call(conn, FAULTS).timeout_seconds), _size(answer)
    while left > 0:
        yield from pace.waits(min(left, pace.piece))
        left -= pace.piece


def _size(answer: Any) -> int:
    """About how many bytes it took."""
    if isinstance(answer, str | bytes):
        return len(answer) + 2
    if isinstance(answer, Mapping):
        return sum(_size(each) for pair in answer.items() for each in pair)
    if isinstance(answer, list | tuple | set):
        return sum(map(_size, answer))
    return len(str(answer)) + 3
