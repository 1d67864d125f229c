"""What keeps the tests on this machine."""

import asyncio
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

OTHER = "192.0.2.1"  # set apart for documentation: no host has it


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    with socket.socket() as connection:
        connection.settimeout(0.01)
        yield connection


@pytest.mark.parametrize(
    "contact",
    [
        lambda connection: connection.connect((OTHER, 80)),
        lambda connection: connection.connect_ex((OTHER, 80)),
        lambda _: socket.create_connection((OTHER, 80), timeout=0.01),
        lambda _: socket.getaddrinfo("chaos.example", 80),
        lambda _: socket.getaddrinfo(b"chaos.example", 80),
        lambda _: asyncio.run(asyncio.open_connection("chaos.example", 80)),
    ],
    ids=["connect", "connect_ex", "create_connection", "a name", "a name in bytes", "an event loop"],
)
def test_another_host_is_refused(connection: socket.socket, contact: Callable[[socket.socket], object]) -> None:
    with pytest.raises(RuntimeError, match="A test must not contact"):
        contact(connection)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8"])
def test_this_machine_is_not(host: str) -> None:
    with socket.create_server(("", 0)) as server:
        socket.create_connection((host, server.getsockname()[1]), timeout=5).close()


@pytest.mark.parametrize("address", [(), "localhost", None], ids=str)
def test_an_address_that_is_none_is_refused_as_ever(connection: socket.socket, address: object) -> None:
    with pytest.raises(TypeError):
        connection.connect(address)  # type: ignore[arg-type]


def test_no_audit_hook_keeps_threads_from_being_measured() -> None:
    """Nothing of Python's runs while a trace function is set, or a thread that does so at that moment dies of it."""
    interval = sys.getswitchinterval()

    def measure() -> None:
        for _ in range(2_000):
            sys.settrace(None)

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            started = [threads.submit(measure) for _ in range(4)]
            for thread in started:
                thread.result()
    finally:
        sys.setswitchinterval(interval)
