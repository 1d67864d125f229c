import json
import math
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from chalicelib.dependencies import Dependency
from chalicelib.experiments.dependency_failure import DependencyFailure, FaultName
from chalicelib.faults.base import Failure
from chalicelib.faults.dependency import FailDependency

Parameters = DependencyFailure.Parameters
SCHEMA = Draft202012Validator(Parameters.model_json_schema())
AWS, HTTP, HOST = "dynamodb:PutItem", "https://payments.example/v1/*", "localhost:5432"


def fault(**given: Any) -> FailDependency:
    """What a run that is stored like this does."""
    stored = Parameters(**given).model_dump_json(exclude_none=True)
    (made,) = DependencyFailure().faults(Parameters.model_validate_json(stored))
    assert isinstance(made, FailDependency)
    return made


def test_the_defaults_are_pinned() -> None:
    assert Parameters(dependency=AWS).model_dump(exclude_none=True) == {
        "dependency": AWS,
        "fault": "error",
        "scope_of_calls": "requests",
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }


@pytest.mark.parametrize("name", get_args(FaultName))
def test_each_fault_is_the_way_in_which_a_call_fails(name: str) -> None:
    made = fault(dependency=AWS, fault=name)
    assert (made.way, made.dependency, made.in_background) == (name, Dependency(AWS), False)
    assert made.applies_to == DependencyFailure.applies_to == "dependency"


def test_a_delay_and_a_time_out_wait_and_nothing_else_does() -> None:
    waits = {name: fault(dependency=AWS, fault=name).delay_seconds for name in get_args(FaultName)}
    assert {name: each for name, each in waits.items() if each} == {"latency": 2.0, "timeout": math.inf}
    assert fault(dependency=AWS, fault="latency", delay_seconds=0.25).delay_seconds == 0.25


@pytest.mark.parametrize(
    ("given", "failure"),
    [
        ({}, Failure(way="error", bytes_per_second=1000.0)),
        (
            {"code": "ProvisionedThroughputExceededException"},
            Failure(way="error", code="ProvisionedThroughputExceededException", bytes_per_second=1000.0),
        ),
        (
            {"dependency": HTTP, "status_code": 429, "headers": {"Retry-After": "2"}, "body": {"why": ["x"]}},
            Failure(
                way="error", status=429, headers={"Retry-After": "2"}, body={"why": ["x"]}, bytes_per_second=1000.0
            ),
        ),
        ({"dependency": HOST, "body": "down"}, Failure(way="error", body="down", bytes_per_second=1000.0)),
        ({"fault": "slow", "bytes_per_second": 1.0}, Failure(way="slow", bytes_per_second=1.0)),
    ],
)
def test_what_is_started_is_how_a_call_fails(given: dict[str, Any], failure: Failure) -> None:
    assert fault(**{"dependency": AWS, **given}).failure == failure
    SCHEMA.validate({"dependency": AWS, **given})


def test_background_work_is_hit_where_that_is_asked_for() -> None:
    assert fault(dependency=AWS, scope_of_calls="process").in_background


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"fault": "timeout", "delay_seconds": 1.0}, "delay_seconds is for the fault latency, and this is timeout: "),
        ({"delay_seconds": 1.0}, "delay_seconds is for the fault latency, and this is error: leave it out, or send"),
        ({"fault": "throttle", "code": "X"}, "code is for the fault error, and this is throttle: leave it out, or"),
        ({"dependency": HTTP, "fault": "dns", "status_code": 500}, "status_code is for the fault error, and this is"),
        ({"dependency": HTTP, "fault": "slow", "body": "x"}, "body is for the fault error, and this is slow"),
        ({"dependency": HTTP, "fault": "tls", "headers": {}}, "headers is for the fault error, and this is tls"),
        ({"bytes_per_second": 10.0}, "bytes_per_second is for the fault slow, and this is error: leave it out, or"),
        ({"dependency": HTTP, "code": "X"}, f"code is for AWS services, and {HTTP} is none: send status_code instead"),
        ({"dependency": HOST, "code": "X"}, "code is for AWS services, and localhost:5432 is none: send status_code"),
        ({"status_code": 500}, f"status_code is for HTTP, and {AWS} is an AWS service, whose errors have a code: send"),
        (
            {"body": "x"},
            "body is for HTTP, and dynamodb:PutItem is an AWS service, whose errors have a code: send code",
        ),
        ({"headers": {"A": "b"}}, "headers is for HTTP, and dynamodb:PutItem is an AWS service"),
    ],
)
def test_parameters_that_do_not_fit_each_other_are_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Parameters(**{"dependency": AWS, **given})
    assert problem in refused.value.errors()[0]["msg"]
    assert not SCHEMA.is_valid({"dependency": AWS, **given}), "The published schema allows it."


def test_no_address_without_tls_can_fail_by_it() -> None:
    with pytest.raises(ValidationError, match="begins with http://, where there is none: name https://, or choose"):
        Parameters(dependency="http://payments.example", fault="tls")
    assert fault(dependency="https://payments.example", fault="tls").way == "tls"
    assert fault(dependency="payments.example", fault="tls").way == "tls"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"dependency": ""},
        {"dependency": None},
        {"dependency": 1},
        {"dependency": "a b"},
        {"dependency": "example.com:0"},
        {"dependency": "http://example.com/?a=b"},
        {"dependency": AWS, "fault": "nothing"},
        {"dependency": AWS, "fault": "latency", "delay_seconds": 0.0},
        {"dependency": AWS, "fault": "latency", "delay_seconds": 60.1},
        {"dependency": AWS, "fault": "latency", "delay_seconds": math.inf},
        {"dependency": AWS, "fault": "slow", "bytes_per_second": 0.09},
        {"dependency": AWS, "code": "no code"},
        {"dependency": AWS, "code": ""},
        {"dependency": AWS, "code": "X" * 101},
        {"dependency": HTTP, "status_code": 200},
        {"dependency": HTTP, "status_code": 600},
        {"dependency": HTTP, "headers": {"Content-Length": "1"}},
        {"dependency": HTTP, "body": 1},
        {"dependency": AWS, "scope_of_calls": "all"},
        {"dependency": AWS, "operation": "PutItem"},
    ],
)
def test_anything_else_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Parameters(**given)


def test_what_is_stored_is_json() -> None:
    stored = Parameters(dependency=HTTP, headers={"A": "b"}, body={"x": 1}).model_dump(mode="json", exclude_none=True)
    assert Parameters.model_validate(json.loads(json.dumps(stored))) == Parameters.model_validate(stored)
