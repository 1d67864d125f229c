"""What an application publishes becomes options, whatever it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.api.requests import start_options as published
from chalicelib.cli.options import Option, parameter_options, start_options
from tests.cli.conftest import Run
from tests.cli.scripted import LISTED, Scripted, fine

START = ("start", "latency_injection")
NEW: dict[str, Any] = {
    "ticket": {"type": "string", "maxLength": 8, "description": "The change that allows it."},
    "regions": {"type": "array", "items": {"type": "string", "maxLength": 9}, "description": "Where."},
    "mode": {"type": "string", "enum": ["soft", "hard"], "default": "soft", "description": "How."},
    "rollout": {
        "description": "In steps.",
        "default": None,
        "anyOf": [
            {
                "type": "object",
                "description": "Not shown.",
                "anyOf": [{"required": ["steps", "pause_seconds"]}, {"required": ["at_once"]}],
                "properties": {
                    "steps": {"type": "integer", "minimum": 1, "maximum": 9, "description": "How many."},
                    "pause_seconds": {"type": "number", "minimum": 0, "unit": "seconds", "description": "Between."},
                    "at_once": {"type": "boolean", "default": False, "description": "No steps."},
                    "percentage": {"anyOf": [{"type": "number"}, {"type": "null"}], "description": "Of the last one."},
                },
            },
            {"type": "null"},
        ],
    },
    "matrix": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
    "anything": {},
    "help": {"type": "boolean", "default": False},
}
"""Options that no version has; of the last three the command line makes no option: it does not know their kinds, or has
an option of that name itself."""


@pytest.fixture
def environment(scripted: Scripted, tmp_path: Path) -> dict[str, str]:
    """An application of the next version."""
    options = published()
    options["properties"] |= NEW
    scripted.script["/list"] = [fine({**LISTED, "start_options": options})]
    return {"HOME": str(tmp_path), "CHAOS_URL": scripted.url, "CHAOS_TOKEN": "t", "COLUMNS": "200"}


def sent(scripted: Scripted) -> dict[str, Any]:
    """The body of the start."""
    (body,) = (body for path, body in scripted.asked if path == "/start")
    return {name: value for name, value in body.items() if name != "experiment_name"}


def test_options_that_a_server_adds_are_in_the_help_and_sent(run: Run, scripted: Scripted) -> None:
    output = " ".join(run(*START, "--help").stdout.split())
    for line in (
        "--ticket <text> The change that allows it.",
        "--region <text> Where. Can be repeated.",
        "--mode <soft|hard> How. Allowed: soft or hard. Default: soft.",
        "--steps <number> Rollout: How many. Allowed: from 1 to 9.",
        "--pause-seconds <number> Rollout: Between. Allowed: at least 0 seconds.",
        "--at-once Rollout: No steps.",
        "--rollout-percentage <number> Rollout: Of the last one.",
    ):
        assert line in output
    assert "matrix" not in output
    given = ("--region", "eu-1", "--region", "us-1", "--steps", "2", "--pause-seconds", "0.5", "--percentage", "30")
    others = ("--ticket", "C-7", "--mode", "hard", "--rollout-percentage", "50", "--detach")
    assert run(*START, *given, *others).returncode == 0
    assert sent(scripted) == {
        "percentage": 30.0,
        "ticket": "C-7",
        "regions": ["eu-1", "us-1"],
        "mode": "hard",
        "rollout": {"steps": 2, "pause_seconds": 0.5, "percentage": 50.0},
    }


def test_what_is_not_given_is_not_sent(run: Run, scripted: Scripted) -> None:
    assert run(*START, "--detach").returncode == 0
    assert sent(scripted) == {}


def test_the_options_of_this_version_are_sent_as_the_api_has_them(run: Run, scripted: Scripted) -> None:
    given = ("--reason", "why", "--restart", "--alarm", "a", "--alarm", "b", "--max-error-rate", "0.1", "--abort")
    assert run(*START, *given, "--no-allow-timeout", "--detach").returncode == 0
    assert sent(scripted) == {
        "allow_timeout": False,
        "reason": "why",
        "restart": True,
        "alarms": ["a", "b"],
        "hypothesis": {"max_error_rate": 0.1, "abort": True},
    }


def test_a_server_that_publishes_no_start_options_has_those_of_this_version(run: Run, scripted: Scripted) -> None:
    scripted.script["/list"] = [fine(LISTED)]
    assert run(*START, "--min-requests", "5", "--p95-seconds", "2", "--detach").returncode == 0
    assert sent(scripted) == {"hypothesis": {"p95_seconds": 2.0, "min_requests": 5}}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["--ticket", "C-1234567"], "--ticket must be one line of up to 8 characters; got 'C-1234567'."),
        (["--region", "eu", "--region", "eu-central-1"], "--region must be one line of up to 9 characters; got"),
        (["--mode", "loud"], "--mode must be soft or hard; got 'loud'."),
        (["--steps", "10"], "--steps must be a whole number from 1 to 9; got 10."),
        (["--steps", "2"], "--steps makes no rollout: add --steps and --pause-seconds or --at-once."),
        (["--abort", "--min-requests", "9"], "--min-requests and --abort make no hypothesis: add --max-error-rate or"),
    ],
)
def test_what_is_wrong_with_them_is_found_before_anything_is_sent(
    run: Run, scripted: Scripted, given: list[str], problem: str
) -> None:
    done = run(*START, *given)
    assert (done.returncode, done.stderr.splitlines()[0][: len(problem)]) == (2, problem)
    assert not [path for path, _ in scripted.asked if path == "/start"]


def test_what_the_server_refuses_is_reported_by_the_option(run: Run, scripted: Scripted) -> None:
    details = [
        {"field": "regions", "problem": "must be known", "allowed": "eu-1"},
        {"field": "rollout.steps", "problem": "must be 1", "allowed": "1"},
    ]
    content = {"error": True, "error_message": "No.", "code": "invalid_parameters", "details": details}
    scripted.script["/start"] = [(400, content)]
    refused = json.loads(run(*START, "--region", "x", "--steps", "2", "--pause-seconds", "1", "--json").stdout)
    assert refused["code"] == "invalid_parameters"
    done = run(*START, "--region", "x", "--steps", "2", "--pause-seconds", "1")
    assert done.stderr.splitlines()[:2] == ["--region must be known. Allowed: eu-1.", "--steps must be 1."]


def names(options: list[Option]) -> list[str]:
    return [option.name for option in options]


def test_a_name_that_is_taken_gets_the_objects_name_and_one_that_stays_taken_is_left_out() -> None:
    properties = {"load": {"properties": {"rate": {"type": "number"}}}, "detach": {"type": "boolean"}}
    taken = names(list(parameter_options({"rate": {"type": "number", "default": 1}})))
    assert names(list(start_options(properties, {"--detach", *taken}))) == ["--load-rate"]


def test_of_two_options_of_one_name_the_second_gets_the_objects_name() -> None:
    one = {"properties": {"rate": {"type": "number"}}}
    assert names(list(start_options({"load": one, "noise": one}, ()))) == ["--rate", "--noise-rate"]
