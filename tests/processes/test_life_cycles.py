"""Processes that are forked, reloaded and ended: each has its name and chance, no count is lost or sent twice."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from chalicelib.dynamodb.results import DynamoDBResultStore
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.results.tally import Tally
from chalicelib.runs.run import Run
from chalicelib.settings import Settings
from tests.contract.servers import BIN, PROJECT, Command, Server, serving
from tests.loopback import PATIENCE_SECONDS, until
from tests.support import a_run

HOSTS = Path(__file__).parent / "hosts"
REQUESTS = 120
CLIENTS = 8
WARM = 5
ENOUGH = 24
"""So many decisions of two processes are alike by chance once in 16 million times."""


def program(name: str, *options: str, host: str = "flask") -> Command:
    """A command line: `{port}` stands for the port."""

    def command(folder: Path, port: int) -> list[str]:
        shutil.copy(HOSTS / f"{host}_host.py", folder / "app.py")
        return [str(BIN / name), *(option.replace("{port}", str(port)) for option in options)]

    return command


def gunicorn(*options: str) -> Command:
    return program("gunicorn", "--workers", "2", "--bind", "127.0.0.1:{port}", *options, "app:app")


def uwsgi(*options: str) -> Command:
    own = ("--http-socket", "127.0.0.1:{port}", "--module", "app:app", "--need-app", "--die-on-term")
    return program("uwsgi", *own, "--master", "--processes", "2", *options)


def uvicorn(*options: str) -> Command:
    return program("uvicorn", "--port", "{port}", "--log-level", "warning", *options, "app:app", host="fastapi")


def hypercorn(*options: str) -> Command:
    return program("hypercorn", "--bind", "127.0.0.1:{port}", *options, "app:app", host="fastapi")


SERVERS: Mapping[str, Command] = {
    "gunicorn": gunicorn(),
    "gunicorn, preloaded": gunicorn("--preload"),
    "gunicorn, threads": gunicorn("--threads", "4", "--preload"),
    "gunicorn, gevent": gunicorn("--worker-class", "gevent", "--preload"),
    "uWSGI": uwsgi(),
    "uWSGI, Python's hooks": uwsgi("--py-call-osafterfork"),
    "uWSGI, each loads": uwsgi("--lazy-apps"),
    "uWSGI, threads": uwsgi("--threads", "4"),
    "uvicorn": uvicorn("--workers", "2"),
    "hypercorn": hypercorn("--workers", "2"),
}


FORKED_BY_UWSGI = {"uWSGI", "uWSGI, Python's hooks", "uWSGI, threads"}
"""Their master runs no thread and no exit handler of Python: what its requests have not flushed themselves by its fork
is forgotten."""


class Answer(NamedTuple):
    process: int
    run: str
    environment: str


def ask(server: Server) -> Answer:
    answer = server.call("GET", "/orders/7", None)
    assert answer.status_code == 201
    headers = answer.headers
    return Answer(answer.json()["process"], headers.get("X-Chaos-Run", ""), headers.get("X-Chaos-Environment", ""))


@dataclass
class Table:
    """The table of one test, and the run that is in it: every second request is hit, by a delay of 0."""

    settings: Settings
    run: Run

    @property
    def variables(self) -> dict[str, str]:
        """No timer flushes before the end of a process."""
        return {
            "AWS_ENDPOINT_URL_DYNAMODB": self.settings.endpoint_url or "",
            "CHAOS_TABLE": self.settings.table,
            "CHAOS_REFRESH_SECONDS": "300",
            "CHAOS_MAX_STALENESS_SECONDS": "300",
        }

    def tally(self) -> Tally:
        return DynamoDBResultStore(self.settings).results([self.run]).get(self.run.run_id, Tally())


@pytest.fixture
def table(settings: Settings) -> Table:
    run = a_run(now=time.time(), delay_seconds=0.0, percentage=50.0, duration_seconds=600.0)
    assert DynamoDBRunStore(settings).start([run], now=time.time()) is None
    return Table(settings, run)


@pytest.mark.parametrize("name", SERVERS)
def test_each_process_is_its_own_and_the_counts_are_what_the_clients_saw(
    name: str, table: Table, tmp_path: Path
) -> None:
    """Where its application is loaded before the fork, it has served itself requests by then: the module is wired."""
    warm = 0 if "gevent" in name else WARM  # which must patch what is not imported yet
    with serving(SERVERS[name], tmp_path, WARM=str(warm), **table.variables) as server:
        answers = ask_all_processes(server)
        if "uWSGI" in name:
            time.sleep(1)  # it runs no exit handlers in a worker that is still at the end of its last request
        server.terminate()
    hit, before_the_fork = sum(bool(answer.run) for answer in answers), server.handled()
    forgotten = before_the_fork if name in FORKED_BY_UWSGI else 0
    assert hit + before_the_fork - forgotten <= table.tally().requests("hit") <= hit + before_the_fork
    names = {answer.process: answer.environment for answer in answers if answer.environment}
    assert len(set(names.values())) == len(names) == 2
    first, second = decisions(answers)
    assert first[:ENOUGH] != second[:ENOUGH]  # though their host has seeded them alike


def ask_all_processes(server: Server) -> list[Answer]:
    """Until each of two processes has answered enough."""
    answers: list[Answer] = []
    with ThreadPoolExecutor(CLIENTS) as clients:
        until(lambda: answers.extend(clients.map(lambda _: ask(server), range(REQUESTS))) or _is_enough(answers))
    return answers


def _is_enough(answers: list[Answer]) -> bool:
    return [len(each) >= ENOUGH for each in decisions(answers)] == [True, True]


def decisions(answers: list[Answer]) -> list[list[bool]]:
    """Of each process, which requests were hit."""
    decided: dict[int, list[bool]] = {}
    for answer in answers:
        decided.setdefault(answer.process, []).append(bool(answer.run))
    return list(decided.values())


# Reloaders


def reloading(name: str) -> Command:
    if name == "uvicorn":
        return uvicorn("--reload")
    return program("flask", "--debug", "run", "--port", "{port}")


@pytest.mark.parametrize("name", ["flask", "uvicorn"])
def test_a_process_that_is_reloaded_flushes_what_it_has_counted(name: str, table: Table, tmp_path: Path) -> None:
    with serving(reloading(name), tmp_path, **table.variables) as server:
        first = [ask(server) for _ in range(REQUESTS // 4)]
        with (tmp_path / "app.py").open("a") as program:
            program.write("# a change\n")
        until(lambda: _is_served_by_another(server, first[0].process))
        seen = sum(bool(answer.run) for answer in first)
        until(lambda: table.tally().requests("hit") == seen)


def _is_served_by_another(server: Server, process: int) -> bool:
    try:
        return requests.get(f"{server.url}/process", timeout=PATIENCE_SECONDS).json()["process"] != process
    except requests.ConnectionError:
        return False


# Forks of `multiprocessing`

PATIENT = {"CHAOS_TABLE_TIMEOUT_SECONDS": "5", "CHAOS_MAX_STALENESS_SECONDS": "60"}
"""For a machine that is busy."""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_child_of_multiprocessing_counts_what_it_serves_and_not_what_its_parent_did(
    method: str, table: Table, tmp_path: Path
) -> None:
    (tmp_path / "children.py").write_text(CHILDREN)
    shutil.copy(HOSTS / "flask_host.py", tmp_path / "app.py")
    variables = {
        **os.environ,
        "CHAOS_STAGE": "dev",
        "CHAOS_DEV_TOKEN": "a-token-for-tests",
        **PATIENT,
        **table.variables,
    }
    done = subprocess.run(
        [sys.executable, "children.py", method],
        cwd=tmp_path,
        env={**variables, "PYTHONPATH": f"{tmp_path}{os.pathsep}{PROJECT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Traceback" not in done.stderr
    hits = [line for line in done.stdout.splitlines() if line]
    assert len(set(hits)) == 3, "a parent and two children, each with its name"
    tally = table.tally()
    assert (tally.requests("hit"), tally.get("requests"), tally.environments) == (len(hits), 60, 3)


CHILDREN = """
import multiprocessing
import os
import sys

def serve():
    from app import app

    client = app.test_client()
    for _ in range(20):
        if name := client.get("/orders/7").headers.get("X-Chaos-Environment"):
            os.write(1, f"{name}\\n".encode())  # in one piece

if __name__ == "__main__":
    serve()
    context = multiprocessing.get_context(sys.argv[1])
    children = [context.Process(target=serve) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
"""
