"""The process of the embedded DynamoDB: moto's server, one operation at a time, until its last user is gone.

`python -m chalicelib.development.server FOLDER KEY`, started by `embedded.py`. It prints where it answers, and detaches
itself. Every process that uses it holds a connection open to the second of its two ports; the operating system closes
that connection however the process ends.
"""

import json
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

HOST = "127.0.0.1"
LINGER_SECONDS = 10.0
"""How long it waits for the next process after the last one is gone: a reload takes less."""

PRIVATE_FILE = 0o600


class EmbeddedDynamoDB:
    """Moto's DynamoDB over HTTP on a free loopback port, `url`. Raises ImportError where moto is not installed."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415
        from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415

        class Quiet(WSGIRequestHandler):
            def log_request(self, *_: object) -> None:
                """No access log: it would fill the log file of a process that nobody watches."""

        _copy_tables_once()
        self._application = DomainDispatcherApplication(create_backend_app)
        self._answering = threading.Lock()
        self._server = make_server(HOST, 0, self._one_at_a_time, threaded=True, request_handler=Quiet)
        self.url = f"http://{HOST}:{self._server.server_port}"

    def start(self) -> "EmbeddedDynamoDB":
        """The thread is made here: Python 3.13 cannot start one in a fork that was made before it."""
        self._thread = threading.Thread(target=self._server.serve_forever, name="embedded-dynamodb", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _one_at_a_time(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        """Moto's transactions are not atomic: it rolls back to a copy of all tables, and undoes concurrent writes.

        The body is read before: a client that stops in the middle of it keeps nobody waiting.
        """
        environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        with self._answering:
            answer: Iterable[bytes] = self._application(environ, start_response)
            return answer


def _copy_tables_once() -> None:
    """Moto copies the whole table for each item of a transaction. So a scenario would take longer with each run that
    the history has, until it is given up: the copies are equal, and one of them is enough.
    """
    from moto.dynamodb.models import DynamoDBBackend  # noqa: PLC0415
    from moto.dynamodb.models.table import Table  # noqa: PLC0415

    if "__deepcopy__" in vars(Table):
        return
    transact = DynamoDBBackend.transact_write_items
    under_way = threading.local()

    def copied(table: Table, memo: dict[int, object]) -> Table:
        copies: dict[int, Table] = getattr(under_way, "copies", {})
        if id(table) not in copies:
            made = copies[id(table)] = memo[id(table)] = object.__new__(type(table))
            vars(made).update(deepcopy(vars(table), memo))
        return copies[id(table)]

    def with_one_copy(backend: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        under_way.copies = {}
        try:
            transact(backend, transact_items)
        finally:
            del under_way.copies

    Table.__deepcopy__ = copied  # type: ignore[attr-defined]
    DynamoDBBackend.transact_write_items = with_one_copy  # type: ignore[method-assign,assignment]


class Users:
    """The processes that use the server: one open connection each, which is greeted with `greeting`."""

    def __init__(self, greeting: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self._greeting = greeting
        self._clock = clock
        self._listener = socket.create_server((HOST, 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._alone_since: float | None = clock()
        self.port: int = self._listener.getsockname()[1]

    def wait(self, seconds: float) -> None:
        """Until somebody comes or goes, no longer than `seconds`."""
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._listener:
                self._accept()
            else:
                self._drop_if_closed(key.fileobj)  # type: ignore[arg-type]
        if len(self._selector.get_map()) > 1:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = self._clock()

    def _accept(self) -> None:
        with suppress(OSError):  # who came is gone already, or this process has no more descriptors
            connection, _ = self._listener.accept()
            try:
                connection.sendall(self._greeting)
                self._selector.register(connection, selectors.EVENT_READ)
            except OSError:
                connection.close()

    def alone_seconds(self) -> float:
        """For how long nobody has been connected."""
        return 0.0 if self._alone_since is None else self._clock() - self._alone_since

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _drop_if_closed(self, connection: socket.socket) -> None:
        try:
            closed = not connection.recv(1)
        except OSError:
            closed = True
        if closed:
            self._selector.unregister(connection)
            connection.close()


def serve_until_unused(users: Users, lock: FileLock, on_end: Callable[[], None]) -> None:
    """Returns, with the lock held, once nobody has used the server for `LINGER_SECONDS`.

    Who connects holds the lock meanwhile, so nobody connects to a server that is about to end.
    """
    while True:
        users.wait(LINGER_SECONDS - users.alone_seconds())
        if users.alone_seconds() < LINGER_SECONDS:
            continue
        try:
            lock.acquire(timeout=0)
        except Timeout:
            users.wait(0.1)  # somebody is about to connect
            continue
        users.wait(0)
        if users.alone_seconds() >= LINGER_SECONDS:
            on_end()
            return
        lock.release()


def main(folder: Path, key: str) -> None:
    database = EmbeddedDynamoDB()
    users = Users(f"{key}\n".encode())
    address = json.dumps({"url": database.url, "port": users.port})
    print(address, flush=True)  # noqa: T201 - the starter publishes it
    _detach(folder / f"{key}.log")
    database.start()
    serve_until_unused(
        users, FileLock(folder / f"{key}.lock"), on_end=lambda: _withdraw(folder / f"{key}.json", address)
    )


def _withdraw(path: Path, address: str) -> None:
    """Unless another server's is published there."""
    if path.exists() and path.read_text() == address:
        path.unlink()


def _detach(log: Path) -> None:
    """Leave the terminal and its signals, and the starting process, which shall get no signal when it ends."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    for number, target in enumerate((nothing, written, written)):
        os.dup2(target, number)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
