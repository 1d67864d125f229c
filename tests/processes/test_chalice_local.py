"""The application as a developer runs it: real processes, real HTTP, a real wire to the table."""

import json
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests

from chalicelib.settings import Settings
from tests.processes.servers import Server, chalice_local
from tests.tools import needed

START, STOP, STATUS, TEST = (f"/chaos_experiments/{word}" for word in ("start", "stop", "status", "test"))
LATENCY = "latency_injection"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    own = uuid.uuid4().hex[:8]  # the application that somebody has running in this folder is left alone
    folder = tmp_path_factory.mktemp("server")
    with chalice_local(folder, "--no-autoreload", CHAOS_APPLICATION=own) as started:
        yield started


@pytest.fixture
def two_servers(settings: Settings, tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    shared = {"AWS_ENDPOINT_URL_DYNAMODB": settings.endpoint_url or "", "CHAOS_TABLE": settings.table}
    with chalice_local(tmp_path, "--no-autoreload", **shared) as one:  # noqa: SIM117 - one after the other
        with chalice_local(tmp_path, "--no-autoreload", **shared) as other:
            yield one, other


def seconds_until(condition: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 30, "it never happened"
        time.sleep(0.05)
    return time.monotonic() - began


def is_hit(server: Server) -> bool:
    return "X-Chaos-Experiment" in server.get("/").headers


def test_the_three_lines_of_the_banner_work_as_printed_twice_in_a_row(server: Server) -> None:
    bash = needed("bash")
    needed("curl")
    lines = [line for line in server.log.read_text().splitlines() if line.strip().startswith("curl")]
    assert len(lines) == 3
    for _ in range(2):
        start, feel, stop = (
            subprocess.run([bash, "-c", f"{line} --silent"], capture_output=True, text=True, check=True).stdout
            for line in lines
        )
        assert json.loads(start)["resultset"]["status"] == "running"
        assert re.search(r"(?i)x-chaos-experiment: latency_injection", feel)
        assert json.loads(stop)["resultset"]["status"] == "stopped"


def test_the_gateway_asks_for_a_token_and_refuses_an_unknown_one(server: Server) -> None:
    assert requests.get(f"{server.url}/chaos_experiments/list", timeout=60).status_code == 401
    refused = requests.get(f"{server.url}/chaos_experiments/list", headers={"Authorization": "Bearer x"}, timeout=60)
    assert refused.status_code == 403


def test_what_is_no_json_is_refused_in_the_envelope(server: Server) -> None:
    answer = requests.post(
        server.url + START, data=b"\xff" * 10, headers={"Authorization": "Bearer a-token-for-tests"}, timeout=60
    )
    assert (answer.status_code, answer.json()["code"]) in {(400, "invalid_json"), (415, "unsupported_media_type")}
    too_large = server.post(START, experiment_name="x" * 2_000_000)
    assert (too_large.status_code, too_large.json()["code"]) == (413, "body_too_large")


def test_all_three_experiments_together(server: Server) -> None:
    assert server.post(START, experiment_name="resource_exhaustion", memory_mb=20).status_code == 200
    assert server.post(START, experiment_name=LATENCY, delay_seconds=0.2).status_code == 200
    assert server.post(START, experiment_name="error_injection", error_rate=1.0).status_code == 200
    began = time.monotonic()
    answer = server.get(TEST)
    assert time.monotonic() - began >= 0.2
    assert answer.status_code == 500
    assert answer.json()["error_message"] == "Chaos experiment: injected error"
    assert answer.headers["X-Chaos-Experiment"] == "resource_exhaustion, latency_injection, error_injection"
    for name in ("resource_exhaustion", LATENCY, "error_injection"):
        assert server.post(STOP, experiment_name=name).status_code == 200
    quiet = requests.post(server.url + TEST, timeout=60)
    assert quiet.status_code == 200
    assert quiet.json()["resultset"]["active_chaos_experiments"] == []


@pytest.mark.parametrize("way", ["stop", "end"])
def test_memory_is_resident_and_goes_back_without_a_further_request(server: Server, way: str) -> None:
    def resident_mb() -> float:
        return psutil.Process(server.process.pid).memory_info().rss / 2**20

    before = resident_mb()
    duration = 600.0 if way == "stop" else 6.0
    server.post(START, experiment_name="resource_exhaustion", memory_mb=200, duration_seconds=duration)
    assert server.get(TEST).json()["resultset"]["injected"][0]["memory_mb"] == 200
    assert resident_mb() - before > 190
    if way == "stop":
        server.post(STOP, experiment_name="resource_exhaustion")
    print(f"given back after {seconds_until(lambda: resident_mb() - before < 20):.2f} s")


def test_two_processes_agree(two_servers: tuple[Server, Server]) -> None:
    one, other = two_servers
    run = one.post(START, experiment_name=LATENCY, delay_seconds=0.01, duration_seconds=600.0).json()["resultset"]
    print(f"felt after {seconds_until(lambda: is_hit(other)):.2f} s")
    assert other.get(f"{STATUS}?experiment_name={LATENCY}").json()["resultset"]["run_id"] == run["run_id"]
    assert other.post(START, experiment_name=LATENCY).status_code == 409
    assert other.post(STOP, experiment_name=LATENCY).status_code == 200
    print(f"obeyed after {seconds_until(lambda: not is_hit(one)):.2f} s")


def test_a_killed_process_loses_nothing(two_servers: tuple[Server, Server]) -> None:
    one, other = two_servers
    run = one.post(START, experiment_name=LATENCY, delay_seconds=0.01, duration_seconds=600.0).json()["resultset"]
    one.kill()
    seconds_until(lambda: is_hit(other))
    status = other.get(f"{STATUS}?experiment_name={LATENCY}").json()["resultset"]
    assert (status["run_id"], status["status"]) == (run["run_id"], "running")


def test_of_fifty_concurrent_starts_and_stops_over_http_one_each_wins(two_servers: tuple[Server, Server]) -> None:
    def ask(number: int, path: str) -> int:
        server = two_servers[number % 2]
        while True:
            try:
                return server.post(path, experiment_name=LATENCY).status_code
            except requests.ConnectionError:  # the development server's backlog is 5: the request was not served
                time.sleep(0.05)

    for path, refused in ((START, 409), (STOP, 404)):
        with ThreadPoolExecutor(10) as pool:
            codes = list(pool.map(lambda number, path=path: ask(number, path), range(50)))
        assert sorted(codes) == [200, *[refused] * 49]
