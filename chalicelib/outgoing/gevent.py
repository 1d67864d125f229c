"""gevent's sockets: its `create_connection` looks names up by itself, also where gevent has replaced `socket`."""

import socket
from collections.abc import Iterator

from gevent import socket as green

from .installation import Patch
from .sockets import connecting, looking_up

CLIENT = "socket"


def patches() -> Iterator[Patch]:
    yield Patch(green, "getaddrinfo", looking_up)
    if green.socket is not socket.socket:
        yield Patch(green.socket, "connect", connecting)
