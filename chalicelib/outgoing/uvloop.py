"""Event loops of uvloop, which resolves and connects in C. One call is one new connection."""

from collections.abc import Iterator
from functools import partial

from uvloop import Loop

from .installation import Patch
from .loops import connecting, looking_up

CLIENT = "uvloop"


def patches() -> Iterator[Patch]:
    yield Patch(Loop, "create_connection", partial(connecting, CLIENT))
    yield Patch(Loop, "getaddrinfo", partial(looking_up, CLIENT))
