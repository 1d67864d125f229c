"""The module in an application, and again in one mounted inside of it: one request, one injection, one count."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.servers import IDLE_SECONDS, REFRESH_SECONDS
from tests.hosts.serving import API, Host, Served, served
from tests.loopback import until

CHAINS = {
    "flask in flask": Host("flask", "module_twice"),
    "fastapi in fastapi": Host("fastapi", "module_twice"),
    "flask in fastapi": Host("fastapi", "module_twice_in_two_frameworks"),
}
DELAY_SECONDS = 2.0
REQUESTS = 6


@pytest.fixture(scope="module", params=CHAINS)
def of_the_host(
    request: pytest.FixtureRequest, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with served(CHAINS[request.param], tmp_path_factory.mktemp("chain"), **table) as host:
        yield host


@pytest.fixture
def host(of_the_host: Served) -> Iterator[Served]:
    yield of_the_host
    of_the_host.reset()
    time.sleep(REFRESH_SECONDS)  # the inner module has read it by then


@pytest.fixture(params=["", "/inner"], ids=["outer", "inner"])
def plane(request: pytest.FixtureRequest, host: Served) -> Served:
    """By the control plane of either of them."""
    return replace(host, server=replace(host.server, url=host.server.url + request.param))


def started(plane: Served, experiment: str, **parameters: Any) -> dict[str, Any]:
    """And known to both modules of the process."""
    run = plane.start(experiment, **parameters)
    time.sleep(IDLE_SECONDS)
    return run


def delayed(host: Served) -> float:
    status = host.resultset("GET", "/status", params={"experiment_name": "latency_injection"})
    seconds: float = status["results"].get("injected_delay_seconds", 0.0)
    return seconds


@pytest.mark.parametrize("path", ["/orders/7", "/inner/orders/7"])
def test_a_request_is_delayed_once(plane: Served, host: Served, path: str) -> None:
    run = started(plane, "latency_injection", delay_seconds=DELAY_SECONDS)
    began = time.monotonic()
    answer = host.own("GET", path)
    assert time.monotonic() - began >= DELAY_SECONDS
    until(lambda: delayed(host) > 0, seconds=10)
    time.sleep(3 * REFRESH_SECONDS)  # what is counted twice, by another module, is flushed by then
    assert delayed(host) == DELAY_SECONDS
    assert (answer.status_code, answer.headers["X-Chaos-Run"]) == (201, run["run_id"])
    assert len(answer.headers["X-Chaos-Environment"]) == 8


@pytest.mark.parametrize("path", ["/orders/7", "/inner/orders/7"])
@pytest.mark.parametrize(("percentage", "side"), [(100, "requests_hit"), (0.000001, "requests_untouched")])
def test_a_request_is_counted_once(host: Served, path: str, percentage: float, side: str) -> None:
    run = started(host, "latency_injection", delay_seconds=0.0, percentage=percentage)
    for _ in range(REQUESTS):
        assert host.own("GET", path).status_code == 201

    def results() -> dict[str, Any]:
        status = host.resultset("GET", "/status", params={"experiment_name": "latency_injection"})
        assert status["run_id"] == run["run_id"]
        counted: dict[str, Any] = status["results"]
        return counted

    until(lambda: results().get("requests", 0) >= REQUESTS, seconds=10)
    time.sleep(3 * REFRESH_SECONDS)  # what is counted twice, by another module, is flushed by then
    assert (results()["requests"], results()[side]) == (REQUESTS, REQUESTS)


@pytest.mark.parametrize("path", ["", "/inner"])
def test_neither_control_plane_is_hit(host: Served, path: str) -> None:
    started(host, "error_injection", error_rate=1.0)
    answer = host.server.call("GET", f"{path}{API}/list")
    assert answer.status_code == 200, answer.text
    assert "X-Chaos-Run" not in answer.headers
    hit = host.own("GET", f"{path}/orders/7")
    assert (hit.status_code, hit.json()["code"]) == (500, "injected_error")


def test_the_test_endpoint_of_either_applies_a_fault_once(plane: Served) -> None:
    started(plane, "latency_injection", delay_seconds=DELAY_SECONDS)
    began = time.monotonic()
    resultset = plane.resultset("GET", "/test")
    assert time.monotonic() - began >= DELAY_SECONDS
    assert [each["seconds"] for each in resultset["injected"]] == [DELAY_SECONDS]
