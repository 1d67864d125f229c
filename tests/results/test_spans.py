import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider

from chalicelib.faults.base import Applied
from chalicelib.injection.engine import AppliedHit, InjectionResult
from chalicelib.injection.plan import Compiler
from chalicelib.results import spans
from tests.injection.support import FakeCall, catalogue
from tests.support import a_run

RUNS = [a_run("latency_injection", token="1"), a_run("error_injection", token="2")]


def served(*reports: Applied) -> InjectionResult:
    """A call that was hit by the first run, the second one and so on, which report this."""
    plans = Compiler(catalogue, lambda _run, _defect: None)(RUNS)
    result = InjectionResult(plans, FakeCall("/orders"), 0.0, "here")
    result.hits = [AppliedHit(plan, "kind", report) for plan, report in zip(plans, reports, strict=False)]
    return result


HIT = served(Applied(counters={"delay": 2_000_000}), Applied(counters={"injected_errors": 1}))


KNOWN = spans._current_span


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    spans._current_span.cache_clear()
    yield
    spans._current_span.cache_clear()


def test_the_current_span_gets_what_was_injected_by_names_that_are_pinned() -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
        spans.annotate(HIT)
    assert dict(span.attributes or {}) == {  # type: ignore[attr-defined]
        "chaos.experiments": ("latency_injection", "error_injection"),
        "chaos.run_ids": tuple(run.run_id for run in RUNS),
        "chaos.environment": "here",
        "chaos.delay_seconds": 2.0,
        "chaos.injected_error": True,
    }


def test_the_span_of_an_untouched_request_is_left_alone() -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
        spans.annotate(served())
    assert not span.attributes  # type: ignore[attr-defined]


def test_a_span_that_cannot_be_annotated_is_nothing_to_the_request(caplog: pytest.LogCaptureFixture) -> None:
    spans._current_span = lambda: ZeroDivisionError().missing  # type: ignore[assignment,attr-defined]
    try:
        spans.annotate(HIT)
    finally:
        spans._current_span = KNOWN
    assert "Could not set the attributes of a request's span" in caplog.text


def test_without_opentelemetry_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    spans.annotate(HIT)
    assert spans._current_span() is None
