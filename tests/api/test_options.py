"""Start options: declared once, published, stored, echoed; and runs that other versions wrote."""

import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from chalicelib.api.http import Response
from chalicelib.api.responses import UNREADABLE
from chalicelib.runs.options import Hypothesis, StartOptions
from chalicelib.runs.target import CRITERIA
from chalicelib.settings import Settings
from tests.api.conftest import Control
from tests.support import NOW, Clock, a_run

HYPOTHESIS = {
    "max_error_rate": 0.01,
    "min_requests": 50,
    "of": "untouched",
    "baseline_seconds": 0.0,
    "abort": False,
}


def result(response: Response) -> Any:
    assert response.status == 200, response.content
    return response.content["resultset"]


def test_the_list_publishes_every_option_with_its_description_unit_and_limits(control: Control) -> None:
    schema = result(control.ask("GET", "/list"))["start_options"]
    Draft202012Validator.check_schema(schema)
    options = schema["properties"]
    assert set(options) == {*StartOptions.model_fields, "restart"}
    assert all(each["description"] for each in options.values())
    (hypothesis, _) = options["hypothesis"]["anyOf"]
    assert set(hypothesis["properties"]) == set(Hypothesis.model_fields)
    bound = hypothesis["properties"]["max_error_rate"]
    assert (bound["unit"], bound["minimum"], bound["maximum"]) == ("share", 0, 1)
    assert schema["required"] == []
    assert Draft202012Validator(schema).is_valid({"reason": "why", "hypothesis": {"p95_seconds": 1}})
    assert not Draft202012Validator(schema).is_valid({"hypothesis": {"abort": True}})


def test_options_are_stored_as_they_were_chosen_and_echoed_complete(control: Control) -> None:
    body = '{"experiment_name": "error_injection", "alarms": [], "hypothesis": {"max_error_rate": 0.01}}'
    run = result(control.post("/start", body))
    assert control.store.runs["error_injection"].options == {"hypothesis": HYPOTHESIS}
    assert (run["reason"], run["alarms"], run["hypothesis"]["p95_seconds"]) == (None, [], None)
    assert {name: run["hypothesis"][name] for name in HYPOTHESIS} == HYPOTHESIS
    assert run["hypothesis"]["verdict"] == "too_few_requests"


def test_an_option_of_a_newer_version_is_echoed_and_replaces_no_field_of_a_run(control: Control) -> None:
    newer = {"reason": "why", "target": {"path": "/orders"}, "status": "no", "hypothesis": {**HYPOTHESIS, "p99": 1}}
    control.store.runs["latency_injection"] = a_run(options=newer)
    (run,) = result(control.ask("GET", "/list"))["active_experiments"]
    assert (run["reason"], run["target"], run["status"]) == ("why", {"path": "/orders"}, "running")
    assert (run["hypothesis"]["p99"], run["hypothesis"]["verdict"]) == (1, "too_few_requests")


@pytest.mark.parametrize("hypothesis", [{"p99_seconds": 1}, {"max_error_rate": "low"}, [1]])
def test_a_hypothesis_that_this_version_cannot_judge_is_none(control: Control, hypothesis: Any) -> None:
    control.store.runs["latency_injection"] = a_run(options={"hypothesis": hypothesis})
    (run,) = result(control.ask("GET", "/list"))["active_experiments"]
    assert run["hypothesis"] is None


def test_a_run_of_an_unknown_experiment_is_listed_found_and_stopped(control: Control) -> None:
    control.store.runs["of_another_version"] = a_run("of_another_version")
    (run,) = result(control.ask("GET", "/list"))["active_experiments"]
    assert (run["name"], run["description"], run["status"]) == ("of_another_version", "", "running")
    asked = {"experiment_name": ["of_another_version"]}
    assert result(control.ask("GET", "/status", query=asked))["run_id"] == run["run_id"]
    assert result(control.post("/stop", '{"experiment_name": "of_another_version"}'))["status"] == "stopped"
    again = control.post("/stop", '{"experiment_name": "of_another_version"}')
    assert (again.status, again.content["code"]) == (404, "unknown_experiment")


