"""Event loops of asyncio: whatever connects with them and is patched nowhere else. One call is one new connection."""

import socket
import ssl
from asyncio import BaseEventLoop
from collections.abc import Awaitable, Callable, Iterator
from contextvars import copy_context
from functools import partial, wraps
from typing import Any

from ..faults.base import Failure
from .installation import Patch
from .passing import is_to_be_asked, no_status, part_of_a_call, send_on_loop
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
        call = connection(client, faults, text_of(host), port_of(port))
        return await send_on_loop(call, proceed, _fail, no_status)

    return create_connection


def looking_up(client: str, original: Coroutine) -> Coroutine:
    @wraps(original)
    async def getaddrinfo(self: Any, host: Any, port: Any, **how: Any) -> Any:
        proceed = partial(original, self, host, port, **how)
        if not host or not is_to_be_asked():
            return await proceed()
        call = lookup(client, host, port)
        found = await (proceed() if is_address(call.host) else send_on_loop(call, proceed, _fail, no_status))
        NAMES.remember(call.host, found)
        return found

    return getaddrinfo


def _with_context(original: Coroutine) -> Coroutine:
    """The look-up on a thread that has the caller's context variables, and is not decided about once more there."""

    @wraps(original)
    async def getaddrinfo(self: BaseEventLoop, host: Any, port: Any, **how: Any) -> Any:
        with part_of_a_call():
            look_up = partial(copy_context().run, socket.getaddrinfo, host, port, **how)
        return await self.run_in_executor(None, look_up)

    return getaddrinfo


async def _fail(failure: Failure, _proceed: Callable[[], Awaitable[Any]]) -> Any:
    if failure.way == "tls":
        raise ssl.SSLCertVerificationError(1, "certificate verify failed: certificate has expired")
    raise error_of(failure)
