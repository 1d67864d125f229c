"""What clients see of a dropped connection, on each server: its row in the table of docs/api.md."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx2
import pytest
import requests
import urllib3

from tests.contract.servers import Server, serving
from tests.hosts.dropped.content import LINE, LINES
from tests.hosts.dropped.servers import SERVERS
from tests.loopback import PATIENCE_SECONDS, until

API = "/chaos_experiments"
DROPS = 50
Ask = Callable[[str], Any]

CLIENTS: dict[str, Ask] = {
    "requests": lambda url: requests.get(url, timeout=PATIENCE_SECONDS).content,
    "httpx": lambda url: httpx2.get(url, timeout=PATIENCE_SECONDS).content,
    "urllib3": lambda url: urllib3.request("GET", url, retries=False, timeout=PATIENCE_SECONDS).data,
}
BEFORE: dict[str, type[Exception]] = {
    "requests": requests.ConnectionError,
    "httpx": httpx2.ReadError,
    "urllib3": urllib3.exceptions.ProtocolError,
}
"""What a client raises of a connection that is reset before its answer."""


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    own = {"CHAOS_APPLICATION": uuid.uuid4().hex[:8]}
    with serving(SERVERS[request.param], folder, **table, **own) as server:
        yield server


@pytest.fixture
def dropping(server: Server) -> Iterator[Callable[..., None]]:
    """Starts a run; nothing runs afterwards."""

    def start(**parameters: Any) -> None:
        answer = server.call("POST", f"{API}/start", json={"experiment_name": "connection_drop", **parameters})
        assert answer.status_code == 200, answer.text

    yield start
    server.call("POST", f"{API}/stop", json={"experiment_name": "connection_drop"})
    assert server.call("GET", "/orders").text == LINE * LINES


def test_a_client_sees_a_reset_and_the_application_does_nothing(server: Server, dropping: Callable[..., None]) -> None:
    handled = server.handled()
    dropping()
    for name, ask in CLIENTS.items():
        with pytest.raises(BEFORE[name], match="reset by peer"):
            ask(f"{server.url}/orders")
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        server.call("GET", f"{API}/test")
    assert server.handled() == handled
    until(lambda: _counted(server).get("hit", {}).get("statuses") == {"0xx": len(CLIENTS)})
    assert [(each["name"], each["value"]) for each in _counted(server)["counters"]] == [
        ("dropped_connections", len(CLIENTS))
    ]


def test_many_drops_leave_nothing_behind_and_the_log_is_not_flooded(
    server: Server, dropping: Callable[..., None]
) -> None:
    before, logged = _environment(server), _size(server)
    dropping()
    for _ in range(DROPS):
        with pytest.raises(requests.ConnectionError):
            CLIENTS["requests"](f"{server.url}/orders")
    assert server.call("GET", "/health").status_code == 200
    assert server.call("GET", f"{API}/list").status_code == 200
    text = _log(server)[logged:]
    assert "Traceback" not in text
    now = _environment(server)
    assert now["process"] == before["process"]
    assert {
        name: now[name] - before[name] for name in ("sockets", "threads") if now[name] >= before[name] + DROPS // 2
    } == {}


def _counted(server: Server) -> dict[str, Any]:
    """The results of the run."""
    status = server.call("GET", f"{API}/status?experiment_name=connection_drop").json()["resultset"]
    results: dict[str, Any] = status["results"]
    return results


def _environment(server: Server) -> dict[str, int]:
    """What the process holds. A server may have some connections more for a while: those of clients that are gone."""
    held: dict[str, int] = server.call("GET", "/environment").json()
    return held


def _size(server: Server) -> int:
    return len(_log(server))


def _log(server: Server) -> str:
    assert server.log
    return server.log.read_text()
