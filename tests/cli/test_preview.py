"""`preview`: what a start, or a run, would do to one request."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.api.requests import start_options as published
from tests.cli.conftest import Run
from tests.cli.scripted import LISTED, Scripted, fine

PREVIEW = ("preview", "latency_injection")
CRITERIA = [
    {"name": "excluded", "allowed": {"not": ["/health", "/x/*"]}, "seen": "/orders/1", "passes": True,
     "probability": 1.0},
    {"name": "target.paths", "allowed": ["/orders/*"], "seen": "/orders/1", "passes": True, "probability": 1.0},
    {"name": "target.headers.x-tenant", "allowed": "acme", "seen": None, "passes": False, "probability": 0.0},
    {"name": "target.headers.x-beta", "allowed": {"exists": True}, "seen": "1", "passes": True, "probability": 1.0},
    {"name": "target.query.region", "allowed": ["eu", {"prefix": "us-"}], "seen": ["us-1"], "passes": True,
     "probability": 1.0},
    {"name": "sticky", "allowed": {"header": "x-user-id"}, "seen": "7", "passes": None, "probability": 0.2},
    {"name": "first.requests", "allowed": 2, "seen": None, "passes": None, "probability": None},
]  # fmt: skip
WAIT = {"kind": "wait", "share": 1.0, "seconds": 2.0}
ERROR = {"kind": "answer", "share": 0.1, "status": 503, "message": None}
REFUSED = {"code": "production_locked", "message": "The stage prod is locked.", "details": []}


def answer(would_hit: object = True, **more: Any) -> dict[str, Any]:  # noqa: FBT002 - JSON
    return {
        "would_hit": would_hit,
        "criteria": CRITERIA,
        "faults": [WAIT, ERROR],
        "refused": [],
        "dry_run": False,
        **more,
    }


def of_calls(would_hit: object, **more: Any) -> dict[str, Any]:
    """Of a run about outgoing calls."""
    about = {"name": "dependency", "allowed": "dynamodb", "seen": None, "passes": None, "probability": None}
    return {**answer(would_hit, **more), "applies_to": "dependency", "criteria": [about]}


@pytest.fixture
def environment(scripted: Scripted, tmp_path: Path) -> dict[str, str]:
    scripted.script["/list"] = [fine({**LISTED, "start_options": published()})]
    scripted.script["/preview"] = [fine(answer())]
    return {"HOME": str(tmp_path), "CHAOS_URL": scripted.url, "CHAOS_TOKEN": "t", "COLUMNS": "100"}


def sent(scripted: Scripted) -> Any:
    assert scripted.asked[-1][0] == "/preview"
    return scripted.asked[-1][1]


def test_a_start_and_a_request_are_sent_and_nothing_is_started(run: Run, scripted: Scripted) -> None:
    done = run(
        *PREVIEW, "--delay-seconds", "1", "--path", "/orders/*", "--header", "x-tenant=acme",
        "--request", "post /orders/a%20b?debug=1&tag=a", "--request-header", "X-Tenant=acme=1",
        "--request-query", "tag=b", "--request-query", "empty=", "--request-function", "",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sent(scripted) == {
        "experiment_name": "latency_injection",
        "delay_seconds": 1.0,
        "target": {"paths": ["/orders/*"], "headers": {"x-tenant": "acme"}},
        "request": {
            "method": "POST",
            "path": "/orders/a b",
            "headers": {"X-Tenant": "acme=1"},
            "query": {"debug": "1", "tag": ["a", "b"], "empty": ""},
            "function": "",
        },
    }
    assert [path for path, _ in scripted.asked] == ["/list", "/preview"]


def test_a_run_is_previewed_by_its_id_and_a_path_alone_is_a_get(run: Run, scripted: Scripted) -> None:
    assert run("preview", "--run-id", "r-1", "--request", "/orders/1").returncode == 0
    assert sent(scripted) == {"run_id": "r-1", "request": {"method": "GET", "path": "/orders/1"}}


def test_what_decides_is_printed_with_what_matched_and_what_did_not(run: Run, scripted: Scripted) -> None:
    scripted.script["/preview"] = [fine(answer(would_hit=False, refused=[REFUSED]))]
    done = run(*PREVIEW, "--request", "/orders/1")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines == [
        "GET /orders/1 would not be hit",
        "matches criterion allowed the request has",
        "yes excluded not /health or /x/* /orders/1",
        "yes paths /orders/* /orders/1",
        "no headers x-tenant acme -",
        "yes headers x-beta is there 1",
        "yes query region eu or us-* us-1",
        "20 % sticky header x-user-id 7",
        "unknown first requests 2 -",
        "fault: wait seconds 2",
        "fault: answer status 503, 10 % of the hit requests",
        "A start would be refused:",
        "The stage prod is locked.",
    ]
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("answered", "code", "expected"),
    [
        (answer(), 0, "GET /orders/1 would be hit\n"),
        (answer(0.2), 0, "GET /orders/1 would be hit, with a probability of 20 %\n"),
        (answer(0.0001), 0, "would be hit, with a probability of 0.01 %\n"),
        (answer(dry_run=True), 0, "would be hit. It is a dry run: nothing would be done to it\n"),
        (answer(refused=[REFUSED]), 1, "A start would be refused:\n  The stage prod is locked.\n"),
        (answer(would_hit=False), 7, "would not be hit\n"),
        (answer(would_hit=False, refused=[REFUSED]), 7, "A start would be refused:"),
        (of_calls(1.0), 0, "GET /orders/1 calls to dynamodb that are made for it would be hit\n"),
        (of_calls(0.2), 0, "made for it would be hit, each with a probability of 20 %\n"),
        (of_calls(1.0, dry_run=True), 0, "made for it would be hit. It is a dry run: nothing would be"),
        (of_calls(would_hit=False), 7, "GET /orders/1 calls to dynamodb that are made for it would not be hit\n"),
    ],
)
def test_the_exit_code_says_whether_it_would_be_hit_and_then_whether_it_could_start(
    run: Run, scripted: Scripted, answered: dict[str, Any], code: int, expected: str
) -> None:
    scripted.script["/preview"] = [fine(answered)]
    done = run(*PREVIEW, "--request", "/orders/1")
    assert (done.returncode, expected in done.stdout) == (code, True), done.stdout
    as_json = run(*PREVIEW, "--request", "/orders/1", "--json")
    assert (as_json.returncode, json.loads(as_json.stdout)) == (code, answered)


def test_a_refusal_is_printed_as_the_start_would_say_it(run: Run, scripted: Scripted) -> None:
    active = {"code": "alarm_active", "message": "The alarm a is in ALARM.", "details": []}
    scripted.script["/preview"] = [fine(answer(refused=[active]))]
    assert "  To start without it, leave out --alarm." in run(*PREVIEW, "--request", "/orders/1").stdout


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (PREVIEW, "--request is required, such as --request 'GET /orders/1'."),
        ((*PREVIEW, "--request", "orders"), "--request must be a method and a path, such as 'GET /orders/1'; got 'ord"),
        ((*PREVIEW, "--request", "/a", "--request-header", "x"), "--request-header must be NAME=VALUE; got 'x'."),
        ((*PREVIEW, "--request", "/a", "--request-query", "=x"), "--request-query must be NAME=VALUE; got '=x'."),
        (
            (*PREVIEW, "--request", "/a", "--request-header", "x=1", "--request-header", "X=2"),
            "--request-header has 'x' more than once. Give each name once.",
        ),
        (("preview", "--request", "/a"), "Preview what? Give an experiment with its options, or --run-id."),
        (("preview", "--run-id", "r", *PREVIEW[1:]), "The options of a preview must stand after the experiment."),
        ((*PREVIEW, "--request", "/a", "--pth", "/b"), "There is no option --pth. Did you mean --path?"),
        ((*PREVIEW, "--request", "/a", "--detach"), "There is no option --detach."),
        (("preview", "late"), "There is no experiment 'late'. Did you mean latency_injection?"),
    ],
)
def test_wrong_usage_says_what_is_allowed(run: Run, scripted: Scripted, typed: tuple[str, ...], expected: str) -> None:
    done = run(*typed)
    assert done.returncode == 2
    assert done.stderr.startswith(expected), done.stderr
    assert not [path for path, _ in scripted.asked if path == "/preview"]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("request.path", "--request is wrong. Allowed: a path."),
        ("request.method", "--request is wrong. Allowed: a path."),
        ("request.headers.x-a", "--request-header x-a is wrong. Allowed: a path."),
        ("run_id", "The id of the run is wrong. Allowed: a path."),
    ],
)
def test_what_is_wrong_with_the_request_is_reported_by_its_option(
    run: Run, scripted: Scripted, field: str, expected: str
) -> None:
    detail = {"field": field, "problem": "is wrong", "allowed": "a path"}
    content = {"error": True, "error_message": "No.", "code": "invalid_parameters", "details": [detail]}
    scripted.script["/preview"] = [(400, content)]
    done = run("preview", "--run-id", "r", "--request", "/orders/1", "--request-header", "x-a=1")
    assert (done.returncode, done.stderr) == (1, f"{expected}\n")


def test_an_application_without_previews_is_reported_as_older(run: Run, scripted: Scripted) -> None:
    content = {"error": True, "error_message": "There is no endpoint /preview.", "code": "unknown_endpoint"}
    scripted.script["/preview"] = [(404, content)]
    done = run(*PREVIEW, "--request", "/orders/1")
    assert done.returncode == 1
    assert "It has an older version of the module, which does not have this command: update it." in done.stderr


def test_the_help_names_the_options_of_the_start_and_of_the_request(run: Run) -> None:
    output = " ".join(run(*PREVIEW, "--help").stdout.split())
    for option in ("--request <method path>", "--request-header", "--request-query", "--path <text>", "--label"):
        assert option in output
    assert "--detach" not in output
    assert output.endswith("preview latency_injection --delay-seconds 2 --percentage 20 --request 'GET /orders/1'")
