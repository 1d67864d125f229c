"""Processes that a run crashes: as many as it says, those that a server starts anew go on, and an answer is whole."""

import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from chalicelib.settings import Settings
from tests.contract.servers import BIN, Command, Server, chalice_local, serving
from tests.loopback import PATIENCE_SECONDS, until

HOSTS = Path(__file__).parent / "hosts"
CLIENTS = 8
BYTES = 300_000
CODE = 7
LISTED = "/chaos_experiments/list"


def program(host: str, *command: str) -> Command:
    """A command line: `{port}` stands for the port."""

    def made(folder: Path, port: int) -> list[str]:
        shutil.copy(HOSTS / f"crashing_{host}.py", folder / "app.py")
        return [str(BIN / command[0]), *(part.replace("{port}", str(port)) for part in command[1:])]

    return made


def gunicorn(*options: str) -> Command:
    return program("flask", "gunicorn", "--bind", "127.0.0.1:{port}", *options, "app:app")


def uvicorn(*options: str) -> Command:
    return program("fastapi", "uvicorn", "--port", "{port}", "--log-level", "warning", *options, "app:app")


def chalice(folder: Path, port: int) -> list[str]:
    return chalice_local(folder, port, host=HOSTS / "crashing_chalice.py")


FLEETS: dict[str, tuple[Command, int]] = {
    "gunicorn": (gunicorn("--workers", "4"), 4),
    "gunicorn, many": (gunicorn("--workers", "8"), 8),
    "gunicorn, threads": (gunicorn("--workers", "2", "--threads", "4"), 2),
    "uvicorn": (uvicorn("--workers", "2"), 2),
}
"""With how many processes that are started anew."""

ALONE: dict[str, Command] = {
    "flask run": program("flask", "flask", "run", "--port", "{port}"),
    "waitress": program("flask", "waitress-serve", "--listen", "127.0.0.1:{port}", "app:app"),
    "uvicorn": uvicorn(),
    "chalice local": chalice,
}
"""Of one process, with which the server ends."""

SUPERVISED: dict[str, Command] = {
    "gunicorn": gunicorn("--workers", "1"),
    "gunicorn, threads": gunicorn("--workers", "1", "--threads", "4"),
    "gunicorn, gevent": gunicorn("--workers", "1", "--worker-class", "gevent"),
}


