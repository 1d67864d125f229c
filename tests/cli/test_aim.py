"""Which requests are hit and how many: options of a start, made of what this version publishes."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.api.requests import start_options as published
from chalicelib.cli.options import parameter_options, start_options
from tests.cli.conftest import Run
from tests.cli.scripted import LISTED, RUNNING, Scripted, fine

START = ("start", "latency_injection", "--detach")
FLAGS = {
    "--label", "--method", "--path", "--header", "--query", "--event", "--function", "--environments-percentage",
    "--max-requests", "--first", "--key-header", "--key-query", "--every", "--sticky-header", "--sticky-query",
    "--seed", "--ramp-seconds", "--dry-run", "--propagate",
}  # fmt: skip


@pytest.fixture
def environment(scripted: Scripted, tmp_path: Path) -> dict[str, str]:
    scripted.script["/list"] = [fine({**LISTED, "start_options": published()})]
    return {"HOME": str(tmp_path), "CHAOS_URL": scripted.url, "CHAOS_TOKEN": "t", "COLUMNS": "200"}


def sent(scripted: Scripted) -> dict[str, Any]:
    (body,) = (body for path, body in scripted.asked if path == "/start")
    return {name: value for name, value in body.items() if name != "experiment_name"}


def test_each_option_of_this_version_has_the_name_that_people_expect() -> None:
    names = [each.name for each in start_options(published()["properties"], ())]
    assert set(names) >= FLAGS
    assert len(names) == len(set(names))


def test_all_of_it_is_sent_as_the_api_has_it(run: Run, scripted: Scripted) -> None:
    target = (
        "--method", "GET", "--method", "HEAD", "--path", "/orders/*", "--header", "x-tenant=acme", "--header", "x-beta",
        "--header", "user-agent=curl/*", "--header", "user-agent=*wget*", "--query", "debug=1",
        "--event", "Records.0.eventSource=aws:sqs", "--event", "detail.type=order*",
        "--function", "billing-*", "--environments-percentage", "50",
    )  # fmt: skip
    limits = (
        "--max-requests",
        "100",
        "--first",
        "2",
        "--key-header",
        "x-order-id",
        "--every",
        "3",
        "--dry-run",
        "--propagate",
    )
    chance = ("--sticky-query", "user", "--seed", "2026-11-25", "--ramp-seconds", "30", "--label", "slow-orders")
    done = run(*START, *target, *limits, *chance)
    assert done.returncode == 0, done.stderr
    assert sent(scripted) == {
        "target": {
            "methods": ["GET", "HEAD"],
            "paths": ["/orders/*"],
            "headers": {
                "x-tenant": "acme",
                "x-beta": {"exists": True},
                "user-agent": [{"prefix": "curl/"}, {"glob": "*wget*"}],
            },
            "query": {"debug": "1"},
            "event": {"Records.0.eventSource": "aws:sqs", "detail.type": {"prefix": "order"}},
            "functions": ["billing-*"],
            "environments_percentage": 50.0,
        },
        "max_requests": 100,
        "first": {"requests": 2, "key": {"header": "x-order-id"}},
        "every": 3,
        "sticky": {"query": "user"},
        "seed": "2026-11-25",
        "ramp_seconds": 30.0,
        "dry_run": True,
        "propagate": True,
        "label": "slow-orders",
    }


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["--key-header", "x-order-id"], "--key-header needs --first."),
        (
            ["--first", "2", "--key-header", "a", "--key-query", "b"],
            "--key-header and --key-query exclude each other: leave out one of them.",
        ),
        (
            ["--sticky-header", "a", "--sticky-query", "b"],
            "--sticky-header and --sticky-query exclude each other: leave out one of them.",
        ),
        (["--header", "=acme"], "--header must be NAME=VALUE, NAME=VALUE*, NAME=*PART*, NAME (is there) or NAME! ("),
        (["--query", ""], "--query must be NAME=VALUE, NAME=VALUE*, NAME=*PART*, NAME (is there) or NAME! ("),
        (["--method", "get"], "--method must be an HTTP method in upper case, such as GET; got 'get'."),
        (["--path", "orders"], "--path must be a decoded path such as /orders, or /orders/* for everything below it;"),
        (
            ["--label", "slow orders"],
            "--label must be letters, digits, dots, hyphens and underscores, with a letter or",
        ),
        (
            ["--first", "2", "--key-header", "a b"],
            "--key-header must be a header's name, such as x-tenant: letters, di",
        ),
        (["--first", "0"], "--first must be a whole number from 1 to 1000; got 0."),
        (["--every", "x"], "--every must be a whole number from 1 to 1000000; got 'x'."),
        (["--headers", "a=b"], "There is no option --headers. Did you mean --header"),
    ],
)
def test_what_is_wrong_is_found_before_anything_is_sent(
    run: Run, scripted: Scripted, given: list[str], problem: str
) -> None:
    done = run(*START, *given)
    assert (done.returncode, done.stderr.splitlines()[0][: len(problem)]) == (2, problem)
    assert not [path for path, _ in scripted.asked if path == "/start"]


def test_the_help_says_what_an_option_is_about_what_is_allowed_and_how_conditions_are_typed(run: Run) -> None:
    output = " ".join(run("start", "latency_injection", "--help").stdout.split())
    for line in (
        "Allowed: NAME=VALUE, NAME=VALUE*, NAME=*PART*, NAME (is there) or NAME! (is not there). Can be repeated.",
        "The same name again means either.",
        "--method <text> Target: HTTP methods,",
        "Allowed: an HTTP method in upper case, such as GET.",
        "--first <number> First: How many calls are hit; the next ones are not.",
        "--key-header <text> First: Key: What the first calls are counted by:",
        "--sticky-query <text> Sticky: Decide by a key instead of by chance:",
        "--dry-run Decide, count and name in a header",
    ):
        assert line in output, line


def test_methods_are_completed(run: Run) -> None:
    words = "chaos-experiments start latency_injection --method P"
    done = run(_CHAOS_EXPERIMENTS_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD="4")
    assert done.stdout.split() == ["POST", "PUT", "PATCH"]


def test_what_an_older_version_does_not_publish_is_not_offered(run: Run, scripted: Scripted) -> None:
    options = published()
    options["properties"] = {name: options["properties"][name] for name in ("reason", "alarms", "restart")}
    scripted.script["/list"] = [fine({**LISTED, "start_options": options})]
    done = run(*START, "--path", "/orders/*", "--label", "x")
    assert done.returncode == 2
    assert done.stderr.splitlines()[:2] == ["There is no option --path.", "There is no option --label."]
    assert "--path" not in run("start", "latency_injection", "--help").stdout


@pytest.mark.parametrize(
    ("detail", "options", "expected"),
    [
        (
            {
                "field": "target.headers.x-tenant",
                "problem": "must be a text; got 'a\\t': it has control characters; leave them out",
                "allowed": "a text",
            },
            ["--header", "x-tenant=a\t"],
            r"--header x-tenant must be a text; got 'a\t': it has control characters; leave them out.",
        ),
        (
            {
                "field": "first.key.header",
                "problem": "must be the name of a header; got 'order'",
                "allowed": "the name of a header",
            },
            ["--first", "2", "--key-header", "order"],
            "--key-header must be the name of a header; got 'order'.",
        ),
        (
            {"field": "target.paths.0", "problem": "must be a path; got '/orders'", "allowed": "a path"},
            ["--path", "/orders"],
            "--path must be a path; got '/orders'.",
        ),
    ],
)
def test_what_the_application_refuses_is_reported_by_the_option(
    run: Run, scripted: Scripted, detail: dict[str, str], options: list[str], expected: str
) -> None:
    content = {"error": True, "error_message": "No.", "code": "invalid_parameters", "details": [detail]}
    scripted.script["/start"] = [(400, content)]
    assert run(*START, *options).stderr.splitlines()[0] == expected


PARAMETERS: dict[str, Any] = {
    "status_code": {"type": "integer", "minimum": 400, "maximum": 599, "description": "Status."},
    "headers": {
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": 200},
        "description": "Headers of the errors.",
    },
    "body": {
        "anyOf": [{"type": "string"}, {"type": "object"}, {"type": "array"}, {"type": "null"}],
        "description": "Body of the errors.",
    },
}


def test_parameters_that_are_maps_or_json_are_options_too(run: Run, scripted: Scripted) -> None:
    names = [each.name for each in parameter_options(PARAMETERS)]
    assert names == ["--status-code", "--answer-header", "--body"]
    experiment = {"name": "error_injection", "description": "Answer.", "parameters": {"properties": PARAMETERS}}
    scripted.script["/list"] = [
        fine({**LISTED, "available_experiments": [experiment], "start_options": published()}),
    ]
    given = ("--answer-header", "Retry-After=120", "--header", "x-tenant=acme", "--body", '{"sold": "out"}')
    assert run("start", "error_injection", *given, "--detach").returncode == 0
    assert sent(scripted) == {
        "headers": {"Retry-After": "120"},
        "body": {"sold": "out"},
        "target": {"headers": {"x-tenant": "acme"}},
    }
    listed = run("list").stdout
    assert "--answer-header  -        NAME=VALUE" in listed
    assert "--body           -        text or JSON" in listed
    bad = run("start", "error_injection", "--body", "{no", "--answer-header", "Retry-After")
    assert "--answer-header must be NAME=VALUE; got 'Retry-After'." in bad.stderr
    assert "--body must be a text, or JSON; this begins like JSON and is not valid:" in bad.stderr


LABELLED = {**RUNNING, "label": "slow-orders"}


def test_the_command_that_is_reported_names_the_label(run: Run, scripted: Scripted) -> None:
    scripted.script["/start"] = [fine(LABELLED)]
    done = run(*START, "--label", "slow-orders", "--path", "/orders/*")
    assert "slow-orders (latency_injection) running" in done.stdout
    assert "Stop it: chaos-experiments stop --label slow-orders\n" in done.stderr


def test_a_label_that_runs_already_is_reported_with_all_ways_on(run: Run, scripted: Scripted) -> None:
    content = {"error": True, "error_message": "x", "code": "already_running", "resultset": LABELLED}
    scripted.script["/start"] = [(409, content)]
    done = run(*START, "--label", "slow-orders")
    assert "slow-orders (latency_injection) is already running: ada started it" in done.stderr
    assert "Add --restart to replace that run, --label with another name to run beside it, or stop it:" in done.stderr
    assert "stop --label slow-orders" in done.stderr


def test_too_many_runs_are_reported_with_how_to_see_them(run: Run, scripted: Scripted) -> None:
    content = {"error": True, "error_message": "20 runs are active.", "code": "too_many_runs", "resultset": {}}
    scripted.script["/start"] = [(409, content)]
    assert "20 runs are active.\nSee what runs, and stop what is not needed: chaos-experiments watch" in (
        run(*START).stderr
    )


# Stop and status


@pytest.mark.parametrize(
    ("typed", "field", "value"),
    [
        (["latency_injection"], "experiment_name", "latency_injection"),
        (["--label", "slow-orders"], "label", "slow-orders"),
        (["--run-id", "r-1"], "run_id", "r-1"),
        (["--scenario", "s 1"], "scenario", "s 1"),
    ],
)
def test_runs_are_stopped_and_shown_by_any_of_their_names(
    run: Run, scripted: Scripted, typed: list[str], field: str, value: str
) -> None:
    other = {**LABELLED, "run_id": "other", "label": "slow-carts"}
    scripted.script["/stop"] = [fine({**LABELLED, "stopped_runs": [LABELLED, other]})]
    scripted.script["/status"] = [fine({**LABELLED, "runs": [LABELLED, other]})]
    stopped = run("stop", *typed, "--reason", "enough")
    assert scripted.asked[-1] == ("/stop", {field: value, "reason": "enough"})
    shown = run("status", *typed)
    assert scripted.asked[-1][0] == f"/status?{field}={value.replace(' ', '+')}"
    for done in (stopped, shown):
        assert done.returncode == 0
        assert "slow-orders (latency_injection)" in done.stdout
        assert "slow-carts (latency_injection)" in done.stdout
    assert "Stopped 2 runs: slow-orders (latency_injection), slow-carts (latency_injection)." in stopped.stderr
    assert len(json.loads(run("stop", *typed, "--json").stdout)["stopped_runs"]) == 2


def test_what_no_longer_runs_is_shown_as_the_last_run(run: Run, scripted: Scripted) -> None:
    scripted.script["/status"] = [fine({**LABELLED, "status": "completed", "runs": []})]
    assert "slow-orders (latency_injection) completed" in run("status", "--label", "slow-orders").stdout


@pytest.mark.parametrize("command", ["stop", "status"])
@pytest.mark.parametrize("typed", [("--label", "x"), ("--run-id", "r"), ("--scenario", "s")])
def test_an_older_application_that_is_asked_about_one_run_is_reported_as_older(
    run: Run, scripted: Scripted, command: str, typed: tuple[str, str]
) -> None:
    content = {"error": True, "error_message": "experiment_name is missing.", "code": "missing_parameter"}
    scripted.script[f"/{command}"] = [(400, content)]
    done = run(command, *typed)
    assert done.returncode == 1
    assert done.stderr.startswith("The application has an older version of the module, which takes the name of an exp")


def test_the_test_sends_a_method_and_headers_and_shows_what_a_dry_run_would_hit(run: Run, scripted: Scripted) -> None:
    scripted.prefix = ""
    scripted.answer_headers = {"X-Chaos-Dry-Run": "slow-orders, slow-carts"}
    scripted.script["/orders/1"] = [fine({})]
    done = run(
        "test", "--requests", "2", "--target", f"{scripted.host}/orders/1", "--method", "post", "--header",
        "X-Tenant=acme", "--json",
    )  # fmt: skip
    assert json.loads(done.stdout)["touched"] == {"slow-orders (dry run), slow-carts (dry run)": 2}
    assert [(command, headers["X-Tenant"]) for command, headers in scripted.received] == [("POST", "acme")] * 2
    assert "--header must be NAME=VALUE; got 'x'." in run("test", "--header", "x").stderr
    assert "--method must be GET, HEAD," in run("test", "--method", "FETCH").stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("stop", "--label", "slow-c"), ["slow-carts"]),
        (("status", "--scenario", ""), ["s-1"]),
        (("preview", "--run-id", ""), ["r-1", "r-2"]),
    ],
)
def test_what_runs_is_completed(run: Run, scripted: Scripted, words: tuple[str, ...], expected: list[str]) -> None:
    runs = [
        {**RUNNING, "label": label, "scenario": "s-1", "run_id": run_id}
        for label, run_id in (("slow-orders", "r-1"), ("slow-carts", "r-2"))
    ]
    scripted.script["/list"] = [fine({**LISTED, "active_experiments": runs})]
    typed = " ".join(["chaos-experiments", *words])
    done = run(_CHAOS_EXPERIMENTS_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD="3")
    assert done.stdout.split() == expected
    nobody = {"CHAOS_URL": "http://127.0.0.1:1/x"}
    silent = run(_CHAOS_EXPERIMENTS_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD="3", **nobody)
    assert (silent.stdout.split(), silent.stderr) == ([], "")


def test_history_and_report_are_had_by_label(run: Run, scripted: Scripted) -> None:
    entry = {"id": "r-1", "at": RUNNING["start_time"], "by": "ada", "reason": None, "run": LABELLED}
    scripted.script["/history"] = [fine({"entries": [entry], "next": None})]
    scripted.script["/report"] = [(200, "# Report")]
    assert "slow-orders (latency_injection)\tada\trunning\tr-1\n" in run("history", "--label", "slow-orders").stdout
    assert scripted.asked[-1][0] == "/history?limit=20&label=slow-orders"
    assert run("report", "--label", "slow-orders").returncode == 0
    assert [path for path, _ in scripted.asked[-2:]] == [
        "/history?limit=100&label=slow-orders", "/report?run_id=r-1&format=markdown",
    ]  # fmt: skip
    scripted.script["/history"] = [fine({"entries": [], "next": None})]
    assert "The history has no run with the label 'x'." in run("report", "--label", "x").stderr
    assert "Which run? Give its id or --label, not both." in run("report", "r-1", "--label", "x").stderr
