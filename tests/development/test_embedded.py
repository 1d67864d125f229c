import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from chalicelib.development import embedded
from chalicelib.development.embedded import Embedded, Shared, join, prepared, rejoin, token
from chalicelib.errors import Misconfigured
from chalicelib.settings import Settings

DEV = Settings(stage="dev")
NAMED = Settings(stage="dev", endpoint_url="http://127.0.0.1:9")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A private folder and a working directory of this test; what it joined, it leaves."""
    made = tmp_path / "private"
    made.mkdir(mode=0o700)
    monkeypatch.setattr(embedded, "_private_folder", lambda: made)
    monkeypatch.setattr(embedded, "_joined", {})
    joined: list[Embedded] = []
    monkeypatch.setattr(embedded, "Embedded", lambda *of: joined.append(Embedded(*of)) or joined[-1])
    monkeypatch.chdir(tmp_path)
    embedded._here.cache_clear()
    embedded._own_token.cache_clear()
    yield made
    embedded._here.cache_clear()
    for each in joined:
        each.connection.close()


class Process:
    """Starts instead of the server: it answers with a greeting, in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.greeting: bytes | None = None
        self.accepted: list[socket.socket] = []
        monkeypatch.setattr(embedded, "_start", self._start)
        monkeypatch.setattr(socket, "create_connection", self._connect)

    def _start(self, shared: Shared) -> None:
        self.started += 1
        self.greeting = self.greeting or f"{shared.key}\n".encode()
        shared.file("json").write_text(json.dumps({"url": "http://there", "port": self.listener.getsockname()[1]}))

    def _connect(self, address: tuple[str, int], timeout: float) -> socket.socket:
        connection = socket.socket()
        connection.settimeout(timeout)
        connection.connect(address)
        accepted = self.listener.accept()[0]
        accepted.sendall(self.greeting or b"")
        self.accepted.append(accepted)
        return connection

    def end(self) -> None:
        for each in (*self.accepted, self.listener):
            each.close()


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    made = Process(monkeypatch)
    yield made
    made.end()


def test_a_real_one_is_started_once_answers_and_is_in_nobodys_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("PYTHONSTARTUP", "not-there")
    one = join(DEV)
    direct = {"http": ""}
    assert requests.get(one.url, timeout=60, proxies=direct).status_code == 200
    assert join(DEV) is one
    embedded._joined.clear()
    other = join(DEV)
    assert other.url == one.url
    assert other.connection is not one.connection
    one.connection.close()
    assert (folder / f"{Shared.by(DEV).key}.log").read_text() == ""
    address = json.dumps({"url": one.url, "port": other.connection.getpeername()[1]})
    assert (folder / f"{Shared.by(DEV).key}.json").read_text() == address, "as the server withdraws it"


def test_what_is_shared_depends_on_folder_application_and_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {Shared.by(Settings(stage=stage, application=name)).key for stage in ("dev", "qa") for name in ("a", "b")}
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert Shared.by(Settings(stage="dev", application="a")).key in keys, "where the process was at first"
    embedded._here.cache_clear()
    keys.add(Shared.by(Settings(stage="dev", application="a")).key)
    assert len(keys) == 5
    (tmp_path / "link").symlink_to(tmp_path / "other")
    monkeypatch.chdir(tmp_path / "link")
    embedded._here.cache_clear()
    assert Shared.by(Settings(stage="dev", application="a")).key in keys


def test_settings_that_name_a_dynamodb_keep_it() -> None:
    settings = prepared(NAMED)
    assert (settings.endpoint_url, settings.embedded) == ("http://127.0.0.1:9", False)
    assert settings.table_timeout_seconds == NAMED.table_timeout_seconds


def test_others_get_the_embedded_one_and_are_patient_with_it(process: Process) -> None:
    settings = prepared(DEV)
    assert (settings.endpoint_url, settings.embedded, settings.table_timeout_seconds) == ("http://there", True, 2.0)


def test_one_that_has_ended_is_started_anew(process: Process) -> None:
    one = join(DEV)
    process.accepted[0].close()
    assert not one.is_running()
    assert join(DEV) is not one
    process.accepted[1].sendall(b"x")
    assert embedded._joined[Shared.by(DEV).key].is_running()


