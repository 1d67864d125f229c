import json
import logging
from typing import Any

import pytest

from chalicelib.access import Caller, Role
from chalicelib.api.http import Response
from chalicelib.experiments.catalogue import installed
from chalicelib.runs.options import StartOptions
from chalicelib.settings import Settings
from tests.api.conftest import JSON, Control
from tests.support import NOW, Clock, a_run

LATENCY = '{"experiment_name": "latency_injection"}'
VIEWER = Caller("vic", Role.VIEWER)


def result(response: Response) -> Any:
    assert response.status == 200, response.content
    assert (response.content["error"], response.content["error_message"]) == (False, None)
    return response.content["resultset"]


def refusal(response: Response) -> tuple[int, str]:
    assert response.content["error"] is True
    assert response.content["error_message"].endswith((".", "…"))
    return response.status, response.content["code"]


def test_list_describes_every_experiment_with_the_limits_that_hold_here(control: Control) -> None:
    available = {each["name"]: each for each in result(control.ask("GET", "/list"))["available_experiments"]}
    assert list(available) == list(installed())
    assert available["latency_injection"]["description"].startswith("Delay each request")
    assert available["resource_exhaustion"]["parameters"] == {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "duration_seconds": {
                "type": "number",
                "default": 30.0,
                "exclusiveMinimum": 0,
                "maximum": 3600.0,
                "unit": "seconds",
                "description": "Time after which the run ends by itself, in seconds.",
                "examples": [60.0],
            },
            "percentage": {
                "type": "number",
                "default": 100.0,
                "exclusiveMinimum": 0,
                "maximum": 100,
                "unit": "percent",
                "description": "Percentage of the requests that the run may hit, chosen at random: "
                "20 is one request in five.",
                "examples": [20.0],
            },
            "memory_mb": {
                "type": "integer",
                "default": 100,
                "minimum": 1,
                "maximum": 500,
                "unit": "MB",
                "description": "Memory that each environment holds until the run ends, in MB. "
                "An environment holds less if it cannot spare that much.",
                "examples": [100],
            },
            "steps": {
                "type": "integer",
                "minimum": 2,
                "maximum": 60,
                "unit": "steps",
                "description": "In how many equal steps the memory grows: with 5 and a duration of 50 seconds an "
                "environment holds a fifth of it at first, and a fifth more every 10 seconds. At most one for each MB. "
                "If it is not set, all of it is held at once.",
                "examples": [5],
            },
        },
    }


def test_list_shows_what_is_running_and_nothing_else(control: Control) -> None:
    control.store.runs = {
        "latency_injection": a_run(),
        "error_injection": a_run("error_injection", duration_seconds=1.0),
    }
    control.clock.now = NOW + 2
    active = result(control.ask("GET", "/list"))["active_experiments"]
    assert [run["name"] for run in active] == ["latency_injection"]


def test_start_answers_with_the_run_and_its_defaults(control: Control) -> None:
    run = result(control.post("/start", LATENCY))
    assert run.pop("run_id").startswith("20270115T080000.000Z-")
    assert run == {
        "name": "latency_injection",
        "description": "Delay each request, as a slow dependency would.",
        "status": "running",
        "parameters": {"duration_seconds": 30.0, "percentage": 100.0, "delay_seconds": 2.0, "allow_timeout": False},
        "start_time": "2027-01-15T08:00:00.000Z",
        "end_time": "2027-01-15T08:00:30.000Z",
        "remaining_seconds": 30.0,
        "started_by": "ada",
        "started_from": None,
        **StartOptions().model_dump(),
        "label": "latency_injection",
        "scenario": None,
        "ended_by": None,
        "ended_from": None,
        "end_reason": None,
        "defect": None,
        "results": {},
    }
    assert (run["reason"], run["alarms"], run["hypothesis"]) == (None, [], None)
    assert control.changes == 1


def test_start_takes_parameters_and_a_reason(control: Control) -> None:
    body = '{"experiment_name": "latency_injection", "delay_seconds": 1, "duration_seconds": 5, "reason": "game day"}'
    run = result(control.post("/start", body))
    assert (run["parameters"]["duration_seconds"], run["parameters"]["delay_seconds"]) == (5.0, 1.0)
    assert run["reason"] == "game day"


