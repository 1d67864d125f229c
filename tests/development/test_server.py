import json
import os
import socket
import threading
from collections.abc import Iterator
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from filelock import FileLock, Timeout

from chalicelib.development import server
from chalicelib.development.server import LINGER_SECONDS, EmbeddedDynamoDB, Users, main, serve_until_unused
from tests.support import Clock


@pytest.fixture
def users(clock: Clock) -> Iterator[Users]:
    made = Users(b"hello\n", clock)
    yield made
    made.close()


def connect(users: Users) -> socket.socket:
    """As a process does: it holds a lock until it has been greeted."""
    connection = socket.create_connection(("127.0.0.1", users.port), timeout=60)
    users.wait(60)
    assert connection.recv(6) == b"hello\n"
    return connection


def test_it_answers_on_loopback_until_it_is_stopped() -> None:
    database = EmbeddedDynamoDB().start()
    assert database.url.startswith("http://127.0.0.1:")
    assert requests.get(database.url, timeout=30).status_code == 200
    database.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(database.url, timeout=30)


def test_one_operation_at_a_time() -> None:
    database = EmbeddedDynamoDB()
    overlaps, running = [], threading.Semaphore(1)

    def answer(_environ: Any, _start: Any) -> list[bytes]:
        overlaps.append(not running.acquire(blocking=False))
        between.wait(0.05)
        running.release()
        return []

    between = threading.Event()  # never set: it only gives the others their chance
    database._application = answer
    environ = {"wsgi.input": BytesIO(b"{}"), "CONTENT_LENGTH": "2"}
    threads = [threading.Thread(target=database._one_at_a_time, args=(dict(environ), None)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    database._server.server_close()
    assert overlaps == [False] * 4


def test_a_transaction_copies_the_table_once_and_is_undone_where_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[object] = []

    def counted(content: Any, memo: Any) -> Any:
        copies.append(content)
        return deepcopy(content, memo)

    monkeypatch.setattr(server, "deepcopy", counted)
    database = EmbeddedDynamoDB().start()
    client: Any = boto3.client(
        "dynamodb",
        endpoint_url=database.url,
        region_name="eu-central-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    client.create_table(
        TableName="copied",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )

    def put(number: int, **more: Any) -> dict[str, Any]:
        return {"Put": {"TableName": "copied", "Item": {"pk": {"S": str(number)}}, **more}}

    client.transact_write_items(TransactItems=[put(number) for number in range(50)])
    assert len(copies) == 1
    with pytest.raises(client.exceptions.TransactionCanceledException):
        client.transact_write_items(TransactItems=[put(50), put(1, ConditionExpression="attribute_not_exists(pk)")])
    assert (len(copies), client.scan(TableName="copied")["Count"]) == (2, 50)
    database.stop()


def test_it_is_alone_from_the_start_and_again_after_the_last_one_is_gone(users: Users, clock: Clock) -> None:
    clock.sleep(3)
    assert users.alone_seconds() == 3
    with connect(users):
        with connect(users):
            clock.sleep(60)
            assert users.alone_seconds() == 0
        users.wait(60)
        assert users.alone_seconds() == 0
    users.wait(60)
    clock.sleep(4)
    assert users.alone_seconds() == 4


def test_a_connection_that_is_reset_or_that_talks_is_dropped_only_when_it_is_gone(users: Users, clock: Clock) -> None:
    connection = connect(users)
    connection.sendall(b"x")
    users.wait(60)
    assert users.alone_seconds() == 0
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, as of a killed process
    connection.close()
    users.wait(60)
    clock.sleep(1)
    assert users.alone_seconds() == 1


class ScriptedUsers:
    """How long it is alone, each time it is asked; the last one for ever."""

    def __init__(self, *alone: float) -> None:
        self.alone = list(alone)
        self.waits: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    def alone_seconds(self) -> float:
        return self.alone.pop(0) if len(self.alone) > 1 else self.alone[0]


def test_it_serves_until_it_has_been_alone_for_ten_seconds(tmp_path: Path) -> None:
    ended: list[bool] = []
    lock = FileLock(tmp_path / "lock")
    users = ScriptedUsers(0.0, 0.0, 4.0, 10.0)
    serve_until_unused(users, lock, lambda: ended.append(lock.is_locked))  # type: ignore[arg-type]
    assert users.waits == [LINGER_SECONDS, LINGER_SECONDS - 4, 0]
    assert ended == [True]
    lock.release()


def test_it_goes_on_where_somebody_connects_at_the_last_moment(tmp_path: Path) -> None:
    class Busy:
        """Held by who connects, at first."""

        attempts = 0
        released = 0

        def acquire(self, timeout: float) -> None:
            assert timeout == 0
            Busy.attempts += 1
            if Busy.attempts == 1:
                raise Timeout("lock")

        def release(self) -> None:
            Busy.released += 1

    users = ScriptedUsers(10.0, 10.0, 10.0, 10.0, 0.0, 0.0, 0.0, 10.0)
    ended: list[bool] = []
    serve_until_unused(users, Busy(), lambda: ended.append(True))  # type: ignore[arg-type]
    assert (Busy.attempts, Busy.released, ended) == (3, 1, [True])


@pytest.mark.parametrize("replaced", [False, True])
def test_it_prints_its_address_and_withdraws_that_one_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, replaced: bool
) -> None:
    address = tmp_path / "key.json"
    found: dict[str, Any] = {}

    def serve(users: Users, _lock: FileLock, on_end: Any) -> None:
        printed = capsys.readouterr().out.strip()
        found.update(json.loads(printed), users=users)
        found["status"] = requests.get(found["url"], timeout=60).status_code
        address.write_text("another one's" if replaced else printed)
        on_end()
        on_end()

    monkeypatch.setattr(server, "_detach", lambda log: found.update(log=log.name))
    monkeypatch.setattr(server, "serve_until_unused", serve)
    main(tmp_path, "key")
    assert (found["status"], found["log"], found["port"]) == (200, "key.log", found["users"].port)
    assert address.exists() is replaced
    found["users"].close()


def test_who_is_gone_before_the_greeting_does_no_harm(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    class Gone:
        """A connection that was reset."""

        def sendall(self, _data: bytes) -> None:
            raise ConnectionResetError

        def close(self) -> None:
            closed.append(True)

    class Listener:
        def accept(self) -> Any:
            if closed:
                raise OSError("no more descriptors")
            return Gone(), None

    with monkeypatch.context() as patch:
        patch.setattr(users, "_listener", Listener())
        users._accept()
        users._accept()
    assert closed == [True]
    with connect(users):
        assert users.alone_seconds() == 0


def test_it_detaches_from_the_terminal_and_from_who_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    real = os.dup2
    monkeypatch.setattr(os, "fork", lambda: 0)
    monkeypatch.setattr(os, "setsid", lambda: done.append("session"))
    monkeypatch.setattr(os, "chdir", done.append)
    monkeypatch.setattr(os, "dup2", lambda _source, target: done.append(target))
    server._detach(tmp_path / "log")
    assert done == ["session", "/", 0, 1, 2]
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(os, "fork", lambda: 1)
    monkeypatch.setattr(os, "dup2", real)
    monkeypatch.setattr(os, "_exit", lambda code: (_ for _ in ()).throw(SystemExit(code)))
    with pytest.raises(SystemExit, match="0"):
        server._detach(tmp_path / "log")
