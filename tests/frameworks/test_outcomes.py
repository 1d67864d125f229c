"""What becomes of a call, in each framework, and in bare WSGI and ASGI: an answer, an exception, or nothing."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import fastapi
import flask
import httpx2
import pytest
from chalice import Chalice
from chalice.test import Client
from fastapi.testclient import TestClient

from chalicelib.bootstrap import bootstrap
from chalicelib.errors import InjectedDisconnect
from chalicelib.experiments.base import Experiment, Parameters
from chalicelib.experiments.catalogue import BUILT_IN, Catalogue
from chalicelib.faults.base import Applied, Fault, HitCall, Raise
from chalicelib.frameworks import chalice as in_chalice
from chalicelib.frameworks import fastapi as in_fastapi
from chalicelib.frameworks import flask as in_flask
from chalicelib.frameworks.asgi import ASGIBoundary
from chalicelib.frameworks.module import ChaosModule
from chalicelib.frameworks.wsgi import WSGIBoundary
from chalicelib.settings import IN_LAMBDA, Settings
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run


class Explosion(Exception):
    """Raised in the route's place."""


class Explode(Fault):
    kind = "explode"
    order = 2

    def apply(self, call: HitCall) -> Any:
        del call
        yield from ()
        return Applied(outcome=Raise(Explosion()), counters={"explosions": 1})


class Exploding(Experiment):
    """Raise an exception in the route's place."""

    name = "exploding"
    Parameters = Parameters

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield Explode()


