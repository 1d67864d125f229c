from chalicelib.faults import base
from chalicelib.faults.answer import Answer
from tests.faults.support import FakeHitCall, drive


def test_it_answers_at_once_and_reports_an_injected_error() -> None:
    slept, applied = drive(Answer(status=503, code="code", message="message"), FakeHitCall())
    assert slept == []
    assert applied.outcome == base.Answer(503, "code", "message")
    assert (applied.details, applied.counters) == ({"status": 503}, {"injected_errors": 1})


def test_it_answers_with_headers_and_a_body_and_any_error_status_is_an_injected_error() -> None:
    fault = Answer(status=429, code="code", message="message", headers={"Retry-After": "1"}, body={"slow": "down"})
    _, applied = drive(fault, FakeHitCall())
    assert applied.outcome == base.Answer(429, "code", "message", {"Retry-After": "1"}, {"slow": "down"})
    assert (applied.details, applied.counters) == ({"status": 429}, {"injected_errors": 1})
