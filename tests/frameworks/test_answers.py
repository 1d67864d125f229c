"""What becomes of the application's answer, in each framework, and in bare WSGI and ASGI."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from chalicelib.errors import InjectedDisconnect
from chalicelib.experiments.base import Experiment, Parameters
from chalicelib.faults.base import DISCONNECT, Applied, Change, Fault, Headers, HitCall, Piece, Sleep
from chalicelib.frameworks.answers_on_loop import offer_nothing_past_us
from chalicelib.frameworks.asgi import ASGIBoundary
from chalicelib.frameworks.module import ChaosModule
from chalicelib.frameworks.wsgi import WSGIBoundary
from tests.frameworks.test_outcomes import MAKERS, ORDERS, Served
from tests.support import Clock, a_run


class Shouted(Change):
    """Upper case, and more at its end: a change of the body, of its length and of the status."""

    def __init__(self) -> None:
        self.parts = 0

    def begin(self, status: int, headers: Headers) -> tuple[int, Headers]:
        assert status == 200
        return 203, [*((name, value) for name, value in headers if name.lower() != "content-length"), ("X-Loud", "1")]

    def part(self, data: bytes) -> Iterable[Piece]:
        self.parts += 1
        yield data.upper()

    def end(self) -> Iterable[Piece]:
        yield Sleep(0.001)
        yield b"!"

    @property
    def counters(self) -> dict[str, int]:
        return {"shouted": self.parts}


class Shout(Fault):
    kind = "shout"
    order = 80
    make: Callable[[], Change] = Shouted

    def apply(self, call: HitCall) -> Applied:
        del call
        return Applied(change=type(self).make())


class Shouting(Experiment):
    """Shout."""

    name = "shouting"
    Parameters = Parameters

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield Shout()


def shouting(served: Served) -> str:
    served.own = [Shouting]
    run = served.runs.runs["shouting"] = a_run("shouting")
    return run.run_id


@pytest.fixture(params=MAKERS)
def served(request: pytest.FixtureRequest, clock: Clock) -> Served:
    served = Served(clock)
    MAKERS[request.param][0](served)
    return served


def test_an_answer_is_changed_and_what_was_done_is_counted_when_it_is_over(served: Served) -> None:
    run_id = shouting(served)
    answered = served.ask("GET", ORDERS)
    assert answered
    assert (answered.status, answered.headers["x-loud"], answered.headers["x-chaos-run"]) == (203, "1", run_id)
    assert answered.body.startswith(b'{"ORDERS"') or answered.body.startswith(b"[]")
    assert answered.body.endswith(b"!")
    assert served.statuses(run_id) == {"2xx": 1}
    assert served.results.tallies[run_id].get("shouted") == 1


def test_a_head_has_the_changed_beginning_and_no_body(served: Served) -> None:
    run_id = shouting(served)
    answered = served.ask("HEAD", ORDERS)
    assert answered
    assert (answered.status, answered.headers["x-loud"]) == (203, "1")
    assert not answered.body
    served.statuses(run_id)
    assert not served.results.tallies[run_id].get("shouted")


def test_a_call_that_is_not_answered_by_the_application_is_not_changed(served: Served) -> None:
    run_id = shouting(served)
    served.runs.runs["error_injection"] = a_run("error_injection", token="2", error_rate=1.0)
    answered = served.ask("GET", ORDERS)
    assert answered
    assert answered.status == 500
    assert "x-loud" not in answered.headers
    served.statuses(run_id)
    assert not served.results.tallies[run_id].get("shouted")


def test_slots_are_given_back_and_without_one_the_answer_passes(served: Served) -> None:
    shouting(served)
    assert served.status() == 203
    slots = served.wired.engine.slots
    taken = 0
    while slots.take():
        taken += 1
    assert taken == 1000
    assert served.status() == 200


# WSGI, as the specification allows


class Body:
    """In two parts; notes how far it got, and how often it was closed."""

    def __init__(self, start: Callable[..., Any] | None = None) -> None:
        self.start = start
        self.given = self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        if self.start:
            self.start("200 OK", [])
        for part in (b"one", b"", b"two"):
            self.given += 1
            yield part

    def close(self) -> None:
        self.closed += 1


class Host:
    """A WSGI application with the module around it, called as a server does."""

    def __init__(self, clock: Clock, application: Callable[..., Any]) -> None:
        self.served = Served(clock)
        self.run_id = shouting(self.served)
        self.boundary = WSGIBoundary(application, ChaosModule(wire=self.served.wire))
        self.started: list[Any] = []
        self.written: list[bytes] = []

    def serve(self) -> Any:
        environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": ORDERS}
        return self.boundary(environ, self._start)

    def _start(self, status: str, headers: Any, *error: Any) -> Callable[[bytes], object]:
        self.started.append((status, dict(headers), *error))
        return self.written.append

    def shouted(self) -> int:
        self.served.wired.engine.recorder.flush()
        return self.served.results.tallies[self.run_id].get("shouted")


@pytest.mark.parametrize("is_late", [False, True])
def test_a_body_passes_in_parts_and_is_closed_once(clock: Clock, *, is_late: bool) -> None:
    bodies: list[Body] = []

    def application(_environ: Any, start: Any) -> Body:
        if not is_late:
            start("200 OK", [])
        bodies.append(Body(start if is_late else None))
        return bodies[0]

    host = Host(clock, application)
    body = host.serve()
    parts = iter(body)
    assert next(parts) == b"ONE"
    assert bodies[0].given == 1
    assert host.started[0][0] == "203 Non-Authoritative Information"
    assert list(parts) == [b"TWO", b"!"]
    body.close()
    assert (bodies[0].closed, host.shouted()) == (1, 2)


@pytest.mark.parametrize("asked", [0, 1])
def test_a_server_that_closes_early_closes_the_body_once_and_it_is_counted(clock: Clock, asked: int) -> None:
    sent = Body()

    def application(_environ: Any, start: Any) -> Body:
        start("200 OK", [])
        return sent

    host = Host(clock, application)
    body = host.serve()
    for _ in range(asked):
        next(iter(body))
    body.close()
    assert (sent.closed, host.shouted()) == (1, asked)
    assert host.served.wired.engine.slots.take()


def test_an_empty_late_body_has_its_end(clock: Clock) -> None:
    def application(_environ: Any, start: Any) -> Iterator[bytes]:
        start("200 OK", [])
        yield from ()

    host = Host(clock, application)
    assert list(host.serve()) == [b"!"]


def test_what_an_application_writes_is_changed(clock: Clock) -> None:
    def application(_environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [])(b"written")
        return [b"given"]

    host = Host(clock, application)
    assert list(host.serve()) == [b"GIVEN", b"!"]
    assert host.written == [b"WRITTEN"]


def test_an_error_that_takes_the_place_of_a_begun_answer_passes(clock: Clock) -> None:
    error = (ValueError, ValueError("late"), None)

    def application(_environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [])
        start("500 Sorry", [("X-Sorry", "1")], error)
        return [b"sorry"]

    host = Host(clock, application)
    assert list(host.serve()) == [b"sorry"]
    assert (host.started[1][0], host.started[1][2]) == ("500 Sorry", error)


def test_an_exception_after_the_beginning_of_an_answer_keeps_nothing(clock: Clock) -> None:
    def application(_environ: Any, start: Any) -> Any:
        start("200 OK", [])(b"written")
        raise ZeroDivisionError

    host = Host(clock, application)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            host.serve()
    assert (len(host.served.wired.engine.slots._free), host.shouted()) == (1000, 3)


def test_an_exception_in_a_body_that_is_changed_goes_to_the_server(clock: Clock) -> None:
    def application(_environ: Any, start: Any) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"one"
        raise ZeroDivisionError

    host = Host(clock, application)
    body = host.serve()
    parts = iter(body)
    assert next(parts) == b"ONE"
    with pytest.raises(ZeroDivisionError):
        next(parts)
    body.close()
    assert host.shouted() == 1


# ASGI


async def _receive() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


def serve_asgi(served: Served, application: Any, spec: str = "2.3", **scope_more: Any) -> list[dict[str, Any]]:
    """The messages that a server gets."""
    boundary, sent = ASGIBoundary(application, ChaosModule(wire=served.wire)), []
    scope = {"type": "http", "method": "GET", "path": ORDERS, "headers": [], "asgi": {"spec_version": spec}}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(boundary({**scope, **scope_more}, _receive, send))  # type: ignore[arg-type]
    return sent


async def stream(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
    for part in (b"one", b"two"):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body"})


def test_a_stream_stays_a_stream(clock: Clock) -> None:
    served = Served(clock)
    shouting(served)
    start, *parts = serve_asgi(served, stream)
    assert start["status"] == 203
    assert (b"x-own", b"1") in start["headers"]
    assert [part["body"] for part in parts] == [b"ONE", b"TWO", b"!", b""]
    assert [part["more_body"] for part in parts] == [True, True, True, False]


class Endless(Shouted):
    """Nothing follows the first part."""

    def part(self, data: bytes) -> Iterable[Piece]:
        self.is_over = True
        yield data


@pytest.mark.parametrize(("spec", "raises"), [("2.3", False), ("2.4", True)])
def test_after_the_end_of_a_changed_answer_nothing_is_sent_and_an_application_that_knows_of_it_is_told(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, *, spec: str, raises: bool
) -> None:
    monkeypatch.setattr(Shout, "make", Endless)
    told: list[bool] = []

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        try:
            await stream(_scope, _receive, send)
        except OSError:
            told.append(True)

    served = Served(clock)
    shouting(served)
    _, *parts = serve_asgi(served, application, spec)
    assert [(part["body"], part["more_body"]) for part in parts] == [(b"one", True), (b"!", True), (b"", False)]
    assert bool(told) is raises


def test_a_server_is_not_offered_to_read_the_body_itself(clock: Clock) -> None:
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["extensions"])
        await stream(scope, receive, send)

    served = Served(clock)
    shouting(served)
    serve_asgi(served, application, extensions={"http.response.pathsend": {}, "tls": {}})
    assert seen == [{"tls": {}}]
    untouched = {"extensions": {"tls": {}}}
    offer_nothing_past_us(untouched)
    assert untouched == {"extensions": {"tls": {}}}


# The end of the connection


class Cut(Shouted):
    def part(self, data: bytes) -> Iterable[Piece]:
        return (data, DISCONNECT, b"never")


def test_a_body_that_breaks_off_is_closed_and_counted(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shout, "make", Cut)
    sent = Body()

    def application(_environ: Any, start: Any) -> Body:
        start("200 OK", [])
        return sent

    host = Host(clock, application)
    body = host.serve()
    parts = iter(body)
    assert next(parts) == b"one"
    with pytest.raises(InjectedDisconnect):
        next(parts)
    body.close()
    assert sent.closed == 1
    assert host.served.wired.engine.slots.take()


def test_the_test_endpoint_says_what_would_become_of_an_answer_and_can_be_read(served: Served) -> None:
    run_id = shouting(served)
    answered = served.ask("GET", "/chaos_experiments/test")
    assert answered
    (shown,) = json.loads(answered.body)["resultset"]["injected"]
    assert (shown["run_id"], shown["fault"], answered.status) == (run_id, "shout", 200)
    served.wired.engine.recorder.flush()
    assert served.results.tallies[run_id].get("test.hit") == 1
    assert not served.results.tallies[run_id].get("shouted")


def test_what_an_application_does_after_its_answer_is_no_part_of_it(clock: Clock) -> None:
    """Background tasks of Starlette, for instance."""
    served = Served(clock)
    run_id = shouting(served)
    seen: list[object] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})
        served.wired.engine.recorder.flush()
        seen.append((len(served.wired.engine.slots._free), served.results.tallies[run_id].get("shouted")))

    async def send(message: Any) -> None: ...

    scope: Any = {"type": "http", "method": "GET", "path": ORDERS, "headers": []}
    asyncio.run(ASGIBoundary(application, ChaosModule(wire=served.wire))(scope, _receive, send))
    assert seen == [(1000, 1)]


class Lasting(Shouted):
    def part(self, data: bytes) -> Iterable[Piece]:
        yield from super().part(data)
        yield Sleep(20.0)


def test_a_request_that_is_cancelled_in_the_middle_of_a_pause_is_over(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shout, "make", Lasting)
    served = Served(clock)
    run_id = shouting(served)
    boundary = ASGIBoundary(stream, ChaosModule(wire=served.wire))
    scope: Any = {"type": "http", "method": "GET", "path": ORDERS, "headers": []}

    async def hang_up() -> None:
        got_body = asyncio.Event()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                got_body.set()

        async def serve() -> None:
            await boundary.serve(scope, _receive, send)

        serving = asyncio.create_task(serve())
        await got_body.wait()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving

    asyncio.run(hang_up())
    served.wired.engine.recorder.flush()
    assert served.results.tallies[run_id].get("shouted") == 1
    assert sum(served.wired.engine.slots.take() for _ in range(1001)) == 1000


def test_the_control_plane_is_never_changed(served: Served) -> None:
    shouting(served)
    answered = served.ask("GET", "/chaos_experiments/list")
    assert answered
    assert "x-loud" not in answered.headers
    assert json.loads(answered.body)["error"] is True  # it asks for a token
