"""Every kind of bad input gets its 4xx, in the envelope, and starts nothing."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from tests.api.conftest import Desk
from tests.support import Clock


def start(**parameters: Any) -> str:
    return json.dumps({"experiment_name": "latency_injection", **parameters})


def raw(text: str) -> str:
    """A start with a number that `json.dumps` would not write."""
    return f'{{"experiment_name": "latency_injection", "delay_seconds": {text}}}'


INVALID_JSON: dict[str, bytes | str] = {
    "no body": b"",
    "blanks": b" \n ",
    "no JSON": b"hello",
    "a form": b"experiment_name=latency_injection",
    "half an object": '{"experiment_name": "latency',
    "a trailing comma": '{"experiment_name": "latency_injection",}',
    "two objects": "{}{}",
    "single quotes": "{'experiment_name': 'latency_injection'}",
    "broken UTF-8": b'{"experiment_name": "\xff\xfe"}',
    "UTF-16": '{"experiment_name": "latency_injection"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + start().encode(),
    "an array": '["latency_injection"]',
    "a text": '"latency_injection"',
    "a number": "42",
    "null": "null",
    "true": "true",
    "NaN": raw("NaN"),
    "Infinity": raw("Infinity"),
    "-Infinity": raw("-Infinity"),
    "a number of 5000 digits": raw("1" * 5000),
    "a hexadecimal number": raw("0x10"),
    "a number with a plus": raw("+1"),
    "deep nesting": "[" * 8000 + "]" * 8000,
    "deep nesting of objects": '{"a":' * 2700 + "1" + "}" * 2700,
    "a name twice": '{"experiment_name": "latency_injection", "delay_seconds": 1, "delay_seconds": 2}',
    "a control character": '{"experiment_name": "latency\x00_injection"}',
}
INVALID_PARAMETERS: dict[str, str] = {
    "a number as text": start(delay_seconds="2"),
    "a boolean as number": start(delay_seconds=True),
    "null as number": start(delay_seconds=None),
    "a list as number": start(delay_seconds=[2]),
    "an object as number": start(delay_seconds={"value": 2}),
    "below the limit": start(delay_seconds=-0.001),
    "above the limit": start(delay_seconds=60.001),
    "beyond all numbers": raw("1e400"),
    "beyond all numbers, below": raw("-1e400"),
    "a huge whole number": raw("1" + "0" * 400),
    "no duration": start(duration_seconds=0),
    "a duration below nothing": start(duration_seconds=-1),
    "a duration beyond the stage's limit": start(duration_seconds=3600.001),
    "a duration as text": start(duration_seconds="30"),
    "an unknown field": start(delay=2),
    "a field of another experiment": start(error_rate=0.1),
    "a field in other letters": start(Delay_Seconds=2),
    "an empty field": start(**{"": 1}),
    "a rate above one": json.dumps({"experiment_name": "error_injection", "error_rate": 1.1}),
    "a rate in per cent": json.dumps({"experiment_name": "error_injection", "error_rate": 30}),
    "a rate below nothing": json.dumps({"experiment_name": "error_injection", "error_rate": -0.1}),
    "half a megabyte": json.dumps({"experiment_name": "resource_exhaustion", "memory_mb": 1.5}),
    "no memory": json.dumps({"experiment_name": "resource_exhaustion", "memory_mb": 0}),
    "more memory than can be spared": json.dumps({"experiment_name": "resource_exhaustion", "memory_mb": 501}),
    "restart as text": start(restart="true"),
    "restart as number": start(restart=1),
    "a reason that is no text": start(reason=7),
    "a reason that is too long": start(reason="x" * 101),
    "a reason that clears a terminal": start(reason="\x1b[2J"),
    "a reason of two lines": start(reason="one\ntwo"),
    "an alarm's name that clears a terminal": start(alarms=["\x9b2J"]),
    "a name that is a number": '{"experiment_name": 7}',
    "a name that is a list": '{"experiment_name": ["latency_injection"]}',
}
MISSING: dict[str, str] = {
    "an empty object": "{}",
    "no name": '{"delay_seconds": 2}',
    "null as name": '{"experiment_name": null}',
}
UNKNOWN: dict[str, str] = {
    "an empty name": '{"experiment_name": ""}',
    "an unknown name": '{"experiment_name": "cpu_exhaustion"}',
    "a name in capitals": '{"experiment_name": "LATENCY_INJECTION"}',
    "a path as name": '{"experiment_name": "../../etc/passwd"}',
    "half a character as name": '{"experiment_name": "\\ud800"}',
    "a name of 10 kB": json.dumps({"experiment_name": "x" * 10_000}),
}
KINDS = [
    pytest.param(body, 400 if code != "unknown_experiment" else 404, code, id=kind)
    for code, bodies in (
        ("invalid_json", INVALID_JSON),
        ("invalid_parameters", INVALID_PARAMETERS),
        ("missing_parameter", MISSING),
        ("unknown_experiment", UNKNOWN),
    )
    for kind, body in bodies.items()
]


@pytest.mark.parametrize(("body", "status", "code"), KINDS)
def test_a_bad_body(desk: Desk, body: bytes | str, status: int, code: str) -> None:
    refused = desk.post("/start", body)
    assert (refused.status, refused.content["code"]) == (status, code), refused.content
    assert set(refused.content) == {"error", "error_message", "code", "details", "resultset"}
    assert refused.body
    assert len(refused.body) < 2000
    assert desk.store.runs == {}


def test_there_are_at_least_forty_kinds() -> None:
    assert len(KINDS) >= 40


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "", "multipart/form-data"]
)
def test_another_content_type(desk: Desk, content_type: str) -> None:
    refused = desk.post("/start", start(), headers={"content-type": content_type})
    assert (refused.status, refused.content["code"]) == (415, "unsupported_media_type")
    assert desk.store.runs == {}


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_the_right_content_type(desk: Desk, content_type: str) -> None:
    assert desk.post("/start", start(), headers={"content-type": content_type}).status == 200


def test_a_body_without_a_content_type_is_taken_for_json(desk: Desk) -> None:
    assert desk.post("/start", start(), headers={}).status == 200


@pytest.mark.parametrize("size", [16 * 1024 + 1, 2_000_000])
def test_a_body_that_is_too_large(desk: Desk, size: int) -> None:
    refused = desk.post("/start", b" " * size)
    assert (refused.status, refused.content["code"]) == (413, "body_too_large")


def test_every_problem_of_a_body_stands_in_one_answer(desk: Desk) -> None:
    refused = desk.post("/start", start(delay_seconds="2", duration_seconds=-1, restart=1, invented=0))
    assert [problem["field"] for problem in refused.content["details"]] == [
        "restart",
        "duration_seconds",
        "delay_seconds",
        "invented",
    ]
    for problem in refused.content["details"]:
        assert problem["problem"]
        assert problem["allowed"]
        assert f"{problem['field']} {problem['problem']}" in refused.content["error_message"]


def test_a_limit_of_this_environment_is_named_beside_the_other_problems(desk: Desk) -> None:
    body = {"experiment_name": "resource_exhaustion", "memory_mb": 9999, "duration_seconds": "3"}
    refused = desk.post("/start", json.dumps(body))
    assert {problem["field"]: problem["allowed"] for problem in refused.content["details"]} == {
        "memory_mb": "a whole number from 1 up to 500 (MB)",
        "duration_seconds": "a number above 0, up to 3600.0 (seconds)",
    }


@pytest.mark.parametrize("body", ['{"experiment_name": "latency_injection", "delay_seconds": 1}', "{}", "[]", ""])
def test_a_bad_stop_stops_nothing(desk: Desk, body: str) -> None:
    desk.post("/start", start())
    assert desk.post("/stop", body).status == 400
    assert desk.store.runs["latency_injection"].ended_at is None


JSON_VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = strategies.sampled_from(
    ["experiment_name", "delay_seconds", "duration_seconds", "error_rate", "memory_mb", "restart", "reason", "x"]
)
NAMED = strategies.fixed_dictionaries(
    {"experiment_name": strategies.sampled_from(["latency_injection", "error_injection", "resource_exhaustion"])}
)
BODIES = (
    strategies.binary(max_size=200)
    | strategies.builds(lambda value: json.dumps(value).encode(), JSON_VALUES)
    | strategies.builds(
        lambda named, rest: json.dumps({**rest, **named}).encode(),
        NAMED,
        strategies.dictionaries(FIELDS, JSON_VALUES, max_size=4),
    )
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
def test_no_body_at_all_breaks_anything(body: bytes) -> None:
    desk = Desk(Clock())
    answer = desk.post("/start", body)
    assert answer.status in {200, 400, 404}
    assert (answer.status == 200) == bool(desk.store.runs)
    json.loads(answer.body)
