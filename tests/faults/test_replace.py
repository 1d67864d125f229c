import json
from typing import Any

import pytest

from chalicelib.faults.base import PROCEED
from chalicelib.faults.replace import Replace
from tests.faults.changing import Sent
from tests.faults.support import FakeHitCall, drive


def replaced(parts: list[bytes], given: Any = (), status: int = 200, **fault: Any) -> Sent:
    _, applied = drive(Replace(**{"status": 503, "code": "injected_error", "message": "Lost", **fault}), FakeHitCall())
    assert applied.outcome is PROCEED
    assert applied.counters == {}
    assert applied.details == {"status": 503, "when": "after"}
    assert applied.change
    assert applied.change.counters == {}
    return Sent(applied.change, parts, given, status=status)


OWN = [("Content-Length", "4"), ("Set-Cookie", "a=1"), ("Content-Type", "text/html"), ("ETag", '"1"')]


def test_the_answer_of_the_application_is_lost_with_its_headers() -> None:
    sent = replaced([b"ab", b"cd"], OWN)
    assert json.loads(sent.body)["error_message"] == "Lost"
    assert sent.status == 503
    assert sent.headers == {
        "content-type": "application/json",
        "cache-control": "no-store",
        "content-length": str(len(sent.body)),
    }
    assert sent.counters == {"injected_errors": 1}


def test_it_has_the_headers_and_the_body_of_the_run() -> None:
    sent = replaced([b"abcd"], OWN, headers={"Retry-After": "1", "content-type": "text/html"}, body="Sorry")
    assert sent.body == b"Sorry"
    assert (sent.headers["retry-after"], sent.headers["content-type"]) == ("1", "text/html")


def test_a_page_of_another_origin_sees_the_error() -> None:
    allowed = [("Access-Control-Allow-Origin", "https://shop.example"), ("Vary", "Origin"), ("X-Own", "1")]
    sent = replaced([b"abcd"], [*OWN, *allowed])
    assert sent.headers["access-control-allow-origin"] == "https://shop.example"
    assert sent.headers["vary"] == "Origin"
    assert "x-own" not in sent.headers


def test_an_answer_without_a_body_is_replaced_by_one_with_a_body() -> None:
    sent = replaced([], status=204)
    assert (sent.status, json.loads(sent.body)["code"]) == (503, "injected_error")


def test_a_stream_ends_at_its_first_part() -> None:
    def endless() -> Any:
        while True:
            yield b"x"

    sent = replaced(endless())
    assert json.loads(sent.body)["error_message"] == "Lost"


@pytest.mark.parametrize("parts", [[b"abcd"], [b"a", b"b", b"c", b"d"]])
def test_whatever_the_application_sends_is_taken_to_its_end(parts: list[bytes]) -> None:
    taken: list[bytes] = []
    sent = replaced((taken.append(part) or part for part in parts), OWN)  # type: ignore[arg-type, func-returns-value]
    assert taken == parts
    assert sent.body
