import json
import socket
import sys

import pytest

from chalicelib.cli import main
from chalicelib.cli import serve as command
from tests.cli.conftest import Run

TAKEN = "Choose another one with --host and --port."


def test_without_the_server_the_command_to_install_it_is_printed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "waitress", None)
    done = run("serve")
    assert done.returncode == 1
    assert "pip install 'waitress>=3'" in done.stderr


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_cannot_be_is_refused(run: Run, port: str) -> None:
    done = run("serve", f"--port={port}")
    assert done.returncode == 2
    assert "--port must be a whole number from 0 to 65535" in done.stderr


def test_a_port_that_is_taken_is_reported(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("serve", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert TAKEN in done.stderr


def test_an_address_that_is_not_this_machines_is_reported(run: Run) -> None:
    assert TAKEN in run("serve", "--host", "192.0.2.1").stderr


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"CHAOS_STAGE": ""}, "CHAOS_STAGE is not set"),
        ({"CHAOS_STAGE": "qa", "CHAOS_STATE": "x"}, "CHAOS_STATE is not a setting"),
    ],
)
def test_settings_that_a_serving_process_would_refuse_are_refused(
    run: Run, variables: dict[str, str], problem: str
) -> None:
    done = run("serve", "--port", "0", "--json", **variables)
    assert (done.returncode, json.loads(done.stdout)["error"]) == (1, True)
    assert problem in done.stderr


@pytest.mark.parametrize(("host", "url"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
def test_the_address_is_printed_as_one(host: str, url: str) -> None:
    try:
        listening = command._listen(host, 0)
    except Exception:
        if ":" not in host:
            raise
        pytest.skip("no IPv6 here")
    with listening:
        assert command._url(listening) == f"{url}{listening.getsockname()[1]}"


def test_the_table_has_more_time_than_for_requests_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOS_STAGE", "qa")
    assert command._settings().table_timeout_seconds == 5.0
    monkeypatch.setenv("CHAOS_TABLE_TIMEOUT_SECONDS", "7")
    assert command._settings().table_timeout_seconds == 7.0


def test_its_help_names_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    output = capsys.readouterr().out
    assert "Default: 127.0.0.1" in output
    assert "8090" in output
