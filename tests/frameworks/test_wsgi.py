"""The boundary of WSGI around applications that are as the specification allows."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from chalicelib.bootstrap import bootstrap
from chalicelib.frameworks.module import ChaosModule
from chalicelib.frameworks.wsgi import WSGIBoundary
from chalicelib.injection.current import CURRENT
from chalicelib.settings import Settings
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run


class Body:
    """In two parts; notes whether it was closed, and in what context its parts were made."""

    def __init__(self, start_response: Callable[..., Any] | None = None, error: Exception | None = None) -> None:
        self.start_response = start_response
        self.error = error
        self.closed = 0
        self.contexts: list[Any] = []

    def __iter__(self) -> Iterator[bytes]:
        if self.error:
            raise self.error
        if self.start_response:
            self.start_response("200 OK", [])
        self.contexts.append(CURRENT.get())
        yield b"one"
        self.contexts.append(CURRENT.get())
        yield b"two"

    def close(self) -> None:
        self.closed += 1


class House:
    """A boundary around an application that answers with a `body`, while a delay of no length is active."""

    def __init__(self, clock: Clock) -> None:
        self.results = FakeResultStore()
        self.run = a_run(delay_seconds=0.0, now=clock.now)
        self.timers: list[Callable[[], None]] = []
        self.module = ChaosModule(
            wire=partial(
                bootstrap,
                Settings(stage="qa"),
                runs=FakeRunStore({"latency_injection": self.run}),
                results=self.results,
                tokens=FakeTokenStore(),
                clock=clock,
                sleep=clock.sleep,
                schedule=lambda _seconds, call: self.timers.append(call),
            )
        )
        self.started: list[str] = []

    def start_response(self, status: str, _headers: list[tuple[str, str]], *_error: Any) -> Callable[[bytes], object]:
        self.started.append(status)
        return lambda _: None

    def serve(self, application: Callable[..., Any], *, has_route_place: bool = False, **environ: str) -> Any:
        complete: dict[str, Any] = {**environ}
        setup_testing_defaults(complete)
        if environ.get("PATH_INFO") == "":
            del complete["PATH_INFO"]
        boundary = WSGIBoundary(application, self.module, has_route_place=has_route_place)
        return boundary(complete, self.start_response)

    def counted(self) -> dict[str, int]:
        for timer in self.timers:
            timer()
        tally = self.results.tallies.get(self.run.run_id)
        return {} if tally is None else tally.statuses("hit")


@pytest.fixture
def house(clock: Clock) -> House:
    return House(clock)


def test_a_body_that_is_served_late_is_counted_and_leaves_nothing_in_the_context_between_its_parts(
    house: House,
) -> None:
    body = house.serve(lambda _environ, start_response: Body(start_response))
    assert house.started == []
    parts = []
    for part in body:
        parts.append(part)
        assert CURRENT.get() is None
    assert parts == [b"one", b"two"]
    assert house.counted() == {"2xx": 1}


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_a_body_that_is_served_late_is_closed_once_however_much_of_it_was_asked_for(house: House, parts: int) -> None:
    own: list[Body] = []

    def application(_environ: Any, start_response: Any) -> Body:
        own.append(Body(start_response))
        return own[0]

    body = house.serve(application)
    for _ in range(parts):
        next(body, None)
    body.close()
    assert own[0].closed == 1


def test_a_body_that_fails_before_it_starts_an_answer_is_counted_as_an_error(house: House) -> None:
    body = house.serve(lambda *_: Body(error=ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        next(body)
    assert house.counted() == {"5xx": 1}


def test_the_body_of_an_answer_that_no_route_gave_is_the_applications_own(house: House) -> None:
    own = Body()

    def application(_environ: Any, start_response: Any) -> Body:
        start_response("404 Not Found", [])
        return own

    assert house.serve(application, has_route_place=True) is own  # a server may send a file of its own kind
    assert house.counted() == {}


def test_a_status_that_is_none_is_the_servers_concern(house: House) -> None:
    def application(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("fine", [])
        return []

    house.serve(application)
    assert (house.started, house.counted()) == (["fine"], {"0xx": 1})


def test_an_empty_path_may_be_left_out(house: House) -> None:
    def application(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    house.serve(application, PATH_INFO="")
    assert house.counted() == {"2xx": 1}


def taken_over(*_: Any) -> list[bytes]:
    """As libraries for websockets end one on gunicorn."""
    raise StopIteration


def test_websockets_are_left_alone(house: House) -> None:
    upgrade = {"HTTP_UPGRADE": "WebSocket", "HTTP_CONNECTION": "keep-alive, Upgrade"}
    with pytest.raises(StopIteration):
        house.serve(taken_over, **upgrade)
    assert house.serve(lambda *_: [], **upgrade) == []
    assert house.counted() == {}


@pytest.mark.parametrize(
    "headers", [{"HTTP_UPGRADE": "h2c", "HTTP_CONNECTION": "Upgrade"}, {"HTTP_UPGRADE": "websocket"}]
)
def test_other_upgrades_are_requests(house: House, headers: dict[str, str]) -> None:
    with pytest.raises(StopIteration):
        house.serve(taken_over, **headers)
    assert house.counted() == {"5xx": 1}
