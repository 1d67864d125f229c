"""Services of three frameworks that call each other, as processes, each with a run of its own that travels."""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chalicelib.injection.propagation import Seal
from tests.contract.servers import HOSTS as OTHERS
from tests.contract.servers import SERVERS, Server, serving, settle
from tests.support import a_run

HOSTS = Path(__file__).parent / "hosts"
FILES = {"chalice local": "chalice_host.py", "flask, gunicorn": "flask_host.py", "fastapi, uvicorn": "fastapi_host.py"}
API = "/chaos_experiments"
KEY = "a key that only the three have"
REQUESTS = 200
OWN = "tenant=a%20b;since=1,user=ada"
"""A baggage of the application's."""


@pytest.fixture(scope="module")
def services(dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Server]]:
    """Each framework's, each with a scope of its own in one table."""
    shared = {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url,
        "CHAOS_TABLE": f"chain-{uuid.uuid4().hex[:8]}",
        "CHAOS_PROPAGATION_KEY": KEY,
        "CHAOS_MAX_STALENESS_SECONDS": "30",
    }
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                serving(
                    partial(command, host=HOSTS / FILES[name]),
                    tmp_path_factory.mktemp("service"),
                    CHAOS_APPLICATION=name,
                    **shared,
                )
            )
            for name, command in SERVERS.items()
        }


@pytest.fixture(autouse=True)
def nothing_runs(services: Mapping[str, Server]) -> Iterator[None]:
    yield
    for server in services.values():
        settle(server)


def start(*servers: Server, **more: Any) -> None:
    """A run in each, of which all of their processes know."""
    body = {
        "experiment_name": "latency_injection",
        "delay_seconds": 0.001,
        "duration_seconds": 300,
        "label": "chain",
        "propagate": True,
        **more,
    }
    for server in servers:
        answer = server.call("POST", f"{API}/start", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["resultset"]["propagate"] is body["propagate"]
    time.sleep(max(server.changed + server.idle_seconds - time.monotonic() for server in servers))


def ask(first: Server, *others: Server, baggage: str | None = None) -> tuple[list[bool], str | None]:
    """Who was hit, in the chain's order, and what came with the request that ended it. No answer has a baggage."""
    asked = {"then": [f"{server.url}/chain" for server in others]}
    answer = first.call("GET", "/chain", token=None, params=asked, headers={"baggage": baggage} if baggage else {})
    assert answer.status_code == 200, answer.text
    content = answer.json()
    answers = [answer.headers, *content["answers"]]
    names = [{name.lower() for name in each} for each in answers]
    assert not any("baggage" in each for each in names)
    assert "baggage" not in str(answers).lower()
    return ["x-chaos-run" in each for each in names], content["baggage"]


def test_all_services_hit_the_same_requests(services: Mapping[str, Server]) -> None:
    servers = list(services.values())
    start(*servers, percentage=50)
    seen = set()
    for number in range(REQUESTS):
        first = number % len(servers)
        hits, _ = ask(*servers[first:], *servers[:first])
        assert hits in ([True] * 3, [False] * 3), f"request {number} of {list(services)[first]}: {hits}"
        seen.add(hits[0])
    assert seen == {True, False}


def test_the_baggage_of_the_application_is_kept_and_has_one_verdict(services: Mapping[str, Server]) -> None:
    servers = list(services.values())
    start(*servers, percentage=50)
    _, baggage = ask(*servers, baggage=f"{OWN},chaos.chain=1.1.x.{'A' * 43}")
    assert baggage
    *own, verdict = baggage.split(",")
    assert ",".join(own) == OWN
    assert verdict.startswith("chaos.chain=")


def test_without_propagate_each_decides_for_itself_and_sends_nothing(services: Mapping[str, Server]) -> None:
    chalice, flask, fastapi = services.values()
    start(chalice, flask, percentage=100, propagate=False)
    assert ask(chalice, flask, fastapi, baggage=OWN) == ([True, True, False], OWN)


def verdict(*, is_hit: bool = False, key: str = KEY, label: str = "chain", age: float = 0.0) -> str:
    """As another service sends it."""
    sealed = Seal(key, lambda: time.time() - age).propagation(
        a_run("latency_injection", label=label, options={"propagate": True})
    )
    assert sealed
    return sealed.own(is_hit=is_hit, until=time.time() + 60)


def test_what_is_genuine_counts_and_nothing_else(services: Mapping[str, Server]) -> None:
    for server in services.values():
        start(server, percentage=100)
        assert ask(server, baggage=f"{OWN},{verdict()}")[0] == [False]
        assert ask(server)[0] == [True]
        genuine = verdict()
        for other in (
            verdict(key="a key of somebody else"),
            verdict(age=11),
            verdict(age=-3600),
            verdict(label="chain2"),
            genuine.replace("chain=0", "chain=1"),
            genuine[:-1],
            genuine + "A",
            "chaos.chain=0",
            "chaos.chain=" + "0" * 100,
            "chaos.chain",
            ",;=,,chaos.chain=;",
        ):
            assert ask(server, baggage=other)[0] == [True], other


def test_nothing_is_started_elsewhere(services: Mapping[str, Server]) -> None:
    chalice, flask, fastapi = services.values()
    start(chalice, fastapi, percentage=100)
    assert ask(chalice, flask, fastapi)[0] == [True, False, True]
    listed = flask.call("GET", f"{API}/list").json()["resultset"]
    assert listed["active_experiments"] == []


def test_a_service_without_a_key_refuses_and_says_what_to_set(dynamodb_url: str, tmp_path: Path) -> None:
    gunicorn = partial(SERVERS["flask, gunicorn"], host=OTHERS / "flask_host.py")
    table = f"keyless-{uuid.uuid4().hex[:8]}"
    with serving(gunicorn, tmp_path, AWS_ENDPOINT_URL_DYNAMODB=dynamodb_url, CHAOS_TABLE=table) as server:
        body = {"experiment_name": "latency_injection", "propagate": True}
        answer = server.call("POST", f"{API}/start", json=body)
        assert answer.status_code == 400
        assert "CHAOS_PROPAGATION_KEY is not set" in answer.json()["error_message"]
