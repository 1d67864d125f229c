"""`start dependency_failure`: an experiment that needs a parameter."""

from pathlib import Path

import pytest

from chalicelib.api import responses
from chalicelib.api.requests import start_options
from chalicelib.experiments.catalogue import installed
from tests.cli.conftest import Run
from tests.cli.scripted import LISTED, Scripted, fine

START = ("start", "dependency_failure")


@pytest.fixture
def environment(scripted: Scripted, tmp_path: Path) -> dict[str, str]:
    available = [responses.experiment(installed()["dependency_failure"], {})]
    scripted.script["/list"] = [fine({**LISTED, "available_experiments": available, "start_options": start_options()})]
    return {"HOME": str(tmp_path), "CHAOS_URL": scripted.url, "CHAOS_TOKEN": "t", "COLUMNS": "200"}


def test_what_fails_and_how_is_sent(run: Run, scripted: Scripted) -> None:
    done = run(
        *START, "--dependency", "https://payments.example/v1/*", "--fault", "error", "--status-code", "429",
        "--answer-header", "Retry-After=2", "--body", '{"a": 1}', "--scope-of-calls", "process", "--detach",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (sent,) = [body for path, body in scripted.asked if path == "/start"]
    assert sent == {
        "experiment_name": "dependency_failure",
        "dependency": "https://payments.example/v1/*",
        "fault": "error",
        "status_code": 429,
        "headers": {"Retry-After": "2"},
        "body": {"a": 1},
        "scope_of_calls": "process",
    }


def test_without_a_dependency_it_says_what_can_be_one_and_nothing_is_sent(run: Run, scripted: Scripted) -> None:
    for command in (START, ("preview", "dependency_failure", "--request", "/orders")):
        done = run(*command, "--fault", "dns")
        assert done.returncode == 2
        assert done.stderr.splitlines()[0] == (
            "--dependency is required: an AWS service (dynamodb), one of its operations (dynamodb:PutItem), addresses "
            "(https://payments.example/v1/*), or a host (payments.example, *.example.com, localhost:5432)."
        )
    assert {path for path, _ in scripted.asked} == {"/list"}


def test_what_is_no_dependency_is_found_before_anything_is_sent(run: Run, scripted: Scripted) -> None:
    done = run(*START, "--dependency", "my_host", "--fault", "nothing")
    assert done.returncode == 2
    first, second, *_ = done.stderr.splitlines()
    assert first.startswith("--dependency must be an AWS service (dynamodb)")
    assert first.endswith("got 'my_host'.")
    assert second.startswith("--fault must be latency, error, throttle")
    assert {path for path, _ in scripted.asked} == {"/list"}


def test_its_help_shows_an_example_that_can_be_typed(run: Run) -> None:
    shown = run(*START, "--help").stdout
    assert "start dependency_failure --dependency dynamodb:PutItem --percentage 20" in " ".join(shown.split())
