"""Real servers from Debian's packages, each on a free port of loopback, in a folder of its own.

They run as `nobody` where the tests are root's, since PostgreSQL and MariaDB refuse to be root's.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.loopback import free_port

STARTS_SECONDS, LOGS_SECONDS = 30.0, 5.0
NOBODY = "nobody"
PATH = os.pathsep.join(
    [
        os.environ.get("PATH", ""),
        "/usr/sbin",
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    ]
)


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def program(name: str, package: str) -> str:
    """Its path; the test is skipped where it is not installed."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {package}")
    return found


@contextmanager
def folder() -> Iterator[Path]:
    """One that the servers may write to."""
    with tempfile.TemporaryDirectory(prefix="servers-", ignore_cleanup_errors=True) as made:
        if os.geteuid() == 0:
            shutil.chown(made, NOBODY)
        yield Path(made)


def as_nobody(command: Sequence[str]) -> list[str]:
    if os.geteuid() != 0:
        return [*command]
    return ["setpriv", f"--reuid={NOBODY}", "--clear-groups", *command]


def prepared(command: Sequence[str], where: Path) -> None:
    """What a server needs once, before it starts."""
    done = subprocess.run(as_nobody(command), cwd=where, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command[0]} failed: {done.stdout}\n{done.stderr}"


@contextmanager
def started(command: Sequence[str], port: int, where: Path) -> Iterator[Address]:
    """The server, when it accepts connections, until the block ends."""
    log = where / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(as_nobody(command), cwd=where, stdout=output, stderr=output)
    try:
        _wait_for(process, port, log)
        yield Address("localhost", port)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        if process.poll() is None:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + STARTS_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args} does not serve: {log.read_text(errors='replace')[-2000:]}")


@contextmanager
def redis() -> Iterator[Address]:
    command = program("redis-server", "redis-server")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with folder() as where, started([command, *options], port, where) as address:
        yield address


@contextmanager
def mariadb() -> Iterator[Address]:
    """Its users are all that say they are; it has the database `mysql`."""
    command, install = program("mariadbd", "mariadb-server"), program("mariadb-install-db", "mariadb-server")
    port = free_port()
    with folder() as where:
        data = where / "data"
        prepared([install, "--no-defaults", f"--datadir={data}", "--skip-test-db"], where)
        options = [f"--datadir={data}", f"--port={port}", f"--socket={where}/socket", f"--pid-file={where}/pid"]
        options += ["--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-grant-tables"]
        with started([command, "--no-defaults", *options], port, where) as address:
            yield address


@contextmanager
def postgresql() -> Iterator[Address]:
    """Its user is `app`, without a password; the database is `postgres`."""
    command, install = program("postgres", "postgresql"), program("initdb", "postgresql")
    port = free_port()
    with folder() as where:
        data = where / "data"
        prepared([install, f"--pgdata={data}", "--username=app", "--auth=trust", "--no-sync"], where)
        options = ["-D", str(data), "-p", str(port), "-k", str(where), "-c", "listen_addresses=127.0.0.1"]
        with started([command, *options, "-c", "fsync=off"], port, where) as address:
            yield address


MODULES = ("mpm_event", "authz_core", "log_config")


class Httpd(NamedTuple):
    address: Address
    log: Path

    def seen(self, expected: int) -> int:
        """How many requests it has answered. It writes them down after that: so wait for those that are expected."""
        until = time.monotonic() + LOGS_SECONDS
        while (seen := len(self.log.read_text().splitlines())) < expected and time.monotonic() < until:
            time.sleep(0.01)
        return seen


@contextmanager
def httpd(body: bytes = b"x" * 500) -> Iterator[Httpd]:
    """Serves one page, at `/`; of any path."""
    command = shutil.which("httpd", path=PATH) or program("apache2", "apache2")
    port = free_port()
    with folder() as where:
        (where / "page").write_bytes(body)
        configuration = where / "httpd.conf"
        configuration.write_text(f"""
{_modules()}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {where}/pid
DefaultRuntimeDir {where}
Mutex pthread
ErrorLog {where}/errors
LogFormat "%r" request
CustomLog {where}/requests request
DocumentRoot {where}
ThreadsPerChild 8
MaxRequestWorkers 8
""")
        for each in (configuration, where / "page"):
            each.chmod(0o644)
        with started([command, "-f", str(configuration), "-DFOREGROUND"], port, where) as address:
            yield Httpd(address, where / "requests")


def _modules() -> str:
    """Those of them that the server has not built in."""
    roots = map(Path, ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/libexec/apache2"))
    found = [(name, path) for root in roots for name in MODULES if (path := root / f"mod_{name}.so").exists()]
    return "\n".join(f"LoadModule {name}_module {path}" for name, path in found)