@dataclass
class Host:
    server: Server
    born: Path

    def births(self) -> int:
        return len(self.born.read_text().split())

    run_id: str = ""

    def start(self, **parameters: Any) -> None:
        body = {"experiment_name": "process_crash", "duration_seconds": 120, **parameters}
        started = self.server.call("POST", "/chaos_experiments/start", json=body)
        assert started.status_code == 200, started.text
        self.run_id = started.json()["resultset"]["run_id"]

    def report(self) -> dict[str, Any]:
        """Of the run that was started last."""
        answer = self.server.call("GET", f"/chaos_experiments/report?run_id={self.run_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["resultset"]
        return found

    def ended(self) -> dict[str, Any]:
        """The run as its report has it, once its results could be read in time."""
        run: dict[str, Any] = {}

        def is_read() -> bool:
            run.update(self.report()["run"])
            return bool(run["results"])

        until(is_read)
        return run

    def listed(self) -> dict[str, Any]:
        """By whichever process answers: a connection may be to one that dies."""
        found: dict[str, Any] = {}

        def is_answered() -> bool:
            try:
                answer = self.server.call("GET", LISTED)
            except requests.RequestException:  # it may be cut in the middle
                return False
            assert answer.status_code == 200
            found.update(answer.json()["resultset"])
            return True

        until(is_answered)
        return found

    def crash_reports(self) -> list[str]:
        assert self.server.log
        return re.findall(r"Run \S+ crashes this process with exit code (\d+)", self.server.log.read_text())


@contextmanager
def hosted(command: Command, folder: Path, settings: Settings) -> Iterator[Host]:
    born = folder / "born"
    born.touch()
    table = {"AWS_ENDPOINT_URL_DYNAMODB": settings.endpoint_url or "", "CHAOS_TABLE": settings.table}
    with serving(command, folder, BORN=str(born), **table) as server:
        yield Host(server, born)


@contextmanager
def under_load(server: Server) -> Iterator[None]:
    """Clients that ask again whatever becomes of their requests."""
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            try:
                server.call("GET", "/orders", None)
            except requests.RequestException:
                time.sleep(0.01)

    with ThreadPoolExecutor(CLIENTS) as clients:
        asking = [clients.submit(ask) for _ in range(CLIENTS)]
        try:
            yield
        finally:
            is_over.set()
    for each in asking:
        each.result()


@pytest.mark.parametrize("name", FLEETS)
def test_exactly_as_many_processes_crash_as_the_run_says_and_new_ones_go_on(
    name: str, settings: Settings, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    if name == "gunicorn, many" and not pytestconfig.getoption("--whole-matrix"):
        pytest.skip("with --whole-matrix only")
    command, workers = FLEETS[name]
    with hosted(command, tmp_path, settings) as host:
        until(lambda: host.births() >= workers)
        before = host.births()
        with under_load(host.server):
            host.start(max_crashes=3, exit_code=CODE)
            until(lambda: not host.listed()["active_experiments"], seconds=60)
            until(lambda: host.births() == before + 3)
        assert host.crash_reports() == [str(CODE)] * 3
        assert host.births() == before + 3
        assert host.server.call("GET", "/orders", None).text == "x" * BYTES
        run = host.ended()
    assert (run["status"], run["end_reason"]) == ("completed", "max_requests: 3 calls were hit")
    results = run["results"]
    assert [(each["name"], each["value"]) for each in results["counters"]] == [("crashes", 3)]
    assert results["died"] >= 3
    assert (results["requests_hit"], results["efficacy"]) == (0, "confirmed")
    assert results["phases"]["during"]["errors"] == 0  # whoever died with them was hit, too


@pytest.mark.parametrize(
    ("name", "path"), [*((name, "/stream") for name in ALONE), ("waitress", "/orders"), ("uvicorn", "/orders")]
)
def test_an_answer_is_whole_before_its_process_ends(name: str, path: str, settings: Settings, tmp_path: Path) -> None:
    with hosted(ALONE[name], tmp_path, settings) as host:
        host.start(when="after", exit_code=CODE)
        answer = ask_until_hit(host, path)
        assert (answer.status_code, len(answer.content)) == (200, BYTES)
        assert host.server.process
        assert host.server.process.wait(PATIENCE_SECONDS) == CODE


@pytest.mark.parametrize("name", SUPERVISED)
def test_a_worker_answers_and_is_replaced(name: str, settings: Settings, tmp_path: Path) -> None:
    with hosted(SUPERVISED[name], tmp_path, settings) as host:
        before = host.births()
        host.start(when="after", exit_code=CODE)
        answer = ask_until_hit(host, "/stream")
        assert (answer.status_code, len(answer.content)) == (200, BYTES)
        until(lambda: host.births() == before + 1)
        assert host.crash_reports() == [str(CODE)]
        until(lambda: host.listed()["active_experiments"] == [])
        results = host.ended()["results"]
        assert (results["hit"]["statuses"], results["died"]) == ({"2xx": 1}, 0)


def test_a_dry_run_crashes_nothing(settings: Settings, tmp_path: Path) -> None:
    with hosted(SUPERVISED["gunicorn"], tmp_path, settings) as host:
        host.start(dry_run=True)
        until(lambda: "X-Chaos-Dry-Run" in host.server.call("GET", "/orders", None).headers)
        until(lambda: host.listed()["active_experiments"] == [])
        assert (host.births(), host.crash_reports()) == (1, [])
        assert host.report()["run"]["end_reason"] == "max_requests: 1 call would have been hit"


def ask_until_hit(host: Host, path: str) -> requests.Response:
    answers: list[requests.Response] = []

    def is_hit() -> bool:
        answers.append(host.server.call("GET", path, None))
        return "X-Chaos-Run" in answers[-1].headers

    until(is_hit)
    return answers[-1]
