"""Requests that end without an answer: the boundary gives them up, and they have died."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from chalice.app import Chalice

from chalicelib.bootstrap import bootstrap
from chalicelib.frameworks.asgi import ASGIBoundary
from chalicelib.frameworks.chalice import ChaosExperiments
from chalicelib.frameworks.module import ChaosModule
from chalicelib.frameworks.wsgi import WSGIBoundary
from chalicelib.settings import Settings
from tests.frameworks.test_arrival import rest_event
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run


class House:
    """A module in which a run hits nothing, and what it has counted."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.run = a_run("error_injection", error_rate=0.0)
        self.results = FakeResultStore()
        self.timers: list[Callable[[], None]] = []
        self.wire = partial(
            bootstrap,
            Settings(stage="qa"),
            runs=FakeRunStore({"error_injection": self.run}),
            results=self.results,
            tokens=FakeTokenStore(),
            clock=clock,
            sleep=clock.sleep,
            schedule=lambda _seconds, call: self.timers.append(call),
        )
        self.module = ChaosModule(wire=self.wire)

    def wsgi(self, application: Callable[..., Any]) -> Any:
        environ: dict[str, Any] = {}
        setup_testing_defaults(environ)
        return WSGIBoundary(application, self.module)(environ, lambda _status, _headers, _error=None: lambda _: None)

    async def asgi(self, application: Callable[..., Any]) -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(_message: Any) -> None:
            pass

        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await ASGIBoundary(application, self.module)(scope, receive, send)  # type: ignore[arg-type]

    def counted(self) -> tuple[int, int, int]:
        """How many were answered, died, and are open."""
        self.timers[-1]()
        side = self.results.tallies[self.run.run_id].side_counts("untouched", self.run, self.clock.now)
        return side.requests - side.died, side.died, side.open


@pytest.fixture
def house(clock: Clock) -> House:
    return House(clock)


def ends(error: type[BaseException]) -> Callable[..., Any]:
    def application(*_: Any) -> Any:
        raise error

    return application


@pytest.mark.parametrize(
    ("error", "counted"), [(SystemExit, (0, 1, 0)), (KeyboardInterrupt, (0, 1, 0)), (ValueError, (1, 0, 0))]
)
def test_in_wsgi_an_exit_of_the_worker_is_no_answer(
    house: House, error: type[BaseException], counted: tuple[int, int, int]
) -> None:
    with pytest.raises(error):
        house.wsgi(ends(error))
    assert house.counted() == counted


def test_in_wsgi_a_body_that_is_closed_before_it_has_begun_was_never_answered(house: House) -> None:
    body = house.wsgi(lambda _environ, _start: iter([b"late"]))
    assert house.counted() == (0, 0, 1)
    body.close()
    assert house.counted() == (0, 1, 0)


def test_in_asgi_a_request_that_is_cancelled_was_never_answered(house: House) -> None:
    async def cancelled() -> None:
        reached = asyncio.Event()

        async def application(*_: Any) -> None:
            reached.set()
            await asyncio.sleep(60)

        task = asyncio.create_task(house.asgi(application))
        await reached.wait()
        assert await asyncio.to_thread(house.counted) == (0, 0, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert house.counted() == (0, 1, 0)


def test_in_asgi_an_application_that_returns_without_an_answer_has_given_none(house: House) -> None:
    async def application(*_: Any) -> None:
        pass

    asyncio.run(house.asgi(application))
    assert house.counted() == (0, 1, 0)


def test_in_asgi_a_body_that_breaks_off_was_answered(house: House) -> None:
    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(house.asgi(application))
    assert house.counted() == (1, 0, 0)


def test_in_chalice_an_exit_of_the_process_is_no_answer(house: House) -> None:
    app = Chalice("shop", configure_logs=False)
    app.route("/orders")(ends(SystemExit))
    ChaosExperiments(app, wire=house.wire)
    with pytest.raises(SystemExit):
        app(rest_event(), None)
    assert house.counted() == (0, 1, 0)
