"""One ASGI application on several event loops: one after the other, at the same time, and of Lambda's invocations."""

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any

import fastapi
import pytest
import trio
from mangum import Mangum

from chalicelib.bootstrap import bootstrap
from chalicelib.frameworks import asgi
from chalicelib.frameworks.fastapi import ChaosExperiments
from chalicelib.settings import Settings
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "GET",
    "path": "/orders",
    "raw_path": b"/orders",
    "query_string": b"",
    "headers": [],
    "scheme": "http",
    "server": ("test", 80),
}
PATIENCE_SECONDS = 20


@pytest.fixture
def runs(clock: Clock) -> FakeRunStore:
    return FakeRunStore({"latency_injection": a_run(delay_seconds=0.0, now=clock.now, duration_seconds=3600.0)})


@pytest.fixture
def results() -> FakeResultStore:
    return FakeResultStore()


Make = Callable[..., fastapi.FastAPI]


@pytest.fixture
def make(clock: Clock, runs: FakeRunStore, results: FakeResultStore) -> Make:
    def make(**settings: Any) -> fastapi.FastAPI:
        app = fastapi.FastAPI()

        @app.get("/orders")
        async def orders() -> str:
            return "all"

        wire = partial(
            bootstrap,
            Settings(stage="qa", **settings),
            runs=runs,
            results=results,
            tokens=FakeTokenStore(),
            clock=clock,
            sleep=clock.sleep,
            schedule=lambda _seconds, _call: None,
        )
        ChaosExperiments(app, wire=wire)
        return app

    return make


async def ask(app: fastapi.FastAPI) -> str:
    """The run that the answer names."""
    sent: list[Mapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    await app({**SCOPE, "headers": []}, receive, send)
    assert sent[0]["status"] == 200
    return dict(sent[0]["headers"]).get(b"x-chaos-run", b"").decode()


def test_asyncio_and_trio_serve_the_same_application(make: Make, runs: FakeRunStore, clock: Clock) -> None:
    app = make()
    found = []
    for run in (asyncio.run, _trio, asyncio.run, _trio):
        found.append(run(ask(app)))  # type: ignore[operator]
        clock.now += 2.0
    assert set(found) == {runs.runs["latency_injection"].run_id}


def _trio(coroutine: Any) -> Any:
    async def main() -> Any:
        return await coroutine

    return trio.run(main)


def test_event_loops_of_several_threads_wait_for_no_other_one(make: Make, runs: FakeRunStore, clock: Clock) -> None:
    """As where each thread of a WSGI server has one: more requests at a time than the module has threads."""
    app = make()

    async def some() -> list[str]:
        found = []
        for _ in range(10):
            found += await asyncio.gather(*(ask(app) for _ in range(2 * asgi.THREADS)))
            clock.now += 0.5
        return found

    with ThreadPoolExecutor(4) as threads:
        under_way = [threads.submit(asyncio.run, some()) for _ in range(4)]
        found = {run for each in under_way for run in each.result(PATIENCE_SECONDS)}
    assert found <= {runs.runs["latency_injection"].run_id, ""}


EVENT = {
    "version": "2.0",
    "rawPath": "/orders",
    "rawQueryString": "",
    "headers": {"host": "test"},
    "requestContext": {"http": {"method": "GET", "path": "/orders", "sourceIp": "127.0.0.1", "protocol": "HTTP/1.1"}},
    "isBase64Encoded": False,
}


def invoke(handler: Mangum, seconds: float) -> None:
    context: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: seconds * 1000, aws_request_id="1")
    answer = handler(EVENT, context)
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, "all")


@pytest.mark.usefixtures("event_loop_of_mangum")
def test_invocations_that_have_a_lifespan_each_write_no_more_for_it(
    make: Make, results: FakeResultStore, runs: FakeRunStore, clock: Clock
) -> None:
    """Once an interval of a second that one has begun, and once what was counted."""
    handler = Mangum(make(in_lambda=True, lambda_memory_mb=512), lifespan="auto")
    for _ in range(30):
        invoke(handler, 29.0)
        clock.now += 0.1
    tally = results.tallies[runs.runs["latency_injection"].run_id]
    assert results.writes <= 2 * 3
    assert 20 <= tally.get("requests") <= 30


@pytest.mark.usefixtures("event_loop_of_mangum")
def test_an_invocation_with_little_time_left_writes_nothing(
    make: Make, results: FakeResultStore, runs: FakeRunStore, clock: Clock
) -> None:
    handler = Mangum(make(in_lambda=True), lifespan="auto")
    for _ in range(5):
        invoke(handler, 0.5)
        clock.now += 2.0
    assert results.writes == 0
    invoke(handler, 29.0)
    assert results.tallies[runs.runs["latency_injection"].run_id].get("requests") >= 5
