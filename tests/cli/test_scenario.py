"""Several runs of one start: from a file, until all of them have ended."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.api.requests import start_options as published
from chalicelib.cli import follow
from chalicelib.cli.remote import Remote
from tests.cli.conftest import Run
from tests.cli.scripted import LISTED, RUNNING, Scripted, fine
from tests.cli.test_failures import ENDED, interrupted

SLOW = {"experiment_name": "latency_injection", "label": "slow", "delay_seconds": 2}
FAILING = {"experiment_name": "error_injection", "label": "failing", "hypothesis": {"max_error_rate": 0.1}}
ONE = {**RUNNING, "run_id": "r-1", "label": "slow", "scenario": "s-1"}
TWO = {**RUNNING, "run_id": "r-2", "label": "failing", "name": "error_injection", "scenario": "s-1"}
STARTED = {"scenario": "s-1", "runs": [ONE, TWO]}


def ended(run: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**run, "status": "completed", "remaining_seconds": 0.0, "results": ENDED["results"], **more}


@pytest.fixture
def environment(scripted: Scripted, tmp_path: Path) -> dict[str, str]:
    scripted.script["/list"] = [fine({**LISTED, "start_options": published()})]
    scripted.script["/start"] = [fine(STARTED)]
    return {"HOME": str(tmp_path), "CHAOS_URL": scripted.url, "CHAOS_TOKEN": "t", "COLUMNS": "100"}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps({"experiments": [SLOW, FAILING]}))
    return str(path)


@pytest.mark.parametrize("content", [{"experiments": [SLOW, FAILING]}, [SLOW, FAILING]])
def test_a_list_in_a_file_is_started_and_how_to_stop_it_is_printed(
    run: Run, scripted: Scripted, file: str, content: Any
) -> None:
    Path(file).write_text(json.dumps(content))
    done = run("start", "--file", file, "--detach")
    assert done.returncode == 0, done.stderr
    assert scripted.asked[-1] == ("/start", {"experiments": [SLOW, FAILING]})
    assert "slow (latency_injection) running" in done.stdout
    assert "failing (error_injection) running" in done.stdout
    assert "scenario s-1" in done.stdout
    assert "Stop it: chaos-experiments stop --scenario s-1\n" in done.stderr
    assert json.loads(run("start", "--file", file, "--detach", "--json").stdout) == STARTED


def test_one_experiment_alone_is_a_list_of_one_also_from_the_standard_input(
    run: Run, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(SLOW)))
    assert run("start", "--file", "-", "--detach").returncode == 0
    assert scripted.asked[-1] == ("/start", {"experiments": [SLOW]})


def test_all_runs_are_followed_to_their_ends_one_question_at_a_time_while_they_are_active(
    run: Run, scripted: Scripted, file: str
) -> None:
    scripted.script["/status"] = [
        fine({**ONE, "runs": [ONE, TWO]}),
        fine({**TWO, "runs": [TWO]}),  # the first one has ended
        fine(ended(ONE)),
        fine({**TWO, "runs": []}),
        fine(ended(TWO)),
    ]
    done = run("start", "--file", file, "--json")
    assert done.returncode == 0, done.stderr
    assert [path for path, _ in scripted.asked if path.startswith("/status")] == [
        "/status?scenario=s-1", "/status?scenario=s-1", "/status?run_id=r-1", "/status?scenario=s-1",
        "/status?run_id=r-2",
    ]  # fmt: skip
    found = json.loads(done.stdout)
    assert found["scenario"] == "s-1"
    assert [each["status"] for each in found["runs"]] == ["completed", "completed"]
    assert "Started the scenario s-1 for 60 s. Press Ctrl-C to stop it." in done.stderr


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ({}, {}, 0),
        ({}, {"status": "aborted"}, 5),
        ({"status": "stopped"}, {"hypothesis": {"verdict": "failed", "explanation": "x"}}, 5),
        ({"results": {}}, {"hypothesis": {"verdict": "failed", "explanation": "x"}}, 4),
        ({"results": {}}, {"hypothesis": {"verdict": "cannot_tell", "explanation": "x"}}, 7),
        ({"hypothesis": {"verdict": "cannot_tell", "explanation": "x"}}, {}, 6),
    ],
)
def test_the_exit_code_is_that_of_the_run_that_ended_worst(
    run: Run, scripted: Scripted, file: str, *, first: dict[str, Any], second: dict[str, Any], code: int
) -> None:
    scripted.script["/status"] = [fine({**ONE, "runs": []}), fine(ended(ONE, **first)), fine(ended(TWO, **second))]
    assert run("start", "--file", file).returncode == code


def test_ctrl_c_stops_all_of_them(run: Run, scripted: Scripted, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = [ended(each, status="stopped") for each in (ONE, TWO)]
    end = {"effective_everywhere_by": RUNNING["end_time"], "stopped_runs": stopped}
    scripted.script["/stop"] = [fine({**stopped[0], **end})]
    monkeypatch.setattr(follow.time, "sleep", interrupted)
    done = run("start", "--file", file)
    assert done.returncode == 130
    assert scripted.asked[-1] == ("/stop", {"scenario": "s-1", "reason": "Ctrl-C"})
    assert "failing (error_injection) stopped" in done.stdout
    assert "Stopped the scenario s-1. No process injects it after" in done.stderr
    scripted.script["/stop"] = [(503, {"error": True, "error_message": "No table.", "code": "store_unavailable"})]
    done = run("start", "--file", file)
    assert done.returncode == 1
    assert "NOT stopped. No table.\nThe scenario s-1 ends by itself at" in done.stderr
    assert "Stop it: chaos-experiments stop --scenario s-1" in done.stderr


def test_ctrl_c_stops_one_run_with_a_label_and_no_other_run_of_its_experiment(
    run: Run, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.script["/start"] = [fine(ONE)]
    scripted.script["/stop"] = [fine({**ended(ONE), "effective_everywhere_by": RUNNING["end_time"]})]
    monkeypatch.setattr(follow.time, "sleep", interrupted)
    done = run("start", "latency_injection", "--label", "slow")
    assert scripted.asked[-1] == ("/stop", {"run_id": "r-1", "reason": "Ctrl-C"})
    assert "Stopped slow (latency_injection)." in done.stderr


def test_a_run_with_a_label_is_asked_for_by_its_id(run: Run, scripted: Scripted) -> None:
    scripted.script["/start"] = [fine(ONE)]
    scripted.script["/status"] = [fine(ended(ONE))]
    assert run("start", "latency_injection", "--label", "slow").returncode == 0
    assert scripted.asked[-1][0] == "/status?run_id=r-1"


def test_what_passes_does_not_end_the_watch(run: Run, scripted: Scripted, file: str) -> None:
    scripted.script["/status"] = [(503, {}), None, fine({**ONE, "runs": []}), fine(ended(ONE)), fine(ended(TWO))]
    done = run("start", "--file", file)
    assert done.returncode == 0
    assert done.stderr.count("Trying again") == 1


def test_ctrl_c_before_the_start_is_answered_says_how_to_check(
    run: Run, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Remote._send
    monkeypatch.setattr(Remote, "_send", lambda *asked: interrupted() if asked[1] == "POST" else send(*asked))
    done = run("start", "--file", file)
    assert done.returncode == 3
    assert "the run may have started.\nCheck: chaos-experiments list" in done.stderr


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "Cannot read {file}: No such file or directory. Give another --file."),
        ("{", "{file} is not valid JSON: Expecting property name"),
        (b"\xff\xfe", "{file} is not valid JSON: "),
        ("[]", "{file} has no list of experiments. It must be "),
        ("{}", "{file} has no list of experiments. It must be "),
        ("[1]", "{file} has no list of experiments. It must be "),
        ('{"experiments": {}}', "{file} has no list of experiments. It must be "),
        ("3", "{file} has no list of experiments. It must be "),
    ],
)
def test_a_file_that_is_no_list_is_reported_with_what_one_is(
    run: Run, scripted: Scripted, file: str, content: str | bytes | None, expected: str
) -> None:
    if content is None:
        Path(file).unlink()
    else:
        Path(file).write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run("start", "--file", file)
    assert done.returncode == 2
    assert done.stderr.startswith(expected.format(file=file)), done.stderr
    assert not [path for path, _ in scripted.asked if path == "/start"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["--detach"], "Start what? Give an experiment, or --file with several."),
        (["--detach", "latency_injection"], "--detach must stand after the experiment."),
        (
            ["--file", "x", "latency_injection"],
            "--file stands instead of an experiment: leave out one of the two.",
        ),
        (["latency_injection", "--file", "x"], "--file stands instead of an experiment: leave out one of the two."),
    ],
)
def test_wrong_usage_says_what_is_meant(run: Run, typed: list[str], expected: str) -> None:
    done = run("start", *typed)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, expected)


def test_recovery_needs_bounds_in_the_file(run: Run, file: str) -> None:
    done = run("start", "--file", file, "--recovery", "--detach")
    assert "--recovery waits, and --detach does not wait." in done.stderr
    Path(file).write_text(json.dumps([SLOW]))
    done = run("start", "--file", file, "--recovery")
    assert (done.returncode, "the file has none: add one." in done.stderr) == (2, True)


def test_what_is_wrong_in_a_file_is_reported_by_its_place_there(run: Run, scripted: Scripted, file: str) -> None:
    details = [
        {"field": "experiments.0.delay_seconds", "problem": "is too large", "allowed": "a number from 0 to 1"},
        {"field": "experiments.1.lable", "problem": "is unknown", "allowed": "label"},
    ]
    content = {"error": True, "error_message": "No.", "code": "invalid_parameters", "details": details}
    scripted.script["/start"] = [(400, content)]
    done = run("start", "--file", file)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "experiments.0.delay_seconds is too large. Allowed: a number from 0 to 1.",
        "experiments.1.lable is unknown. Allowed: label.",
    ]


def test_an_older_application_starts_no_list_and_is_not_asked_to(run: Run, scripted: Scripted, file: str) -> None:
    options = published()
    del options["properties"]["label"]
    scripted.script["/list"] = [fine({**LISTED, "start_options": options})]
    done = run("start", "--file", file)
    assert done.returncode == 1
    assert "has an older version of the module, which starts no list of experiments." in done.stderr
    assert not [path for path, _ in scripted.asked if path == "/start"]


@pytest.mark.parametrize(
    ("code", "resultset", "expected"),
    [
        ("already_running", ONE, 'Give it "restart": true in the file to replace that run, or another "label" to run'),
        ("already_running", ONE, "beside it, or stop it: chaos-experiments stop --label slow"),
        ("unknown_experiment", {"available_experiments": ["a"]}, "What the API said."),
    ],
)
def test_what_is_in_the_way_of_a_file_is_said_in_its_fields(
    run: Run, scripted: Scripted, file: str, *, code: str, resultset: Any, expected: str
) -> None:
    content = {"error": True, "error_message": "What the API said.", "code": code, "resultset": resultset}
    scripted.script["/start"] = [(409, content)]
    done = run("start", "--file", file)
    assert (done.returncode, expected in done.stderr) == (1, True), done.stderr
