"""Sockets: whatever connects in Python and is patched nowhere else. One call is one connection that is to be made.

Only a name's look-up knows which host the application means; `connect` gets an address. So look-ups are remembered.
"""

import errno
import math
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial, wraps
from typing import Any

from ..faults.base import Failure, Way
from ..injection.call import OutgoingCall
from .installation import Patch
from .passing import is_to_be_asked, no_status, send

CLIENT = "socket"
FAULTS = frozenset({"latency", "timeout", "refused", "reset", "dns"})
LOOKUP = frozenset({"dns"})

ERRORS: Mapping[Way, Callable[[], OSError]] = {
    "timeout": partial(TimeoutError, "timed out"),
    "refused": partial(ConnectionRefusedError, errno.ECONNREFUSED, "Connection refused"),
    "reset": partial(ConnectionResetError, errno.ECONNRESET, "Connection reset by peer"),
    "dns": partial(socket.gaierror, socket.EAI_NONAME, "Name or service not known"),
}
"""What the operating system's errors are in Python."""


def error_of(failure: Failure) -> OSError:
    return ERRORS[failure.way]()


class Names:
    """By which name the application last looked an address up. Safe to share between threads."""

    MOST, SECONDS = 1000, 60.0

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._names: OrderedDict[tuple[str, int], tuple[str, float]] = OrderedDict()

    def remember(self, name: str, found: Iterable[Any]) -> None:
        """`found` is what `getaddrinfo` returns."""
        until = self._timer() + self.SECONDS
        for _, _, _, _, address in found:
            self._names[address[:2]] = name, until
            self._names.move_to_end(address[:2])
        while len(self._names) > self.MOST:
            self._names.popitem(last=False)

    def of(self, address: str, port: int) -> str:
        """Empty where it was looked up by none lately, or is what the application named itself."""
        found = self._names.get((address, port)) or self._names.get((address, 0))
        return found[0] if found and self._timer() < found[1] else ""


NAMES = Names()


def patches() -> Iterator[Patch]:
    yield Patch(socket.socket, "connect", connecting)
    yield Patch(socket, "getaddrinfo", looking_up)


def connection(
    client: str, faults: frozenset[str], host: str, port: int, timeout_seconds: float = math.inf
) -> OutgoingCall:
    """The call that connects to a host: to an address that was looked up before, or a name that is looked up now."""
    name = NAMES.of(host, port)
    if name and name != host:
        return OutgoingCall(
            client, faults - LOOKUP, host=name, port=port, step="connect", timeout_seconds=timeout_seconds
        )
    if is_address(host):
        faults -= LOOKUP
    return OutgoingCall(client, faults, host=host.lower(), port=port, timeout_seconds=timeout_seconds)


def lookup(client: str, host: Any, port: Any) -> OutgoingCall:
    """The call that looks a name up, which only what takes the name away is about."""
    return OutgoingCall(client, LOOKUP, host=text_of(host).lower(), port=port_of(port), step="lookup")


def text_of(host: Any) -> str:
    """A host as the application named it."""
    return host.decode(errors="replace") if isinstance(host, bytes) else str(host)


def port_of(port: Any) -> int:
    """0 where it is named by a service, or not at all."""
    return int(port) if isinstance(port, int | str | bytes) and str(port).isdigit() else 0


def is_address(host: str) -> bool:
    """Of a top-level domain, the last character is a letter; of an address it is a digit, or there are colons."""
    return host[-1:].isdigit() or ":" in host


def connecting(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def connect(self: socket.socket, address: Any) -> Any:
        if not is_to_be_asked() or not isinstance(address, tuple) or not isinstance(address[0], str):
            return original(self, address)
        timeout = self.gettimeout()
        if timeout == 0 or self.type != socket.SOCK_STREAM:
            return original(self, address)
        call = connection(CLIENT, FAULTS, address[0], address[1], math.inf if timeout is None else timeout)
        return send(call, partial(original, self, address), _fail, no_status)

    return connect


def looking_up(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if not host or not is_to_be_asked():
            return original(host, port, *args, **kwargs)
        proceed = partial(original, host, port, *args, **kwargs)
        call = lookup(CLIENT, host, port)
        found = proceed() if is_address(call.host) else send(call, proceed, _fail, no_status)
        NAMES.remember(call.host, found)
        return found

    return getaddrinfo


def _fail(failure: Failure, _proceed: Callable[[], Any]) -> Any:
    raise error_of(failure)