def test_a_running_experiment_is_named_in_the_refusal_to_start_it_again(control: Control) -> None:
    run = result(control.post("/start", LATENCY))
    refused = control.post("/start", LATENCY)
    assert refusal(refused) == (409, "already_running")
    assert refused.content["resultset"] == run
    assert refused.content["error_message"] == (
        f"latency_injection is already running: run {run['run_id']}, started by ada, ends in 30 s. "
        'Stop it first, send "restart": true to replace it, or start another run with a label of its own.'
    )
    assert control.changes == 1


def test_a_restart_replaces_what_is_running(control: Control) -> None:
    first = result(control.post("/start", LATENCY))
    second = result(control.post("/start", '{"experiment_name": "latency_injection", "restart": true}'))
    assert second["run_id"] != first["run_id"]
    assert control.store.runs["latency_injection"].run_id == second["run_id"]


def test_a_restart_of_nothing_is_a_start(control: Control) -> None:
    assert (
        result(control.post("/start", '{"experiment_name": "latency_injection", "restart": true}'))["status"]
        == "running"
    )


def test_stop_answers_with_the_run_as_it_ended_and_when_everybody_has_obeyed(control: Control) -> None:
    control.post("/start", LATENCY)
    control.clock.now = NOW + 10
    run = result(control.post("/stop", '{"experiment_name": "latency_injection", "reason": "enough"}'))
    assert (run["status"], run["end_time"]) == ("stopped", "2027-01-15T08:00:10.000Z")
    assert (run["remaining_seconds"], run["ended_by"], run["end_reason"]) == (0.0, "ada", "enough")
    assert run["effective_everywhere_by"] == "2027-01-15T08:00:11.000Z"
    assert control.changes == 2


@pytest.mark.parametrize("running", [[], ["error_injection"]])
def test_stopping_what_does_not_run_names_what_does(control: Control, running: list[str]) -> None:
    for name in running:
        control.post("/start", json.dumps({"experiment_name": name}))
    refused = control.post("/stop", LATENCY)
    assert refusal(refused) == (404, "not_running")
    assert refused.content["error_message"] == (
        "latency_injection is not running, so nothing was stopped. "
        f"Running now: {', '.join(running) or 'no experiment'}."
    )


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("latency_injection", {"delay_seconds": 2.0, "allow_timeout": False}),
        ("error_injection", {"error_rate": 0.1}),
        ("resource_exhaustion", {"memory_mb": 100}),
    ],
)
def test_what_is_not_set_is_not_stored_so_that_older_versions_read_ordinary_runs(
    control: Control, name: str, own: dict[str, Any]
) -> None:
    control.post("/start", json.dumps({"experiment_name": name}))
    assert control.store.runs[name].parameters == {"duration_seconds": 30.0, "percentage": 100.0, **own}


def test_parameters_that_contradict_each_other_are_refused_in_the_words_of_the_experiment(control: Control) -> None:
    asked = {"experiment_name": "latency_injection", "distribution": "fixed", "jitter_seconds": 1}
    refused = control.post("/start", json.dumps(asked))
    assert refusal(refused) == (400, "invalid_parameters")
    assert refused.content["details"] == [
        {
            "field": "jitter_seconds",
            "problem": "cannot be with the distribution fixed, which has none: leave one of them out",
            "allowed": "with the distribution uniform, normal or pareto",
            "kind": "refused",
        }
    ]


def test_where_a_stage_lowers_a_default_it_lowers_none_that_another_parameter_replaces(clock: Clock) -> None:
    control = Control(clock, Settings(stage="qa", limits={"delay_seconds": 1.5}))
    for given, stored in (({}, {"delay_seconds": 1.5}), ({"p50_seconds": 0.1, "p99_seconds": 1.5}, {})):
        control.post("/start", json.dumps({"experiment_name": "latency_injection", "restart": True, **given}))
        parameters = control.store.runs["latency_injection"].parameters
        assert parameters == {
            "duration_seconds": 30.0, "percentage": 100.0, "allow_timeout": False, **given, **stored
        }  # fmt: skip


