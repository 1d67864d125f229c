"""Event loops of asyncio: whatever connects with them and is patched nowhere else. One call is one new connection."""

import socket
from asyncio import BaseEventLoop, base_events
from collections.abc import Awaitable, Callable, Iterator
from functools import partial, wraps
from typing import Any

from ..faults.base import Failure
from .installation import Patch
from .passing import context_of_a_part, described, is_to_be_asked, no_status, send_on_loop
from .sockets import FAULTS, NAMES, connection, error_of, is_address, lookup, port_of, text_of

CLIENT = "asyncio"
WITH_TLS = FAULTS | {"tls"}

Coroutine = Callable[..., Awaitable[Any]]


def patches() -> Iterator[Patch]:
    yield Patch(BaseEventLoop, "create_connection", partial(connecting, CLIENT))
    yield Patch(BaseEventLoop, "getaddrinfo", lambda original: looking_up(CLIENT, _with_context(original)))


def connecting(client: str, original: Coroutine) -> Coroutine:
    @wraps(original)
    async def create_connection(
        self: Any, protocol_factory: Any, host: Any = None, port: Any = None, **how: Any
    ) -> Any:
        proceed = partial(original, self, protocol_factory, host, port, **how)
        if not host or how.get("sock") is not None or not is_to_be_asked():
            return await proceed()
        faults = WITH_TLS if how.get("ssl") else FAULTS
        call = described(connection, client, faults, text_of(host), port_of(port))
        return await send_on_loop(call, proceed, _fail, no_status)

    return create_connection


def looking_up(client: str, original: Coroutine) -> Coroutine:
    @wraps(original)
    async def getaddrinfo(self: Any, host: Any, port: Any, **how: Any) -> Any:
        proceed = partial(original, self, host, port, **how)
        if not host or not is_to_be_asked():
            return await proceed()
        call = described(lookup, client, host, port)
        if call is None:
            return await proceed()
        found = await (proceed() if is_address(call.host) else send_on_loop(call, proceed, _fail, no_status))
        NAMES.remember(call.host, found)
        return found

    return getaddrinfo


def _with_context(original: Coroutine) -> Coroutine:
    """The look-up on a thread that has the caller's context variables, and is not decided about once more there.

    Only in the place of asyncio's own: what an agent has put there looks up as it will.
    """
    if getattr(original, "__globals__", None) is not vars(base_events):
        return original

    @wraps(original)
    async def getaddrinfo(self: BaseEventLoop, host: Any, port: Any, **how: Any) -> Any:
        look_up = partial(context_of_a_part().run, socket.getaddrinfo, host, port, **how)
        return await self.run_in_executor(None, look_up)

    return getaddrinfo


async def _fail(failure: Failure, _proceed: Callable[[], Awaitable[Any]]) -> Any:
    raise error_of(failure)