def test_an_address_that_is_stale_or_another_programs_is_not_believed(process: Process) -> None:
    process.greeting = b"HTTP/1.1 400 Bad Request\r\n"
    with pytest.raises(Misconfigured, match=r"ended at once; see .*\.log. Or name a DynamoDB"):
        join(DEV)
    Shared.by(DEV).file("json").write_text("{")
    assert embedded._find(Shared.by(DEV)) is None


def test_a_connection_that_was_reset_is_no_running_server(process: Process) -> None:
    joined = join(DEV)
    process.accepted[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    process.accepted[0].close()
    assert not joined.is_running()


def test_after_a_reload_a_running_one_is_kept_and_none_is_started(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not rejoin(DEV)
    join(DEV)
    embedded._joined.clear()
    assert rejoin(DEV)
    assert process.started == 1
    assert not rejoin(NAMED)
    monkeypatch.setattr(embedded, "find_spec", lambda _name: None)
    assert not rejoin(DEV)


def test_without_moto_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda name: None if name == "moto" else object())
    with pytest.raises(Misconfigured, match=r"Not installed: moto. pip install 'moto\[server\]' filelock"):
        join(DEV)


def test_one_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_python", lambda: "/not/there/python")
    with pytest.raises(Misconfigured, match=r"did not start: .*not/there.* Or name a DynamoDB"):
        join(DEV)
    monkeypatch.setattr(embedded, "_python", lambda: sys.executable)
    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(Misconfigured, match="did not start: OSError: no port"):
        join(DEV)


def refuse(*_: Any, **__: Any) -> None:
    raise subprocess.CalledProcessError(1, ["python"], stderr="Traceback\nOSError: no port\n")


def test_a_folder_that_cannot_be_used_is_said(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(Shared, "lock", lambda _shared: (_ for _ in ()).throw(TimeoutError("busy")))
    with pytest.raises(Misconfigured, match="cannot be used: busy"):
        join(DEV)


def test_the_token_that_is_set_is_used_and_otherwise_all_processes_share_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert token(Settings(stage="dev", dev_token="mine")) == "mine"
    one = token(DEV)
    assert len(one) > 16
    assert token(NAMED) == one
    assert [path.suffix for path in folder.iterdir()] == [".token"]
    monkeypatch.setattr(embedded, "_private_folder", lambda: (_ for _ in ()).throw(Misconfigured("no")))
    assert token(DEV) == token(NAMED)  # of this process alone, but the one that was announced


@pytest.fixture
def real_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.undo()
    monkeypatch.setattr(embedded, "TEMPORARY", tmp_path)
    return tmp_path / f"chaos-experiments-{os.getuid()}"


def test_the_private_folder_is_of_this_user_alone(real_folder: Path) -> None:
    assert embedded._private_folder() == real_folder
    assert real_folder.stat().st_mode & 0o777 == 0o700
    assert embedded._private_folder() == real_folder


def test_a_folder_that_others_may_use_is_refused(real_folder: Path) -> None:
    real_folder.mkdir(mode=0o755)
    with pytest.raises(Misconfigured, match=r"must be a folder that only you can use\. Remove it"):
        embedded._private_folder()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_folder_is_refused(real_folder: Path, kind: str) -> None:
    if kind == "file":
        real_folder.touch()
    else:
        (real_folder.parent / "theirs").mkdir(mode=0o700)
        real_folder.symlink_to(real_folder.parent / "theirs")
    with pytest.raises(Misconfigured, match="folder"):
        embedded._private_folder()


@pytest.mark.parametrize(
    ("executable", "expected"),
    [
        ("/usr/bin/python3.11", "/usr/bin/python3.11"),
        ("/usr/sbin/uwsgi", f"{sys.prefix}/bin/python3"),
        ("", f"{sys.prefix}/bin/python3"),
    ],
)
def test_the_interpreter_is_found_also_where_a_server_embeds_it(
    monkeypatch: pytest.MonkeyPatch, executable: str, expected: str
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    assert embedded._python() == expected