def test_a_start_is_one_call_and_a_stop_two(control: Control) -> None:
    control.post("/start", LATENCY)
    assert control.store.reads == 0
    control.post("/stop", LATENCY)
    assert control.store.reads == 1


def status(control: Control) -> Any:
    return result(control.ask("GET", "/status", query={"experiment_name": ["latency_injection"]}))


def test_status_follows_a_run_through_its_life(control: Control) -> None:
    assert (status(control)["status"], status(control)["run_id"]) == ("inactive", None)
    run = result(control.post("/start", LATENCY))
    control.clock.now = NOW + 10
    assert (status(control)["status"], status(control)["remaining_seconds"]) == ("running", 20.0)
    control.clock.now = NOW + 30
    assert (status(control)["status"], status(control)["end_time"]) == ("completed", run["end_time"])
    control.post("/start", LATENCY)
    control.post("/stop", LATENCY)
    assert status(control)["status"] == "stopped"


def test_a_run_has_the_same_fields_whatever_its_status(control: Control) -> None:
    inactive = status(control)
    assert set(inactive) == {*result(control.post("/start", LATENCY)), "runs"}


@pytest.mark.parametrize("query", [{}, {"experiment_name": [""]}])
def test_status_of_what_is_asked_for_by_name(control: Control, query: dict[str, list[str]]) -> None:
    refused = control.ask("GET", "/status", query=query)
    assert refusal(refused) == (400, "missing_parameter")
    assert refused.content["error_message"] == (
        f"experiment_name is missing; it must be one of {', '.join(installed())}. "
        "Or send one of label, run_id, scenario instead."
    )
    assert [problem["field"] for problem in refused.content["details"]] == ["experiment_name"]


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/status", {"query": {"experiment_name": ["nonsense"]}}),
        ("POST", "/start", {"headers": JSON, "body": b'{"experiment_name": "nonsense"}'}),
        ("POST", "/stop", {"headers": JSON, "body": b'{"experiment_name": "nonsense"}'}),
    ],
)
def test_an_unknown_experiment_is_told_what_there_is(
    control: Control, method: str, path: str, options: dict[str, Any]
) -> None:
    refused = control.ask(method, path, **options)
    assert refusal(refused) == (404, "unknown_experiment")
    assert ", ".join(installed()) in refused.content["error_message"]


def test_the_test_endpoint_tells_what_was_active_and_injected(control: Control) -> None:
    injected = [{"experiment": "latency_injection", "run_id": "x", "fault": "wait", "seconds": 2.0}]
    for method in ("GET", "POST"):
        told = result(control.ask(method, "/test", caller=None, active=["latency_injection"], injected=injected))
        assert told["active_chaos_experiments"] == ["latency_injection"]
        assert told["injected"] == injected
        assert (told["environment"], told["timestamp"]) == ("here", "2027-01-15T08:00:00.000Z")
        assert told["message"] == (
            "Chaos experiments test endpoint: `injected` lists the faults that this request was hit by."
        )
        assert (told["problem"], told["about_outgoing_calls"]) == (None, [])


def test_the_test_endpoint_says_that_it_calls_nothing_that_could_be_hit(control: Control) -> None:
    active = ["latency_injection", "dependency_failure", "of_another_version"]
    told = result(control.ask("GET", "/test", caller=None, active=active))
    assert (told["active_chaos_experiments"], told["about_outgoing_calls"]) == (active, ["dependency_failure"])
    assert told["message"].endswith(
        "was hit by. It calls nothing, so nothing is hit here by the experiments that are about outgoing calls: "
        "dependency_failure. Send requests to a route of the application that calls the dependency."
    )


def test_the_test_endpoint_says_so_where_it_could_not_read_what_is_active(control: Control) -> None:
    told = result(control.ask("GET", "/test", caller=None, problem="store_unavailable"))
    assert (told["problem"], told["active_chaos_experiments"], told["injected"]) == ("store_unavailable", [], [])
    assert told["message"].endswith(
        "the table could not be read, so the active experiments are unknown or outdated. "
        "The log of this process has the details."
    )


