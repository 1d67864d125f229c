"""Exactly so many hits, by eight processes of all three frameworks: `max_requests`, and `first` of each key."""

import random
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from urllib3.util.retry import Retry

from tests.contract.servers import IDLE_SECONDS, Server, settle
from tests.contract_servers.fleet import Fleet, a_fleet
from tests.loopback import until

LATENCY: dict[str, Any] = {"experiment_name": "latency_injection", "delay_seconds": 0.0, "duration_seconds": 300.0}
KEY = {"header": "x-order-id"}
ATTEMPTS = 3


@pytest.fixture(scope="module")
def fleet(dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    table = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url, "CHAOS_TABLE": f"fleet-{uuid.uuid4().hex[:8]}"}
    with a_fleet(lambda: tmp_path_factory.mktemp("fleet"), **table) as fleet:
        yield fleet


@pytest.fixture
def rounds(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--rounds"))


def start(fleet: Fleet, **options: Any) -> str:
    run_id: str = fleet.call("POST", "/start", json={**LATENCY, **options, "restart": True})["run_id"]
    time.sleep(IDLE_SECONDS)
    return run_id


def test_of_3000_requests_at_once_100_are_hit_and_never_more(
    fleet: Fleet, rounds: int, tell: Callable[[str], None]
) -> None:
    for _ in range(rounds):
        tell(hit_100(fleet))


def hit_100(fleet: Fleet) -> str:
    """How many were hit, and how long it took."""
    run_id = start(fleet, max_requests=100)
    began = time.monotonic()
    hit = fleet.hits({} for _ in range(3000))
    seconds = time.monotonic() - began
    assert 95 <= hit <= 100, fleet.warnings()
    if hit == 100:
        until(lambda: ended(fleet) == (run_id, "max_requests: 100 calls were hit"))
    assert fleet.hits({} for _ in range(50)) <= 100 - hit
    return f"{hit} hits, {seconds:.1f} s"


def ended(fleet: Fleet) -> tuple[str, str | None]:
    run = fleet.call("GET", "/status?experiment_name=latency_injection")
    return run["run_id"], run["end_reason"]


def test_of_each_key_exactly_the_first_two_are_hit(
    fleet: Fleet, pytestconfig: pytest.Config, tell: Callable[[str], None]
) -> None:
    keys = pytestconfig.getoption("--cases")
    chance = random.Random(15)  # noqa: S311 - not for secrets
    start(fleet, first={"requests": 2, "key": KEY})
    fleet.wait_until_known("latency_injection")  # what comes while a process first reads the run passes
    asked = [{"x-order-id": f"order-{number}"} for number in range(keys) for _ in range(5)]
    chance.shuffle(asked)
    began = time.monotonic()
    hit = fleet.hits(asked)
    tell(f"{hit} hits of {keys} keys, {time.monotonic() - began:.1f} s")
    assert hit == 2 * keys, fleet.warnings()


def test_a_client_with_three_attempts_succeeds_with_the_third(fleet: Fleet) -> None:
    settle(fleet.servers[0])
    errors: dict[str, Any] = {"experiment_name": "error_injection", "error_rate": 1.0, "duration_seconds": 300.0}
    fleet.call("POST", "/start", json={**errors, "first": {"requests": ATTEMPTS - 1, "key": KEY}})
    time.sleep(IDLE_SECONDS)
    for server in fleet.servers:
        retries = order(server)
        assert [attempt.status for attempt in retries.history] == [500] * (ATTEMPTS - 1)
        assert not order(server, "the same").history or server is fleet.servers[0]
    fleet.call("POST", "/stop", json={"experiment_name": "error_injection"})


def order(server: Server, name: str = "") -> Retry:
    """How a client of urllib3, through `requests`, comes to its answer 201."""
    retry = Retry(ATTEMPTS - 1, status_forcelist=[500], backoff_factor=0.01)
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        answer = session.get(f"{server.url}/orders/7", headers={"x-order-id": name or server.url}, timeout=60)
    assert (answer.status_code, "X-Chaos-Run" in answer.headers) == (201, False)
    came: Retry = answer.raw.retries
    return came
