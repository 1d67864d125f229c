"""What clients see of changed answers, on real servers: of an error after the work, corrupted bodies and slow ones."""

import json
import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx2
import pytest
import requests
import urllib3

from tests.contract.servers import BIN, Command, Server, serving
from tests.hosts.answered.content import COOKIE, LARGE, LINES, ORDERS, TEXT
from tests.hosts.serving import chalice_local, gunicorn, hypercorn, uvicorn
from tests.loopback import PATIENCE_SECONDS, until

API = "/chaos_experiments"
HOSTS = "tests.hosts.answered"
FLASK, FASTAPI = f"{HOSTS}.flask_host", f"{HOSTS}.fastapi_host"
CHALICE = "chalice local"


def werkzeug(_folder: Any, port: int) -> list[str]:
    return [str(BIN / "flask"), "--app", f"{FLASK}:make()", "run", "--port", str(port)]


SERVERS: dict[str, Command] = {
    CHALICE: chalice_local(f"{HOSTS}.chalice_host"),
    "flask, gunicorn": gunicorn(FLASK),
    "flask, werkzeug": werkzeug,
    "fastapi, uvicorn": uvicorn(FASTAPI),
    "fastapi, hypercorn": hypercorn(FASTAPI),
}

ACCEPT = {"Accept": "application/json"}
"""What Chalice asks for where JSON is a binary type."""

CLIENTS: dict[str, Callable[[str], bytes]] = {
    "requests": lambda url: requests.get(url, timeout=PATIENCE_SECONDS).content,
    "httpx": lambda url: httpx2.get(url, timeout=PATIENCE_SECONDS).content,
    "urllib3": lambda url: urllib3.request("GET", url, headers=ACCEPT, retries=False, timeout=PATIENCE_SECONDS).data,
}
BROKEN_OFF = (requests.RequestException, httpx2.TransportError, urllib3.exceptions.HTTPError)

ATTEMPTS = 5
"""How often something is tried on a busy machine, which may stand still."""


