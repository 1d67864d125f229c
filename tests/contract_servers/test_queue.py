"""Untouched requests that queue for workers which injected delays occupy: what clients see, and what is measured."""

import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chalicelib.dynamodb.results import DynamoDBResultStore
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.results.tally import SideCounts
from chalicelib.settings import Settings
from tests.contract.servers import BIN, Server, serving
from tests.loopback import until

API = "/chaos_experiments"
HOST = Path(__file__).parent / "dying_host.py"
SECONDS = 10
PER_SECOND = 6
DELAY_SECONDS = 2.0


def two_sync_workers(folder: Path, port: int) -> list[str]:
    shutil.copy(HOST, folder / "app.py")
    return [str(BIN / "gunicorn"), "--workers", "2", "--worker-class", "sync", "--bind", f"127.0.0.1:{port}", "app:app"]


def ask(server: Server, moment: float) -> tuple[bool, float]:
    """Whether it was hit, and how long the client waited."""
    time.sleep(max(0.0, moment - time.time()))
    began = time.time()
    answer = server.call("GET", "/", headers={"X-Request-Start": f"t={began:.3f}"})
    return "X-Chaos-Run" in answer.headers, time.time() - began


def p95(seconds: list[float]) -> float:
    return sorted(seconds)[int(0.95 * len(seconds))]


def untouched(settings: Settings) -> SideCounts | None:
    run = DynamoDBRunStore(settings).last("latency_injection")
    assert run
    tally = DynamoDBResultStore(settings).results([run]).get(run.run_id)
    return tally and tally.side_counts("untouched", run, time.time())


@pytest.mark.parametrize(
    "trusted", [{}, {"CHAOS_TRUST_REQUEST_START": "true"}], ids=["by this process", "from X-Request-Start on"]
)
def test_a_queue_is_measured_or_known_to_be_left_out(
    settings: Settings, tmp_path: Path, trusted: Mapping[str, str]
) -> None:
    variables = {"AWS_ENDPOINT_URL_DYNAMODB": settings.endpoint_url or "", "CHAOS_TABLE": settings.table, **trusted}
    with serving(two_sync_workers, tmp_path, **variables) as server:
        body = {"experiment_name": "latency_injection", "delay_seconds": DELAY_SECONDS, "every": 5}
        body |= {"duration_seconds": 120, "hypothesis": {"p95_seconds": 1.0, "max_error_rate": 0.01}}
        assert server.call("POST", f"{API}/start", json=body).status_code == 200
        time.sleep(server.idle_seconds)
        start = time.time()
        moments = [start + number / PER_SECOND for number in range(SECONDS * PER_SECOND)]
        with ThreadPoolExecutor(len(moments)) as pool:
            answers = list(pool.map(lambda moment: ask(server, moment), moments))
        waited = [seconds for hit, seconds in answers if not hit]
        assert p95(waited) > 1.0  # so many delays occupy 1.2 times what there is
        until(lambda: (counts := untouched(settings)) is not None and counts.requests == len(waited))
        counts = untouched(settings)
    assert counts
    measured = counts.percentile(0.95)
    assert measured
    if trusted:
        assert not counts.times_leave_out_queue
        assert p95(waited) / 1.5 <= measured <= p95(waited) * 1.5
    else:
        assert counts.times_leave_out_queue
        assert measured < p95(waited)
