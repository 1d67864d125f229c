"""`chaos-experiments serve`, as a process beside an application on gunicorn's synchronous workers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.cli.conftest import obeys_ctrl_c
from tests.contract.servers import BIN, HOSTS, PROJECT, TOKEN, Server, serving, variables
from tests.loopback import free_port, until

API = "/chaos_experiments"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
DELAY_SECONDS = 25.0
START = {"experiment_name": "latency_injection", "delay_seconds": DELAY_SECONDS, "duration_seconds": 60.0}
WORKERS = 2
OBEYED_SECONDS = 5.0
"""The promise is 1 s; the rest is for a busy machine. The delays alone would be 25 s each, one after another."""


def synchronous(folder: Path, port: int) -> list[str]:
    (folder / "app.py").write_text((HOSTS / "flask_host.py").read_text())
    gunicorn = [str(BIN / "gunicorn"), "--workers", str(WORKERS), "--timeout", "90", "--bind", f"127.0.0.1:{port}"]
    return [*gunicorn, "app:app"]


def serve(_folder: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "chalicelib", "serve", "--port", str(port)]


@pytest.fixture
def place(dynamodb_url: str, tmp_path: Path) -> dict[str, str]:
    """The table of both, and the refresh that is the default."""
    return {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url, "CHAOS_TABLE": tmp_path.name[:60], "CHAOS_REFRESH_SECONDS": "1"}


@pytest.fixture
def application(place: dict[str, str], tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "application"
    folder.mkdir()
    with serving(synchronous, folder, **place) as server:
        yield server


@pytest.fixture
def beside(place: dict[str, str], tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "beside"
    folder.mkdir()
    with serving(serve, folder, **place) as server:
        yield server


def resultset(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()["resultset"]
    return content


def test_a_halt_is_obeyed_at_once_by_workers_that_delays_saturate(application: Server, beside: Server) -> None:
    run = resultset(beside.call("POST", f"{API}/start", json=START))
    until(lambda: resultset(beside.call("GET", f"{API}/test"))["active_chaos_experiments"] == ["latency_injection"])
    with ThreadPoolExecutor(12) as pool:
        orders = [pool.submit(application.call, "GET", "/orders/1") for _ in range(12)]
        time.sleep(2)  # an idle worker may have known that nothing runs
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{application.url}{API}/list", headers=AUTHORIZED, timeout=1)
        before = time.monotonic()
        halted = resultset(beside.call("POST", f"{API}/halt", json={"reason": "they wait"}))
        answered = time.monotonic() - before
        statuses = {each.result().status_code for each in orders}
        obeyed = time.monotonic() - before
    print(f"halt answered after {answered:.2f} s, the last of 12 requests {obeyed:.2f} s after it was sent")
    assert (halted["ended_runs"], statuses) == ([run["run_id"]], {201})
    assert obeyed < OBEYED_SECONDS


def test_it_is_the_same_control_plane_and_serves_nothing_else(application: Server, beside: Server) -> None:
    listed = [resultset(each.call("GET", f"{API}/list")) for each in (application, beside)]
    ((warning,), none) = (each.pop("warnings") for each in listed)
    assert none == []
    assert warning.startswith("This process serves one request at a time")
    for each in listed:
        each["available_experiments"][2].pop("parameters")  # the memory that a process can spare changes
    assert listed[0] == listed[1]
    assert beside.call("GET", f"{API}/list", token="wrong").status_code == 401
    console = beside.call("GET", "/")
    assert (console.url, console.status_code) == (f"{beside.url}{API}/console", 200)
    assert beside.call("GET", "/orders/1").json()["code"] == "unknown_endpoint"
    assert beside.call("GET", f"{API}/nothing").json()["code"] == "unknown_endpoint"


def test_its_test_endpoint_says_that_nothing_is_injected_there(beside: Server) -> None:
    error = {"experiment_name": "error_injection", "error_rate": 1.0, "duration_seconds": 60.0}
    assert resultset(beside.call("POST", f"{API}/start", json=error))["status"] == "running"
    for method in ("GET", "POST"):
        tested = resultset(beside.call(method, f"{API}/test"))
        assert (tested["active_chaos_experiments"], tested["injected"]) == (["error_injection"], [])
        assert "serves no application" in tested["message"]
    assert beside.call("GET", "/", allow_redirects=False).status_code == 302


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_without_a_word(place: dict[str, str], tmp_path: Path, ended_by: signal.Signals) -> None:
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), **variables(**place)}
    command = serve(tmp_path, port)
    with subprocess.Popen(
        command,
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=obeys_ctrl_c,  # noqa: PLW1509 - as in a terminal
    ) as process:
        assert process.stdout
        printed = [process.stdout.readline() for _ in range(4)]
        until(lambda: requests.get(f"http://127.0.0.1:{port}{API}/test", timeout=60).status_code == 200)
        process.send_signal(ended_by)
        _, errors = process.communicate(timeout=60)
    assert printed == [
        f"Control plane of application app, stage dev, table {place['CHAOS_TABLE']}\n",
        f"Console: http://127.0.0.1:{port}{API}/console\n",
        f"Operator token: {TOKEN}\n",
        "Ctrl-C ends it.\n",
    ]
    assert (process.returncode, errors) == (0, "")
