"""Real `chalice local` processes on free loopback ports."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.loopback import PATIENCE_SECONDS, free_port

PROJECT = Path(__file__).parents[2]
TOKEN = "a-token-for-tests"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Server:
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, headers=AUTHORIZED, timeout=PATIENCE_SECONDS, **options)

    def post(self, path: str, **body: Any) -> requests.Response:
        return requests.post(self.url + path, headers=AUTHORIZED, json=body, timeout=PATIENCE_SECONDS)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                requests.get(f"{self.url}/", timeout=PATIENCE_SECONDS)
            except requests.ConnectionError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(f"The server did not answer:\n{self.log.read_text()}")


@contextmanager
def chalice_local(folder: Path, *arguments: str, project: Path = PROJECT, **environment: str) -> Iterator[Server]:
    """Serve the project in a process group of its own, which is gone afterwards. Logs into the folder."""
    port = free_port()
    log = folder / f"server-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("chalice")), "local", "--port", str(port), *arguments],
            cwd=project,
            env={**os.environ, "CHAOS_DEV_TOKEN": TOKEN, "PYTHONDONTWRITEBYTECODE": "1", **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        server.wait_until_it_answers()
        yield server
    finally:
        if process.poll() is None:
            server.kill()
