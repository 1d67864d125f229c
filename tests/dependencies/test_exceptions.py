"""OpenTelemetry's instrumentations see an injected exception as one that the application raises."""

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from tests.raising import MESSAGE, ORDERS, RAISES, Application, OutOfMiddleware, chalice_, fastapi_, flask_


def traced_flask(application: Application, provider: TracerProvider) -> None:
    flask_(application)
    FlaskInstrumentor().instrument_app(application.app, tracer_provider=provider)  # type: ignore[no-untyped-call]


def traced_fastapi(application: Application, provider: TracerProvider) -> None:
    fastapi_(application)
    FastAPIInstrumentor.instrument_app(application.app, tracer_provider=provider)  # type: ignore[no-untyped-call]


def traced_chalice(application: Application, provider: TracerProvider) -> None:
    """There is no instrumentation for it: a middleware as applications have, which sees what Chalice lets it see."""
    application.exception = lambda: OutOfMiddleware(MESSAGE)
    chalice_(application)
    tracer = provider.get_tracer("shop")

    @application.app.middleware("http")  # type: ignore[untyped-decorator]
    def traced(event: Any, get_response: Any) -> Any:
        with tracer.start_as_current_span(event.path, kind=SpanKind.SERVER):
            return get_response(event)


TRACED: dict[str, tuple[Callable[[Application, TracerProvider], None], str]] = {
    "flask": (traced_flask, "OutOfStock"),
    "fastapi": (traced_fastapi, "OutOfStock"),
    "chalice": (traced_chalice, "OutOfMiddleware"),
}


def recorded(spans: tuple[ReadableSpan, ...]) -> list[Any]:
    """The kind and status of each span, and the type and message of the exceptions that it has recorded."""
    found: list[Any] = []
    for span in spans:
        events = [event.attributes or {} for event in span.events if event.name == "exception"]
        exceptions = [(event["exception.type"], event["exception.message"]) for event in events]
        found.append((span.kind, span.status.status_code, exceptions))
    return found


@pytest.mark.parametrize("framework", TRACED)
def test_a_span_has_an_injected_exception_as_it_has_a_real_one(framework: str) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    application = Application()
    trace, kind = TRACED[framework]
    trace(application, provider)
    run_id = application.start("exception_injection", exception=f"tests.raising.{kind}", message=MESSAGE)
    spans: dict[str, tuple[ReadableSpan, ...]] = {}
    for path in (ORDERS, RAISES):
        application.ask(path)
        spans[path] = exporter.get_finished_spans()
        exporter.clear()
    assert recorded(spans[ORDERS]) == recorded(spans[RAISES])
    exceptions = [each for _, _, exceptions in recorded(spans[ORDERS]) for each in exceptions]
    assert exceptions == [(f"tests.raising.{kind}", MESSAGE)] * len(exceptions)
    assert exceptions
    traces = [
        str((event.attributes or {}).get("exception.stacktrace")) for span in spans[ORDERS] for event in span.events
    ]
    assert any(f"Injected by chaos experiment run {run_id}" in each for each in traces)
    attributes = [dict(span.attributes or {}) for span in spans[ORDERS] if span.kind is SpanKind.SERVER]
    if framework != "chalice":  # whose span is over before the module knows the answer
        assert [each["chaos.run_ids"] for each in attributes] == [(run_id,)]
