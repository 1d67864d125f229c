import json
from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.error_injection import ErrorInjection
from chalicelib.faults.answer import Answer
from chalicelib.faults.records import FailRecords
from chalicelib.faults.replace import Replace


@pytest.mark.parametrize("error_rate", [0.0, 0.25, 1.0])
def test_the_rate_is_the_share_of_the_calls_that_are_answered_with_an_error(error_rate: float) -> None:
    parameters = ErrorInjection.Parameters(error_rate=error_rate)
    assert list(ErrorInjection().faults(parameters)) == [
        Answer(share=error_rate, status=500, code="injected_error", message="Chaos experiment: injected error")
    ]


def test_the_defaults_are_pinned() -> None:
    assert ErrorInjection.Parameters().model_dump(exclude_none=True) == {
        "error_rate": 0.1,
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }


@pytest.mark.parametrize("error_rate", [0, 0.0, 1, 1.0, 0.5])
def test_a_rate_from_0_to_1_is_allowed(error_rate: float) -> None:
    assert ErrorInjection.Parameters(error_rate=error_rate).error_rate == error_rate


@pytest.mark.parametrize("error_rate", [-0.001, 1.001, "0.5", True, None, float("nan"), float("-inf")])
def test_any_other_rate_is_refused(error_rate: Any) -> None:
    with pytest.raises(ValidationError, match="error_rate"):
        ErrorInjection.Parameters(error_rate=error_rate)


def test_what_an_older_version_has_stored_is_read_as_it_was() -> None:
    stored = '{"duration_seconds": 30.0, "percentage": 100.0, "error_rate": 0.25}'
    parameters = ErrorInjection.Parameters.model_validate_json(stored)
    assert parameters.model_dump(mode="json", exclude_none=True) == json.loads(stored)


@pytest.mark.parametrize(
    "given",
    [
        {"status_code": 400},
        {"status_code": 599, "message": "Out of stock"},
        {"headers": {"Retry-After": "120", "WWW-Authenticate": 'Bearer realm="a b"'}},
        {"headers": {f"X-{number}": "1" for number in range(10)}},
        {"body": ""},
        {"body": "x" * 1024},
        {"body": {"code": "throttled", "retry": None, "of": [1, 2.5, True]}},
        {"body": [], "status_code": 429},
    ],
)
def test_what_is_answered_is_stored_and_read_again(given: dict[str, Any]) -> None:
    stored = ErrorInjection.Parameters(**given).model_dump_json(exclude_none=True)
    (fault,) = ErrorInjection().faults(ErrorInjection.Parameters.model_validate_json(stored))
    assert fault == Answer(
        share=0.1,
        status=given.get("status_code", 500),
        code="injected_error",
        message=given.get("message", "Chaos experiment: injected error"),
        headers=given.get("headers", {}),
        body=given.get("body"),
    )


@pytest.mark.parametrize("status_code", [200, 399, 600, 503.0, "503", True, None])
def test_a_status_that_is_no_error_is_refused(status_code: Any) -> None:
    with pytest.raises(ValidationError, match="status_code"):
        ErrorInjection.Parameters(status_code=status_code)


@pytest.mark.parametrize("message", ["", "x" * 201, "a\nb", "a\x00", "a\u2028b", 1, None])
def test_a_message_that_is_not_one_line_is_refused(message: Any) -> None:
    with pytest.raises(ValidationError, match="message"):
        ErrorInjection.Parameters(message=message)


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        (None, "must be an object of at most 10 headers"),
        ([["a", "b"]], "must be an object of at most 10 headers"),
        ({f"X-{number}": "1" for number in range(11)}, "must be an object of at most 10 headers.*got 11 headers"),
        ({"": "1"}, "must have names of 1 to 64 letters"),
        ({"a b": "1"}, "must have names of"),
        ({"a:": "1"}, "must have names of"),
        ({"Retry-After\n": "1"}, "must have names of"),
        ({"a\r\nX-Evil": "1"}, "must have names of"),
        ({"\u00e9": "1"}, "must have names of"),
        ({"x" * 65: "1"}, "must have names of"),
        ({"a": "1\r\nX-Evil: 2"}, "must have a text"),
        ({"a": "1\n"}, "must have a text"),
        ({"a": "\x00"}, "must have a text"),
        ({"a": "\u00e9"}, "must have a text"),
        ({"a": ""}, "must have a text"),
        ({"a": " 1"}, "must have a text"),
        ({"a": "x" * 201}, "must have a text"),
        ({"Retry-After": 120}, "must have a text of 1 to 200 printable ASCII characters as Retry-After"),
        ({"a": None}, "must have a text"),
        *(
            ({name: "1"}, f"cannot have {name}")
            for name in ("Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection")
        ),
        *(({name: "1"}, f"cannot have {name}") for name in ("TE", "Trailer", "transfer-encoding", "Upgrade")),
        *(({name: "1"}, f"cannot have {name}") for name in ("Content-Length", "X-Chaos-Run", "x-chaos-anything")),
        ({"Retry-After": "1", "retry-after": "2"}, "must have each name once"),
    ],
)
def test_headers_that_cannot_be_are_refused(headers: Any, problem: str) -> None:
    with pytest.raises(ValidationError, match=f"headers {problem}"):
        ErrorInjection.Parameters(headers=headers)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (None, "must be a text, an object or a list"),
        (5, "must be a text, an object or a list"),
        (True, "must be a text, an object or a list"),
        (b"bytes", "must be a text, an object or a list"),
        ("x" * 1025, "got 1025 bytes"),
        ("\u00e9" * 600, "got 1200 bytes"),
        ({"x": "x" * 1020}, "got 1029 bytes"),
        ([float("nan")], "cannot be sent in UTF-8"),
        ("\ud800", "cannot be sent in UTF-8"),
    ],
)
def test_a_body_that_cannot_be_is_refused(body: Any, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        ErrorInjection.Parameters(body=body)


def test_a_message_and_a_body_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="message cannot be with body"):
        ErrorInjection.Parameters(message="a", body="b")


@pytest.mark.parametrize(("when", "kind"), [("instead", Answer), ("after", Replace)])
def test_an_error_comes_instead_of_the_work_or_after_it(when: Any, kind: type[Answer]) -> None:
    (fault,) = ErrorInjection().faults(ErrorInjection.Parameters(when=when, status_code=503, body="lost"))
    assert type(fault) is kind
    assert (fault.share, fault.status, fault.body) == (0.1, 503, "lost")


@pytest.mark.parametrize("when", ["before", "", None, True])
def test_there_is_no_other_moment(when: Any) -> None:
    with pytest.raises(ValidationError, match="when"):
        ErrorInjection.Parameters(when=when)


def test_records_of_a_batch_fail_instead_and_each_batch_is_hit_unless_another_rate_is_said() -> None:
    for given, rate in (({}, 1.0), ({"error_rate": 0.3}, 0.3)):
        parameters = ErrorInjection.Parameters.model_validate({"record_percentage": 20.0, **given})
        stored = parameters.model_dump(mode="json", exclude_none=True)
        (fault,) = ErrorInjection().faults(ErrorInjection.Parameters.model_validate(stored))
        assert isinstance(fault, FailRecords)
        assert (fault.share, fault.percentage) == (rate, 20.0)


@pytest.mark.parametrize("said", [{"status_code": 503}, {"message": "a"}, {"headers": {"a": "b"}}, {"body": "a"}])
def test_records_have_no_answer(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=f"{next(iter(said))} cannot be with record_percentage"):
        ErrorInjection.Parameters.model_validate({"record_percentage": 20.0, **said})
