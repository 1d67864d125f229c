"""What came of a run that was watched to its end: exit codes, recovery, and what is printed."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.api import responses
from chalicelib.cli import follow
from chalicelib.cli.follow import exit_code
from tests.cli.conftest import Run
from tests.cli.scripted import LISTED, RUN, Scripted, fine
from tests.support import NOW, with_hypothesis

START = ("start", "latency_injection", "--max-error-rate", "0.01", "--percentage", "20")
EXPECTED = with_hypothesis(RUN, max_error_rate=0.01, of="both")


@pytest.fixture
def environment(scripted: Scripted, tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "CHAOS_URL": scripted.url, "CHAOS_TOKEN": "t", "COLUMNS": "100"}


def over(verdict: str | None = "held", efficacy: str = "confirmed", **more: Any) -> dict[str, Any]:
    """A run as the application shows it when it is over."""
    run: Any = responses.run(EXPECTED, NOW + 100)
    run["results"] |= {"efficacy": efficacy, "efficacy_explanation": "Requests came (9), but none was hit."}
    for each in (run["hypothesis"], *run["hypothesis"]["sides"].values()):
        each |= {"verdict": verdict, "explanation": f"It is {verdict}."}
    return {**run, **({} if verdict else {"hypothesis": None}), **more}


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (over(), 0),
        (over(None), 0),
        (over(None, "too_few"), 0),
        (over("failed"), 4),
        (over("failed", "never_hit"), 4),
        (over("failed", status="aborted"), 5),
        (over(None, "never_hit", status="stopped"), 5),
        (over("too_few_requests"), 6),
        (over("cannot_tell", "too_few"), 6),
        (over("a_verdict_of_a_newer_version"), 6),
        (over(None, "never_hit"), 7),
        (over("held", "never_hit"), 7),
        (over("too_few_requests", "never_hit"), 7),
        (over(None, results={}), 7),
        (over(None, results={"requests": 2, "requests_hit": 1}), 0),
    ],
)
def test_what_came_of_a_run_is_the_exit_code(run: dict[str, Any], code: int) -> None:
    assert exit_code(run) == code


@pytest.mark.parametrize(
    ("shown", "code", "expected"),
    [
        (over("too_few_requests"), 6, "Untouched requests: no verdict, too few requests. It is too_few_requests."),
        (over("cannot_tell"), 6, "Hypothesis: no verdict."),
        (over(None, "never_hit"), 7, "Requests came (9), but none was hit."),
    ],
)
def test_a_script_learns_that_nothing_was_found_out(
    run: Run, scripted: Scripted, shown: dict[str, Any], code: int, expected: str
) -> None:
    scripted.script["/status"] = [fine(shown)]
    done = run(*START)
    assert done.returncode == code
    assert expected in " ".join(done.stdout.split())


def recovered(after: float | None) -> dict[str, Any]:
    run = over()
    text = f"Back within the bounds after {after} s." if after else "Not back within the bounds yet."
    run["results"]["recovery"] = {"recovered_after_seconds": after, "explanation": text}
    return run


@pytest.mark.parametrize(("options", "asked"), [((), 1), (("--recovery",), 3)])
def test_recovery_is_waited_for_where_that_is_asked_for(
    run: Run, scripted: Scripted, options: tuple[str, ...], asked: int
) -> None:
    scripted.script["/status"] = [fine(recovered(None)), fine(recovered(None)), fine(recovered(15))]
    done = run(*START, *options, "--json")
    assert done.returncode == 0
    assert len([path for path, _ in scripted.asked if path.startswith("/status")]) == asked
    found = json.loads(done.stdout)["results"]["recovery"]["recovered_after_seconds"]
    assert found == (15 if options else None)
    assert ("then up to 60 s more until it has recovered" in done.stderr) == bool(options)


@pytest.mark.parametrize(("opens", "asked"), [((2, 2, 0), 3), ((0,), 1)])
def test_a_verdict_is_awaited_until_it_is_known_which_requests_died(
    run: Run, scripted: Scripted, opens: tuple[int, ...], asked: int
) -> None:
    """Those of a worker that was killed at the end of the run are failures, some seconds later."""
    shown = [over("failed" if number == 2 else "held") for number in range(len(opens))]
    for each, number in zip(shown, opens, strict=True):
        each["results"]["open"] = number
    scripted.script["/status"] = [fine(each) for each in shown]
    assert run(*START).returncode == (4 if len(opens) > 1 else 0)
    assert len([path for path, _ in scripted.asked if path.startswith("/status")]) == asked


def test_requests_that_stay_open_are_not_awaited_for_ever(scripted: Scripted, run: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr(follow, "OPEN_SECONDS", 0.05)
    shown = over()
    shown["results"] |= {"requests": 9, "open": 1}
    scripted.script["/status"] = [fine(shown)]
    done = run(*START)
    assert (done.returncode, "1 not answered yet" in done.stdout) == (0, True)


def test_recovery_is_printed(run: Run, scripted: Scripted) -> None:
    scripted.script["/status"] = [fine(recovered(15))]
    assert "After the run: Back within the bounds after 15 s." in run(*START).stdout


def test_an_application_that_does_not_recover_is_not_waited_for_longer(
    run: Run, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "AFTER_SECONDS", 0.05)
    scripted.script["/status"] = [fine(recovered(None))]
    done = run(*START, "--recovery")
    assert (done.returncode, "Not back within the bounds yet." in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("start", "latency_injection", "--recovery"), "--recovery waits until the bounds of a hypothesis are kept"),
        ((*START, "--recovery", "--detach"), "--recovery waits, and --detach does not wait."),
    ],
)
def test_there_must_be_something_to_wait_for(
    run: Run, scripted: Scripted, options: tuple[str, ...], expected: str
) -> None:
    done = run(*options)
    assert (done.returncode, expected in done.stderr) == (2, True)
    assert not [path for path, _ in scripted.asked if path == "/start"]


def test_whom_a_hypothesis_is_about_is_an_option_with_its_words(run: Run, scripted: Scripted) -> None:
    assert "--hypothesis-of <untouched|hit|both>" in run("start", "latency_injection", "--help").stdout
    assert run(*START, "--hypothesis-of", "hit", "--baseline-seconds", "5", "--detach").returncode == 0
    assert scripted.asked[-1][1]["hypothesis"] == {"max_error_rate": 0.01, "of": "hit", "baseline_seconds": 5.0}
    assert "--hypothesis-of must be untouched, hit or both; got 'all'." in run(*START, "--hypothesis-of", "all").stderr


def test_the_words_of_an_option_are_completed(run: Run, scripted: Scripted) -> None:
    scripted.script["/list"] = [fine(LISTED)]
    words = " ".join((*START, "--hypothesis-of", "h"))
    done = run(_CHAOS_EXPERIMENTS_COMPLETE="complete_bash", COMP_WORDS=f"chaos-experiments {words}", COMP_CWORD="8")
    assert done.stdout.split() == ["hit"]


def test_a_hypothesis_that_nothing_could_prove_wrong_is_refused_in_options(run: Run, scripted: Scripted) -> None:
    detail = {"field": "hypothesis", "kind": "no_untouched_requests", "problem": "is", "allowed": "else"}
    content = {"error": True, "error_message": "No.", "code": "invalid_parameters", "details": [detail]}
    scripted.script["/start"] = [(400, content)]
    done = run("start", "latency_injection", "--max-error-rate", "0.01")
    assert done.returncode == 1
    assert "Add --percentage 20 to hit only some, or --hypothesis-of hit to judge" in done.stderr


def test_the_command_test_says_that_its_requests_count_for_nobody(run: Run, scripted: Scripted) -> None:
    scripted.script["/test"] = [fine({})]
    done = run("test", "--requests", "2")
    assert "Note: requests to the test endpoint count in no result and no verdict." in done.stderr
    assert "--target /" in done.stderr
    done = run("test", "--requests", "2", "--target", "/orders", "--json")
    assert "count in no" not in done.stderr
    assert json.loads(done.stdout)["url"] == f"{scripted.host}/orders"
    assert [path for _, path, _ in scripted.elsewhere] == ["/orders", "/orders"]
