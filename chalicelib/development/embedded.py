"""How a process finds the embedded DynamoDB of its user, working directory, application and stage, or starts it.

What such processes share is in a private folder of the user: a lock, the server's address and log, and the token.
"""

import atexit
import getpass
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
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Misconfigured
from ..settings import Settings

if TYPE_CHECKING:
    from filelock import FileLock

HOST = "127.0.0.1"
START_SECONDS = 60.0
"""How long the server may take to start, on a busy machine."""

GREETING_SECONDS = 10.0
TABLE_TIMEOUT_SECONDS = 2.0
"""The shortest time-out for the embedded table: all processes share one server, on a machine with other work."""

TEMPORARY = Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())  # noqa: S108 - see _private_folder
"""The same one whatever TMPDIR says: processes that differ in it shall find each other."""

NEEDED = ("moto", "flask", "filelock")
PRIVATE = 0o700
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
        named = json.dumps([os.path.realpath(Path.cwd()), settings.application, settings.stage])
        return cls(_private_folder(), hashlib.sha256(named.encode()).hexdigest()[:16])

    def file(self, kind: str) -> Path:
        return self.folder / f"{self.key}.{kind}"

    def lock(self) -> "FileLock":
        from filelock import FileLock  # noqa: PLC0415 - installed for development only

        return FileLock(self.file("lock"), timeout=START_SECONDS)


_joined: dict[str, Embedded] = {}
_joining = threading.Lock()


def prepared(settings: Settings) -> Settings:
    """The settings with what development supplies where nobody else did: a DynamoDB and a token.

    Raises Misconfigured where the embedded DynamoDB cannot be started.
    """
    if not settings.endpoint_url:
        settings = replace(
            settings,
            endpoint_url=join(settings).url,
            embedded=True,
            table_timeout_seconds=max(settings.table_timeout_seconds, TABLE_TIMEOUT_SECONDS),
        )
    return replace(settings, dev_token=token(settings))


def join(settings: Settings) -> Embedded:
    """The server that this process uses from now on until it ends. Started where none is running."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise Misconfigured(
            f"The stage dev needs an embedded DynamoDB, and {', '.join(missing)} is not installed. "
            f"pip install 'moto[server]' filelock, or {NAME_ONE}."
        )
    shared = Shared.by(settings)
    try:
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
    """Keep a server that is running already, as after a reload. Whether there is one."""
    if settings.endpoint_url or find_spec("filelock") is None:
        return False
    with suppress(Misconfigured, OSError):
        shared = Shared.by(settings)
        with _joining, shared.lock():
            return _find(shared) is not None
    return False


def token(settings: Settings) -> str:
    """The operator's token in development: the one that is set, or one that all processes share."""
    if settings.dev_token:
        return settings.dev_token
    with suppress(Misconfigured, OSError):
        return _kept(Shared.by(settings).file("token"), secrets.token_urlsafe(16))
    return secrets.token_urlsafe(16)


def _kept(path: Path, text: str) -> str:
    """What the file has; the text, where nobody was here before. A link is made in one step, whoever else makes one."""
    part = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    part.write_text(text)
    try:
        with suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink()
    return path.read_text()


def _find(shared: Shared) -> Embedded | None:
    """The server, if it is running. Called with the lock held, so that it does not end at this moment."""
    known = _joined.get(shared.key)
    if known and known.is_running():
        return known
    if known:
        known.connection.close()
    try:
        address = json.loads(shared.file("json").read_text())
        connection = socket.create_connection((HOST, address["port"]), timeout=GREETING_SECONDS)
    except (OSError, ValueError):
        return None
    greeting = f"{shared.key}\n".encode()
    with suppress(OSError):
        if connection.recv(len(greeting)) == greeting:  # and no other program on that port
            connection.settimeout(0)
            atexit.register(connection.close)
            _joined[shared.key] = Embedded(address["url"], connection)
            return _joined[shared.key]
    connection.close()
    return None


def _start(shared: Shared) -> None:
    """Returns when the server answers; it then goes on by itself, apart from this process."""
    package = Path(__file__).parents[1]
    server = f"{package.name}.{Path(__file__).parent.name}.server"
    paths = [str(package.parent), *(path for path in sys.path if path)]
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    try:
        subprocess.run(  # noqa: S603 - this interpreter, and a module of this package
            [_python(), "-B", "-m", server, str(shared.folder), shared.key],
            env={**inherited, "PYTHONPATH": os.pathsep.join(paths)},
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


def _python() -> str:
    """The interpreter, also where a server embeds it."""
    if Path(sys.executable or "").name.lower().startswith(("python", "pypy")):
        return sys.executable
    return str(Path(sys.prefix) / ("Scripts/python.exe" if os.name == "nt" else "bin/python3"))


def _private_folder() -> Path:
    """Of this user alone, so that nobody else can put an address or a token there."""
    user = str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()
    folder = TEMPORARY / f"chaos-experiments-{user}"
    try:
        folder.mkdir(mode=PRIVATE, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise Misconfigured(f"The stage dev needs the folder {folder}: {error.strerror}. Or {NAME_ONE}.") from error
    foreign = hasattr(os, "getuid") and (found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != PRIVATE)
    if foreign or not stat.S_ISDIR(found.st_mode):
        raise Misconfigured(f"{folder} must be a folder that only you can use. Remove it, or {NAME_ONE}.")
    return folder
