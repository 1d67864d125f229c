"""A dropped request on a connection of HTTP/2: its stream is reset, and the others on the same connection go on."""

import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from tests.contract.servers import Server, serving
from tests.hosts.dropped.content import LINE, LINES
from tests.hosts.dropped.servers import SERVERS
from tests.loopback import PATIENCE_SECONDS

API = "/chaos_experiments"
LOST, OTHER = 1, 3
"""The numbers of two requests on one connection."""


@pytest.fixture(scope="module", params=["hypercorn", "hypercorn, trio"])
def server(
    request: pytest.FixtureRequest, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with serving(SERVERS[request.param], folder, **table, CHAOS_APPLICATION=uuid.uuid4().hex[:8]) as server:
        yield server


@pytest.fixture
def dropping(server: Server) -> Iterator[Callable[..., None]]:
    def start(**parameters: Any) -> None:
        answer = server.call("POST", f"{API}/start", json={"experiment_name": "connection_drop", **parameters})
        assert answer.status_code == 200, answer.text

    yield start
    server.call("POST", f"{API}/stop", json={"experiment_name": "connection_drop"})


@pytest.mark.parametrize("after_bytes", [0, 100])
def test_one_stream_is_reset_and_the_other_is_answered(
    server: Server, dropping: Callable[..., None], after_bytes: int
) -> None:
    dropping(after_bytes=after_bytes)
    bodies, reset = _ask(server, {LOST: "/orders", OTHER: "/health"})
    assert reset == {LOST}
    assert bodies.get(LOST, b"") == (LINE * LINES).encode()[:after_bytes]
    assert bodies[OTHER] == b'{"health":"good"}'
    assert server.log
    assert "Traceback" not in server.log.read_text()


def _ask(server: Server, paths: Mapping[int, str]) -> tuple[dict[int, bytes], set[int]]:
    """What each request got of its answer, and which of them were reset."""
    host, port = server.url.removeprefix("http://").split(":")
    bodies: dict[int, bytes] = {}
    reset: set[int] = set()
    ended: set[int] = set()
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    with closing(socket.create_connection((host, int(port)), PATIENCE_SECONDS)) as connection:
        client.initiate_connection()
        for number, path in paths.items():
            headers = {":method": "GET", ":path": path, ":scheme": "http", ":authority": host}
            client.send_headers(number, list(headers.items()), end_stream=True)
        while ended != set(paths):
            connection.sendall(client.data_to_send())
            received = connection.recv(65536)
            assert received, "the connection is closed"
            for event in client.receive_data(received):
                if isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                elif isinstance(event, h2.events.StreamReset):
                    reset.add(event.stream_id)
                    ended.add(event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    ended.add(event.stream_id)
    return bodies, reset
