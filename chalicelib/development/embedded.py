"""Finds the embedded DynamoDB of this user, working directory, application and stage, or starts it.

What such processes share is in a private folder of the user: a lock, the server's address and log, and the token.
"""

import atexit
import hashlib
import json
import os
import secrets
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Misconfigured
from ..own_calls import own_calls
from ..settings import Settings

if TYPE_CHECKING:
    from filelock import FileLock

HOST = "127.0.0.1"
START_SECONDS = 60.0
"""How long the server may take to start, on a busy machine."""

GREETING_SECONDS = 2.0
REJOIN_SECONDS = 1.0
"""How long the start of an application waits for others that start a server."""

SHORTEST_TIMEOUT_SECONDS = 2.0
"""The shortest time-out for the embedded table: all processes share one server, on a machine with other work."""

TEMPORARY = Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())  # noqa: S108 - see _private_folder
"""The same one whatever TMPDIR says: processes that differ in it shall find each other."""

NEEDED = ("moto", "flask", "filelock")
PRIVATE_FOLDER = 0o700
RUN_MODULE = (
    "import runpy, sys; sys.path[:] = sys.argv.pop().split({!r}); runpy.run_module(sys.argv.pop(), run_name='__main__')"
)
"""The program that starts the server, with the import paths of this process and nothing else of it."""

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "LD_LIBRARY_PATH")
"""The variables that the server's process gets: no AWS, proxy or Python setting of the application's."""

NAME_ONE = "name a DynamoDB in AWS_ENDPOINT_URL_DYNAMODB"


@dataclass(frozen=True)
class Embedded:
    """A running server. It ends soon after the last process that holds a connection to it."""

    url: str
    connection: socket.socket

    def is_running(self) -> bool:
        try:
            return bool(self.connection.recv(1))
        except BlockingIOError:  # nothing to read: open
            return True
        except OSError:
            return False


@dataclass(frozen=True)
class Shared:
    """The files that all processes share which use the same table."""

    folder: Path
    key: str

    @classmethod
    def by(cls, settings: Settings) -> "Shared":
        """Raises Misconfigured where the folder cannot be used."""
        named = json.dumps([_here(), settings.application, settings.stage])
        return cls(_private_folder(), hashlib.sha256(named.encode()).hexdigest()[:16])

    def file(self, kind: str) -> Path:
        return self.folder / f"{self.key}.{kind}"

    def lock(self, seconds: float = START_SECONDS) -> "FileLock":
        from filelock import FileLock  # noqa: PLC0415 - installed for development only

        return FileLock(self.file("lock"), timeout=seconds)

    def publish(self, address: str) -> None:
        part = self.file("part")
        part.write_text(address)
        part.replace(self.file("json"))


@cache
def _here() -> str:
    """The working directory, as it was when it was first needed."""
    return os.path.realpath(Path.cwd())


@cache
def _own_token() -> str:
    """The token of this process, where processes cannot share one."""
    return secrets.token_urlsafe(16)


_joined: dict[str, Embedded] = {}
_joining = threading.Lock()


def _after_fork() -> None:
    global _joining  # noqa: PLW0603 - a fork inherits it as it is, locked by a thread that is not there
    _joining = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def prepared(settings: Settings) -> Settings:
    """The settings with what development supplies where nobody else did: a DynamoDB and a token.

    Raises Misconfigured where the embedded DynamoDB cannot be started.
    """
    if not settings.endpoint_url:
        settings = replace(
            settings,
            endpoint_url=join(settings).url,
            embedded=True,
            table_timeout_seconds=max(settings.table_timeout_seconds, SHORTEST_TIMEOUT_SECONDS),
        )
    return replace(settings, dev_token=token(settings))


