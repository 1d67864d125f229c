"""Ports of this machine, for the processes that a test starts."""

import itertools
import os
import random
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

PATIENCE_SECONDS = 60


FIRST_PORT, LAST_PORT = 12_000, 30_000
"""Below those that systems give to outgoing connections, one of which could take a port before its server does."""

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_OURS = range(FIRST_PORT + _WORKER, LAST_PORT, _WORKERS)
"""No two processes of the tests that run at once give the same port away."""

_candidates = itertools.cycle(random.Random().sample(_OURS, len(_OURS)))  # noqa: S311


def free_port() -> int:
    """A port that nobody listens at, and that this process has given to no other server for a long time.

    Each process of the tests goes through ports of its own, in an order of its own.
    """
    for port in _candidates:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("ports never end")


def wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """False where the process has ended instead, or has not come to listen in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        time.sleep(0.1)
    return False


def until(
    holds: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS, shown: Callable[[], object] = lambda: ""
) -> None:
    """Wait for what other processes are to do; where they do not, `shown` says what there is instead."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {shown()}"
        time.sleep(0.05)
