"""In Lambda a delay leaves the invocation its time, by whichever adapter the request reaches the application."""

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import fastapi
import flask
import pytest
import serverless_wsgi
from a2wsgi import WSGIMiddleware
from apig_wsgi import make_lambda_handler
from chalice import Chalice
from mangum import Mangum

from chalicelib.bootstrap import bootstrap
from chalicelib.frameworks import asgi, lambda_time
from chalicelib.frameworks import chalice as in_chalice
from chalicelib.frameworks import fastapi as in_fastapi
from chalicelib.frameworks import flask as in_flask
from chalicelib.frameworks.wsgi import WSGICall
from chalicelib.settings import Settings
from tests.frameworks.gateway import rest_event
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

EVENT = rest_event() | {
    "version": "1.0",
    "headers": {"Host": "x", "X-Forwarded-Port": "443", "X-Forwarded-Proto": "https"},
    "multiValueHeaders": {"Host": ["x"]},
}
LEFT_SECONDS = 2.0
CUT_SECONDS = 1.5
Handler = Callable[[Any, Any], Any]


class Invocation:
    """What Lambda's runtime hands to a handler."""

    def get_remaining_time_in_millis(self) -> int:
        return int(LEFT_SECONDS * 1000)


@pytest.fixture
def waited(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What requests slept, on threads and on event loops; the variables are those of a function."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")

    async def sleep(_threads: object, seconds: float) -> None:
        clock.sleep(seconds)

    monkeypatch.setattr(asgi.Threads, "sleep", sleep)
    return clock.slept


@pytest.fixture
def options(clock: Clock) -> dict[str, Any]:
    """With a run that delays each request by a minute."""
    runs = FakeRunStore()
    runs.runs["latency_injection"] = a_run(now=clock.now, delay_seconds=60.0, duration_seconds=600)
    stores = {"runs": runs, "results": FakeResultStore(), "tokens": FakeTokenStore()}
    settings = Settings(stage="qa", in_lambda=True)
    wire = partial(bootstrap, settings, **stores, clock=clock, sleep=clock.sleep, chance=lambda: 0.0)
    return {"wire": wire}


def in_flask_(options: dict[str, Any]) -> flask.Flask:
    app = flask.Flask("orders")
    app.route("/orders")(lambda: "all")
    in_flask.ChaosExperiments(app, **options)
    return app


def in_fastapi_(options: dict[str, Any]) -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    app.add_api_route("/orders", lambda: "all")
    in_fastapi.ChaosExperiments(app, **options)
    return app


def in_chalice_(options: dict[str, Any]) -> Handler:
    app = Chalice("orders", configure_logs=False)
    app.route("/orders")(lambda: "all")
    in_chalice.ChaosExperiments(app, **options)
    handler: Handler = app
    return handler


def of_serverless_wsgi(options: dict[str, Any]) -> Handler:
    return partial(serverless_wsgi.handle_request, in_flask_(options))


def of_apig_wsgi(options: dict[str, Any]) -> Handler:
    return make_lambda_handler(in_flask_(options).wsgi_app)


def of_mangum(options: dict[str, Any]) -> Handler:
    return Mangum(in_fastapi_(options), lifespan="off")


def of_mangum_and_a2wsgi(options: dict[str, Any]) -> Handler:
    return Mangum(WSGIMiddleware(in_flask_(options)), lifespan="off")  # type: ignore[arg-type]


def of_an_adapter_that_hands_nothing_on(options: dict[str, Any]) -> Handler:
    client = in_flask_(options).test_client()

    def handler(event: Any, context: Any) -> Any:
        del context
        answer = client.get(event["path"])
        return {"statusCode": answer.status_code, "headers": dict(answer.headers)}

    return handler


ADAPTERS = [
    in_chalice_,
    of_serverless_wsgi,
    of_apig_wsgi,
    of_mangum,
    of_mangum_and_a2wsgi,
    of_an_adapter_that_hands_nothing_on,
]


def runtime(handler: Handler, event: Any) -> Any:
    """As Lambda's runtime for Python calls a handler."""
    lambda_context = Invocation()
    return handler(event, lambda_context)


@pytest.mark.usefixtures("event_loop_of_mangum")
@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.__name__.strip("_"))
def test_a_delay_leaves_the_invocation_its_time(
    options: dict[str, Any], waited: list[float], adapter: Callable[[dict[str, Any]], Handler]
) -> None:
    answer = runtime(adapter(options), EVENT)
    headers = {name.lower(): value for name, value in {**answer.get("headers", {})}.items()}
    headers |= {name.lower(): values[0] for name, values in answer.get("multiValueHeaders", {}).items()}
    assert (answer["statusCode"], headers["x-chaos-cut"]) == (200, "latency_injection")
    assert sum(waited) == pytest.approx(CUT_SECONDS)


def test_the_web_adapter_says_it_in_a_header(options: dict[str, Any], waited: list[float]) -> None:
    deadline = (time.time() + 40) * 1000  # by the real clock, while the module is wired; the delay is 60 s
    header = {"x-amzn-lambda-context": json.dumps({"request_id": "r", "deadline": round(deadline)})}
    answer = in_flask_(options).test_client().get("/orders", headers=header)
    assert answer.headers["X-Chaos-Cut"] == "latency_injection"
    assert 0 < sum(waited) <= 39.5


@pytest.mark.parametrize("header", ["no JSON", "[]", "{}", '{"deadline": "soon"}', '{"deadline": null}'])
def test_a_header_that_says_nothing_limits_nothing(waited: list[float], header: str) -> None:
    assert lambda_time.seconds_left(None, lambda _name: header) == float("inf")


def test_outside_of_lambda_a_client_cannot_shorten_its_delay(
    options: dict[str, Any], waited: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME")
    header = {"x-amzn-lambda-context": json.dumps({"deadline": 0})}
    answer = in_flask_(options).test_client().get("/orders", headers=header)
    assert "X-Chaos-Cut" not in answer.headers
    assert sum(waited) == pytest.approx(60.0)


@pytest.mark.parametrize("name", ["awsgi.context", "lambda.context"])
def test_other_adapters_put_it_into_the_environ(name: str) -> None:
    call = WSGICall({name: Invocation(), "REQUEST_METHOD": "GET"}, "/orders")
    assert call.remaining_seconds == LEFT_SECONDS


@pytest.mark.parametrize("stand_in", [object(), {}, "a context"])
def test_a_stand_in_for_a_context_limits_nothing(stand_in: Any) -> None:
    assert lambda_time.seconds_left(stand_in, lambda _name: None) == float("inf")


def test_a_variable_that_only_has_the_name_is_no_context(waited: list[float]) -> None:
    def serve(context: object) -> float:
        del context
        return lambda_time.seconds_left(None, lambda _name: None)

    assert serve({"some": "template"}) == float("inf")
    assert runtime(lambda _event, _context: serve({}), {}) == LEFT_SECONDS
