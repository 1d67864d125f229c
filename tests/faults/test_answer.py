from chalicelib.faults import base
from chalicelib.faults.answer import Answer
from tests.faults.support import FakeHitCall, drive


def test_it_answers_at_once_and_reports_an_injected_error() -> None:
    slept, applied = drive(Answer(status=503, code="code", message="message"), FakeHitCall())
    assert slept == []
    assert applied.outcome == base.Answer(503, "code", "message")
    assert (applied.details, applied.counters) == ({"status": 503}, {"injected_errors": 1})
