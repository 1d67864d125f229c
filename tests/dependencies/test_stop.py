"""A stop is obeyed while the application's DynamoDB, which is the module's, too, has no DNS."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.contract.servers import SERVERS, Server, serving
from tests.loopback import until
from tests.stalls import Stalls

HOST = Path(__file__).parent / "hosts" / "flask_host.py"
API = "/chaos_experiments"
OBEYED_SECONDS = 1.0
CALLERS = 4
LOST = (503, "EndpointConnectionError")
"""What the application answers where its DynamoDB has no DNS."""


@pytest.fixture(scope="module")
def server(dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    command = partial(SERVERS["flask, gunicorn"], host=HOST)
    variables = {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url,
        "CHAOS_TABLE": f"stop-{uuid.uuid4().hex[:8]}",
        "CHAOS_REFRESH_SECONDS": "0.8",  # so that a busy machine has the time to read the table
        "CHAOS_MAX_STALENESS_SECONDS": "30",
    }
    with serving(command, tmp_path_factory.mktemp("service"), **variables) as server:
        yield server


@pytest.mark.parametrize("dependency", ["address", "dynamodb"])
def test_a_stop_is_obeyed_within_a_second(server: Server, dynamodb_url: str, dependency: str) -> None:
    named = dynamodb_url.removeprefix("http://") if dependency == "address" else dependency
    run = {
        "experiment_name": "dependency_failure",
        "dependency": named,
        "fault": "dns",
        "scope_of_calls": "process",
        "duration_seconds": 60,
    }
    assert server.call("POST", f"{API}/start", json=run).status_code == 200
    until(lambda: all(asked(server) == LOST for _ in range(8)))

    failed_last = 0.0
    is_over = False

    def keep_asking() -> None:
        nonlocal failed_last
        while not is_over:
            began = time.monotonic()
            answer = asked(server)
            assert answer in (LOST, (200, "")), answer
            if answer == LOST:
                failed_last = max(failed_last, began)

    with Stalls() as stalls, ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(keep_asking) for _ in range(CALLERS)]
        try:
            until(lambda: failed_last > 0)
            stopped = server.call("POST", f"{API}/stop", json={"experiment_name": run["experiment_name"]})
            obeyed_from = time.monotonic() + OBEYED_SECONDS
            assert stopped.status_code == 200, stopped.text
            time.sleep(2 * OBEYED_SECONDS)
        finally:
            is_over = True
        for each in callers:
            each.result()
    assert failed_last < obeyed_from + stalls.longest()
    assert asked(server) == (200, "")


def asked(server: Server) -> tuple[int, str]:
    answer = server.call("GET", "/tables", token=None)
    return answer.status_code, answer.text
