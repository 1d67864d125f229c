"""What clients see of a dropped connection, on each server: its row in the table of docs/api.md."""

import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import httpx2
import pytest
import requests
import urllib3

from tests.contract.servers import Server, serving, stop_all
from tests.hosts.dropped.content import LINE, LINES
from tests.hosts.dropped.servers import RARE, SERVERS
from tests.loopback import PATIENCE_SECONDS, until

API = "/chaos_experiments"
DROPS, AT_ONCE = 50, 8
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
    if request.param in RARE and not request.config.getoption("--whole-matrix"):
        pytest.skip("with --whole-matrix")
    folder = tmp_path_factory.mktemp("server")
    own = {"CHAOS_APPLICATION": uuid.uuid4().hex[:8]}
    with serving(SERVERS[request.param], folder, **table, **own) as server:
        yield server


@pytest.fixture
def dropping(server: Server) -> Iterator[Callable[..., None]]:
    """Starts a run; nothing runs afterwards."""

    def start(experiment: str = "connection_drop", **parameters: Any) -> None:
        answer = server.call("POST", f"{API}/start", json={"experiment_name": experiment, **parameters})
        assert answer.status_code == 200, answer.text

    yield start
    stop_all(server)
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


def _counted(server: Server, experiment: str = "connection_drop") -> dict[str, Any]:
    """The results of the run."""
    status = server.call("GET", f"{API}/status?experiment_name={experiment}").json()["resultset"]
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


# In the middle of an answer

AFTER_BYTES = 100
WITHIN: dict[str, tuple[type[Exception], ...]] = {
    "requests": (requests.exceptions.ChunkedEncodingError,),
    "httpx": (httpx2.RemoteProtocolError, httpx2.ReadError),
    "urllib3": (urllib3.exceptions.ProtocolError,),
}
"""What a client raises of a body that ends too early; httpx' second one where it is reset."""


@pytest.mark.parametrize("path", ["/orders", "/stream"])
def test_a_client_gets_so_many_bytes_and_knows_that_it_is_not_all(
    server: Server, dropping: Callable[..., None], path: str
) -> None:
    if server.call("GET", path).status_code != 200:
        pytest.skip("a whole answer is all that there is in Chalice")
    logged, handled = _size(server), server.handled()
    dropping(after_bytes=AFTER_BYTES)
    for name, ask in CLIENTS.items():
        with pytest.raises(WITHIN[name]):
            ask(server.url + path)
    assert _received(server.url, path) == (LINE * LINES).encode()[:AFTER_BYTES]
    assert server.handled() == handled + len(CLIENTS) + 1
    assert "Traceback" not in _log(server)[logged:]
    until(lambda: [each["value"] for each in _counted(server).get("counters", ())] == [len(CLIENTS) + 1])


def test_a_shorter_answer_passes_whole(server: Server, dropping: Callable[..., None]) -> None:
    dropping(after_bytes=LINES * len(LINE) + 1)
    assert requests.get(f"{server.url}/orders", timeout=PATIENCE_SECONDS).text == LINE * LINES