class Answered(NamedTuple):
    """What a client gets. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, response: Any) -> "Answered":
        return cls(
            response.status_code, {name.lower(): value for name, value in response.headers.items()}, response.content
        )


ORDERS = "/orders"
TEST = "/chaos_experiments/test"


class Served:
    """An application with a route, served on fakes. `ask` asks for a path; None if that raises."""

    def __init__(self, clock: Clock) -> None:
        self.runs, self.results = FakeRunStore(), FakeResultStore()
        self.wired: Any = None
        self.own: list[type[Experiment]] = [Exploding]
        self.wire = partial(self._wire, clock)
        self.ask: Callable[[str, str], Answered | None] = lambda _method, _path: None

    def status(self) -> int | None:
        answered = self.ask("GET", ORDERS)
        return answered.status if answered else None

    def _wire(self, clock: Clock, **options: Any) -> Any:
        self.wired = bootstrap(
            Settings(stage="qa"),
            runs=self.runs,
            results=self.results,
            tokens=FakeTokenStore(),
            clock=clock,
            chance=lambda: 0.0,
            schedule=lambda _seconds, _call: None,
            catalogue=lambda: Catalogue([*BUILT_IN, *self.own]),
            **options,
        )
        return self.wired

    def statuses(self, run_id: str) -> dict[str, int]:
        self.wired.engine.recorder.flush()
        return self.results.tallies[run_id].statuses("hit")


def chalice(served: Served) -> None:
    app = Chalice("served", configure_logs=False)
    in_chalice.ChaosExperiments(app, wire=served.wire)
    app.route(ORDERS, methods=["GET", "HEAD"])(lambda: {"orders": []})

    def ask(method: str, path: str) -> Answered:
        response = Client(app).http.request(method, path, headers={"Accept": "*/*"})
        return Answered(
            response.status_code, {name.lower(): value for name, value in response.headers.items()}, response.body
        )

    served.ask = ask


def flask_(served: Served) -> None:
    app = flask.Flask("served")
    in_flask.ChaosExperiments(app, wire=served.wire)
    app.add_url_rule(ORDERS, view_func=lambda: {"orders": []})
    app.register_error_handler(Explosion, lambda _error: ("", 418))
    client = httpx2.Client(transport=httpx2.WSGITransport(app=app), base_url="http://x")
    served.ask = lambda method, path: Answered.of(client.request(method, path))


def fastapi_(served: Served) -> None:
    app = fastapi.FastAPI()
    in_fastapi.ChaosExperiments(app, wire=served.wire)
    app.add_api_route(ORDERS, lambda: {"orders": []}, methods=["GET", "HEAD"])
    app.add_exception_handler(Explosion, lambda _request, _error: fastapi.Response(status_code=418))
    served.ask = lambda method, path: Answered.of(TestClient(app).request(method, path))


def wsgi(served: Served) -> None:
    def orders(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"[]"]

    app = WSGIBoundary(orders, ChaosModule(wire=served.wire))

    client = httpx2.Client(transport=httpx2.WSGITransport(app=app), base_url="http://x")
    served.ask = partial(_unless_it_raises, client)


def asgi(served: Served) -> None:
    async def orders(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"[]"})

    app = ASGIBoundary(orders, ChaosModule(wire=served.wire))

    served.ask = partial(_unless_it_raises, TestClient(app))


def _unless_it_raises(client: Any, method: str, path: str) -> Answered | None:
    try:
        return Answered.of(client.request(method, path))
    except Explosion:
        return None


MAKERS: dict[str, tuple[Callable[[Served], None], int | None]] = {
    "chalice": (chalice, 500),
    "flask": (flask_, 418),
    "fastapi": (fastapi_, 418),
    "wsgi": (wsgi, None),
    "asgi": (asgi, None),
}
"""How it is served, and what its own error handling makes of an exception."""


@pytest.fixture(params=MAKERS)
def served(request: pytest.FixtureRequest, clock: Clock) -> Served:
    served = Served(clock)
    MAKERS[request.param][0](served)
    served.raised = MAKERS[request.param][1]  # type: ignore[attr-defined]
    return served


@pytest.mark.parametrize(
    ("experiment", "status"), [("latency_injection", 200), ("error_injection", 500), ("exploding", "raised")]
)
def test_the_outcome_is_what_the_client_meets_and_it_is_counted_once(
    served: Served, experiment: str, status: int | str
) -> None:
    more = {"delay_seconds": 0.0} if experiment == "latency_injection" else {}
    run = served.runs.runs[experiment] = a_run(experiment, **more)
    expected = served.raised if status == "raised" else status  # type: ignore[attr-defined]
    assert served.status() == expected
    assert served.statuses(run.run_id) == {f"{(expected or 500) // 100}xx": 1}


def test_nothing_running_leaves_the_call_alone(served: Served) -> None:
    assert served.status() == 200
    assert served.wired.engine.is_idle()


ENVELOPE = {
    "error": True,
    "error_message": "Chaos experiment: injected error",
    "code": "injected_error",
    "details": [],
    "resultset": {},
}
PLAIN, JSON = "text/plain; charset=utf-8", "application/json"
RETRY = {"Retry-After": "120", "content-type": "application/problem+json", "cache-control": "max-age=5"}
ERRORS: dict[str, tuple[dict[str, Any], int, str, Any]] = {
    "as ever": ({}, 500, JSON, ENVELOPE),
    "a status": ({"status_code": 404}, 404, JSON, ENVELOPE),
    "a status without a name": ({"status_code": 599}, 599, JSON, ENVELOPE),
    "a message": ({"message": "Out of stock"}, 500, JSON, {**ENVELOPE, "error_message": "Out of stock"}),
    "a text": ({"status_code": 503, "body": "Gr\u00fc\u00dfe"}, 503, PLAIN, "Gr\u00fc\u00dfe"),
    "nothing": ({"status_code": 502, "body": ""}, 502, PLAIN, ""),
    "an object": ({"status_code": 429, "body": {"retry": None}}, 429, JSON, {"retry": None}),
    "a list": ({"body": [1, "a"]}, 500, JSON, [1, "a"]),
    "headers": ({"status_code": 503, "headers": RETRY}, 503, "application/problem+json", ENVELOPE),
    "bytes": (
        {"headers": {"Content-Type": "application/octet-stream"}, "body": "a"},
        500,
        "application/octet-stream",
        "a",
    ),
}
"""By name: parameters of a run; status, content type and body of what it answers."""


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("path", [ORDERS, TEST])
def test_an_injected_error_is_the_same_everywhere(served: Served, path: str, name: str) -> None:
    given, status, content_type, content = ERRORS[name]
    run = served.runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, **given)
    answered = served.ask("GET", path)
    assert answered
    assert (answered.status, answered.headers["content-type"]) == (status, content_type)
    assert (answered.body.decode() if isinstance(content, str) else json.loads(answered.body)) == content
    assert answered.headers["x-chaos-run"] == run.run_id
    assert answered.headers.get("retry-after") == given.get("headers", {}).get("Retry-After")
    assert answered.headers["cache-control"] == given.get("headers", {}).get("cache-control", "no-store")
    served.wired.engine.recorder.flush()
    tally = served.results.tallies[run.run_id]
    counted = (tally.get("test.hit"), tally.get("injected_errors"), tally.statuses("hit"))
    assert counted == ((1, 0, {}) if path == TEST else (0, 1, {f"{status // 100}xx": 1}))


@pytest.mark.parametrize("path", [ORDERS, TEST])
def test_a_head_has_status_and_headers_of_an_injected_error_and_no_body(served: Served, path: str) -> None:
    headers = {"Retry-After": "120"}
    served.runs.runs["error_injection"] = a_run(
        "error_injection", error_rate=1.0, status_code=503, headers=headers, body={"a": 1}
    )
    answered = served.ask("HEAD", path)
    assert answered
    assert (answered.status, answered.headers["retry-after"], answered.body) == (503, "120", b"")


# A connection that is dropped; on servers in tests/hosts/test_connections.py


@pytest.mark.parametrize("path", [ORDERS, TEST])
def test_where_nothing_can_be_dropped_the_answer_is_an_error_that_says_so(served: Served, path: str) -> None:
    run = served.runs.runs["connection_drop"] = a_run("connection_drop")
    answered = served.ask("GET", path)
    assert answered
    content = json.loads(answered.body)
    assert (answered.status, content["code"]) == (500, "injected_disconnect")
    assert content["details"] == [{"connection": "answered 500"}]
    served.wired.engine.recorder.flush()
    tally = served.results.tallies[run.run_id]
    counted = [tally.get(name) for name in ("undropped_connections", "dropped_connections", "injected.5xx")]
    assert counted == ([0, 0, 0] if path == TEST else [1, 0, 1])


@pytest.mark.parametrize("path", [ORDERS, TEST])
def test_in_lambda_the_invocation_fails_or_the_answer_is_what_a_gateway_makes_of_one(
    served: Served, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = served.runs.runs["connection_drop"] = a_run("connection_drop")
    monkeypatch.setenv(IN_LAMBDA, "orders")
    try:
        answered = served.ask("GET", path)
    except InjectedDisconnect:
        pass
    else:
        assert answered
        assert (answered.status, json.loads(answered.body)) == (502, {"message": "Internal server error"})
    served.wired.engine.recorder.flush()
    tally = served.results.tallies[run.run_id]
    assert tally.get("dropped_connections") == (0 if path == TEST else 1)
    assert tally.statuses("hit") == ({} if path == TEST else {"0xx": 1})


def test_within_an_answer_of_an_unknown_server_the_application_ends_by_an_exception(served: Served) -> None:
    """By which every server closes the connection."""
    run = served.runs.runs["connection_drop"] = a_run("connection_drop", after_bytes=1)
    with pytest.raises(InjectedDisconnect):
        served.ask("GET", ORDERS)
    served.wired.engine.recorder.flush()
    tally = served.results.tallies[run.run_id]
    assert [tally.get(name) for name in ("dropped_connections", "injected.2xx")] == [1, 1]
