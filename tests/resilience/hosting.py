"""An application on a real server that can be killed and started anew, and who asks it meanwhile."""

import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.contract.servers import BIN, Command, Server, chalice_local, serving
from tests.loopback import PATIENCE_SECONDS, until
from tests.resilience.taken import Line

HOSTS = Path(__file__).parent / "hosts"
API = "/chaos_experiments"
PATIENCE_OF_USERS_SECONDS = 5.0
WORKERS = 2


def _chalice(folder: Path, port: int) -> list[str]:
    return chalice_local(folder, port, host=HOSTS / "chalice_host.py")


def _gunicorn(folder: Path, port: int) -> list[str]:
    shutil.copy(HOSTS / "flask_host.py", folder / "app.py")
    options = ["--workers", str(WORKERS), "--threads", "4", "--bind", f"127.0.0.1:{port}", "--graceful-timeout", "2"]
    return [str(BIN / "gunicorn"), *options, "app:app"]


def _uvicorn(folder: Path, port: int) -> list[str]:
    shutil.copy(HOSTS / "fastapi_host.py", folder / "app.py")
    options = ["--port", str(port), "--log-level", "warning", "--timeout-graceful-shutdown", "2"]
    return [str(BIN / "uvicorn"), *options, "app:app"]


FRAMEWORKS: dict[str, Command] = {"chalice": _chalice, "flask": _gunicorn, "fastapi": _uvicorn}


@dataclass
class Host:
    """The application, from the folder in which all that it writes is. `lines` are those to its processes' probes."""

    framework: str
    folder: Path
    variables: dict[str, str]
    lines: dict[int, Line] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _starts: int = 0
    server: Server = field(init=False)

    def start(self) -> None:
        self._starts += 1
        folder = self.folder / str(self._starts)
        for each in (folder, self.probes, self.temporary):
            each.mkdir(exist_ok=True)
        shutil.copy(HOSTS / "probe.py", folder)
        more = {**self.variables, "TMPDIR": str(self.temporary), "PROBES": str(self.probes)}
        self.server = self._stack.enter_context(serving(FRAMEWORKS[self.framework], folder, **more))
        self.wait_until_whole()

    def close(self) -> None:
        for line in self.lines.values():
            line.close()
        self._stack.close()

    @property
    def temporary(self) -> Path:
        """The folder for temporary files of its processes."""
        return self.folder / "temporary"

    @property
    def probes(self) -> Path:
        return self.folder / "probes"

    @property
    def main(self) -> int:
        assert self.server.process
        return self.server.process.pid

    @property
    def serves_by_workers(self) -> bool:
        return self.framework == "flask"

    def environments(self) -> list[int]:
        """The processes that serve."""
        children = [each.pid for each in _children(self.main)] if self.serves_by_workers else [self.main]
        return [pid for pid in children if (self.probes / str(pid)).exists()]

    def wait_until_whole(self) -> None:
        """Until all of its processes serve, and their probes answer."""
        until(self._is_whole)

    def _is_whole(self) -> bool:
        pids = self.environments()
        for pid in [pid for pid in self.lines if pid not in pids]:
            self.lines.pop(pid).close()
        with suppress(OSError, ValueError):
            for pid in pids:
                if pid not in self.lines:
                    self.lines[pid] = Line(int((self.probes / str(pid)).read_text()))
            return len(pids) == (WORKERS if self.serves_by_workers else 1)
        return False

    def is_dead(self) -> bool:
        assert self.server.process
        return self.server.process.poll() is not None

    def revive(self) -> None:
        """As whoever looks after it does: it is started anew where it has ended, and is whole."""
        if self.is_dead():
            self._wait_for_the_end_of_all()
            self.start()
        self.wait_until_whole()

    def _wait_for_the_end_of_all(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while left := self.survivors():
            assert time.monotonic() < deadline, f"the processes that it had started go on: {left}"
            time.sleep(0.05)

    def kill(self) -> None:
        """One process that serves: no code of it runs any more."""
        victim = self.environments()[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in self.environments() if self.serves_by_workers else self.is_dead())

    def survivors(self) -> list[str]:
        """What processes its dead ones have left."""
        return [
            f"{each.pid} {each.info['cmdline']}"
            for each in psutil.process_iter(["cwd", "cmdline", "status"])
            if (each.info["cwd"] or "").startswith(str(self.folder)) and each.info["status"] != psutil.STATUS_ZOMBIE
        ]

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the control plane answers; it has to."""
        answer = self.server.call(method, API + path, headers={"Connection": "close"}, json=body)
        assert answer.status_code == 200, f"{method} {path}: {answer.text}"
        content: dict[str, Any] = answer.json()["resultset"]
        return content

    def log(self) -> str:
        assert self.server.log
        return self.server.log.read_text()[-3000:]


def _children(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children()
    return []


@dataclass(frozen=True)
class Answer:
    """What one user saw. The status is 0 where there was no whole answer; `problem` says why."""

    status: int
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    problem: str = ""

    @property
    def is_hit(self) -> bool:
        return "X-Chaos-Run" in self.headers

    @property
    def order(self) -> dict[str, Any]:
        """What the application said; nothing where it is no order."""
        with suppress(ValueError):
            content = json.loads(self.body)
            return content if isinstance(content, dict) and "order" in content else {}
        return {}


def ask(host: Host) -> Answer:
    began = time.monotonic()
    try:
        answer = requests.get(
            f"{host.server.url}/orders/7", headers={"Connection": "close"}, timeout=PATIENCE_OF_USERS_SECONDS
        )
    except (requests.RequestException, OSError) as error:
        return Answer(0, time.monotonic() - began, problem=re.sub(r"0x\w+", "", str(error)))
    return Answer(answer.status_code, time.monotonic() - began, answer.headers, answer.content)


@contextmanager
def users(host: Host, count: int = 3) -> Iterator[list[Answer]]:
    """While entered, so many ask one after the other. What they have seen so far."""
    seen: list[Answer] = []
    going = threading.Event()
    going.set()

    def use() -> None:
        while going.is_set():
            seen.append(ask(host))
            time.sleep(0.02)

    threads = [threading.Thread(target=use) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        going.clear()
        for thread in threads:
            thread.join()
