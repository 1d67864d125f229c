import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider

from chalicelib.faults import Answer
from chalicelib.injection.engine import UNTOUCHED, Injected
from chalicelib.results import spans

HITS = (
    {"experiment": "latency_injection", "run_id": "1", "fault": "wait", "seconds": 2.0},
    {"experiment": "error_injection", "run_id": "2", "fault": "answer", "status": 500},
)


KNOWN = spans._current_span


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    spans._current_span.cache_clear()
    yield
    spans._current_span.cache_clear()


def test_the_current_span_is_told_what_was_injected_by_names_that_are_pinned() -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
        spans.annotate(Injected("here", (), HITS, Answer(500, "injected_error", "")))
    assert dict(span.attributes or {}) == {  # type: ignore[attr-defined]
        "chaos.experiments": ("latency_injection", "error_injection"),
        "chaos.run_ids": ("1", "2"),
        "chaos.environment": "here",
        "chaos.delay_seconds": 2.0,
        "chaos.injected_error": True,
    }


def test_the_span_of_an_untouched_request_is_left_alone() -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
        spans.annotate(UNTOUCHED)
        spans.annotate(Injected("here"))
    assert not span.attributes  # type: ignore[attr-defined]


def test_a_span_that_cannot_be_told_is_nothing_to_the_request(caplog: pytest.LogCaptureFixture) -> None:
    spans._current_span = lambda: ZeroDivisionError().missing  # type: ignore[assignment,attr-defined]
    try:
        spans.annotate(Injected("here", (), HITS))
    finally:
        spans._current_span = KNOWN
    assert "Could not set the attributes of a request's span" in caplog.text


def test_without_opentelemetry_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    spans.annotate(Injected("here", (), HITS))
    assert spans._current_span() is None
