"""A deadline that the host enforces passes through an injected delay at once, as the host's own exception."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio
import fastapi
import flask
import gevent
import httpx2
import pytest

from chalicelib import time_limits
from chalicelib.bootstrap import Chaos, bootstrap
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.effects.memory import Memory
from chalicelib.frameworks import fastapi as in_fastapi
from chalicelib.frameworks import flask as in_flask
from chalicelib.settings import Settings
from tests.contract.servers import PROJECT
from tests.resilience.test_time_limits import Silent
from tests.support import FakeResultStore, FakeRunStore, FakeTokenStore, a_run

DELAY_SECONDS = 20.0
DEADLINE_SECONDS = 1.0
AT_ONCE_SECONDS = 10.0
"""Much less than the delay, on the busiest machine."""


class HostTimeout(Exception):
    """What a host raises in a signal handler, as many do."""


class Application:
    """Flask on fakes, with a run that delays each request by 20 s of real time."""

    def __init__(self, sleep: Callable[[float], None] = time_limits.sleep) -> None:
        self.runs, self.results = FakeRunStore(), FakeResultStore()
        run = a_run(now=time.time(), delay_seconds=DELAY_SECONDS, duration_seconds=600.0)
        self.run = self.runs.runs["latency_injection"] = run
        self.sleep = sleep
        self.chaos: Chaos
        self.flask = flask.Flask("orders")
        self.flask.route("/orders")(lambda: "all")

    def surround(self) -> flask.Flask:
        in_flask.ChaosExperiments(self.flask, wire=self.wire)
        return self.flask

    def wire(self, **options: Any) -> Chaos:
        self.chaos = bootstrap(
            Settings(stage="qa"),
            runs=self.runs,
            results=self.results,
            tokens=FakeTokenStore(),
            sleep=self.sleep,
            chance=lambda: 0.0,
            schedule=lambda _seconds, _call: None,
            **options,
        )
        return self.chaos

    def check_that_nothing_is_left(self) -> None:
        """The slot is free again, nobody reads the table, and the request is counted as the failure that it became."""
        engine = self.chaos.engine
        assert len(engine.slots._free) == self.chaos.settings.max_active_faults
        assert not engine.snapshot._reading.locked()
        engine.recorder.flush()
        counts = self.results.tallies[self.run.run_id].side_counts("hit", self.run, self.chaos.clock())
        assert (counts.requests, counts.errors, counts.open) == (1, 1, 0)


@contextmanager
def deadline(error: BaseException) -> Iterator[None]:
    """A signal whose handler raises, after a second."""

    def raise_it(*_: object) -> None:
        raise error

    before = signal.signal(signal.SIGUSR1, raise_it)
    timer = threading.Timer(DEADLINE_SECONDS, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGUSR1, before)


@contextmanager
def at_once() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < AT_ONCE_SECONDS


@pytest.mark.parametrize(
    "error", [HostTimeout(), TimeoutError(), SystemExit(1)], ids=lambda error: type(error).__name__
)
def test_a_signal_ends_the_delay_and_the_host_sees_its_own_exception(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    application = Application()
    app = application.surround()
    app.testing = True  # as a server that lets exceptions pass
    with at_once(), pytest.raises(type(error)) as raised, deadline(error):
        app.test_client().get("/orders")
    assert raised.value is error
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    application.check_that_nothing_is_left()


def test_a_signal_in_the_modules_own_code_is_no_defect_of_it(caplog: pytest.LogCaptureFixture) -> None:
    application = Application()
    app = application.surround()
    app.testing = True
    application.runs.runs["latency_injection"] = a_run("resource_exhaustion", now=time.time(), duration_seconds=600.0)

    def fill(*_: object, **__: object) -> tuple[dict[str, Any], dict[str, int]]:
        until = time.monotonic() + DELAY_SECONDS
        while time.monotonic() < until:
            """Pages are written."""
        return {}, {}

    assert application.wire()
    application.chaos.engine.effect(Memory).hold = fill  # type: ignore[method-assign]
    app.wsgi_app._module._wire = lambda: application.chaos  # type: ignore[attr-defined]
    with at_once(), pytest.raises(HostTimeout), deadline(HostTimeout()):
        app.test_client().get("/orders")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("error", [HostTimeout(), ValueError("the host's own")], ids=lambda error: type(error).__name__)
def test_a_signal_while_the_module_is_wired_is_the_hosts_and_the_next_request_wires(error: Exception) -> None:
    application = Application()
    app = application.surround()
    app.testing = True
    wire = app.wsgi_app._module._wire  # type: ignore[attr-defined]

    def slowly(**_: Any) -> Chaos:
        until = time.monotonic() + DELAY_SECONDS
        while time.monotonic() < until:
            """Libraries are imported."""
        raise AssertionError

    app.wsgi_app._module._wire = slowly  # type: ignore[attr-defined]
    with at_once(), pytest.raises(type(error)) as raised, deadline(error):
        app.test_client().get("/orders")
    assert raised.value is error
    app.wsgi_app._module._wire = wire  # type: ignore[attr-defined]
    application.sleep = lambda _seconds: None
    assert "X-Chaos-Run" in app.test_client().get("/orders").headers


def test_an_error_handler_of_the_host_answers() -> None:
    app = Application().surround()
    app.register_error_handler(HostTimeout, lambda _error: ("too late", 504))
    with at_once(), deadline(HostTimeout()):
        answer = app.test_client().get("/orders")
    assert (answer.status_code, answer.text) == (504, "too late")


def test_a_signal_ends_the_wait_for_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    silent = Silent()
    settings = Settings(stage="qa", table="t", region="eu-west-1", endpoint_url=silent.url, table_timeout_seconds=5.0)
    app = flask.Flask("orders")
    app.route("/orders")(lambda: "all")
    app.testing = True
    wired: list[Chaos] = []

    def wire(**options: Any) -> Chaos:
        store = DynamoDBRunStore(settings)
        store._connection.client  # made now: the signal comes while the table is waited for  # noqa: B018
        wired.append(bootstrap(settings, runs=store, results=FakeResultStore(), tokens=FakeTokenStore(), **options))
        return wired[0]

    chaos = in_flask.ChaosExperiments(app, wire=wire)
    chaos._module.get()
    with at_once(), pytest.raises(HostTimeout), deadline(HostTimeout()):
        app.test_client().get("/orders")
    snapshot = wired[0].engine.snapshot
    assert (snapshot._reading.locked(), snapshot.is_unreachable) == (False, False)
    silent.close()


def test_a_greenlets_timeout_ends_the_delay() -> None:
    application = Application(gevent.sleep)
    app = application.surround()
    app.testing = True
    with at_once(), pytest.raises(gevent.Timeout), gevent.Timeout(DEADLINE_SECONDS):
        app.test_client().get("/orders")
    application.check_that_nothing_is_left()


def test_an_exception_with_which_a_greenlet_is_killed_reaches_it() -> None:
    app = Application(gevent.sleep).surround()
    app.testing = True
    seen: list[BaseException] = []

    def serve() -> None:
        try:
            app.test_client().get("/orders")
        except HostTimeout as error:
            seen.append(error)

    with at_once():
        greenlet = gevent.spawn(serve)
        gevent.sleep(DEADLINE_SECONDS)
        greenlet.kill(HostTimeout())
    assert len(seen) == 1


class Async:
    """FastAPI with the same run."""

    def __init__(self) -> None:
        self.application = Application()
        self.app = fastapi.FastAPI()
        self.app.add_api_route("/orders", lambda: "all")
        in_fastapi.ChaosExperiments(self.app, wire=self.application.wire)

    async def get(self) -> int:
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
            return (await client.get("/orders")).status_code


async def _by_wait_for(get: Callable[[], Any]) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(get(), DEADLINE_SECONDS)


async def _by_fail_after(get: Callable[[], Any]) -> None:
    with pytest.raises(TimeoutError), anyio.fail_after(DEADLINE_SECONDS):
        await get()


async def _by_move_on_after(get: Callable[[], Any]) -> None:
    with anyio.move_on_after(DEADLINE_SECONDS) as scope:
        await get()
    assert scope.cancelled_caught


async def _by_cancel(get: Callable[[], Any]) -> None:
    task = asyncio.create_task(get())
    await asyncio.sleep(DEADLINE_SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("deadline_of", [_by_wait_for, _by_fail_after, _by_move_on_after, _by_cancel])
def test_a_tasks_deadline_ends_the_delay(deadline_of: Callable[[Callable[[], Any]], Any]) -> None:
    made = Async()
    with at_once():
        asyncio.run(deadline_of(made.get))
    made.application.check_that_nothing_is_left()


def test_a_task_that_is_cancelled_while_it_reads_the_table_leaves_it_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Async()
    answers = threading.Event()
    made.application.runs.active = partial(_late, answers, made.application.runs.active)  # type: ignore[method-assign]

    async def both() -> None:
        await _by_wait_for(made.get)
        answers.set()
        made.application.run = made.application.runs.runs["latency_injection"] = a_run(
            now=time.time(), delay_seconds=0.0
        )
        await asyncio.sleep(DEADLINE_SECONDS)
        assert await made.get() == 200

    with at_once():
        asyncio.run(both())
    assert not made.application.chaos.engine.snapshot._reading.locked()


def _late(answers: threading.Event, active: Callable[[float], Any], now: float) -> Any:
    answers.wait(10)
    return active(now)


def test_a_sleep_that_is_replaced_after_the_module_was_wired_is_the_one_that_is_slept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    application = Application()
    app = application.surround()
    application.runs.runs.clear()
    assert app.test_client().get("/orders").status_code == 200  # wired
    application.runs.runs["latency_injection"] = application.run
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        application.runs.runs.clear()
        application.chaos.engine.snapshot.invalidate()

    monkeypatch.setattr(time, "sleep", sleep)  # as `monkey.patch_all()`
    application.chaos.engine.snapshot.invalidate()
    assert app.test_client().get("/orders").status_code == 200
    assert slept


LATE = """
import time
import gevent.monkey
from tests.resilience.test_host_deadlines import Application
from tests.support import a_run

application = Application()
app = application.surround()
application.runs.runs.clear()
app.test_client().get("/orders")  # wired
gevent.monkey.patch_all()
run = a_run(now=time.time(), delay_seconds=1.0, duration_seconds=600.0)
application.runs.runs["latency_injection"] = run
application.chaos.engine.snapshot.invalidate()
began = time.monotonic()
served = [gevent.spawn(app.test_client().get, "/orders") for _ in range(8)]
gevent.joinall(served)
assert all(run.run_id == each.value.headers["X-Chaos-Run"] for each in served)
print(time.monotonic() - began)
"""


def test_delays_do_not_block_the_greenlets_of_a_process_that_is_patched_late(tell: Callable[[str], None]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LATE],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    took = float(done.stdout)
    tell(f"8 requests at once, each delayed by 1 s: {took:.2f} s")
    assert took < 4  # 8 s one after the other
