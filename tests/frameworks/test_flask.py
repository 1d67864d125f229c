import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import flask
import pytest
from werkzeug.test import EnvironBuilder

from chalicelib.access import Caller, Role
from chalicelib.bootstrap import bootstrap
from chalicelib.frameworks.flask import ChaosExperiments
from chalicelib.settings import Settings
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run


@pytest.fixture
def runs() -> FakeRunStore:
    return FakeRunStore()


@pytest.fixture
def wire(runs: FakeRunStore, clock: Clock) -> Any:
    settings = Settings(stage="qa")
    return partial(
        bootstrap,
        settings,
        runs=runs,
        tokens=FakeTokenStore(),
        results=FakeResultStore(),
        clock=clock,
        sleep=clock.sleep,
        chance=lambda: 0.0,
    )


def application() -> flask.Flask:
    app = flask.Flask("tested")

    @app.get("/lines")
    def lines() -> flask.Response:
        def stream() -> Iterator[str]:
            yield "one\n"
            yield "two\n"

        return flask.Response(stream(), headers={"X-Own": "1"})

    return app


def test_an_application_factory_and_a_prefix_of_its_own(wire: Any, runs: FakeRunStore, clock: Clock) -> None:
    chaos = ChaosExperiments(prefix="/v1/chaos_experiments", wire=wire)
    app = application()
    chaos.init_app(app)
    client = app.test_client()
    runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, now=clock.now)
    assert client.get("/v1/chaos_experiments/status").status_code == 401
    told = client.get("/v1/chaos_experiments/test")
    assert (told.status_code, told.json["code"]) == (500, "injected_error")
    assert client.get("/chaos_experiments/test").status_code == 404  # the application's own, which has none


def test_a_streaming_route_still_streams_and_says_what_touched_it(wire: Any, runs: FakeRunStore, clock: Clock) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    runs.runs["latency_injection"] = a_run(delay_seconds=0.5, now=clock.now)
    answer = app.test_client().get("/lines", buffered=False)
    assert answer.headers["X-Chaos-Experiment"] == "latency_injection"
    assert answer.headers["X-Own"] == "1"
    assert list(answer.response) == [b"one\n", b"two\n"]
    assert clock.slept == [0.5]


PREFLIGHT = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}


def late(inner: Any, environ: Any, start_response: Any) -> Iterator[bytes]:
    yield from inner(environ, start_response)


def broken(inner: Any, environ: Any, start_response: Any) -> Iterator[bytes]:
    list(inner(environ, lambda *_: None))
    raise ZeroDivisionError


def refusing(_inner: Any, _environ: Any, start_response: Any) -> list[bytes]:
    """Reaches no route."""
    start_response("403 Forbidden", [])
    return [b""]


@pytest.mark.parametrize(("around", "statuses"), [(late, {"2xx": 3}), (broken, {"5xx": 3}), (refusing, None)])
def test_an_answer_of_a_route_is_counted_by_its_status_also_one_that_starts_late_or_raises(
    wire: Any, runs: FakeRunStore, clock: Clock, around: Any, statuses: dict[str, int] | None
) -> None:
    timers: list[Callable[[], None]] = []
    results = FakeResultStore()
    app = application()
    app.wsgi_app = partial(around, app.wsgi_app)  # type: ignore[method-assign]
    ChaosExperiments(app, wire=partial(wire, results=results, schedule=lambda _seconds, call: timers.append(call)))
    run = runs.runs["latency_injection"] = a_run(delay_seconds=0.0, percentage=0.0001, now=clock.now)
    for _ in range(3):
        with suppress(ZeroDivisionError):
            app.test_client().get("/lines")
    if statuses is None:
        assert timers == []
    else:
        timers[0]()
        assert results.tallies[run.run_id].statuses("hit") == statuses


class Body:
    """A body that begins to answer when it is asked for."""

    def __init__(self, inner: Any, environ: Any, start_response: Any) -> None:
        self.closed = 0
        self.begin = lambda: inner(environ, start_response)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.begin())

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("asked_for", [True, False])
def test_a_late_body_is_closed_once_whether_it_was_asked_for_or_not(
    wire: Any, runs: FakeRunStore, clock: Clock, *, asked_for: bool
) -> None:
    app = application()
    bodies: list[Body] = []
    inner = app.wsgi_app

    def late(environ: Any, start_response: Any) -> Body:
        bodies.append(Body(inner, environ, start_response))
        return bodies[-1]

    app.wsgi_app = late  # type: ignore[method-assign]
    ChaosExperiments(app, wire=wire)
    runs.runs["latency_injection"] = a_run(delay_seconds=0.5, now=clock.now)
    started: list[Any] = []
    body: Any = app.wsgi_app(EnvironBuilder(path="/lines").get_environ(), lambda *given: started.append(given))
    if asked_for:
        assert b"".join(body) == b"one\ntwo\n"
    body.close()
    assert [each.closed for each in bodies] == [1]
    assert clock.slept == ([0.5] if asked_for else [])
    assert len(started) == asked_for


