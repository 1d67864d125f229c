"""What a run did and what came of it, on each framework, as several processes on one table."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from chalicelib.dynamodb.results import DynamoDBResultStore
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.settings import Settings
from tests.contract.servers import SERVERS, Server, serving, stop_all
from tests.loopback import until

API = "/chaos_experiments"
REQUESTS = 240


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("results")
    table = f"results-{folder.name}-{request.param.split()[0].strip(',')}"
    with serving(SERVERS[request.param], folder, AWS_ENDPOINT_URL_DYNAMODB=dynamodb_url, CHAOS_TABLE=table) as server:
        yield server
        stop_all(server)


def test_what_the_clients_saw_is_what_the_results_tell_and_the_report_shows(server: Server) -> None:
    body = {
        "experiment_name": "latency_injection",
        "delay_seconds": 0.5,
        "percentage": 33.3,
        "duration_seconds": 120,
        "reason": "a slow stock",
        "hypothesis": {"p95_seconds": 1e-6, "max_error_rate": 0.0},  # no machine is as fast
    }
    started = server.call("POST", f"{API}/start", json=body)
    assert started.status_code == 200, started.text
    run_id = started.json()["resultset"]["run_id"]

    def ask(_number: int) -> requests.Response:
        return server.call("GET", "/orders/7")

    with ThreadPoolExecutor(8) as pool:
        every_environment_knows_by = time.monotonic() + server.idle_seconds
        answers: list[requests.Response] = []
        until(lambda: answers.extend(pool.map(ask, range(8))) or time.monotonic() > every_environment_knows_by)
        answers += pool.map(ask, range(REQUESTS))
    hit = sum(answer.headers.get("X-Chaos-Run") == run_id for answer in answers)

    def told() -> dict[str, Any]:
        run = server.call("GET", f"{API}/status", params={"experiment_name": "latency_injection"}).json()["resultset"]
        told: dict[str, Any] = run["results"]
        return told

    results: dict[str, Any] = {}

    def counted() -> bool:
        results.update(told())
        return results.get("requests_hit") == hit and results["requests"] >= REQUESTS

    until(counted, shown=lambda: f"{hit} of {len(answers)} were hit; {results}")
    assert results["requests"] == results["requests_hit"] + results["requests_untouched"]
    buckets = results["distribution"]
    assert min(each["up_to_seconds"] for each in buckets if each["hit"]) > 0.5
    assert server.call("POST", f"{API}/stop", json={"experiment_name": "latency_injection"}).status_code == 200

    report = server.call("GET", f"{API}/report", params={"run_id": run_id, "format": "html"})
    assert report.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "The hypothesis failed" in report.text
    assert "untouched requests took longer than 1e-06 s" in report.text
    assert server.call("GET", f"{API}/report", params={"run_id": run_id}, token=None).status_code in (401, 403)

    def kept() -> dict[str, Any]:
        (entry,) = server.call("GET", f"{API}/history", params={"limit": 1}).json()["resultset"]["entries"]
        run: dict[str, Any] = entry["run"]
        return run

    until(lambda: bool(kept()["results"].get("requests", 0) == told().get("requests")))  # what is told last comes later
    assert kept()["results"]["requests"] >= results["requests"]
    assert kept()["hypothesis"]["verdict"] == "failed"


@pytest.mark.parametrize("framework", ["flask, gunicorn", "fastapi, uvicorn"])
def test_a_server_that_goes_down_tells_what_it_still_has(framework: str, settings: Settings, tmp_path: Path) -> None:
    variables = {
        "AWS_ENDPOINT_URL_DYNAMODB": settings.endpoint_url or "",
        "CHAOS_TABLE": settings.table,
        "CHAOS_REFRESH_SECONDS": "60",  # so that none tells before
        "CHAOS_MAX_STALENESS_SECONDS": "60",
    }
    with serving(SERVERS[framework], tmp_path, **variables) as server:
        body = {"experiment_name": "latency_injection", "delay_seconds": 0, "duration_seconds": 600}
        assert server.call("POST", f"{API}/start", json=body).status_code == 200
        time.sleep(server.idle_seconds)
        hit = sum("X-Chaos-Run" in server.call("GET", "/orders/7").headers for _ in range(30))
        server.terminate()
    run = DynamoDBRunStore(settings).last("latency_injection")
    assert run
    assert DynamoDBResultStore(settings).results([run])[run.run_id].get("requests") == hit == 30
