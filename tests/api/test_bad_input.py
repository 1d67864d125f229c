"""Every kind of bad input gets its 4xx, in the envelope, and starts nothing."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from chalicelib.experiments.catalogue import installed
from chalicelib.runs.options import StartOptions
from chalicelib.settings import Settings
from tests.api.conftest import Control
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
    "half a character as name": json.dumps({"experiment_name": "\ud800"}),
    "half a character in a text": start(seed="\ud800"),
    "half a character in a name": start(target={"query": {"\ud800": "1"}}),
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
    "an unknown name": '{"experiment_name": "paper_exhaustion"}',
    "a name in capitals": '{"experiment_name": "LATENCY_INJECTION"}',
    "a path as name": '{"experiment_name": "../../etc/passwd"}',
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
def test_a_bad_body(control: Control, body: bytes | str, status: int, code: str) -> None:
    refused = control.post("/start", body)
    assert (refused.status, refused.content["code"]) == (status, code), refused.content
    assert set(refused.content) == {"error", "error_message", "code", "details", "resultset"}
    assert refused.body
    assert len(refused.body) < 2000
    assert control.store.runs == {}


def test_there_are_at_least_forty_kinds() -> None:
    assert len(KINDS) >= 40


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "", "multipart/form-data"]
)
def test_another_content_type(control: Control, content_type: str) -> None:
    refused = control.post("/start", start(), headers={"content-type": content_type})
    assert (refused.status, refused.content["code"]) == (415, "unsupported_media_type")
    assert control.store.runs == {}


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_the_right_content_type(control: Control, content_type: str) -> None:
    assert control.post("/start", start(), headers={"content-type": content_type}).status == 200


GOOD = {
    "/start": start(),
    "/stop": json.dumps({"experiment_name": "latency_injection"}),
    "/halt": json.dumps({"reason": "a test"}),
    "/resume": "{}",
}


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize("more", [{}, {"authorization": "Bearer dev-token"}, {"cookie": "session=1"}])
def test_a_body_without_a_content_type_is_refused(control: Control, path: str, more: dict[str, str]) -> None:
    """A page of another site can make a browser send it, with the cookies that an `authenticate` may go by."""
    refused = control.post(path, GOOD[path], headers=more)
    assert (refused.status, refused.content["code"]) == (415, "unsupported_media_type")
    assert refused.content["error_message"] == ("The header Content-Type must be application/json; got none.")
    assert (control.store.runs, control.store.halt_event) == ({}, None)


def test_no_body_and_no_content_type_are_enough_for_who_sends_a_token(control: Control) -> None:
    control.post("/halt", GOOD["/halt"])
    for headers in ({}, {"cookie": "session=1"}, {"authorization": "Basic YWRhOmFkYQ=="}):
        assert control.post("/resume", b"", headers=headers).status == 415
    assert control.store.halt_event
    assert control.post("/resume", b"", headers={"authorization": "Bearer dev-token"}).status == 200
    assert control.store.halt_event is None
    refused = control.post("/start", b"", headers={"authorization": "Bearer dev-token"})
    assert (refused.status, refused.content["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_has_no_body_needs_no_content_type(control: Control, method: str) -> None:
    assert control.ask(method, "/list").status == 200


@pytest.mark.parametrize("size", [16 * 1024 + 1, 2_000_000])
def test_a_body_that_is_too_large(control: Control, size: int) -> None:
    refused = control.post("/start", b" " * size)
    assert (refused.status, refused.content["code"]) == (413, "body_too_large")


def test_every_problem_of_a_body_stands_in_one_answer(control: Control) -> None:
    refused = control.post("/start", start(delay_seconds="2", duration_seconds=-1, restart=1, invented=0))
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


def test_a_limit_of_this_environment_is_named_beside_the_other_problems(control: Control) -> None:
    body = {"experiment_name": "resource_exhaustion", "memory_mb": 9999, "duration_seconds": "3"}
    refused = control.post("/start", json.dumps(body))
    assert {problem["field"]: problem["allowed"] for problem in refused.content["details"]} == {
        "memory_mb": "a whole number from 1 to 500 (MB)",
        "duration_seconds": "a number greater than 0 and at most 3600 (seconds)",
    }
    assert refused.content["error_message"] == (
        'duration_seconds must be a number greater than 0 and at most 3600 (seconds); got the string "3". '
        "memory_mb must be a whole number from 1 to 500 (MB) in this stage and environment; got 9999."
    )


NAMES = ", ".join(installed())
LINE = "in one line, without control characters"
OF_THE_EXPERIMENT = tuple(installed()["latency_injection"].Parameters.model_fields)
FIELDS_OF_A_START = ", ".join((*OF_THE_EXPERIMENT, "experiment_name", *StartOptions.model_fields, "restart"))
FIELDS_OF_A_HYPOTHESIS = "max_error_rate, p95_seconds, min_requests, of, baseline_seconds, abort"
DEPENDENCIES = (
    "an AWS service (dynamodb), one of its operations (dynamodb:PutItem), addresses (https://payments.example/v1/*), "
    "or a host (payments.example, *.example.com, localhost:5432)"
)


def failing(**parameters: Any) -> str:
    return json.dumps({"experiment_name": "dependency_failure", **parameters})


MESSAGES: dict[str, tuple[bytes | str, str]] = {
    "no dependency": (failing(), f"dependency is missing; it must be {DEPENDENCIES}."),
    "what is no dependency": (failing(dependency="a b"), f"dependency must be {DEPENDENCIES}; got 'a b'."),
    "another type of dependency": (failing(dependency=7), f"dependency must be {DEPENDENCIES}; got 7."),
    "a port that there is not": (
        failing(dependency="db.example:0"),
        "dependency must have a port from 1 to 65535; got 0.",
    ),
    "a status of AWS": (
        failing(dependency="dynamodb", status_code=500),
        "status_code is for HTTP, and dynamodb is an AWS service, whose errors have a code: send code instead.",
    ),
    "a code of a host": (
        failing(dependency="db.example:5432", code="Down"),
        "code is for AWS services, and db.example:5432 is none: send status_code instead, or name an AWS service.",
    ),
    "a delay of another fault": (
        failing(dependency="dynamodb", fault="dns", delay_seconds=1),
        "delay_seconds is for the fault latency, and this is dns: leave it out, or send latency as fault.",
    ),
    "above the limit": (start(delay_seconds=61), "delay_seconds must be a number from 0 to 60 (seconds); got 61."),
    "below the limit": (start(delay_seconds=-0.5), "delay_seconds must be a number from 0 to 60 (seconds); got -0.5."),
    "text": (start(delay_seconds="2"), 'delay_seconds must be a number from 0 to 60 (seconds); got the string "2".'),
    "a boolean": (start(delay_seconds=True), "delay_seconds must be a number from 0 to 60 (seconds); got true."),
    "null": (start(delay_seconds=None), "delay_seconds must be a number from 0 to 60 (seconds); got null."),
    "a list": (start(delay_seconds=[1, 2]), "delay_seconds must be a number from 0 to 60 (seconds); got a list of 2."),
    "an object": (start(delay_seconds={}), "delay_seconds must be a number from 0 to 60 (seconds); got an object."),
    "many digits": (
        start(delay_seconds=10**400),
        f"delay_seconds must be a number from 0 to 60 (seconds); got 1{'0' * 63}….",
    ),
    "a share in per cent": (
        json.dumps({"experiment_name": "error_injection", "error_rate": 30}),
        "error_rate must be a number from 0 to 1 (a share: 0.1 is 10 %); got 30.",
    ),
    "a limit of this stage": (
        start(duration_seconds=3600.5),
        (
            "duration_seconds must be a number greater than 0 and at most 3600 (seconds) in this stage and "
            "environment; got 3600.5."
        ),
    ),
    "a fraction": (
        json.dumps({"experiment_name": "resource_exhaustion", "memory_mb": 1.5}),
        "memory_mb must be a whole number from 1 to 500 (MB); got 1.5.",
    ),
    "an unknown field": (start(delay=2), f"delay is not a known field; use one of {FIELDS_OF_A_START}."),
    "no switch": (start(restart="true"), 'restart must be true or false; got the string "true".'),
    "a long reason": (
        start(reason="x" * 101),
        f"reason must be a string of 0 to 100 characters {LINE}; got a string of 101 characters.",
    ),
    "a reason of two lines": (
        start(reason="one\ntwo\x7f"),
        f'reason must be a string of 0 to 100 characters {LINE}; got "one\\ntwo\\u007f".',
    ),
    "a reason that is a number": (start(reason=7), f"reason must be a string of 0 to 100 characters {LINE}; got 7."),
    "an alarm that is a number": (
        start(alarms=["one", 2]),
        f"alarms must be a list of at most 5, each a string of 1 to 100 characters {LINE}; got 2 as item 2.",
    ),
    "an alarm without a name": (
        start(alarms=[""]),
        f'alarms must be a list of at most 5, each a string of 1 to 100 characters {LINE}; got "" as item 1.',
    ),
    "no list of alarms": (
        start(alarms="one"),
        f'alarms must be a list of at most 5, each a string of 1 to 100 characters {LINE}; got the string "one".',
    ),
    "a hypothesis without a bound": (
        start(hypothesis={"abort": True}),
        "hypothesis must be an object with max_error_rate or p95_seconds, or both; got neither.",
    ),
    "a hypothesis that is none": (
        start(hypothesis=1),
        f"hypothesis must be an object with {FIELDS_OF_A_HYPOTHESIS}; got 1.",
    ),
    "a bound of a hypothesis": (
        start(hypothesis={"p95_seconds": 0, "max_rate": 1}),
        (
            "hypothesis.p95_seconds must be a number greater than 0 and at most 900 (seconds); got 0. "
            f"hypothesis.max_rate is not a known field; use one of {FIELDS_OF_A_HYPOTHESIS}."
        ),
    ),
    "no name": ("{}", f"experiment_name is missing; it must be one of {NAMES}."),
    "a name that is a number": ('{"experiment_name": 7}', f"experiment_name must be one of {NAMES}; got 7."),
    "an unknown name": (
        '{"experiment_name": "latency"}',
        f"There is no experiment 'latency'. experiment_name must be one of {NAMES}.",
    ),
    "nothing": (b" ", "The body is empty. Send a JSON object."),
    "no JSON": (b"hello", "The body is not valid JSON: Expecting value: line 1 column 1."),
    "a byte order mark": (b"\xef\xbb\xbf{}", "The body is not valid JSON: Unexpected UTF-8 BOM: line 1 column 1."),
    "no UTF-8": (b'{"a": "\xff"}', "The body is not UTF-8: byte 8 is not valid. Send JSON in UTF-8."),
    "no object": (b"[1]", "The body must be a JSON object; got a list of 1."),
    "no number": (raw("NaN"), "The body has NaN, which is not a JSON number. Send a finite number."),
    "too many digits": (raw("1" * 5000), "The body has a number with too many digits."),
    "a field twice": (b'{"a": 1, "b": 2, "a": 3}', 'The body has the field "a" more than once. Send each field once.'),
    "deep nesting": ("[" * 8000 + "]" * 8000, "The body is nested too deeply. Send a flat JSON object."),
    "a large body": (b" " * 16385, "The body must be at most 16384 bytes (16 KB). Send a shorter one."),
}


@pytest.mark.parametrize(("body", "message"), MESSAGES.values(), ids=MESSAGES)
def test_a_message_says_what_is_wrong_and_what_is_allowed(control: Control, body: bytes | str, message: str) -> None:
    assert control.post("/start", body).content["error_message"] == message


def test_another_content_type_is_named_beside_the_right_one(control: Control) -> None:
    refused = control.post("/start", start(), headers={"content-type": "text/plain"})
    assert refused.content["error_message"] == 'The header Content-Type must be application/json; got "text/plain".'


def test_a_stop_a_halt_and_a_resume_name_their_own_fields(control: Control) -> None:
    refused = control.post("/stop", '{"experiment_name": "latency_injection", "why": 1}')
    assert (
        refused.content["error_message"]
        == "why is not a known field; use one of experiment_name, label, run_id, scenario, reason."
    )
    refused = control.post("/halt", "{}")
    assert refused.content["error_message"] == f"reason is missing; it must be a string of 1 to 100 characters {LINE}."
    refused = control.post("/resume", '{"reason": []}')
    assert (
        refused.content["error_message"] == f"reason must be a string of 0 to 100 characters {LINE}; got a list of 0."
    )


def test_where_the_environment_has_nothing_to_spare_it_says_so(clock: Clock) -> None:
    control = Control(clock, Settings(stage="qa", limits={"memory_mb": 0.5}))
    refused = control.post("/start", '{"experiment_name": "resource_exhaustion", "memory_mb": 1}')
    assert refused.content["error_message"] == (
        "memory_mb must be a whole number from 1 to 0 (MB), so no value is possible here at the moment in this stage "
        "and environment; got 1."
    )


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        ("/history", {"limit": ["0"]}, 'limit must be a whole number from 1 to 100; got "0".'),
        ("/history", {"since": ["now"]}, 'since must be a time in ISO 8601, such as 2026-11-24T09:00:00Z; got "now".'),
        ("/history", {"before": ["\x00"]}, 'before must be the `next` of another page; got "\\u0000".'),
        (
            "/history",
            {"page": ["2"]},
            "page is not a known field; use one of experiment_name, label, since, until, before, limit.",
        ),
        (
            "/report",
            {},
            "run_id is missing; it must be the id of a run, from GET /history. Send it in the query: ?run_id=<value>.",
        ),
        ("/report", {"run_id": ["x"], "format": ["pdf"]}, 'format must be one of json, markdown, html; got "pdf".'),
        (
            "/report",
            {"run_id": ["x"]},
            "There is no run with the id 'x'. GET /history lists those of the last 90 days.",
        ),
    ],
)
def test_a_message_about_a_query_does_too(
    control: Control, path: str, query: dict[str, list[str]], message: str
) -> None:
    assert control.ask("GET", path, query=query).content["error_message"] == message


@pytest.mark.parametrize("body", ['{"experiment_name": "latency_injection", "delay_seconds": 1}', "{}", "[]", ""])
def test_a_bad_stop_stops_nothing(control: Control, body: str) -> None:
    control.post("/start", start())
    assert control.post("/stop", body).status == 400
    assert control.store.runs["latency_injection"].ended_at is None


JSON_VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = strategies.sampled_from(
    ["experiment_name", "delay_seconds", "duration_seconds", "error_rate", "memory_mb", "restart", "reason", "x"]
)
NAMED = strategies.fixed_dictionaries({"experiment_name": strategies.sampled_from(list(installed()))})
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
    control = Control(Clock())
    answer = control.post("/start", body)
    assert answer.status in {200, 400, 404}
    assert (answer.status == 200) == bool(control.store.runs)
    json.loads(answer.body)
