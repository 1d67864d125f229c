"""Where a fault sits: in the route's place, within the host's own hooks, middleware, CORS and time-outs."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.contract.servers import REFRESH_SECONDS
from tests.hosts.serving import Host, Served, served
from tests.loopback import until

HOSTS = {
    "flask": Host("flask", "watched"),
    "fastapi": Host("fastapi", "watched"),
    "chalice": Host("chalice", "watched"),
    "chalice, the module first": Host("chalice", "watched_later"),
}
ORIGIN = "https://shop.example"
INJECTED = {
    "error": True,
    "error_message": "Chaos experiment: injected error",
    "code": "injected_error",
    "details": [],
    "resultset": {},
}
"""As docs/api.md has it."""

NO_ROUTE: dict[str, tuple[str, str, dict[str, str]]] = {
    "not found": ("GET", "/nothing", {}),
    "method not allowed": ("DELETE", "/orders/7", {}),
    "preflight": ("OPTIONS", "/orders/7", {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}),
    "refused": ("GET", "/orders/7", {"X-Refuse": "1"}),
}


@pytest.fixture(scope="module", params=HOSTS)
def of_the_host(
    request: pytest.FixtureRequest, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with served(HOSTS[request.param], tmp_path_factory.mktemp("place"), **table) as host:
        yield host


@pytest.fixture
def host(of_the_host: Served) -> Iterator[Served]:
    yield of_the_host
    of_the_host.reset()


def results(host: Served, experiment: str) -> dict[str, Any]:
    counted: dict[str, Any] = host.resultset("GET", "/status", params={"experiment_name": experiment})["results"]
    return counted


# An injected error


def test_an_injected_error_reaches_the_client_as_documented(host: Served) -> None:
    run = host.start("error_injection", error_rate=1.0)
    answer = host.own("GET", "/orders/7")
    assert (answer.status_code, answer.json()) == (500, INJECTED)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Chaos-Experiment"] == "error_injection"
    assert answer.headers["X-Chaos-Run"] == run["run_id"]
    assert len(answer.headers["X-Chaos-Environment"]) == 8
    assert "X-Own" not in answer.headers


def test_the_hosts_hooks_see_and_decorate_it(host: Served) -> None:
    host.start("error_injection", error_rate=1.0)
    answer = host.own("GET", "/orders/7", headers={"Origin": ORIGIN})
    assert answer.headers["X-After"] == "500"
    assert float(answer.headers["X-Took"]) >= 0  # what the hook before the route set up is there
    assert answer.headers["Access-Control-Allow-Origin"] in {"*", ORIGIN}


def test_it_is_returned_so_that_no_handler_of_exceptions_is_called(host: Served) -> None:
    host.start("error_injection", error_rate=1.0)
    for path in ["/orders/7"] if host.host.framework == "chalice" else ["/orders/7", "/broken"]:
        answer = host.own("GET", path)
        assert (answer.status_code, answer.json()["code"]) == (500, "injected_error")


# An injected delay


def test_the_hosts_metrics_see_a_delay(host: Served) -> None:
    host.start("latency_injection", delay_seconds=0.2)
    answer = host.own("GET", "/orders/7")
    assert (answer.status_code, answer.headers["X-Own"]) == (201, "1")
    assert float(answer.headers["X-Took"]) >= 0.2
    assert answer.headers["X-Chaos-Experiment"] == "latency_injection"


def test_the_hosts_time_out_ends_a_delay(host: Served) -> None:
    if host.host.framework != "fastapi":
        pytest.skip("in WSGI nothing ends a call from outside of it")
    host.start("latency_injection", delay_seconds=30)
    began = time.monotonic()
    answer = host.own("GET", "/orders/7", headers={"X-Time-Out": "0.2"})
    assert (answer.status_code, answer.text) == (504, "timed out")
    assert answer.headers["X-Chaos-Experiment"] == "latency_injection"
    assert time.monotonic() - began < 10
    host.stop("latency_injection")
    assert host.own("GET", "/orders/7").status_code == 201


def test_a_route_that_raises_is_handled_by_the_host_and_says_what_hit_it(host: Served) -> None:
    if host.host.framework == "chalice":
        pytest.skip("Chalice has no handlers of exceptions")
    run = host.start("latency_injection", delay_seconds=0.0)
    answer = host.own("GET", "/broken")
    assert (answer.status_code, answer.text) == (418, "handled OutOfStock")
    assert answer.headers["X-Chaos-Run"] == run["run_id"]


# What reaches no route


@pytest.mark.parametrize("name", NO_ROUTE)
def test_what_reaches_no_route_is_answered_as_before_and_not_hit(host: Served, name: str) -> None:
    method, path, headers = NO_ROUTE[name]
    before = host.own(method, path, headers=headers)
    host.start("error_injection", error_rate=1.0)
    answer = host.own(method, path, headers=headers)
    assert (answer.status_code, answer.content) == (before.status_code, before.content)
    assert not [header for header in answer.headers if header.lower().startswith("x-chaos")]


def test_what_reaches_no_route_is_not_counted(host: Served) -> None:
    host.start("latency_injection", delay_seconds=0.0)
    for method, path, headers in NO_ROUTE.values():
        host.own(method, path, headers=headers)
    assert host.own("GET", "/orders/7").status_code == 201
    until(lambda: results(host, "latency_injection").get("requests", 0) >= 1, seconds=10)
    time.sleep(2 * REFRESH_SECONDS)  # more would be flushed by then
    assert results(host, "latency_injection")["requests"] == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_what_reaches_a_route_is_counted(host: Served, method: str) -> None:
    host.start("latency_injection", delay_seconds=0.0)
    if method == "HEAD" and host.host.framework != "flask":
        pytest.skip("HEAD reaches no route here")
    path = "/orders" if method == "POST" else "/orders/7"
    answer = host.own(method, path, **({"json": {}} if method == "POST" else {}))
    assert answer.headers["X-Chaos-Experiment"] == "latency_injection"
    until(lambda: results(host, "latency_injection").get("requests") == 1, seconds=10)
