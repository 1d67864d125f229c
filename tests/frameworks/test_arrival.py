"""Since when a request's time is measured, by what each way into Lambda hands on; and who queues for a worker."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any

import fastapi
import flask
import pytest
import serverless_wsgi
from apig_wsgi import make_lambda_handler
from chalice.app import Chalice
from mangum import Mangum

from chalicelib.bootstrap import bootstrap
from chalicelib.frameworks import chalice as on_chalice
from chalicelib.frameworks import fastapi as on_fastapi
from chalicelib.frameworks import flask as on_flask
from chalicelib.frameworks.wsgi import WSGICall, pool_size
from chalicelib.runs.run import Run
from chalicelib.settings import Settings
from tests.frameworks.gateway import rest_event
from tests.support import FakeResultStore, FakeRunStore, FakeTokenStore, a_run

Handler = Callable[[Any, Any], Any]
WAITED = 3.0
CONTEXT = SimpleNamespace(
    get_remaining_time_in_millis=lambda: 30_000,
    aws_request_id="a-request",
    function_name="shop",
    invoked_function_arn="arn",
    memory_limit_in_mb=512,
)


@pytest.fixture(autouse=True)
def _an_event_loop() -> Iterator[None]:
    """The one that mangum serves on, and does not close."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    asyncio.set_event_loop(None)


def http_event(**context: Any) -> dict[str, Any]:
    """What API Gateway sends for an HTTP API, and Lambda for a function's URL."""
    http = {"method": "GET", "path": "/orders", "sourceIp": "192.0.2.1", "protocol": "HTTP/1.1", "userAgent": "test"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/orders",
        "rawQueryString": "",
        "headers": {"host": "shop.example"},
        "isBase64Encoded": False,
        "requestContext": {"stage": "$default", "http": http, **context},
    }


def orders() -> dict[str, str]:
    return {}


class House:
    """A run that spares every request, and what was counted of it."""

    def __init__(self) -> None:
        self.run: Run = a_run("error_injection", now=time.time(), error_rate=0.0)
        self.results = FakeResultStore()
        self.wire = partial(
            bootstrap,
            Settings(stage="qa", in_lambda=True),
            runs=FakeRunStore({"error_injection": self.run}),
            results=self.results,
            tokens=FakeTokenStore(),
        )

    def chalice(self) -> Handler:
        app = Chalice("shop", configure_logs=False)
        app.route("/orders")(dict)
        on_chalice.ChaosExperiments(app, wire=self.wire)
        return app  # type: ignore[no-any-return]

    def flask(self) -> flask.Flask:
        app = flask.Flask("shop")
        app.add_url_rule("/orders", view_func=dict)
        on_flask.ChaosExperiments(app, wire=self.wire)
        return app

    def fastapi(self) -> Handler:
        app = fastapi.FastAPI()
        app.get("/orders")(orders)
        on_fastapi.ChaosExperiments(app, wire=self.wire)
        handler: Handler = Mangum(app, lifespan="off")
        return handler

    def seconds(self) -> float:
        seconds = self.results.tallies[self.run.run_id].percentile("untouched", 1.0)
        assert seconds is not None
        return seconds


WAYS: dict[str, Callable[[House], Handler]] = {
    "chalice": House.chalice,
    "serverless-wsgi": lambda house: partial(serverless_wsgi.handle_request, house.flask()),
    "apig-wsgi": lambda house: make_lambda_handler(house.flask()),
    "mangum": House.fastapi,
}


@pytest.mark.usefixtures("event_loop_of_mangum")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("api", ["REST", "HTTP"])
def test_behind_api_gateway_a_requests_time_begins_there(way: str, api: str) -> None:
    if (way, api) == ("chalice", "HTTP"):
        pytest.skip("Chalice has no HTTP APIs")
    house = House()
    taken = int((time.time() - WAITED) * 1000)
    event = rest_event(requestTimeEpoch=taken) if api == "REST" else http_event(timeEpoch=taken)
    answer = WAYS[way](house)(event, CONTEXT)
    assert answer["statusCode"] == 200, answer
    assert house.seconds() >= WAITED / 1.2  # to a bucket's width


@pytest.mark.usefixtures("event_loop_of_mangum")
@pytest.mark.parametrize("way", WAYS)
def test_where_the_event_does_not_say_it_begins_at_the_boundary(way: str) -> None:
    house = House()
    assert WAYS[way](house)(rest_event(), CONTEXT)["statusCode"] == 200
    assert house.seconds() < WAITED / 2


# Who queues for a worker


def test_where_a_server_has_one_thread_for_all_one_worker_is_occupied() -> None:
    assert WSGICall({"wsgi.multithread": False}, "/").workers == 1
    assert WSGICall({}, "/").workers == 1


def in_thread(thread: threading.Thread, sizes: list[int | None]) -> None:
    thread.run = lambda: sizes.append(WSGICall({"wsgi.multithread": True}, "/").workers)  # type: ignore[method-assign]
    thread.start()
    thread.join()


def test_a_thread_of_its_own_for_each_request_is_no_worker_that_others_wait_for() -> None:
    sizes: list[int | None] = []
    for name in ("Thread-7 (process_request_thread)", "Dummy-3", "MainThread"):
        in_thread(threading.Thread(name=name), sizes)
    assert sizes == [None, None, None]


def test_a_pool_of_the_standard_library_has_as_many_workers_as_it_may_start() -> None:
    """As gunicorn's gthread: of 6 threads one has been started."""
    with ThreadPoolExecutor(6) as pool:
        assert pool.submit(lambda: pool_size(threading.current_thread())).result() == 6


def test_of_another_pool_the_threads_are_counted() -> None:
    release = threading.Event()
    others = [threading.Thread(name=f"waitress-{number}", target=release.wait, args=(30,)) for number in range(3)]
    for thread in others:
        thread.start()
    sizes: list[int | None] = []
    in_thread(threading.Thread(name="waitress-3"), sizes)
    release.set()
    for thread in others:
        thread.join()
    assert sizes == [4]
