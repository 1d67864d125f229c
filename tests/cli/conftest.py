"""The command, in this process and in terminals, and a server for it to ask."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

from chalicelib.cli import follow, main
from tests.cli.scripted import Scripted
from tests.contract.servers import PROJECT, SERVERS, TOKEN, Server, serving, stop_all

COMMAND = [sys.executable, "-m", "chalicelib"]


@pytest.fixture(scope="session")
def served(dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("cli")
    variables = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url, "CHAOS_TABLE": "command-line"}
    with serving(SERVERS["fastapi, uvicorn"], folder, **variables) as server:
        yield server


@pytest.fixture
def server(served: Server) -> Server:
    """Nothing runs, nothing is halted."""
    served.call("POST", "/chaos_experiments/resume", json={})
    stop_all(served)
    return served


@pytest.fixture
def environment(server: Server, tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(PROJECT),
        "CHAOS_URL": f"{server.url}/chaos_experiments",
        "CHAOS_TOKEN": TOKEN,
        "TERM": "xterm-256color",
    }


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """In this process, which is faster; its output goes to no terminal. A variable that is empty is not set."""

    def run_it(*arguments: str, **variables: str) -> Done:
        with monkeypatch.context() as patch:
            for name, value in {**environment, **variables}.items():
                if value:
                    patch.setenv(name, value)
                else:
                    patch.delenv(name, raising=False)
            capsys.readouterr()
            code = main(arguments)
        return Done(code, *capsys.readouterr())

    return run_it


def obeys_ctrl_c() -> None:
    """As in a terminal; what runs in a script's background, and all that it starts, does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A command in a pseudo-terminal, and what its screen shows."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], columns: int) -> None:
        self.screen = pyte.Screen(columns, 40)
        self._stream = pyte.Stream(self.screen)
        self.process: Any = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], *arguments],
            env=environment,
            encoding="utf-8",
            timeout=30,
            dimensions=(40, columns),
            preexec_fn=obeys_ctrl_c,
        )
        self.process.logfile_read = self

    def write(self, text: str) -> None:
        self._stream.feed(text)

    def flush(self) -> None:
        pass

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display).strip()

    def until(self, pattern: str) -> str:
        """What the pattern's group is."""
        self.process.expect(pattern)
        return str(self.process.match.group(1) if self.process.match.groups() else self.process.match.group(0))

    def end(self) -> int:
        self.process.expect(pexpect.EOF)
        self.process.close()
        return int(self.process.exitstatus)


@pytest.fixture
def terminal(environment: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_it(*arguments: str, columns: int = 100) -> Terminal:
        opened.append(Terminal(arguments, environment, columns))
        return opened[-1]

    yield open_it
    for each in opened:
        each.process.close(force=True)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(follow, "FLUSHED_SECONDS", 0.0)
    made = Scripted()
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()
