"""Requests whose worker dies: gunicorn's sync workers, ended by their time-out and by SIGKILL."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from chalicelib.dynamodb.results import DynamoDBResultStore
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.results.recorder import LIFE_INTERVALS
from chalicelib.results.tally import SideCounts
from chalicelib.settings import Settings
from tests.contract.servers import BIN, PROJECT, Server, serving, variables
from tests.loopback import until
from tests.support import a_run

API = "/chaos_experiments"
HOST = Path(__file__).parent / "dying_host.py"
ANSWERED = 60
DYING = ["/hangs", "/blocked", "/killed", "/hangs"]


def two_sync_workers(folder: Path, port: int) -> list[str]:
    shutil.copy(HOST, folder / "app.py")
    return [
        *(str(BIN / "gunicorn"), "--workers", "2", "--timeout", "10", "--worker-class", "sync"),
        *("--bind", f"127.0.0.1:{port}", "app:app"),
    ]


@pytest.fixture
def server(settings: Settings, tmp_path: Path) -> Iterator[Server]:
    variables = {
        "AWS_ENDPOINT_URL_DYNAMODB": settings.endpoint_url or "",
        "CHAOS_TABLE": settings.table,
        "KILLED_AFTER_SECONDS": "5",
    }
    with serving(two_sync_workers, tmp_path, **variables) as server:
        yield server


def counted(settings: Settings) -> list[SideCounts]:
    """Both sides, when the workers that are gone can no more be alive."""
    run = DynamoDBRunStore(settings).last("latency_injection")
    assert run
    tally = DynamoDBResultStore(settings).results([run]).get(run.run_id)
    now = time.time() + LIFE_INTERVALS + 1
    return [tally.side_counts(side, run, now) for side in ("untouched", "hit")] if tally else []  # type: ignore[arg-type]


def test_each_request_whose_worker_died_is_a_failure(server: Server, settings: Settings) -> None:
    body = {"experiment_name": "latency_injection", "delay_seconds": 0, "percentage": 30, "duration_seconds": 120}
    body["hypothesis"] = {"max_error_rate": 0.01}
    assert server.call("POST", f"{API}/start", json=body).status_code == 200
    time.sleep(server.idle_seconds)

    def is_answered(path: str) -> bool:
        try:
            return server.call("GET", path).status_code == 200
        except requests.ConnectionError:
            return False

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(is_answered, ["/"] * ANSWERED))
        assert not any(pool.map(is_answered, DYING))
        assert all(pool.map(is_answered, ["/"] * ANSWERED))
    until(lambda: sum(side.requests for side in counted(settings)) >= 2 * ANSWERED + len(DYING))
    sides = counted(settings)
    assert sum(side.died for side in sides) == sum(side.errors for side in sides) == len(DYING)
    assert sum(side.requests for side in sides) == 2 * ANSWERED + len(DYING)
    assert sum(side.open for side in sides) == 0


INVOCATION = """
import os, time
from types import SimpleNamespace
from chalice.app import Chalice
from chalicelib.frameworks.chalice import ChaosExperiments
from tests.frameworks.test_arrival import rest_event

app = Chalice("shop", configure_logs=False)
app.route("/orders")(lambda: os._exit(1) if os.environ["DIES"] == "1" else {})
ChaosExperiments(app)
deadline = time.time() + 30
app(rest_event(), SimpleNamespace(get_remaining_time_in_millis=lambda: (deadline - time.time()) * 1000))
"""


@pytest.mark.parametrize("dies", [False, True])
def test_an_invocation_that_is_killed_has_died_when_its_time_is_over(settings: Settings, *, dies: bool) -> None:
    run = a_run("error_injection", now=time.time(), error_rate=0.0, duration_seconds=600.0)
    assert DynamoDBRunStore(settings).start([run], now=run.started_at) is None
    environment = variables(
        AWS_ENDPOINT_URL_DYNAMODB=settings.endpoint_url or "",
        CHAOS_TABLE=settings.table,
        AWS_LAMBDA_FUNCTION_NAME="shop",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_ACCESS_KEY="local",
        PYTHONPATH=str(PROJECT),
        DIES=str(int(dies)),
    )
    ended = subprocess.run([sys.executable, "-c", INVOCATION], env={**os.environ, **environment}, check=False)
    assert ended.returncode == int(dies)
    tally = DynamoDBResultStore(settings).results([run])[run.run_id]
    now = tally.side_counts("untouched", run, time.time())
    later = tally.side_counts("untouched", run, time.time() + 32)
    assert (now.open, now.died, now.requests) == (int(dies), 0, int(not dies))
    assert (later.open, later.died, later.requests, later.errors) == (0, int(dies), 1, int(dies))
