"""`dependencies`, and the completion of `start dependency_failure --dependency`."""

import json
from typing import Any

import pytest

from chalicelib.api import responses
from chalicelib.cli import dependencies
from chalicelib.experiments.catalogue import installed
from tests.cli.conftest import Run, Terminal
from tests.cli.scripted import LISTED, Scripted, fine

FIRST = "All processes observe their outgoing calls."


def row(client: str, dependency: str, **more: Any) -> dict[str, Any]:
    return {
        "client": client,
        "dependency": dependency,
        "calls": 12,
        "errors": 3,
        "p50_seconds": 0.0123,
        "p95_seconds": 1.5,
        "faults": ["dns", "timeout"],
        "note": None,
        **more,
    }


NOTHING = fine({"observing": False, "message": FIRST, "dependencies": []})
GRPC = row(
    "grpc", "", calls=0, errors=0, p50_seconds=None, p95_seconds=None, faults=[], note="It connects outside of Python."
)
SEEN = fine(
    {
        "observing": True,
        "message": "Ask again.",
        "dependencies": [
            row("other", "other", faults=[]),
            row("botocore", "dynamodb:PutItem"),
            row("urllib3", "a.example:443"),
            GRPC,
        ],
    }
)
FAILURE = fine({**LISTED, "available_experiments": [responses.experiment(installed()["dependency_failure"], {})]})


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "POLL_SECONDS", 0.0)


@pytest.fixture
def environment(environment: dict[str, str], scripted: Scripted) -> dict[str, str]:
    return {**environment, "CHAOS_URL": scripted.url}


def test_it_asks_again_until_something_is_seen(run: Run, scripted: Scripted) -> None:
    scripted.script["/dependencies"] = [NOTHING, NOTHING, SEEN]
    done = run("dependencies", COLUMNS="120")
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["client", "dependency", "calls", "errors", "p50", "p95", "faults"]
    assert lines[2] == ["botocore", "dynamodb:PutItem", "12", "3", "12.3", "ms", "1.5", "s", "dns,", "timeout"]
    assert lines[4][:6] == ["grpc", "-", "0", "0", "-", "-"]
    assert "outside of Python" in done.stdout
    assert FIRST in done.stderr
    assert "start dependency_failure --dependency dynamodb:PutItem --fault timeout" in done.stderr


def test_without_patience_it_says_what_to_do(run: Run, scripted: Scripted) -> None:
    scripted.script["/dependencies"] = [NOTHING]
    done = run("dependencies", "--wait", "0")
    assert (done.returncode, done.stdout) == (0, "No outgoing calls yet.\n")
    assert FIRST in done.stderr
    assert len(scripted.received) == 1


def test_json_is_the_answer_alone(run: Run, scripted: Scripted) -> None:
    scripted.script["/dependencies"] = [NOTHING, SEEN]
    done = run("dependencies", "--json")
    assert json.loads(done.stdout) == SEEN[1]["resultset"]


def test_it_is_watched_until_ctrl_c(terminal: Any, scripted: Scripted) -> None:
    scripted.script["/dependencies"] = [NOTHING, SEEN]
    shown: Terminal = terminal("dependencies", "--watch", columns=120)
    shown.until("a.example:443")
    shown.process.sendintr()
    assert shown.end() == 0


@pytest.mark.parametrize(("verb", "word", "expected"), [("start", "dyn", ["dynamodb:PutItem"]), ("preview", "o", [])])
def test_dependencies_are_completed(run: Run, scripted: Scripted, verb: str, word: str, expected: list[str]) -> None:
    scripted.script["/list"] = [FAILURE]
    scripted.script["/dependencies"] = [SEEN]
    words = f"chaos-experiments {verb} dependency_failure --dependency {word}"
    typed = {"_CHAOS_EXPERIMENTS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "4"}
    assert run(**typed).stdout.split() == expected
    del scripted.script["/dependencies"]
    silent = run(**typed)
    assert (silent.stdout.split(), silent.stderr) == ([], "")
