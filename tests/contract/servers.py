"""The same small application in each framework, on the server that it is deployed on, as processes of their own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.loopback import PATIENCE_SECONDS, free_port

PROJECT = Path(__file__).parents[2]
HOSTS = Path(__file__).parent / "hosts"
BIN = Path(sys.executable).parent
TOKEN = "a-token-for-tests"
IDLE_SECONDS = 0.3
"""How long until every process feels a start."""

REFRESH_SECONDS = 0.2
"""How long until every process obeys a stop."""

Command = Callable[[Path, int], list[str]]


def chalice_local(folder: Path, port: int, programs: Path = BIN, host: Path = HOSTS / "chalice_host.py") -> list[str]:
    (folder / ".chalice").mkdir()
    (folder / ".chalice/config.json").write_text('{"version": "2.0", "app_name": "host", "stages": {"dev": {}}}')
    shutil.copy(host, folder / "app.py")
    return [str(programs / "chalice"), "local", "--port", str(port), "--no-autoreload"]


def gunicorn(folder: Path, port: int, programs: Path = BIN, host: Path = HOSTS / "flask_host.py") -> list[str]:
    shutil.copy(host, folder / "app.py")
    return [str(programs / "gunicorn"), "--workers", "2", "--threads", "4", "--bind", f"127.0.0.1:{port}", "app:app"]


def uvicorn(folder: Path, port: int, programs: Path = BIN, host: Path = HOSTS / "fastapi_host.py") -> list[str]:
    shutil.copy(host, folder / "app.py")
    return [
        str(programs / "uvicorn"),
        "--workers",
        "2",
        "--port",
        str(port),
        "--log-level",
        "warning",
        "--timeout-keep-alive",
        "60",
        "app:app",
    ]


SERVERS: dict[str, Command] = {"chalice local": chalice_local, "flask, gunicorn": gunicorn, "fastapi, uvicorn": uvicorn}


@dataclass
class Server:
    """Where the application answers. A `gateway` before it answers 401 and 403 in its own words."""

    url: str
    handled_file: Path
    idle_seconds: float = IDLE_SECONDS
    refresh_seconds: float = REFRESH_SECONDS
    operator: str = "developer"
    gateway: bool = False
    changed: float = 0.0
    """When something may have been started or stopped last, on the monotonic clock."""

    process: "subprocess.Popen[bytes] | None" = None
    log: Path | None = None

    def handled(self) -> int:
        """How often its processes have run the handler of /orders."""
        return self.handled_file.stat().st_size

    def terminate(self) -> None:
        """As a service manager ends it: SIGTERM for its first process, which ends the others."""
        assert self.process
        self.process.terminate()
        self.process.wait(PATIENCE_SECONDS)

    def call(self, method: str, path: str, token: str | None = TOKEN, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= options.pop("headers", {})
        answer = requests.request(method, self.url + path, headers=headers, timeout=PATIENCE_SECONDS, **options)
        if method == "POST":
            self.changed = time.monotonic()
        return answer


def stop_all(server: Server) -> None:
    for run in server.call("GET", "/chaos_experiments/list").json()["resultset"]["active_experiments"]:
        server.call("POST", "/chaos_experiments/stop", json={"experiment_name": run["name"]})


def settle(server: Server) -> None:
    """Stop what runs, and wait until every process obeys."""
    stop_all(server)
    time.sleep(max(0.0, server.changed + server.refresh_seconds - time.monotonic()))


def variables(**more: str) -> dict[str, str]:
    """What the module is told in each of them."""
    return {
        "CHAOS_STAGE": "dev",
        "CHAOS_DEV_TOKEN": TOKEN,
        "CHAOS_TABLE_TIMEOUT_SECONDS": "5",
        "CHAOS_IDLE_REFRESH_SECONDS": str(IDLE_SECONDS),
        "CHAOS_REFRESH_SECONDS": str(REFRESH_SECONDS),
        "CHAOS_MAX_STALENESS_SECONDS": "60",
        **more,
    }


@contextmanager
def serving(command: Command, folder: Path, cwd: Path | None = None, **more: str) -> Iterator[Server]:
    """A process group of its own, gone afterwards. It logs into the folder, and works there unless told otherwise."""
    port = free_port()
    log = folder / "server.log"
    handled = folder / "handled"
    handled.touch()
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}{os.pathsep}{PROJECT}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GUNICORN_CMD_ARGS": "--no-control-socket",  # it is one for each user, whoever has a server running
        "HANDLED": str(handled),
        **variables(**more),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(folder, port),
            cwd=cwd or folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(f"http://127.0.0.1:{port}", handled, process=process, log=log)
    try:
        _wait_until_it_answers(server, process, log)
        yield server
    finally:
        with suppress(ProcessLookupError):  # it has ended
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with suppress(ProcessLookupError):  # nor has anything of it been left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_it_answers(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.call("GET", "/health")
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"The server did not answer:\n{log.read_text()}")
