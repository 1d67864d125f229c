"""The test endpoint applies the faults itself: also where the host lets nobody in who has not logged in."""

import time
from collections.abc import Iterator, Mapping

import pytest

from tests.hosts.configurations import HOSTS
from tests.hosts.serving import Served, served

CLOSED = ["flask, log-in", "fastapi, log-in", "fastapi, log-in middleware", "chalice, log-in"]
OTHERS = ["flask, plain", "fastapi, trio"]


@pytest.fixture(scope="module", params=CLOSED + OTHERS)
def of_the_host(
    request: pytest.FixtureRequest, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with served(HOSTS[request.param], tmp_path_factory.mktemp("test"), **table) as host:
        yield host


@pytest.fixture
def host(of_the_host: Served) -> Iterator[Served]:
    yield of_the_host
    of_the_host.reset()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_it_is_delayed_and_says_so(host: Served, method: str) -> None:
    run = host.start("latency_injection", delay_seconds=0.2)
    began = time.monotonic()
    answer = host.control(method, "/test", None)
    assert time.monotonic() - began >= 0.2
    assert answer.status_code == 200, answer.text
    assert answer.json()["resultset"]["injected"] == [
        {"experiment": "latency_injection", "run_id": run["run_id"], "fault": "wait", "seconds": 0.2}
    ]
    assert answer.headers["X-Chaos-Run"] == run["run_id"]


def test_it_fails_where_an_error_is_injected(host: Served) -> None:
    run = host.start("error_injection", error_rate=1.0)
    answer = host.control("GET", "/test", None)
    assert (answer.status_code, answer.json()["code"]) == (500, "injected_error")
    assert answer.headers["X-Chaos-Run"] == run["run_id"]
