"""What one request pays, on applications that are called directly. Read the minima side by side, per framework."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import fastapi
import flask
import pytest
from chalice import Chalice
from pytest_benchmark.fixture import BenchmarkFixture
from werkzeug.test import EnvironBuilder

from chalicelib.bootstrap import bootstrap
from chalicelib.frameworks.chalice import ChaosExperiments
from chalicelib.frameworks.fastapi import ChaosExperiments as FastAPIChaos
from chalicelib.frameworks.flask import ChaosExperiments as FlaskChaos
from chalicelib.runs.run import Run
from chalicelib.settings import Settings
from tests.support import FakeResultStore, FakeRunStore, FakeTokenStore, a_run

EVENT: dict[str, Any] = {
    "requestContext": {"httpMethod": "GET", "resourcePath": "/", "path": "/", "identity": {"sourceIp": "127.0.0.1"}},
    "headers": {"x-user": "ada"},
    "pathParameters": {},
    "multiValueQueryStringParameters": None,
    "stageVariables": {},
    "body": None,
}
RUNS: dict[str, tuple[str, dict[str, float]]] = {
    "a run that spares the request": ("error_injection", {"error_rate": 0.0}),
    "a run that hits it at zero effect": ("latency_injection", {"delay_seconds": 0.0}),
    "memory that is held": ("resource_exhaustion", {"memory_mb": 1}),
}
USER = [(b"x-user", b"ada")]
KEYED: dict[str, tuple[str, dict[str, Any]]] = {
    "a key that is spared": ("error_injection", {"error_rate": 0.0, "options": {"sticky": {"header": "x-user"}}})
}
"""Compare it with a run that spares the request."""

MISSED = {"methods": ["GET"], "paths": ["/", "/orders/*"], "headers": {"x-tenant": "acme"}}
"""A target that the request is not in, which only its last criterion shows."""

TARGETS = {"1 target that does not match": 1, "5 targets that do not match": 5}
"""So many runs with that target."""


def plain() -> Chalice:
    app = Chalice("bench", configure_logs=False)
    app.route("/")(lambda: {"message": "The application answers."})
    return app


def with_noop() -> Chalice:
    app = plain()
    app.register_middleware(lambda event, get_response: get_response(event), "http")
    return app


def with_chaos(*runs: str) -> Chalice:
    app = plain()
    ChaosExperiments(app, wire=wired(*runs))
    return app


def with_aim(number: int) -> Chalice:
    app = plain()
    ChaosExperiments(app, wire=aimed(number))
    return app


def wired(*runs: str) -> Callable[..., Any]:
    """Puts the module together, with these of `RUNS` and `KEYED` active."""
    started = ((RUNS | KEYED)[run] for run in runs)
    active = {name: a_run(name, token=name, now=time.time(), duration_seconds=3600.0, **more) for name, more in started}
    return _bootstrapped(active)


def aimed(number: int) -> Callable[..., Any]:
    """Puts the module together, with so many runs of which none is aimed at the request."""
    labels = [f"run-{each}" for each in range(number)]
    options = {"target": MISSED}
    return _bootstrapped(
        {each: a_run(token=each, now=time.time(), duration_seconds=3600.0, options=options) for each in labels}
    )


def _bootstrapped(active: dict[str, Run]) -> Callable[..., Any]:
    return partial(
        bootstrap,
        Settings(stage="bench"),
        runs=FakeRunStore(active),
        tokens=FakeTokenStore(),
        results=FakeResultStore(),
    )


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(plain, id="1 plain"),
        pytest.param(with_noop, id="2 no-op middleware"),
        pytest.param(with_chaos, id="3 nothing running"),
        *(pytest.param(partial(with_chaos, run), id=f"{number} {run}") for number, run in enumerate(RUNS, start=4)),
        pytest.param(partial(with_chaos, *RUNS), id="7 all three"),
        *(pytest.param(partial(with_aim, number), id=f"8 {name}") for name, number in TARGETS.items()),
        *(pytest.param(partial(with_chaos, run), id=f"9 {run}") for run in KEYED),
    ],
)
def test_chalice(benchmark: BenchmarkFixture, make: Callable[[], Chalice]) -> None:
    app = make()
    assert app(EVENT, None)["statusCode"] == 200
    benchmark.pedantic(app, args=(EVENT, None), rounds=2000, iterations=20, warmup_rounds=100)


# Flask


def flask_plain() -> flask.Flask:
    app = flask.Flask("bench")
    app.add_url_rule("/", view_func=lambda: {"message": "The application answers."})
    return app


def flask_noop() -> flask.Flask:
    app = flask_plain()
    inner = app.wsgi_app

    def wrapper(environ: Any, start_response: Any) -> Any:
        return inner(environ, start_response)

    app.wsgi_app = wrapper  # type: ignore[method-assign]
    return app


def flask_chaos(*runs: str) -> flask.Flask:
    app = flask_plain()
    FlaskChaos(app, wire=wired(*runs))
    return app


def flask_aim(number: int) -> flask.Flask:
    app = flask_plain()
    FlaskChaos(app, wire=aimed(number))
    return app


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(flask_plain, id="1 plain"),
        pytest.param(flask_noop, id="2 no-op wrapper"),
        pytest.param(flask_chaos, id="3 nothing running"),
        *(pytest.param(partial(flask_chaos, run), id=f"{number} {run}") for number, run in enumerate(RUNS, start=4)),
        *(pytest.param(partial(flask_aim, number), id=f"8 {name}") for name, number in TARGETS.items()),
        *(pytest.param(partial(flask_chaos, run), id=f"9 {run}") for run in KEYED),
    ],
)
def test_flask(benchmark: BenchmarkFixture, make: Callable[[], flask.Flask]) -> None:
    app = make()
    environ = EnvironBuilder(path="/", headers={"x-user": "ada"}).get_environ()

    def request() -> None:
        b"".join(app.wsgi_app(dict(environ), lambda _status, _headers, _error=None: None))  # type: ignore[arg-type]

    benchmark.pedantic(request, rounds=2000, iterations=10, warmup_rounds=100)


# FastAPI


class Noop:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await self.app(scope, receive, send)


def fastapi_plain() -> fastapi.FastAPI:
    app = fastapi.FastAPI()

    @app.get("/")
    async def index() -> dict[str, str]:
        return {"message": "The application answers."}

    return app


def fastapi_noop() -> fastapi.FastAPI:
    app = fastapi_plain()
    app.add_middleware(Noop)
    return app


def fastapi_chaos(*runs: str) -> fastapi.FastAPI:
    app = fastapi_plain()
    FastAPIChaos(app, wire=wired(*runs))
    return app


def fastapi_aim(number: int) -> fastapi.FastAPI:
    app = fastapi_plain()
    FastAPIChaos(app, wire=aimed(number))
    return app


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(fastapi_plain, id="1 plain"),
        pytest.param(fastapi_noop, id="2 no-op middleware"),
        pytest.param(fastapi_chaos, id="3 nothing running"),
        *(pytest.param(partial(fastapi_chaos, run), id=f"{number} {run}") for number, run in enumerate(RUNS, start=4)),
        *(pytest.param(partial(fastapi_aim, number), id=f"8 {name}") for name, number in TARGETS.items()),
        *(pytest.param(partial(fastapi_chaos, run), id=f"9 {run}") for run in KEYED),
    ],
)
def test_fastapi_ten_requests(benchmark: BenchmarkFixture, make: Callable[[], fastapi.FastAPI]) -> None:
    app = make()
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": USER, "http_version": "1.1"}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: Any) -> None:
        pass

    async def ten() -> None:
        for _ in range(10):
            await app(dict(scope), receive, send)

    with asyncio.Runner() as runner:
        benchmark.pedantic(lambda: runner.run(ten()), rounds=2000, iterations=1, warmup_rounds=100)
