"""No test contacts another host, or asks a name server for one.

Functions of the socket module are replaced, and no audit hook is set: `sys.settrace` raises an audit event, and a hook
written in Python lets another thread run in the middle of it. If that thread has just started, CPython 3.11 refuses to
measure it (`RuntimeError: Cannot install a trace function while another trace function is being installed`), and it
ends without having run: https://github.com/python/cpython/issues/98257
"""

import ipaddress
import socket
from contextlib import suppress
from functools import wraps
from typing import Any


def refuse_other_hosts(host: str | bytes | None) -> None:
    """Raise RuntimeError, unless `host` is this machine's loopback interface, by name or address, or no host."""
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "", "localhost"):
        return
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_loopback or address.is_unspecified:
            return
    raise RuntimeError(f"A test must not contact {host}: only loopback is allowed.")


def only_loopback() -> None:
    """For the rest of this process, connect and look up no host but this one."""
    look_up, connect, connect_ex = socket.getaddrinfo, socket.socket.connect, socket.socket.connect_ex

    @wraps(look_up)
    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        refuse_other_hosts(host)
        return look_up(host, *args, **kwargs)

    def to_loopback(original: Any) -> Any:
        @wraps(original)
        def connect_to(connection: socket.socket, address: Any) -> Any:
            if isinstance(address, tuple) and address:
                refuse_other_hosts(address[0])
            return original(connection, address)

        return connect_to

    socket.getaddrinfo = getaddrinfo
    socket.socket.connect = to_loopback(connect)  # type: ignore[method-assign]
    socket.socket.connect_ex = to_loopback(connect_ex)  # type: ignore[method-assign]