@pytest.fixture(scope="module", params=SERVERS)
def served(
    request: pytest.FixtureRequest, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    own = {"CHAOS_APPLICATION": uuid.uuid4().hex[:8]}
    with serving(SERVERS[request.param], folder, **table, **own) as server:
        server.operator = request.param
        yield server


Start = Callable[..., str]


@pytest.fixture
def start(served: Server) -> Iterator[Start]:
    """Starts a run; nothing runs afterwards."""
    yield lambda name, **more: _start(served, name, **more)
    for run in served.call("GET", f"{API}/list").json()["resultset"]["active_experiments"]:
        served.call("POST", f"{API}/stop", json={"experiment_name": run["name"]})
    assert served.call("GET", "/orders").json() == ORDERS


def _start(server: Server, name: str, **more: Any) -> str:
    answer = server.call("POST", f"{API}/start", json={"experiment_name": name, **more})
    assert answer.status_code == 200, answer.text
    run_id: str = answer.json()["resultset"]["run_id"]
    return run_id


def _counters(server: Server, run_id: str) -> dict[str, float]:
    answer = server.call("GET", f"{API}/status?run_id={run_id}").json()["resultset"]
    return {each["name"]: each["value"] for each in answer["results"].get("counters", ())}


def _state(server: Server) -> dict[str, int]:
    state: dict[str, int] = server.call("GET", "/state", None).json()
    return state


# An error after the work


@pytest.mark.parametrize("key", [None, "one"])
def test_a_retry_finds_out_whether_a_request_may_be_made_twice(served: Server, start: Start, key: str | None) -> None:
    before, handled = _state(served)["items"], served.handled()
    run_id = start("error_injection", when="after", error_rate=1.0, first={"requests": 1})
    retries = urllib3.Retry(total=3, status_forcelist=[500], allowed_methods=None)
    headers = {"Idempotency-Key": uuid.uuid4().hex} if key else {}
    headers |= ACCEPT
    with urllib3.PoolManager(retries=retries, timeout=PATIENCE_SECONDS) as pool:
        answer = pool.request("POST", f"{served.url}/orders", json={"name": "pen"}, headers=headers)
    assert (answer.status, answer.json()) == (201, {"ordered": "yes"})
    assert served.handled() == handled + 2
    assert _state(served)["items"] == before + (1 if key else 2)
    until(lambda: _counters(served, run_id).get("injected_errors") == 1)


def test_the_answer_is_lost_with_its_headers(served: Server, start: Start) -> None:
    run_id = start("error_injection", when="after", error_rate=1.0, status_code=503, message="Lost")
    answer = served.call("GET", "/orders", None)
    assert (answer.status_code, answer.json()["error_message"]) == (503, "Lost")
    assert COOKIE not in str(answer.headers)
    assert answer.headers["X-Chaos-Run"] == run_id
    head = served.call("HEAD", "/orders", None)
    if served.operator != CHALICE:  # which has no route for it
        assert (head.status_code, head.content) == (503, b"")
    assert served.call("GET", f"{API}/list").json()["error"] is False


# Corrupted


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_gets_what_was_made_of_the_body(served: Server, start: Start, client: str) -> None:
    whole = served.call("GET", "/orders", None).content

    def got(path: str = "/orders", **parameters: Any) -> bytes:
        start("response_corruption", restart=True, **parameters)
        return CLIENTS[client](f"{served.url}{path}")

    truncated = got()
    assert whole.startswith(truncated)
    assert len(truncated) == len(whole) // 2
    assert got(mode="empty") == b""
    flipped = got(mode="bit_flip", percentage_of_body=20.0)
    assert 0 < sum(one != other for one, other in zip(flipped, whole, strict=True)) < len(whole) / 2
    malformed = got(mode="malformed_json")
    assert (_is_json(malformed), len(malformed)) == (False, len(whole))
    assert json.loads(got(mode="wrong_type"))["orders"]["0"] == {"id": "0", "name": 5, "sold": "true"}
    malformed = got("/zipped", mode="malformed_json")
    assert (_is_json(malformed), len(malformed)) == (False, len(TEXT))
    assert json.loads(got("/zipped", mode="wrong_type"))["orders"]["9"]["id"] == "9"
    assert served.call("GET", f"{API}/list").json()["error"] is False


@pytest.mark.parametrize("mode", ["truncate", "empty", "bit_flip", "malformed_json", "wrong_type"])
def test_a_wrong_length_is_an_answer_that_breaks_off(served: Server, start: Start, mode: str) -> None:
    start("response_corruption", mode=mode, content_length="wrong")
    for name in CLIENTS if mode == "truncate" else ("requests",):
        with pytest.raises(BROKEN_OFF):
            CLIENTS[name](f"{served.url}/orders")


def test_what_is_corrupted_is_counted_and_no_failure_of_the_application(served: Server, start: Start) -> None:
    run_id = start("response_corruption", mode="malformed_json")
    for path in ("/orders", "/large", "/orders"):  # the second one has no JSON
        served.call("GET", path, None)
    until(lambda: _counters(served, run_id).get("corrupted_answers") == 2)


# Streams


@pytest.mark.parametrize("mode", ["malformed_json", "wrong_type", "bit_flip"])
def test_a_stream_stays_a_stream(served: Server, start: Start, mode: str) -> None:
    if served.operator == CHALICE:
        pytest.skip("Chalice has no streams")
    start("response_corruption", mode=mode)
    start("slow_response", bytes_per_second=1e6)
    url = f"{served.url}/stream"
    with httpx2.stream("GET", url, timeout=PATIENCE_SECONDS) as answer:
        assert "content-length" not in answer.headers
        parts = answer.iter_raw()
        body = b""
        while len(body) < len(LINES[0]) and not body.endswith(b"\n"):  # whose bits may be flipped, too
            body += next(parts)
        assert _state(served)["closed"] >= 0
        served.call("GET", "/open", None)
        body += b"".join(parts)
    assert body != b"".join(LINES)
    assert len(body) == len(b"".join(LINES)) or mode == "wrong_type"


@pytest.mark.parametrize("experiment", ["response_corruption", "error_injection"])
def test_an_endless_stream_ends_and_the_application_is_told(served: Server, start: Start, experiment: str) -> None:
    if served.operator == CHALICE:
        pytest.skip("Chalice has no streams")
    closed = _state(served)["closed"]
    more: dict[str, Any] = {"when": "after", "error_rate": 1.0} if experiment == "error_injection" else {}
    start(experiment, **more)
    answer = served.call("GET", "/endless", None)
    assert answer.status_code == (500 if more else 200)
    assert len(answer.content) == len(LINES[0]) // 2 or more
    until(lambda: _state(served)["closed"] == closed + 1)


# Slow


def _timed(url: str) -> tuple[float, float]:
    """How long after its first byte the last one came, and how fast that was."""
    with httpx2.stream("GET", url, timeout=PATIENCE_SECONDS) as answer:
        parts = answer.iter_raw()
        size = len(next(parts))
        began = time.perf_counter()
        rest = sum(map(len, parts))
        seconds = time.perf_counter() - began
    assert size + rest == len(LARGE)
    return size, rest / seconds


def test_a_body_comes_at_the_rate(served: Server, start: Start) -> None:
    rate = 20_000
    run_id = start("slow_response", bytes_per_second=rate)
    if served.operator == CHALICE:
        began = time.perf_counter()
        assert served.call("GET", "/large", None).content == LARGE
        assert time.perf_counter() - began >= len(LARGE) / rate * 0.9
    else:
        rates: list[float] = []
        first = math.inf
        while not rates or ((rates[-1] < 0.9 * rate or first > rate * 0.1) and len(rates) < ATTEMPTS):
            first, measured = _timed(f"{served.url}/large")  # more at first where this process reads late
            rates.append(measured)
        assert first <= rate * 0.1
        print(f"{served.operator}: {rates} bytes per second of {rate}")
        assert rates[-1] <= 1.1 * rate
        assert rates[-1] >= 0.9 * rate
    # Only the pauses are counted, which are shorter where the process is late otherwise.
    until(lambda: _counters(served, run_id).get("injected_delay_seconds", 0.0) >= len(LARGE) / rate * 0.5)


def test_a_stop_sends_the_rest_at_once(served: Server, start: Start) -> None:
    if served.operator == CHALICE:
        pytest.skip("`chalice local` serves one request after the other")
    start("slow_response", bytes_per_second=200)
    with httpx2.stream("GET", f"{served.url}/large", timeout=PATIENCE_SECONDS) as answer:
        parts = answer.iter_raw()
        size = len(next(parts))
        served.call("POST", f"{API}/stop", json={"experiment_name": "slow_response"})
        began = time.perf_counter()
        size += sum(map(len, parts))
    seconds = time.perf_counter() - began
    print(f"{served.operator}: the rest {seconds:.2f} s after the stop")
    assert size == len(LARGE)
    assert seconds < 10  # of 100; how soon it is noticed, tests/injection/test_changes.py says


# A worker that serves one request at a time


def test_the_time_out_of_a_synchronous_worker_does_not_end_it(
    table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    own = {"CHAOS_APPLICATION": uuid.uuid4().hex[:8]}
    command: Command = lambda _folder, port: [  # noqa: E731 - as the others
        *(str(BIN / "gunicorn"), "--workers", "1", "--timeout", "3", "--bind", f"127.0.0.1:{port}", f"{FLASK}:make()")
    ]
    with serving(command, tmp_path_factory.mktemp("server"), **table, **own) as server:
        run_id = _start(server, "slow_response", bytes_per_second=100, duration_seconds=300)
        assert any(_outlives_a_slow_answer(server) for _ in range(ATTEMPTS))
        until(lambda: _counters(server, run_id).get("injected_delay_seconds", 0.0) >= 0.5)


def _outlives_a_slow_answer(server: Server) -> bool:
    """Whether the worker has sent it, which would take 200 s. It ends where the machine stands still for 0.5 s."""
    before = _state(server)["process"]
    try:
        answer = server.call("GET", "/large", None)
    except requests.RequestException:
        return False
    assert answer.content == LARGE
    return _state(server)["process"] == before