@pytest.mark.parametrize(
    ("method", "path", "caller", "expected"),
    [
        ("GET", "/list", VIEWER, 200),
        ("GET", "/status", VIEWER, 400),
        ("POST", "/start", VIEWER, 403),
        ("POST", "/stop", VIEWER, 403),
        ("GET", "/list", None, 401),
        ("POST", "/start", None, 401),
        ("POST", "/stop", None, 401),
        ("GET", "/test", None, 200),
        ("GET", "/list/", VIEWER, 200),
        ("HEAD", "/list", VIEWER, 200),
        ("HEAD", "/list", None, 401),
        ("GET", "/start", None, 405),
        ("GET", "/nonsense", None, 404),
        ("GET", "/list/more", None, 404),
        ("GET", "", None, 404),
        ("GET", "/", None, 404),
    ],
)
def test_who_may_do_what(control: Control, method: str, path: str, caller: Caller | None, expected: int) -> None:
    assert control.ask(method, path, caller=caller).status == expected
    assert control.store.runs == {}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/list", "GET, HEAD"),
        ("GET", "/start", "POST"),
        ("HEAD", "/start", "POST"),
        ("DELETE", "/test/", "GET, POST, HEAD"),
    ],
)
def test_a_wrong_method_is_answered_with_the_right_ones(control: Control, method: str, path: str, allowed: str) -> None:
    refused = control.ask(method, path, caller=None)
    assert refusal(refused) == (405, "method_not_allowed")
    assert refused.all_headers["Allow"] == allowed
    assert refused.content["error_message"] == (
        f"/chaos_experiments{path.rstrip('/')} does not support the method {method}. "
        f"Use {allowed.replace(', ', ' or ')}."
    )


def test_an_unknown_path_is_answered_with_the_known_ones(control: Control) -> None:
    refused = control.ask("GET", "/lst", caller=None)
    assert refusal(refused) == (404, "unknown_endpoint")
    assert refused.content["error_message"].startswith(
        "There is no endpoint '/lst' below /chaos_experiments. Available: GET /chaos_experiments/list, "
    )
    assert len(control.ask("GET", "/" + 9_000 * "x").content["error_message"]) < 1_000


def test_a_token_in_the_header_does_where_no_gateway_authenticated(control: Control) -> None:
    headers = {"content-type": "application/json", "authorization": "Bearer dev-token"}
    assert result(control.post("/start", LATENCY, headers=headers, caller=None))["started_by"] == "developer"


@pytest.mark.parametrize(
    ("method", "path", "body"), [("GET", "/list", ""), ("POST", "/start", LATENCY), ("POST", "/stop", LATENCY)]
)
def test_a_silent_table_is_a_503(control: Control, method: str, path: str, body: str) -> None:
    control.store.broken = True
    refused = control.ask(method, path, headers=JSON, body=body.encode())
    assert refusal(refused) == (503, "store_unavailable")
    assert control.changes == 0


def test_a_defect_is_logged_and_told_as_such(
    control: Control, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(_now: float) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(control.store, "active", defect)
    with caplog.at_level(logging.ERROR):
        assert refusal(control.ask("GET", "/list")) == (500, "internal_error")
    assert "a defect" in caplog.text


@pytest.mark.parametrize(
    ("one_at_a_time", "in_lambda", "warned"),
    [(True, False, True), (False, False, False), (True, True, False)],
)
def test_the_list_warns_where_a_halt_would_wait_behind_delayed_requests(
    clock: Clock, *, one_at_a_time: bool, in_lambda: bool, warned: bool
) -> None:
    control = Control(clock, Settings(stage="qa", in_lambda=in_lambda))
    warnings = control.ask("GET", "/list", one_at_a_time=one_at_a_time).content["resultset"]["warnings"]
    assert [each.startswith("This process serves one request at a time") for each in warnings] == [True] * warned