def test_an_injected_error_has_what_the_application_adds_to_each_answer(
    wire: Any, runs: FakeRunStore, clock: Clock
) -> None:
    app = application()

    @app.after_request
    def allow(response: flask.Response) -> flask.Response:
        response.headers["Access-Control-Allow-Origin"] = flask.request.headers["Origin"]
        return response

    ChaosExperiments(app, wire=wire)
    runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, now=clock.now)
    answer = app.test_client().get("/lines", headers={"Origin": "https://shop.example"})
    assert (answer.status_code, answer.json["code"]) == (500, "injected_error")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert answer.headers["X-Chaos-Experiment"] == "error_injection"


def test_what_reaches_no_view_is_not_hit(wire: Any, runs: FakeRunStore, clock: Clock) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, now=clock.now)
    assert app.test_client().options("/lines", headers=PREFLIGHT).status_code == 200
    assert app.test_client().options("/lines").status_code == 200  # Flask's own answer, of no view
    assert app.test_client().get("/nowhere").status_code == 404
    assert app.test_client().get("/lines").status_code == 500


def test_where_the_table_is_unreachable_the_test_endpoint_says_so(wire: Any, runs: FakeRunStore) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    runs.broken = True
    answer = app.test_client().get("/chaos_experiments/test")
    assert (answer.status_code, answer.json["resultset"]["problem"]) == (200, "store_unavailable")


def test_below_the_prefix_the_applications_cors_hooks_let_a_browser_in_and_do_nothing_else(wire: Any) -> None:
    app = application()

    @app.after_request
    def allow(response: flask.Response) -> flask.Response:
        response.headers["Access-Control-Allow-Origin"] = flask.request.headers["Origin"]
        response.headers["X-Own"] = "1"
        response.status_code = 418
        return response

    ChaosExperiments(app, wire=wire)
    client = app.test_client()
    preflight = client.options("/chaos_experiments/start", headers=PREFLIGHT)
    assert (preflight.status_code, preflight.data) == (200, b"")
    assert preflight.headers["Access-Control-Allow-Origin"] == PREFLIGHT["Origin"]
    answer = client.get("/chaos_experiments/list", headers={"Origin": PREFLIGHT["Origin"]})
    assert answer.status_code == 401
    assert answer.headers["Access-Control-Allow-Origin"] == PREFLIGHT["Origin"]
    assert "X-Own" not in answer.headers
    assert client.get("/chaos_experiments/list").status_code == 401  # the hook fails, and shuts nothing
    assert client.options("/chaos_experiments/nothing").json["code"] == "unknown_endpoint"


def test_a_second_module_in_one_application_is_refused(wire: Any) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    with pytest.raises(ValueError, match="already has the module"):
        ChaosExperiments(app, wire=wire, prefix="/v2")


def test_an_application_tells_itself_who_calls(wire: Any) -> None:
    app = application()
    ChaosExperiments(
        app, wire=wire, authenticate=lambda headers: Caller("own", Role.VIEWER) if "x-user" in headers else None
    )
    client = app.test_client()
    assert client.get("/chaos_experiments/list", headers={"X-User": "ada"}).status_code == 200
    assert client.get("/chaos_experiments/list").status_code == 401


def test_a_module_that_is_off_lets_every_request_through_and_says_so() -> None:
    app = application()
    ChaosExperiments(app, settings=Settings())
    client = app.test_client()
    assert client.get("/lines").status_code == 200
    answer = client.get("/chaos_experiments/list")
    assert (answer.status_code, answer.json["code"]) == (503, "module_off")


def test_in_development_the_token_is_announced_once_before_the_first_request(
    wire: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = application()
    monkeypatch.setattr(sys, "argv", ["flask", "run"])
    development = Settings(stage="dev", dev_token="let-me-in")
    ChaosExperiments(
        app,
        wire=partial(bootstrap, runs=FakeRunStore(), tokens=FakeTokenStore(), results=FakeResultStore(), clock=clock),
        settings=development,
    )
    assert capsys.readouterr().err.count("let-me-in") == 1
    assert app.test_client().get("/lines").status_code == 200
    assert "let-me-in" not in capsys.readouterr().err


class Context:
    """Two seconds of a Lambda invocation, as serverless-wsgi hands it on."""

    def get_remaining_time_in_millis(self) -> int:
        return 2000


def test_a_delay_leaves_the_invocation_its_time(wire: Any, runs: FakeRunStore, clock: Clock) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    runs.runs["latency_injection"] = a_run(now=clock.now, delay_seconds=60.0, duration_seconds=600)
    answer = app.test_client().get("/lines", environ_overrides={"serverless.context": Context()})
    assert (answer.status_code, answer.headers["X-Chaos-Cut"]) == (200, "latency_injection")
    assert sum(clock.slept) == pytest.approx(1.5)