def _received(url: str, path: str) -> bytes:
    """What arrives of the body, without its framing."""
    host, port = url.removeprefix("http://").split(":")
    received = b""
    with closing(socket.create_connection((host, int(port)), PATIENCE_SECONDS)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        with suppress(ConnectionError):
            while part := connection.recv(65536):
                received += part
    head, _, body = received.partition(b"\r\n\r\n")
    if b"chunked" not in head.lower():
        return body
    chunks, rest = b"", body
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        chunks, rest = chunks + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return chunks


# Other connections


def test_other_connections_go_on_and_a_pooled_one_is_replaced(server: Server, dropping: Callable[..., None]) -> None:
    """A client's own: one that is kept alive for the control plane answers all the while."""
    with requests.Session() as session, requests.Session() as control:
        assert session.get(f"{server.url}/orders", timeout=PATIENCE_SECONDS).status_code == 200
        dropping()
        for _ in range(3):
            with pytest.raises(requests.ConnectionError):
                session.get(f"{server.url}/orders", timeout=PATIENCE_SECONDS)
            assert control.get(f"{server.url}/health", timeout=PATIENCE_SECONDS).json() == {"health": "good"}
        assert session.get(f"{server.url}/health", timeout=PATIENCE_SECONDS).status_code == 200


def test_many_at_once_are_dropped_each_for_itself(server: Server, dropping: Callable[..., None]) -> None:
    """Also where a server serves them on threads, which share the numbers of sockets."""
    dropping(duration_seconds=600.0)
    until(lambda: _seen(server, "/orders") == "dropped")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        seen = list(pool.map(lambda number: _seen(server, "/health" if number % 4 else "/orders"), range(DROPS * 4)))
    assert seen == ["answered" if number % 4 else "dropped" for number in range(DROPS * 4)]


def _seen(server: Server, path: str) -> str:
    try:
        answer = requests.get(server.url + path, timeout=PATIENCE_SECONDS)
    except requests.ConnectionError:
        return "dropped"
    return "answered" if "good" in answer.text else answer.text


# No answer at all

ONE_AT_A_TIME = {"gunicorn", "wsgiref"}

GIVEN_UP: dict[str, tuple[Ask, type[Exception]]] = {
    "requests": (lambda url: requests.get(url, timeout=1.5), requests.exceptions.ReadTimeout),
    "httpx": (lambda url: httpx2.get(url, timeout=1.5), httpx2.ReadTimeout),
    "urllib3": (
        lambda url: urllib3.request("GET", url, retries=False, timeout=1.5),
        urllib3.exceptions.ReadTimeoutError,
    ),
}
"""How a client asks that gives up, and what it raises."""


def test_a_client_that_gives_up_is_answered_nothing_and_leaves_nothing_behind(
    server: Server, dropping: Callable[..., None]
) -> None:
    """Its request ends when the server sees that it has gone, long before the longest time."""
    handled, logged = server.handled(), _size(server)
    dropping("timeout_injection", duration_seconds=300.0, longest_seconds=200.0)
    for ask, error in GIVEN_UP.values():
        with pytest.raises(error):
            ask(f"{server.url}/orders")
    counted = {"injected_timeouts": len(GIVEN_UP), "dropped_connections": len(GIVEN_UP)}
    until(lambda: counted.items() <= _counters(server, "timeout_injection").items())
    assert len(GIVEN_UP) * 0.3 <= _counters(server, "timeout_injection")["injected_delay_seconds"] <= 100.0
    assert server.handled() == handled
    assert "Traceback" not in _log(server)[logged:]


def test_who_waits_is_dropped_in_the_end(server: Server, dropping: Callable[..., None]) -> None:
    dropping("timeout_injection", longest_seconds=0.5)
    for name, ask in CLIENTS.items():
        with pytest.raises(BEFORE[name], match="reset by peer"):
            ask(f"{server.url}/orders")


def test_after_a_stop_a_request_that_waits_is_answered(
    request: pytest.FixtureRequest, server: Server, dropping: Callable[..., None]
) -> None:
    """Not where one thread serves all: there nobody can stop it in the meantime."""
    if request.node.callspec.params["server"] in ONE_AT_A_TIME:
        pytest.skip("a worker that waits serves nobody else")
    dropping("timeout_injection", duration_seconds=300.0, longest_seconds=200.0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(requests.get, f"{server.url}/orders", timeout=PATIENCE_SECONDS)
        until(lambda: _counted(server, "timeout_injection").get("open", 0) == 1)
        assert not waiting.done()
        stop_all(server)
        stopped = time.monotonic()
        assert waiting.result(PATIENCE_SECONDS).text == LINE * LINES
    assert time.monotonic() - stopped < 5.0


def _counters(server: Server, experiment: str) -> dict[str, float]:
    return {each["name"]: each["value"] for each in _counted(server, experiment).get("counters", ())}
