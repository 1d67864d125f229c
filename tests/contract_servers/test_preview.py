"""What a preview says of a request is what then happens to it, on each framework's server.

`--cases 2000` generates as many requests, eight for each generated start.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.servers import SERVERS, Server, serving, stop_all

API = "/chaos_experiments"
HOSTS = Path(__file__).parent / "any_route"
FILES = {"chalice local": "chalice_host.py", "flask, gunicorn": "flask_host.py", "fastapi, uvicorn": "fastapi_host.py"}
REQUESTS_OF_A_START = 8
LEAST_SHARE = 0.1
"""Of hits, and of misses: a property of which one side is rare shows little."""

Case = dict[str, Any]

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
PATHS = ["/orders", "/orders/1", "/orders/1/", "/orders/1/items", "/orders/1/items/2", "/orders/closed", "/carts/1"]
PATHS += ["/orders/a b", "/orders/é%", "/orders/1", "/carts/closed/1", "/carts/1/items", "/carts/closed"]
PATTERNS = [
    ["/orders/*"],
    ["/orders/1", "/carts/*"],
    ["/orders/*/items", "/carts/1"],
    ["/carts/*", "/orders"],
    ["/orders/a b", "/orders"],
]
PATTERNS += [["/*"], ["/orders/*/items/*"], ["/orders/é%"]]
TENANTS = ["acme", "Acme", "acme-2", "globex", "", "blank within"]
CONDITIONS = ["acme", {"equals": "globex"}, {"prefix": "acme"}, {"glob": "*m*"}, {"exists": True}, {"exists": False}]
CONDITIONS += [["globex", {"prefix": "blank"}], {"glob": "a*e"}]
KEYS = [f"user-{number}" for number in range(12)]


def a_target(random: Random) -> Case:
    """At least one criterion, seldom more than two: so that requests match often enough, and not always."""
    criteria: dict[str, Callable[[], Any]] = {
        "methods": lambda: random.sample(METHODS, 3),
        "paths": lambda: random.choice(PATTERNS),
        "headers": lambda: {random.choice(["x-tenant", "X-Tenant"]): random.choice(CONDITIONS)},
        "query": lambda: {"debug": random.choice(CONDITIONS)},
        "environments_percentage": lambda: 100.0,
        "functions": lambda: ["billing-*"],
    }
    names = random.choices([*criteria], [5, 8, 6, 5, 1, 0.2], k=random.choice([1, 1, 1, 2]))
    return {name: criteria[name]() for name in names}


def a_start(random: Random) -> Case:
    """One that leaves nothing to chance. It replaces the one before."""
    start: Case = {"experiment_name": "error_injection", "error_rate": 1.0, "duration_seconds": 120, "restart": True}
    if random.random() < 0.8:
        start["target"] = a_target(random)
    if "target" not in start or random.random() < 0.2:
        start["sticky"] = random.choice([{"header": "X-User-Id"}, {"query": "user"}])
        start["percentage"] = random.choice([50.0, 70.0, 100.0])
        start["error_rate"] = random.choice([0.5, 1.0, 1.0])
        start |= random.choice([{}, {"seed": f"seed {random.randrange(9)}"}])
    if random.random() < 0.15:
        start["first"] = {"requests": 1000, "key": random.choice([{"header": "x-user-id"}, {"query": "user"}])}
    return {**start, "dry_run": random.random() < 0.15}


def a_request(random: Random) -> Case:
    headers = {"X-Tenant": random.choice(TENANTS)} if random.random() < 0.7 else {}
    query = {"debug": random.choices(TENANTS, k=random.choice([1, 2]))} if random.random() < 0.7 else {}
    keyed = {random.choice(["x-user-id", "X-User-Id"]): random.choice(KEYS)} if random.random() < 0.9 else {}
    named = {"user": random.choice(KEYS)} if random.random() < 0.9 else {}
    return {
        "method": random.choice(METHODS),
        "path": random.choice(PATHS),
        "headers": {**headers, **keyed},
        "query": {**query, **named},
    }


@pytest.fixture(scope="module")
def servers(dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """Each answers all paths and methods, and has a table of its own."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                serving(
                    partial(command, host=HOSTS / FILES[name]),  # type: ignore[call-arg]
                    tmp_path_factory.mktemp("server"),
                    AWS_ENDPOINT_URL_DYNAMODB=dynamodb_url,
                    CHAOS_TABLE=f"preview-{uuid.uuid4().hex[:8]}",
                )
            )
            for name, command in SERVERS.items()
        }


def resultset(server: Server, path: str, body: Case) -> Case:
    answer = server.call("POST", API + path, json=body)
    assert answer.status_code == 200, (body, answer.text)
    content: Case = answer.json()["resultset"]
    return content


def is_hit(server: Server, request: Case, run_id: str) -> bool:
    answer = server.call(
        request["method"], quote(request["path"]), None, headers=request["headers"], params=request["query"]
    )
    assert answer.status_code == 200 or answer.json()["code"] == "injected_error", answer.text
    hit, would_be = answer.headers.get("X-Chaos-Run"), answer.headers.get("X-Chaos-Dry-Run")
    assert hit in (None, run_id)
    assert not (hit and would_be)
    return bool(hit or would_be)


def check(server: Server, start: Case, requests: list[Case]) -> Iterator[bool]:
    """Of each request, whether it was hit, as was said of it: by turns of the run, and of its start."""
    run_id = resultset(server, "/start", start)["run_id"]
    time.sleep(server.idle_seconds)
    has_verdict = "sticky" not in start or "seed" in start
    for number, described in enumerate(requests):
        body = start if number % 2 and has_verdict else {"run_id": run_id}
        previewed = resultset(server, "/preview", {**body, "request": {**described, "function": ""}})
        hit = is_hit(server, described, run_id)
        assert (previewed["would_hit"], previewed["refused"]) == (hit, []), (start, described, previewed)
        is_certain = body is start or "first" not in start or not hit  # what is left of a run's first ones is not read
        assert isinstance(previewed["would_hit"], bool) is is_certain
        assert previewed["dry_run"] is start["dry_run"]
        yield hit


@pytest.mark.timeout(1800)  # for as many cases as one likes
@pytest.mark.parametrize("name", SERVERS)
def test_a_preview_agrees_with_what_then_happens(
    servers: dict[str, Server], name: str, pytestconfig: pytest.Config, tell: Callable[[str], None]
) -> None:
    random = Random(name)  # noqa: S311 - so that a failure can be repeated
    server = servers[name]
    wanted = -(-int(pytestconfig.getoption("--cases")) // len(SERVERS))
    hits: list[bool] = []
    while len(hits) < wanted:
        hits += check(server, a_start(random), [a_request(random) for _ in range(REQUESTS_OF_A_START)])
    stop_all(server)
    tell(f"{len(hits)} requests, {sum(hits)} hit")
    assert LEAST_SHARE * len(hits) < sum(hits) < (1 - LEAST_SHARE) * len(hits)
