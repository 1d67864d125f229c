"""What the command line says and does when the application answers badly, late, or not at all."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import typer
import urllib3

from chalicelib.api.results import results
from chalicelib.cli import follow
from chalicelib.cli import runs as listing
from chalicelib.cli.context import LOCAL, Selection, destination
from chalicelib.cli.profile_file import Profiles
from chalicelib.cli.remote import REASONS, Remote, reason
from chalicelib.results.tally import Tally
from tests.cli.conftest import Run
from tests.cli.scripted import LISTED, PREFIX, RUN, RUNNING, Answer, Scripted, fine, published
from tests.support import NOW

LATENCY = ("start", "latency_injection")
SERVED = Tally({"requests": 2, "hit.2xx": 2, "hit.b20": 2})
ENDED = {**RUNNING, "status": "completed", "remaining_seconds": 0.0, "results": results(RUN, SERVED, NOW, whole=True)}
UNAVAILABLE = (503, {"error": True, "error_message": "The table does not answer.", "code": "store_unavailable"})


@pytest.fixture
def environment(scripted: Scripted, tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "CHAOS_URL": scripted.url, "CHAOS_TOKEN": "t", "COLUMNS": "80"}


def interrupted(*_arguments: object) -> None:
    raise KeyboardInterrupt


# Ctrl-C


@pytest.mark.parametrize(
    ("answer", "code", "expected"),
    [
        (UNAVAILABLE, 1, "NOT stopped. The table does not answer."),
        ((403, {"Message": "no"}), 1, "NOT stopped. http://127.0.0.1"),
        (None, 3, "NOT stopped. Nothing answers"),
        ((404, {"error": True, "error_message": "x", "code": "not_running"}), 130, "had already ended"),
        (
            fine({**RUNNING, "status": "stopped", "effective_everywhere_by": RUNNING["end_time"]}),
            130,
            "Stopped latency",
        ),
    ],
)
def test_ctrl_c_says_whether_the_run_is_stopped(
    run: Run, scripted: Scripted, monkeypatch: pytest.MonkeyPatch, *, answer: Answer | None, code: int, expected: str
) -> None:
    scripted.script["/stop"] = [answer]
    monkeypatch.setattr(follow.time, "sleep", interrupted)
    done = run(*LATENCY)
    assert done.returncode == code
    assert expected in done.stderr
    assert ("Stop it: chaos-experiments stop latency_injection" in done.stderr) == (code != 130)


def test_ctrl_c_before_the_start_is_answered_says_that_it_may_run(
    run: Run, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Remote._send
    monkeypatch.setattr(Remote, "_send", lambda *asked: interrupted() if asked[1] == "POST" else send(*asked))
    done = run(*LATENCY)
    assert done.returncode == 3
    assert "the run may have started" in done.stderr


def test_ctrl_c_while_the_experiments_are_asked_for_is_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Remote, "ask", interrupted)
    done = run(*LATENCY)
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")


def test_ctrl_c_where_something_is_asked_for_is_reported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def aborted(*_arguments: object) -> None:
        raise typer.Abort

    monkeypatch.setattr(Remote, "ask", aborted)
    done = run("list")
    assert (done.returncode, done.stderr) == (1, "Canceled.\n")


# While a run is watched


def test_what_passes_does_not_end_the_watch(run: Run, scripted: Scripted) -> None:
    scripted.script["/status"] = [fine(RUNNING), UNAVAILABLE, None, (429, {}), (504, {}), fine(ENDED)]
    done = run(*LATENCY)
    assert done.returncode == 0
    assert done.stderr.count("Trying again") == 1


def test_what_does_not_pass_is_given_up_long_after_the_end(
    run: Run, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "GIVEN_UP_SECONDS", -59.9)
    scripted.script["/status"] = [UNAVAILABLE]
    done = run(*LATENCY, "--json")
    assert done.returncode == 3
    assert "It is unknown how latency_injection ended" in done.stderr
    assert json.loads(done.stdout)["code"] == "unreachable"


def test_a_token_that_is_revoked_meanwhile_ends_the_watch(run: Run, scripted: Scripted) -> None:
    scripted.script["/status"] = [fine(RUNNING), (403, {"Message": "no"})]
    assert run(*LATENCY).returncode == 1


@pytest.mark.parametrize("status", ["stopped", "aborted"])
def test_a_run_that_others_end_is_no_success(run: Run, scripted: Scripted, status: str) -> None:
    scripted.script["/status"] = [fine({**ENDED, "status": status, "ended_by": "vic"})]
    assert run(*LATENCY).returncode == 5


def test_a_run_that_is_replaced_is_reported_as_it_ended(run: Run, scripted: Scripted) -> None:
    scripted.script["/status"] = [fine({**RUNNING, "run_id": "another", "started_by": "eve"})]
    scripted.script["/report"] = [fine({"run": {**ENDED, "status": "stopped"}, "events": []})]
    done = run(*LATENCY, "--json")
    assert done.returncode == 5
    assert "eve replaced this run of latency_injection" in done.stderr
    assert json.loads(done.stdout)["status"] == "stopped"


# What is sent, and where


def test_that_none_may_fail_is_a_hypothesis(run: Run, scripted: Scripted) -> None:
    assert run(*LATENCY, "--max-error-rate", "0", "--delay-seconds", "0", "--detach").returncode == 0
    assert scripted.asked[-1][1] == {
        "experiment_name": "latency_injection",
        "delay_seconds": 0.0,
        "hypothesis": {"max_error_rate": 0.0},
    }


@pytest.mark.parametrize("token", ["abc…", "a b", "abc\x1b"])
def test_what_is_no_token_is_not_sent_and_not_shown(run: Run, scripted: Scripted, token: str) -> None:
    done = run("list", CHAOS_TOKEN=token)
    assert done.returncode == 1
    assert "The token from CHAOS_TOKEN was not sent" in done.stderr
    assert token not in done.stderr
    assert scripted.asked == []


def test_a_line_end_after_the_token_is_none_of_it(run: Run) -> None:
    assert run("list", CHAOS_TOKEN="t\r\n").returncode == 0


HERE, THERE = "http://localhost:8000/here", "https://qa.example/there"


@pytest.mark.parametrize(
    ("typed", "variables", "expected"),
    [
        (Selection(), Selection(), (THERE, "current")),
        (Selection(token="x"), Selection(), (THERE, "x")),
        (Selection(), Selection(token="x"), (LOCAL, "x")),
        (Selection(), Selection(url=HERE, token="x"), (HERE, "x")),
        (Selection(), Selection(url=HERE), (HERE, "")),
        (Selection(url=HERE), Selection(), (HERE, "")),
        (Selection(url=HERE), Selection(token="x"), (HERE, "x")),
        (Selection(url=HERE), Selection(profile="qa"), (HERE, "")),
        (Selection(profile="qa"), Selection(url=HERE, token="x"), (THERE, "current")),
        (Selection(profile="qa", url=HERE), Selection(), (HERE, "")),
        (Selection(profile="qa", url=HERE, token="y"), Selection(), (HERE, "y")),
        (Selection(), Selection(profile="qa", url=HERE, token="x"), (THERE, "current")),
    ],
)
def test_what_is_typed_goes_first_and_no_profiles_token_goes_elsewhere(
    typed: Selection, variables: Selection, expected: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    profiles = {"qa": {"url": THERE, "token": "current"}}
    Profiles.of_the_user().write({"current": "qa", "profiles": profiles})
    found = destination(typed, variables)
    assert (found.url, found.token) == expected


# What comes back


@pytest.mark.parametrize("answer", [[], "no", None, 5, {"error": False}])
@pytest.mark.parametrize(
    ("document", "expected"),
    [((404, {}), "Is the address right?"), (published(PREFIX), "This is the answer of something else")],
)
def test_an_answer_of_something_else_is_reported_so(
    run: Run, scripted: Scripted, *, answer: object, document: Answer, expected: str
) -> None:
    scripted.script["/openapi.json"] = [document]
    scripted.script["/list"] = [(418, answer)]
    done = run("list")
    assert done.returncode == 1
    assert f"{scripted.url} answered 418 I'm a Teapot" in done.stderr
    assert expected in done.stderr


@pytest.mark.parametrize("reason", ["5xx on [/checkout]", "[prod] orders are lost", "x" * 100])
def test_a_reason_is_repeated_as_it_was_given(run: Run, scripted: Scripted, reason: str) -> None:
    scripted.script["/halt"] = [fine({"halted_by": "ada", "halted_at": "now", "reason": reason, "ended_runs": []})]
    done = run("halt", "--reason", reason)
    assert done.returncode == 0
    assert json.loads(done.stdout)["reason"] == reason


def test_what_others_wrote_tells_the_terminal_nothing(run: Run, scripted: Scripted) -> None:
    hostile = "\x1b[2J\x1b]0;pwned\x07\x9b31m"
    halt = {"halted_by": "vic", "reason": hostile, "halted_at": RUNNING["start_time"]}
    scripted.script["/list"] = [fine({**LISTED, "halt": halt})]
    scripted.script["/report"] = [(200, hostile)]
    scripted.script["/start"] = [(423, {"error": True, "error_message": hostile, "code": "halted"})]
    for arguments in (["watch"], ["list"], ["report", "r"], [*LATENCY]):
        done = run(*arguments)
        assert not {"\x1b", "\x07", "\x9b"} & set(done.stdout + done.stderr), arguments


# Where the endpoints are


def test_the_address_of_the_application_leads_to_its_endpoints(run: Run, scripted: Scripted) -> None:
    done = run(*LATENCY, "--detach", CHAOS_URL=scripted.host)
    assert done.returncode == 0
    assert done.stderr.count(f"Note: using {scripted.url}, because the endpoints are not at {scripted.host}.") == 1
    assert [path for path, _ in scripted.asked] == ["/list", "/start"]
    assert scripted.elsewhere == [("GET", "/openapi.json", "")]


@pytest.mark.parametrize("wrong", ["/nope", "/chaos_experiments/console", "/chaos_experiment"])
def test_a_path_that_is_about_right_leads_there_too(run: Run, scripted: Scripted, wrong: str) -> None:
    done = run("list", "--json", CHAOS_URL=scripted.host + wrong)
    assert done.returncode == 0
    assert json.loads(done.stdout)["application"] == "app"
    assert f"Note: using {scripted.url}" in done.stderr


def test_the_endpoints_of_another_prefix_are_found_in_the_applications_own_document(
    run: Run, scripted: Scripted
) -> None:
    scripted.prefix = "/v2/faults"
    scripted.script["/openapi.json"] = [published(scripted.prefix)]
    assert f"Note: using {scripted.host}/v2/faults" in run("list", CHAOS_URL=scripted.host).stderr


def test_an_application_without_endpoints_is_not_halted_and_sees_no_token(run: Run, scripted: Scripted) -> None:
    scripted.script = {"/halt": [fine({})]}
    done = run("halt", "--reason", "now", CHAOS_URL=scripted.host)
    assert done.returncode == 1
    assert "Is the address right?" in done.stderr
    assert {(method, token) for method, _, token in scripted.elsewhere} == {("GET", "")}
    assert scripted.asked == []


def test_an_application_that_has_moved_is_reported_with_its_new_address(run: Run, scripted: Scripted) -> None:
    scripted.script["/list"] = [(301, {})]
    scripted.location = "https://shop.example/chaos_experiments/list"
    done = run("list", "--json")
    assert "the address is now https://shop.example/chaos_experiments. Give the new address" in done.stderr
    assert json.loads(done.stdout)["code"] == "unexpected_answer"


def test_a_gateways_refusal_of_the_token_is_json_with_a_code(run: Run, scripted: Scripted) -> None:
    scripted.script["/list"] = [(403, {"Message": "no"})]
    content = json.loads(run("list", "--json").stdout)
    assert (content["error"], content["code"], content["Message"]) == (True, "forbidden", "no")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:1/x", "Nothing answers at http://127.0.0.1:1/x: the connection was refused."),
        ("http://127.0.0.1:1", "Nothing answers at http://127.0.0.1:1: the connection was refused."),
    ],
)
def test_where_nothing_answers_the_reason_is_printed(run: Run, url: str, expected: str) -> None:
    done = run("list", CHAOS_URL=url)
    assert done.returncode == 3
    assert expected in done.stderr
    assert "this one is the default" not in done.stderr


@pytest.mark.parametrize("kind", REASONS)
def test_each_reason_is_one_of_the_http_client_s(kind: str) -> None:
    assert issubclass(getattr(urllib3.exceptions, kind), urllib3.exceptions.HTTPError)


def test_a_reason_that_has_no_words_is_reported_by_its_name() -> None:
    assert reason(urllib3.exceptions.SSLError()) == "it has no valid TLS certificate, or no TLS"
    assert reason(urllib3.exceptions.HTTPError()) == "HTTPError"


def test_a_default_that_does_not_answer_is_reported_as_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.cli.context.LOCAL", "http://127.0.0.1:1/chaos_experiments")
    done = run("list", CHAOS_URL="", CHAOS_TOKEN="")
    assert "No address was given; this one is the default." in done.stderr


def test_an_address_without_its_scheme_is_reported_with_it(run: Run) -> None:
    done = run("list", CHAOS_URL="localhost:8000/chaos_experiments")
    assert done.returncode == 1
    assert done.stderr.startswith("CHAOS_URL must be an address such as http://localhost:8000/chaos_experiments;")


def test_a_halt_that_nobody_answers_tells_the_way_past_the_application(run: Run) -> None:
    done = run("halt", "--reason", "orders are lost", CHAOS_URL="http://127.0.0.1:1/x")
    assert done.returncode == 3
    assert "chaos-experiments halt --stage <stage> --reason 'orders are lost'" in done.stderr


def test_a_command_that_is_reported_is_for_the_same_application_and_repeats_no_token(
    run: Run, scripted: Scripted
) -> None:
    done = run("--url", scripted.url, "--token", "secret", *LATENCY, "--detach", CHAOS_URL="", CHAOS_TOKEN="")
    assert f"Stop it: chaos-experiments --url {scripted.url} --token … stop latency_injection" in done.stderr
    assert "secret" not in done.stderr


def test_a_test_of_what_does_not_answer_says_why_in_words(run: Run) -> None:
    done = run("test", "--requests", "2", "--target", "http://127.0.0.1:1/")
    assert "the connection was refused  2" in done.stdout
    assert run("test", "--requests", "2", CHAOS_URL="http://127.0.0.1:1/x").returncode == 3


# History and reports


def entry(number: int, run: object = None) -> dict[str, Any]:
    shown = {"id": f"id-{number}", "at": RUNNING["start_time"], "action": "refusal", "by": "ada", "source": ""}
    return {**shown, "reason": None, "experiment": None, "run": run, "details": {"message": "no"}}


def test_the_last_run_is_found_behind_any_number_of_refusals(run: Run, scripted: Scripted) -> None:
    scripted.script["/history"] = [
        fine({"entries": [entry(n) for n in range(100)], "next": "id-99"}),
        fine({"entries": [entry(100, RUNNING)], "next": None}),
    ]
    scripted.script["/report"] = [fine({"run": RUNNING, "events": []})]
    assert run("report").returncode == 0
    assert "before=id-99" in scripted.asked[-2][0]
    assert "run_id=id-100" in scripted.asked[-1][0]


def test_into_a_pipe_the_history_is_a_line_an_entry_and_says_how_to_go_on(run: Run, scripted: Scripted) -> None:
    scripted.script["/history"] = [fine({"entries": [entry(1), entry(2, RUNNING)], "next": "id-2"})]
    done = run("history", "--before", "id-0")
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].split("\t")[1:] == ["latency_injection", "ada", "running", "id-2"]
    assert "There may be older entries: add --before id-2" in done.stderr
    assert "before=id-0" in scripted.asked[-1][0]


def test_a_report_that_cannot_be_written_is_reported(run: Run, scripted: Scripted, tmp_path: Path) -> None:
    scripted.script["/report"] = [fine({"run": RUNNING, "events": []})]
    done = run("report", "r", "--output", str(tmp_path / "no/such/folder"))
    assert done.returncode == 1
    assert "Cannot write the report to" in done.stderr


# In a terminal, without one


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.cli.context.CommandContext.is_live", True)


@pytest.mark.usefixtures("looked_at")
def test_what_runs_is_watched_through_what_passes(
    run: Run, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = fine({**LISTED, "active_experiments": [RUNNING]})
    scripted.script["/list"] = [fine(LISTED), UNAVAILABLE, running]
    looks = iter([None, None, interrupted])
    monkeypatch.setattr(listing.time, "sleep", lambda _seconds: (next(looks) or str)())
    done = run("watch")
    assert done.returncode == 0
    assert "s left of 60 s" in done.stdout
    assert len(scripted.asked) == 3


@pytest.mark.usefixtures("looked_at")
def test_a_watch_that_is_not_let_in_ends(run: Run, scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted.script["/list"] = [fine(LISTED), (403, {"Message": "no"})]
    monkeypatch.setattr(listing.time, "sleep", lambda _seconds: None)
    assert run("watch").returncode == 1


@pytest.mark.usefixtures("looked_at")
def test_a_run_that_is_watched_is_drawn_to_its_end(run: Run, scripted: Scripted) -> None:
    scripted.script["/status"] = [fine(RUNNING), fine(ENDED)]
    done = run(*LATENCY)
    assert done.returncode == 0
    assert "latency_injection completed" in done.stdout


def test_a_report_is_shown_in_the_browser_or_its_place_is_printed(
    run: Run, scripted: Scripted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[str] = []
    scripted.script["/report"] = [(200, "<p>a page</p>")] * 2
    monkeypatch.setattr("webbrowser.open", lambda url: bool(opened.append(url)))
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    done = run("report", "r", "--open")
    assert done.returncode == 0
    folder = tmp_path / ".cache/chaos-experiments/reports"
    assert opened == [(folder / "r.html").as_uri()]
    assert folder.stat().st_mode & 0o077 == 0
    assert "No browser could be started." in done.stderr
    os.utime(folder / "r.html", (0, 0))
    run("report", "other", "--open")
    assert [path.name for path in folder.iterdir()] == ["other.html"]  # what was shown long ago is not kept


def test_a_file_of_profiles_that_is_broken_says_what_to_do(run: Run, tmp_path: Path) -> None:
    kept = tmp_path / ".config/chaos-experiments/profiles.json"
    kept.parent.mkdir(parents=True)
    kept.touch(0o600)
    kept.write_text("{")
    done = run("profile", "list")
    assert done.returncode == 1
    assert "is not valid JSON. Repair it" in done.stderr


def test_a_profile_that_is_named_and_not_there_is_reported_with_those_that_are(run: Run) -> None:
    done = run("--profile", "qa", "list", CHAOS_URL="", CHAOS_TOKEN="")
    assert done.returncode == 1
    assert done.stderr == "There is no profile 'qa'. Add one with `profile add`.\n"


def test_a_start_repeats_the_warnings_of_the_application_and_its_help_does_not(run: Run, scripted: Scripted) -> None:
    scripted.script["/list"] = [fine({**LISTED, "warnings": ["One request at a time."]})]
    done = run(*LATENCY, "--detach", "--json")
    assert json.loads(done.stdout)["name"] == "latency_injection"
    assert done.stderr.startswith("Warning: One request at a time.\n")
    assert "Warning" not in run(*LATENCY, "--help").stderr