def test_a_run_that_cannot_be_read_is_listed_with_the_reason_stopped_and_halted(control: Control) -> None:
    envelope = replace(a_run(), parameters={}, options={}, unreadable=True)
    for change, body in [("/stop", '{"experiment_name": "latency_injection"}'), ("/halt", '{"reason": "why"}')]:
        control.store.runs["latency_injection"] = envelope
        (run,) = result(control.ask("GET", "/list"))["active_experiments"]
        assert (run["status"], run["parameters"], run["defect"]) == ("running", {}, UNREADABLE)
        control.clock.now = NOW + 1
        result(control.post(change, body))
        assert control.store.runs["latency_injection"].status(NOW + 1) == "stopped"


def test_a_target_is_stored_echoed_and_published(control: Control) -> None:
    run = result(
        control.post("/start", '{"experiment_name": "latency_injection", "target": {"environments_percentage": 50}}')
    )
    assert run["target"] == {"environments_percentage": 50.0}
    assert control.store.runs["latency_injection"].options == {"target": {"environments_percentage": 50.0}}
    schema = result(control.ask("GET", "/list"))["start_options"]
    assert Draft202012Validator(schema).is_valid({"target": {"environments_percentage": 50}})
    for wrong in ({}, {"environments_percentage": 0}, {"environments_percentage": 101}, {"path": "/"}):
        assert not Draft202012Validator(schema).is_valid({"target": wrong})


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("{}", f"target must be an object with {' or '.join(CRITERIA)}; got an empty one."),
        ("50", f"target must be an object with {', '.join(CRITERIA)}; got 50."),
        (
            '{"environments_percentage": 0}',
            "target.environments_percentage must be a number greater than 0 and at most 100 (percent); got 0.",
        ),
        ('{"path": "/"}', f"target.path is not a known field; use one of {', '.join(CRITERIA)}."),
    ],
)
def test_a_target_that_is_none_is_refused_in_words(control: Control, target: str, message: str) -> None:
    refused = control.post("/start", f'{{"experiment_name": "latency_injection", "target": {target}}}')
    assert (refused.status, refused.content["error_message"]) == (400, message)


KEYED = Settings(stage="qa", propagation_key="sixteen bytes or more")


def test_a_run_whose_scope_travels_is_stored_and_echoed(clock: Clock) -> None:
    control = Control(clock, settings=KEYED)
    run = result(control.post("/start", '{"experiment_name": "latency_injection", "propagate": true}'))
    assert run["propagate"] is True
    assert control.store.runs["latency_injection"].options == {"propagate": True}
    assert result(control.post("/start", '{"experiment_name": "error_injection"}'))["propagate"] is False


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"experiment_name": "latency_injection", "propagate": True}, "propagate"),
        (
            {
                "experiments": [
                    {"experiment_name": "error_injection"},
                    {"experiment_name": "latency_injection", "propagate": True},
                ]
            },
            "experiments.1.propagate",
        ),
    ],
)
def test_without_a_key_that_services_share_none_travels(control: Control, body: dict[str, Any], field: str) -> None:
    answer = control.post("/start", json.dumps(body))
    assert (answer.status, answer.content["code"]) == (400, "invalid_parameters")
    (problem,) = answer.content["details"]
    assert problem["field"] == field
    assert "Set it to the same secret in all of them" in answer.content["error_message"]
    assert control.store.runs == {}


@pytest.mark.parametrize(("given", "stored"), [({}, 3), ({"max_requests": 2}, 2), ({"max_requests": 9}, 3)])
def test_an_experiment_limits_itself_how_many_calls_a_run_hits(
    control: Control, given: dict[str, int], stored: int
) -> None:
    body = {"experiment_name": "process_crash", "max_crashes": 3, **given}
    assert result(control.post("/start", json.dumps(body)))["max_requests"] == stored
    assert control.store.runs["process_crash"].options == {"max_requests": stored}