def join(settings: Settings) -> Embedded:
    """The server that this process uses from now on until it ends. Started where none is running."""
    if not hasattr(os, "fork"):
        raise Misconfigured(f"The embedded DynamoDB needs Linux, macOS or WSL. On this system {NAME_ONE}.")
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise Misconfigured(
            f"The stage dev needs an embedded DynamoDB. Not installed: {', '.join(missing)}. "
            f"pip install 'moto[server]' filelock, or {NAME_ONE}."
        )
    try:
        shared = Shared.by(settings)
        with _joining, shared.lock():
            found = _find(shared)
            if found is None:
                _start(shared)
                found = _find(shared)
    except OSError as error:
        raise Misconfigured(f"The embedded DynamoDB cannot be used: {error}. Or {NAME_ONE}.") from error
    if found is None:
        raise Misconfigured(f"The embedded DynamoDB ended at once; see {shared.file('log')}. Or {NAME_ONE}.")
    return found


def rejoin(settings: Settings) -> bool:
    """Connect to a server that is running already, so that it outlives a reload. Whether there is one."""
    if settings.endpoint_url or find_spec("filelock") is None:
        return False
    with suppress(Misconfigured, OSError):
        shared = Shared.by(settings)
        with _joining, shared.lock(REJOIN_SECONDS):
            return _find(shared) is not None
    return False


def token(settings: Settings) -> str:
    """The operator's token in development: the one that is set, or one that all processes share."""
    if settings.dev_token:
        return settings.dev_token
    with suppress(Misconfigured, OSError):
        return _shared_text(Shared.by(settings).file("token"), _own_token())
    return _own_token()


def _shared_text(path: Path, text: str) -> str:
    """The content of the file; the text becomes it where there is none. Of processes that race, one makes the link."""
    part = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    part.write_text(text)
    try:
        with suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink()
    return path.read_text()


@own_calls()
def _find(shared: Shared) -> Embedded | None:
    """The server, if it is running. Call it with the lock held, so that the server does not end at this moment."""
    known = _joined.get(shared.key)
    if known and known.is_running():
        return known
    if known:
        known.connection.close()
    try:
        address = json.loads(shared.file("json").read_text())
        url, port = address["url"], address["port"]
        connection = socket.create_connection((HOST, port), timeout=GREETING_SECONDS)
    except (OSError, ValueError, TypeError, KeyError):  # none, or not one of ours
        return None
    greeting = f"{shared.key}\n".encode()
    with suppress(OSError):
        if connection.recv(len(greeting)) == greeting:  # and no other program on that port
            connection.settimeout(0)
            atexit.register(connection.close)
            _joined[shared.key] = Embedded(url, connection)
            return _joined[shared.key]
    connection.close()
    return None


def _start(shared: Shared) -> None:
    """Returns when the server answers; it then goes on by itself, apart from this process.

    Published here, with the lock held: where this process is killed before, the server has no user, and ends.
    """
    package = Path(__file__).parents[1]
    server = f"{package.name}.{Path(__file__).parent.name}.server"
    paths = os.pathsep.join([*(path for path in sys.path if path), str(package.parent)])
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    try:
        started = subprocess.run(  # noqa: S603 - this interpreter, and a module of this package
            [_python(), "-IBc", RUN_MODULE.format(os.pathsep), str(shared.folder), shared.key, server, paths],
            env=inherited,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=START_SECONDS,
            start_new_session=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        lines = str(getattr(error, "stderr", None) or error).strip().splitlines()
        raise Misconfigured(f"The embedded DynamoDB did not start: {lines[-1]} Or {NAME_ONE}.") from error
    shared.publish(started.stdout.strip())


def _python() -> str:
    """The interpreter, also where a server embeds it."""
    if Path(sys.executable or "").name.lower().startswith(("python", "pypy")):
        return sys.executable
    return str(Path(sys.prefix) / ("Scripts/python.exe" if os.name == "nt" else "bin/python3"))


def _private_folder() -> Path:
    """Of this user alone, so that nobody else can put an address or a token there."""
    if not hasattr(os, "getuid"):
        raise Misconfigured("There is no private folder on this system.")
    folder = TEMPORARY / f"chaos-experiments-{os.getuid()}"
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise Misconfigured(f"The stage dev needs the folder {folder}: {error.strerror}. Or {NAME_ONE}.") from error
    foreign = found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != PRIVATE_FOLDER
    if foreign or not stat.S_ISDIR(found.st_mode):
        raise Misconfigured(f"{folder} must be a folder that only you can use. Remove it, or {NAME_ONE}.")
    return folder
