"""The connection on which a request came, on an event loop: closed as in `connections`."""

import asyncio
import logging
import os
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from ..errors import InjectedDisconnect
from ..settings import IN_LAMBDA
from .connections import DEFECT, FAILED_INVOCATION, LINGER_NOT, How, is_closed

if TYPE_CHECKING:
    from starlette.types import Scope, Send

log = logging.getLogger(__name__)

MOST_TURNS = 10
"""How many turns of the event loop a transport may take until it is closed."""

FLUSH_SECONDS = 1.0
"""How long the beginning of a body may take on its way to a client of HTTP/2."""


class Connection(ABC):
    """Where a server sends the answer to one request."""

    @abstractmethod
    async def reset(self) -> None:
        """Close it at once."""

    @abstractmethod
    async def cut(self) -> None:
        """Close it when what was sent is on its way."""

    @property
    @abstractmethod
    def is_closed(self) -> bool:
        """Whether the client has closed it."""


class Transport(Connection):
    """Of asyncio: of uvicorn, of gunicorn's own worker, of hypercorn."""

    def __init__(self, transport: Any, *, as_reset: bool = False) -> None:  # noqa: ANN401 - asyncio's, or uvloop's
        self._transport = transport
        self._as_reset = as_reset

    async def reset(self) -> None:
        _linger_not(self._transport.get_extra_info("socket"))
        self._transport.abort()
        await self._closed()

    async def cut(self) -> None:
        if self._as_reset:
            await self.reset()
            return
        self._transport.close()
        await self._closed()

    @property
    def is_closed(self) -> bool:
        return self._transport.is_closing() or _is_closed(self._transport.get_extra_info("socket"))

    async def _closed(self) -> None:
        """The server is to know that the client is gone, before its application has ended without an answer."""
        for _ in range(MOST_TURNS):
            await anyio.lowlevel.checkpoint()


class TrioStream(Connection):
    """Of hypercorn on trio."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - trio's
        self._stream = stream

    async def reset(self) -> None:
        _linger_not(getattr(self._stream, "transport_stream", self._stream).socket)
        await getattr(self._stream, "transport_stream", self._stream).aclose()

    async def cut(self) -> None:
        await self._stream.aclose()

    @property
    def is_closed(self) -> bool:
        return _is_closed(getattr(self._stream, "transport_stream", self._stream).socket)


class StreamOfHTTP2(Connection):
    """One of many on a connection, of which the others go on."""

    def __init__(self, protocol: Any, number: int) -> None:  # noqa: ANN401 - hypercorn's
        self._protocol = protocol
        self._number = number

    async def reset(self) -> None:
        self._protocol.connection.reset_stream(self._number, INTERNAL_ERROR)
        await self._protocol._flush()  # noqa: SLF001 - there is no public way
        await self._protocol._close_stream(self._number)  # noqa: SLF001

    async def cut(self) -> None:
        with anyio.move_on_after(FLUSH_SECONDS):
            await self._protocol.stream_buffers[self._number].drain()
        await self.reset()

    @property
    def is_closed(self) -> bool:
        stream = self._protocol.streams.get(self._number)
        return stream is None or bool(stream.closed)


INTERNAL_ERROR = 2
"""RFC 9113's code."""


@dataclass(slots=True)
class ServerSide:
    """What is known of the server that serves a request: what it handed over, and the task in which it did so."""

    scope: "Scope"
    send: "Send"
    task: Any

    async def reset(self) -> How:
        """Close the connection before its answer.

        `answered` where that cannot be; a `failed invocation` where the answer is what a gateway makes of one: its
        adapter answers whatever is raised.
        """
        try:
            connection = self._connection()
            if connection:
                await connection.reset()
                return "reset"
        except Exception:
            log.exception(DEFECT)
        return FAILED_INVOCATION if IN_LAMBDA in os.environ else "answered"

    async def cut(self) -> None:
        """Close the connection in the middle of the answer, when what was sent of it is on its way.

        Raises InjectedDisconnect where nothing is known of it: then the server closes it.
        """
        connection = self._connection()
        if not connection:
            raise InjectedDisconnect
        try:
            await connection.cut()
        except Exception:
            log.exception(DEFECT)
            raise InjectedDisconnect from None

    @property
    def is_client_gone(self) -> bool:
        connection = self._connection()
        return connection is not None and connection.is_closed

    def _connection(self) -> Connection | None:
        """Of whose `send` it is; or by what the task's own function has, whatever wraps `send`."""
        frame = _outermost(self.task)
        names = frame.f_locals if frame else {}
        for found in (self.send, names.get("send"), names.get("self")):
            connection = _connection_of(getattr(found, "__self__", found), self.scope)
            if connection:
                return connection
        return None


def current_task() -> Any:  # noqa: ANN401 - asyncio's, or trio's
    try:
        return asyncio.current_task()
    except RuntimeError:  # another library's loop runs
        trio = sys.modules.get("trio")
        return trio.lowlevel.current_task() if trio else None


def _outermost(task: Any) -> FrameType | None:  # noqa: ANN401 - as above
    coroutine = task.get_coro() if hasattr(task, "get_coro") else getattr(task, "coro", None)
    return getattr(coroutine, "cr_frame", None)


def _connection_of(found: Any, scope: "Scope") -> Connection | None:  # noqa: ANN401 - whatever it may be
    if type(found).__module__ == "hypercorn.protocol.http_stream":
        return _of_hypercorn(found)
    transport = None if _is_multiplexed(scope) else getattr(found, "transport", None)
    if hasattr(transport, "abort") and hasattr(transport, "get_extra_info"):
        return Transport(transport, as_reset=scope.get("http_version") == "1.0")
    return None


def _is_multiplexed(scope: Mapping[str, Any]) -> bool:
    """Whether other requests are on the same connection."""
    return not str(scope.get("http_version", "")).startswith("1")


def _of_hypercorn(stream: Any) -> Connection | None:  # noqa: ANN401 - hypercorn's
    protocol = getattr(stream.send, "__self__", None)
    if hasattr(protocol, "stream_buffers"):
        return StreamOfHTTP2(protocol, stream.stream_id)
    server = getattr(getattr(protocol, "send", None), "__self__", None)
    writer, trio_stream = getattr(server, "writer", None), getattr(server, "stream", None)
    if writer is not None:
        return Transport(writer.transport)
    return None if trio_stream is None else TrioStream(trio_stream)


def _is_closed(sock: Any) -> bool:  # noqa: ANN401 - of the standard library, asyncio or trio
    return sock is not None and is_closed(sock.fileno())


def _linger_not(sock: Any) -> None:  # noqa: ANN401 - of the standard library, asyncio or trio
    with suppress(OSError, ValueError, AttributeError):  # there is none, or it is closed
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
