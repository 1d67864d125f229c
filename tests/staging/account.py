"""An AWS account on this machine: an emulator with CloudFormation, API Gateway, and a process for each environment."""

import io
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import boto3
import psutil
import pytest

from chalicelib import cli
from chalicelib.access import hash_token
from tests.loopback import free_port, wait_until_it_listens

EMULATOR = Path(__file__).parents[2] / ".tools/ministack/bin/ministack"
REGION = "eu-west-1"
READ = b"DynamoDB_20120810.Query"


class Wire:
    """A TCP forwarder before the table that counts the reads."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.reads = 0
        self._counting = Lock()
        self._open: set[socket.socket] = set()
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def passes(self, data: bytes) -> bytes:
        return data

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                caller, _ = self._listener.accept()
                table = socket.create_connection(("127.0.0.1", self._port))
                self._open |= {caller, table}
                Thread(target=self._forward, args=(caller, table), daemon=True).start()
                Thread(target=self._forward, args=(table, caller), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self._counting:
                    self.reads += data.count(READ)  # botocore sends a request's head in one piece; no answer holds it
                target.sendall(self.passes(data))
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
        source.close()
        self._open.discard(source)


PATIENT = {"CHAOS_TABLE_TIMEOUT_SECONDS": "10", "CHAOS_MAX_STALENESS_SECONDS": "60"}
"""Variables of what is deployed, for a machine that is busy."""


class Account:
    """What a test may know of the emulator, from outside."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, wire: Wire, log: Path) -> None:
        self.process = process
        self.port = port
        self.wire = wire
        self.log = log
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
        }

    @contextmanager
    def shell(self) -> Iterator[None]:
        """In it, AWS tools that run in this process reach the account."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            yield

    def make_token(self, name: str, role: str) -> str:
        """What `make token STAGE=staging` prints last."""
        printed = io.StringIO()
        with self.shell(), redirect_stdout(printed):
            assert cli.main(["token", "create", "--stage", "staging", "--name", name, "--role", role]) == 0
        return printed.getvalue().splitlines()[-1]

    def revoke(self, token: str) -> None:
        with self.shell():
            assert cli.main(["token", "revoke", "--stage", "staging", hash_token(token)[:12]]) == 0

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def environments(self, function: str) -> list[psutil.Process]:
        """The processes that serve a function."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                folder = Path(child.cwd()).parent.name  # ministack-lambda-<function>-<random>
                if folder.removeprefix("ministack-lambda-").rpartition("-")[0] == function:
                    found.append(child)
        return found


@contextmanager
def aws_account(folder: Path) -> Iterator[Account]:
    """It enforces IAM policies. Everything that it starts and writes is gone afterwards."""
    if not EMULATOR.exists():
        pytest.skip("needs an emulated account: make .tools/ministack/installed")
    port = free_port()
    wire = Wire(port)
    log = folder / "account.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [EMULATOR],
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "TMPDIR": str(folder),
                "STATE_DIR": str(folder / "state"),
                "BIND_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(port),
                "MINISTACK_REGION": REGION,
                "AUTH": "true",
                "IOT_MTLS_ENABLED": "0",
                "LAMBDA_ACCOUNT_CONCURRENCY": "1000",  # the quota of most accounts
                "AWS_ENDPOINT_URL_DYNAMODB": wire.url,  # for the environments, which inherit it
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        assert wait_until_it_listens(process, port), f"The emulator did not start:\n{log.read_text()}"
        yield Account(process, port, wire, log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        wire.close()
