"""The halt that tries HTTP, and then the table."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.bootstrap import Chaos, bootstrap
from chalicelib.cli import halt, main
from chalicelib.cli.remote import Remote
from chalicelib.errors import StoreUnavailable
from chalicelib.settings import Settings
from chalicelib.time_limits import Attempt, TimeLimitExceeded
from tests.cli.scripted import Scripted, fine
from tests.support import FakeResultStore, FakeRunStore, FakeTokenStore, a_run

HALTED = {"halted_by": "vic", "halted_at": "now", "reason": "lost", "ended_runs": []}
HALT = ("halt", "--reason", "lost")
NOBODY = "http://127.0.0.1:1/x"


class Shell:
    """A shell with credentials for a table, which no application needs to be there for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path) -> None:
        self.runs = FakeRunStore({"latency_injection": a_run(now=time.time(), duration_seconds=600)})
        self.settings: list[Settings] = []
        self.wire = self._wire
        self._patch, self._capsys = monkeypatch, capsys
        self.set(HOME=str(home), CHAOS_TOKEN="t")

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._patch.setenv(name, value)

    def _wire(self, settings: Settings) -> Chaos:
        self.settings.append(settings)
        return bootstrap(settings, runs=self.runs, results=FakeResultStore(), tokens=FakeTokenStore())

    def run(self, *arguments: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = main(arguments, self.wire)
        return code, *self._capsys.readouterr()

    @property
    def is_halted(self) -> bool:
        return self.runs.halt_event is not None


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    for name in ("CHAOS_STAGE", "CHAOS_APPLICATION", "CHAOS_TABLE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return Shell(monkeypatch, capsys, tmp_path)


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of something that takes every connection, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/chaos_experiments"


@pytest.fixture
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halt, "HTTP_SECONDS", 0.05)
    monkeypatch.setattr(halt, "PATIENCE_SECONDS", 0.05)


def test_an_application_that_answers_is_all_that_it_takes(shell: Shell, scripted: Scripted) -> None:
    scripted.script["/halt"] = [fine(HALTED)]
    shell.set(CHAOS_URL=scripted.url, CHAOS_STAGE="qa")
    code, output, notes = shell.run(*HALT)
    assert (code, json.loads(output), shell.is_halted) == (0, HALTED, False)
    assert f"Done over HTTP, by {scripted.url}. To end the halt: chaos-experiments resume" in notes


def test_after_two_seconds_without_an_answer_it_halts_in_the_table(shell: Shell, silent: str) -> None:
    shell.set(CHAOS_URL=silent, CHAOS_STAGE="qa", CHAOS_APPLICATION="shop")
    began = time.monotonic()
    code, output, notes = shell.run(*HALT)
    assert 2.0 <= time.monotonic() - began < 8.0
    assert (code, shell.is_halted) == (0, True)
    assert json.loads(output)["ended_runs"] == [shell.runs.runs["latency_injection"].run_id]
    assert "Nothing answered within 2 s." in notes
    assert "Using the table chaos-experiments-qa (CHAOS_TABLE): application shop" in notes
    assert "Done in the table chaos-experiments-qa, without the application." in notes
    assert "To end the halt: chaos-experiments resume --stage qa" in notes


REFUSALS = [
    (401, {"error": True, "error_message": "No.", "code": "unauthenticated"}),
    (503, {"error": True, "error_message": "The table does not answer.", "code": "store_unavailable"}),
    (504, {"message": "Endpoint request timed out"}),
    (404, {}),
    (429, {"message": "Too Many Requests"}),
]


@pytest.mark.parametrize("answer", REFUSALS, ids=lambda answer: answer[0])
def test_a_refusal_is_no_end_where_the_table_can_be_written(shell: Shell, scripted: Scripted, answer: Any) -> None:
    scripted.script = {"/halt": [answer]}
    shell.set(CHAOS_URL=scripted.url, CHAOS_STAGE="qa")
    assert shell.run(*HALT)[0] == 0
    assert shell.is_halted


def test_nobody_at_the_address_needs_no_wait(shell: Shell) -> None:
    shell.set(CHAOS_URL=NOBODY, CHAOS_STAGE="qa")
    code, _, notes = shell.run(*HALT)
    assert (code, shell.is_halted) == (0, True)
    assert f"Nothing answers at {NOBODY}" in notes


def test_what_the_table_would_refuse_too_is_refused_at_once(shell: Shell, scripted: Scripted) -> None:
    problem = {"field": "reason", "problem": "is too long", "allowed": "at most 100 characters"}
    content = {"error": True, "error_message": "x", "code": "invalid_parameters", "details": [problem]}
    scripted.script["/halt"] = [(400, content)]
    shell.set(CHAOS_URL=scripted.url, CHAOS_STAGE="qa")
    assert (shell.run(*HALT)[0], shell.settings) == (1, [])


@pytest.mark.usefixtures("_hurried")
def test_where_the_stage_is_not_known_it_says_what_to_do(shell: Shell, silent: str) -> None:
    shell.set(CHAOS_URL=silent)
    code, _, notes = shell.run(*HALT)
    assert (code, shell.settings) == (3, [])
    assert "To halt without the application: chaos-experiments halt --stage <stage> --reason lost" in notes
    assert "where CHAOS_STAGE is set, or where the profile in use has been added with --stage" in notes


def refuse(_settings: Settings) -> Chaos:
    raise StoreUnavailable("No AWS credentials.")


@pytest.mark.usefixtures("_hurried")
def test_where_both_fail_both_are_reported(shell: Shell, silent: str) -> None:
    shell.set(CHAOS_URL=silent, CHAOS_STAGE="qa")
    shell.wire = refuse
    code, _, notes = shell.run(*HALT)
    assert code == 3
    assert notes.endswith(f"{silent} does not answer.\nAnd not in the table: No AWS credentials.\n")


@pytest.mark.parametrize(("answer", "code"), [(REFUSALS[0], 1), (None, 3)])
def test_the_exit_code_is_that_of_the_application_where_both_fail(
    shell: Shell, scripted: Scripted, answer: Any, code: int
) -> None:
    scripted.script["/halt"] = [answer]
    shell.set(CHAOS_URL=scripted.url, CHAOS_STAGE="qa")
    shell.wire = refuse
    refused, _, notes = shell.run(*HALT)
    assert (refused, notes.splitlines()[-1]) == (code, "And not in the table: No AWS credentials.")


@pytest.mark.parametrize("stage", ["", "qa"])
def test_an_application_that_is_slow_is_heard_where_the_table_cannot_be_written(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    asked = threading.Event()

    def late(*_: object) -> dict[str, Any]:
        asked.wait(60)
        return HALTED

    def wait(attempt: Attempt[Any], seconds: float) -> Any:
        if seconds == halt.HTTP_SECONDS:
            raise TimeLimitExceeded
        asked.set()
        return attempt_result(attempt, 60)

    attempt_result = Attempt.result
    monkeypatch.setattr(Remote, "ask", late)
    monkeypatch.setattr(Attempt, "result", wait)
    shell.set(CHAOS_STAGE=stage)
    shell.wire = refuse
    code, output, notes = shell.run(*HALT)
    assert (code, json.loads(output)) == (0, HALTED)
    assert "Done over HTTP" in notes


@pytest.mark.parametrize("arguments", [(), ("--stage", "qa")])
def test_a_table_that_hangs_is_not_waited_for(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr(halt, "TABLE_SECONDS", 0.05)
    hanging = threading.Event()

    def hang(_settings: Settings) -> Chaos:
        hanging.wait(60)
        raise StoreUnavailable("It is over.")

    shell.set(CHAOS_URL=NOBODY, CHAOS_STAGE="qa")
    shell.wire = hang
    code, _, notes = shell.run(*HALT, *arguments)
    hanging.set()
    assert code == 3
    assert "The table chaos-experiments-qa did not answer within 0.05 s." in notes


PROFILE = ("profile", "add", "shop", "--url", NOBODY, "--token", "t")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("--stage", "qa", "--application", "shop", "--table", "chaos"), ("shop#qa", "chaos")),
        (("--stage", "qa"), ("other#qa", "chaos-experiments-qa")),
    ],
)
def test_a_profile_can_name_the_table(shell: Shell, more: tuple[str, ...], expected: tuple[str, str]) -> None:
    shell.set(CHAOS_STAGE="another", CHAOS_APPLICATION="other", CHAOS_TOKEN="")
    assert shell.run(*PROFILE, *more)[0] == 0
    assert shell.run(*HALT)[0] == 0
    (settings,) = shell.settings
    assert (settings.scope, settings.table) == expected


def test_the_table_of_another_application_than_the_profiles_is_not_written(shell: Shell) -> None:
    shell.set(CHAOS_STAGE="another", CHAOS_TOKEN="")
    assert shell.run(*PROFILE)[0] == 0
    code, _, notes = shell.run(*HALT)
    assert (code, shell.settings) == (3, [])
    assert "halt --stage <stage>" in notes
    assert shell.run("--url", "http://127.0.0.1:2/x", *HALT)[0] == 0
    assert shell.settings[0].stage == "another"
