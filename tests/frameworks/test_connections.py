"""What is done to a connection itself; how servers and clients see it is in tests/hosts/test_connections.py."""

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from chalicelib.errors import InjectedDisconnect
from chalicelib.frameworks import connections
from chalicelib.frameworks.connections_on_loop import ServerSide

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A connection over TCP: the server's side, and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname(), 10)
        server, _ = listening.accept()
    with server, client:
        yield server, client


def test_the_client_is_reset_and_the_server_has_a_socket_whose_other_side_is_gone(pair: Pair) -> None:
    server, client = pair
    number = server.fileno()
    assert connections.reset({"gunicorn.socket": server}) == "reset"
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert server.fileno() == number
    assert server.recv(1) == b""
    with pytest.raises(BrokenPipeError):
        server.sendall(b"HTTP/1.1 500")


def test_without_a_descriptor_left_it_is_closed_all_the_same(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> Any:
        raise OSError("Too many open files")

    monkeypatch.setattr(socket, "socketpair", none_left)
    server, client = pair
    assert connections.reset({"gunicorn.socket": server}) == "closed"
    assert client.recv(1) == b""


def test_what_was_sent_of_an_answer_arrives_before_it_ends(pair: Pair) -> None:
    server, client = pair
    server.sendall(b"begun")
    with pytest.raises(InjectedDisconnect):
        connections.cut({"gunicorn.socket": server, "SERVER_PROTOCOL": "HTTP/1.1"})
    assert client.recv(10) == b"begun"
    assert client.recv(10) == b""


def test_a_connection_of_many_requests_is_not_touched(pair: Pair) -> None:
    server, client = pair
    environ = {"gunicorn.socket": server, "HTTP_VERSION": "2"}
    assert connections.reset(environ) == "answered"
    with pytest.raises(InjectedDisconnect):
        connections.cut(environ)
    server.sendall(b"of another one")
    assert client.recv(20) == b"of another one"


def test_that_a_client_is_gone_shows_and_nothing_is_read(pair: Pair) -> None:
    server, client = pair
    client.sendall(b"more")
    assert not connections.is_client_gone({"gunicorn.socket": server})
    client.close()
    assert connections.is_client_gone({"gunicorn.socket": server})
    assert server.recv(10) == b"more"


@pytest.mark.parametrize(
    ("version", "how", "aborted"), [("1.1", "reset", 1), ("2", "answered", 0), ("3", "answered", 0)]
)
def test_on_an_event_loop_neither(version: str, how: str, aborted: int) -> None:
    calls: list[str] = []
    transport = SimpleNamespace(abort=lambda: calls.append("abort"), get_extra_info=lambda _name: None)
    cycle = Cycle(transport)
    scope = {"type": "http", "http_version": version}
    assert anyio.run(ServerSide(scope, cycle.send, None).reset) == how
    assert len(calls) == aborted


def test_a_defect_is_logged_and_the_request_answered(caplog: pytest.LogCaptureFixture) -> None:
    def abort() -> None:
        raise ValueError("closed")

    cycle = Cycle(SimpleNamespace(abort=abort, get_extra_info=lambda _name: None))
    assert anyio.run(ServerSide({"http_version": "1.1"}, cycle.send, None).reset) == "answered"
    assert connections.reset({"gunicorn.socket": object()}) == "answered"
    assert [record.message for record in caplog.records] == [connections.DEFECT] * 2


class Cycle:
    """One request, as a server of ASGI has it."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    async def send(self, message: Any) -> None:
        """Of which the boundary gets this method."""
