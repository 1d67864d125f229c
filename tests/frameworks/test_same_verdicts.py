"""A key has the same verdict in every framework, and a dry run marks the answer in each of them."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import fastapi
import flask
import pytest
from chalice import Chalice
from chalice.test import Client
from fastapi.testclient import TestClient
from werkzeug.test import EnvironBuilder

from chalicelib.bootstrap import bootstrap
from chalicelib.frameworks.chalice import ChaosExperiments as ChaliceChaos
from chalicelib.frameworks.fastapi import ChaosExperiments as FastAPIChaos
from chalicelib.frameworks.flask import ChaosExperiments as FlaskChaos
from chalicelib.injection.selection import selector
from chalicelib.runs.run import Run
from chalicelib.settings import Settings
from tests.injection.support import FakeCall, unnoted
from tests.support import FakeResultStore, FakeRunStore, FakeTokenStore, a_run

KEYS = [f"user-{number}" for number in range(10_000)]
BY_CLIENT = 300
SHARE = 0.3
KEY = {"header": "x-user"}

Headers = Mapping[str, str]
Ask = Callable[[Sequence[str]], list[Headers]]
"""Asks the application for a path once with each of these keys."""


def wired(*runs: Run) -> Callable[..., Any]:
    return partial(
        bootstrap,
        Settings(stage="same"),
        runs=FakeRunStore({run.run_id: run for run in runs}),
        tokens=FakeTokenStore(),
        results=FakeResultStore(),
        schedule=lambda _seconds, _call: None,
    )


def a_sticky_run(**options: Any) -> Run:
    """An error for a half of those that the run hits: both are decided by the key."""
    return a_run(
        "error_injection",
        now=time.time(),
        percentage=100 * SHARE,
        error_rate=0.5,
        options={"sticky": KEY, "seed": "same", **options},
    )


def chalice_app(*runs: Run) -> Chalice:
    app = Chalice("same", configure_logs=False)
    app.route("/")(lambda: {"message": "The application answers."})
    ChaliceChaos(app, wire=wired(*runs))
    return app


def flask_app(*runs: Run) -> flask.Flask:
    app = flask.Flask("same")
    app.add_url_rule("/", view_func=lambda: {"message": "The application answers."})
    FlaskChaos(app, wire=wired(*runs))
    return app


def fastapi_app(*runs: Run) -> fastapi.FastAPI:
    app = fastapi.FastAPI()

    @app.get("/")
    async def index() -> dict[str, str]:
        return {"message": "The application answers."}

    FastAPIChaos(app, wire=wired(*runs))
    return app


# Called directly, as often as there are keys


def call_chalice(*runs: Run) -> Ask:
    app = chalice_app(*runs)
    event = {
        "requestContext": {"httpMethod": "GET", "resourcePath": "/", "path": "/", "identity": {}},
        "pathParameters": {},
        "multiValueQueryStringParameters": None,
        "stageVariables": {},
        "body": None,
    }
    return lambda keys: [app({**event, "headers": {"x-user": key}}, None)["headers"] for key in keys]


def call_flask(*runs: Run) -> Ask:
    app, environ = flask_app(*runs), EnvironBuilder(path="/").get_environ()

    def ask(key: str) -> Headers:
        found: list[Headers] = []
        body = app.wsgi_app({**environ, "HTTP_X_USER": key}, lambda _status, headers, _error=None: found.append(dict(headers)))  # type: ignore[arg-type, func-returns-value, return-value]  # fmt: skip # noqa: E501
        b"".join(body)
        return found[0]

    return lambda keys: list(map(ask, keys))


def call_fastapi(*runs: Run) -> Ask:
    app = fastapi_app(*runs)
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "http_version": "1.1"}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def ask(keys: Sequence[str]) -> list[Headers]:
        found: list[Headers] = []

        async def send(message: Any) -> None:
            if "headers" in message:
                found.append({name.decode().title(): value.decode() for name, value in message["headers"]})

        for key in keys:
            await app({**scope, "headers": [(b"x-user", key.encode())]}, receive, send)
        return found

    return lambda keys: asyncio.run(ask(keys))


# By the test clients


def chalice_client(*runs: Run) -> Ask:
    app = chalice_app(*runs)

    def ask(keys: Sequence[str]) -> list[Headers]:
        with Client(app, stage_name="") as client:
            return [client.http.get("/", headers={"x-user": key}).headers for key in keys]

    return ask


def flask_client(*runs: Run) -> Ask:
    client = flask_app(*runs).test_client()
    return lambda keys: [client.get("/", headers={"X-User": key}).headers for key in keys]


def fastapi_client(*runs: Run) -> Ask:
    app = fastapi_app(*runs)

    def ask(keys: Sequence[str]) -> list[Headers]:
        with TestClient(app, raise_server_exceptions=False) as client:
            return [client.get("/", headers={"X-USER": key}).headers for key in keys]

    return ask


DIRECT = [call_chalice, call_flask, call_fastapi]
CLIENTS = [chalice_client, flask_client, fastapi_client]


@cache
def verdicts() -> list[bool]:
    """As the engine decides, for each key."""
    chosen = selector(a_sticky_run(), SHARE, None, clock=time.time)
    assert chosen
    drawn = [chosen.select(FakeCall("/", x_user=key), lambda: 0.0, unnoted) for key in KEYS]
    return [chance is not None and chance() < 0.5 for chance in drawn]


@pytest.mark.parametrize("application", DIRECT)
def test_the_same_10_000_keys_have_the_same_verdicts_in_each_framework(application: Callable[..., Ask]) -> None:
    answers = application(a_sticky_run())(KEYS)
    assert ["X-Chaos-Run" in headers for headers in answers] == verdicts()
    assert abs(sum(verdicts()) / len(KEYS) - SHARE / 2) < 0.015


@pytest.mark.parametrize("client", CLIENTS)
def test_the_test_clients_see_them_too(client: Callable[..., Ask]) -> None:
    keys, expected = KEYS[:BY_CLIENT], verdicts()[:BY_CLIENT]
    assert ["X-Chaos-Run" in headers for headers in client(a_sticky_run())(keys)] == expected


@pytest.mark.parametrize("client", CLIENTS)
def test_a_dry_run_marks_those_that_it_would_hit_and_nothing_else_is_done(client: Callable[..., Ask]) -> None:
    keys, expected = KEYS[:BY_CLIENT], verdicts()[:BY_CLIENT]
    answers = client(a_sticky_run(dry_run=True))(keys)
    assert [headers.get("X-Chaos-Dry-Run") == "error_injection" for headers in answers] == expected
    assert not any("X-Chaos-Run" in headers for headers in answers)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_dry_run_is_marked_beside_a_real_one(client: Callable[..., Ask]) -> None:
    real = a_run(now=time.time(), token="2", delay_seconds=0.0)
    for headers, would_hit in zip(client(real, a_sticky_run(dry_run=True))(KEYS[:20]), verdicts(), strict=False):
        assert headers["X-Chaos-Experiment"] == "latency_injection"
        assert ("X-Chaos-Dry-Run" in headers) is would_hit
