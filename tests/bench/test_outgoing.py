"""What one outgoing call pays. Read the minima side by side, per hook point: 3 microseconds is the most."""

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial, wraps
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from urllib3.connectionpool import HTTPConnectionPool

from chalicelib.bootstrap import Chaos, bootstrap
from chalicelib.injection.call import OutgoingCall
from chalicelib.injection.current import CURRENT
from chalicelib.injection.drivers import SyncInjection
from chalicelib.injection.engine import InjectionResult
from chalicelib.outgoing import installation
from chalicelib.outgoing.installation import INSTALLATION, Patch
from chalicelib.outgoing.passing import is_to_be_asked, send
from chalicelib.settings import Settings
from tests.injection.support import FakeCall
from tests.support import FakeBudgetStore, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

FAULTS = frozenset({"latency"})


class Client:
    """Of a library that does nothing."""

    def call(self, host: str, path: str, timeout: float) -> int:
        return 200


def _patched(original: Callable[..., int]) -> Callable[..., int]:
    @wraps(original)
    def call(self: Client, host: str, path: str, timeout: float) -> int:
        proceed = partial(original, self, host, path, timeout)
        if not is_to_be_asked():
            return proceed()
        outgoing = OutgoingCall("client", FAULTS, host=host, port=443, timeout_seconds=timeout)
        outgoing.path = path
        return send(outgoing, proceed, lambda _failure, _proceed: 500, int)

    return call


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    library: Any = ModuleType("library_of_a_benchmark")
    file: Any = SimpleNamespace(patches=lambda: iter([Patch(Client, "call", _patched)]))
    monkeypatch.setitem(sys.modules, "library_of_a_benchmark", library)
    monkeypatch.setitem(sys.modules, "chalicelib.outgoing.of_a_benchmark", file)
    libraries = {**installation.LIBRARIES, "library_of_a_benchmark": "of_a_benchmark"}
    monkeypatch.setattr(INSTALLATION, "_libraries", libraries)


@contextmanager
def running(dependency: str | None, *, serves_a_request: bool = True) -> Iterator[None]:
    """A run about the dependency is active; without one nothing is."""
    parameters = {"dependency": dependency, "fault": "timeout", "duration_seconds": 3600.0}
    runs = [] if dependency is None else [a_run("dependency_failure", now=time.time(), **parameters)]
    store = FakeRunStore({run.label: run for run in runs})
    chaos: Chaos = bootstrap(
        Settings(stage="bench", refresh_seconds=3600.0, max_staleness_seconds=3600.0),
        runs=store,
        results=FakeResultStore(),
        tokens=FakeTokenStore(),
        budgets=FakeBudgetStore(),
        schedule=lambda _seconds, _call: None,
    )
    chaos.engine.snapshot.get_fresh()
    assert bool(INSTALLATION.gates) is bool(runs)
    token = None
    if runs and serves_a_request:
        result = chaos.engine.arrive_now(FakeCall("/orders"))
        assert isinstance(result, InjectionResult)
        token = CURRENT.set((SyncInjection(chaos.engine), result))
    try:
        yield
    finally:
        if token:
            CURRENT.reset(token)
        store.runs.clear()
        chaos.engine.snapshot.get_fresh()
        assert not INSTALLATION.gates


CASES = [
    pytest.param(None, id="1 nothing running"),
    pytest.param("other.example", id="2 a run about another host"),
    pytest.param("https://other.example/v1/*", id="3 about another address"),
    pytest.param("dynamodb:PutItem", id="4 about an AWS service"),
]


@pytest.mark.parametrize("dependency", CASES)
def test_a_library_that_does_nothing(benchmark: BenchmarkFixture, dependency: str | None) -> None:
    client = Client()
    with running(dependency):
        benchmark.pedantic(
            lambda: client.call("payments.example", "/v1/charges", 3.0), rounds=2000, iterations=100, warmup_rounds=100
        )


class Pool(HTTPConnectionPool):
    """Its hook point does nothing."""


def _nothing(*_: Any, **__: Any) -> Any:
    return SimpleNamespace(status=200)


@pytest.mark.parametrize("dependency", CASES)
def test_urllib3(benchmark: BenchmarkFixture, dependency: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = HTTPConnectionPool("payments.example", 80)
    monkeypatch.setattr(HTTPConnectionPool, "_make_request", _nothing)
    with running(dependency):
        benchmark.pedantic(
            lambda: pool._make_request(None, "GET", "/v1/charges?key=1", timeout=3.0, headers={"accept": "*/*"}),  # type: ignore[arg-type]
            rounds=2000,
            iterations=100,
            warmup_rounds=100,
        )


def _measure(benchmark: BenchmarkFixture, call: Callable[[], Any]) -> None:
    benchmark.pedantic(call, rounds=2000, iterations=100, warmup_rounds=100)


@pytest.mark.parametrize("dependency", CASES)
def test_a_socket_connects(
    benchmark: BenchmarkFixture, dependency: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", _nothing)
    with socket.socket() as connection, running(dependency):
        _measure(benchmark, lambda: connection.connect(("10.0.0.1", 5432)))


@pytest.mark.parametrize("dependency", CASES)
def test_a_name_is_looked_up(
    benchmark: BenchmarkFixture, dependency: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 5432))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found)
    with running(dependency):
        _measure(benchmark, lambda: socket.getaddrinfo("db.example", 5432))


@pytest.mark.parametrize("dependency", CASES)
def test_a_loop_connects(benchmark: BenchmarkFixture, dependency: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", _nothing_on_loop)
    with closing(asyncio.new_event_loop()) as loop, running(dependency):
        _measure(benchmark, lambda: _ended(loop.create_connection(asyncio.Protocol, "db.example", 5432)))


@pytest.mark.parametrize("dependency", CASES)
def test_redis(benchmark: BenchmarkFixture, dependency: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    redis = pytest.importorskip("redis")
    monkeypatch.setattr(redis.Redis, "_send_command_parse_response", _nothing)
    client, connection = redis.Redis(), redis.Connection(host="cache.example", port=6379)
    with running(dependency):
        _measure(benchmark, lambda: client._send_command_parse_response(connection, "GET", "GET", "key"))


@pytest.mark.parametrize("dependency", CASES)
def test_aiohttp(benchmark: BenchmarkFixture, dependency: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a request pays in front of its attempts, and for one of them."""
    aiohttp = pytest.importorskip("aiohttp")

    async def prepared() -> tuple[Any, Any]:
        loop = asyncio.get_running_loop()
        return aiohttp.ClientSession(), aiohttp.ClientRequest("GET", URL("http://payments.example/v1"), loop=loop)

    async def requested(_session: Any, *_: Any, middlewares: Any = (), **__: Any) -> Any:
        return await (middlewares[0](request, _nothing_on_loop) if middlewares else _nothing_on_loop())

    URL = pytest.importorskip("yarl").URL  # noqa: N806 - as it is called
    monkeypatch.setattr(aiohttp.ClientSession, "_request", requested)
    with closing(asyncio.new_event_loop()) as loop, running(dependency):
        session, request = loop.run_until_complete(prepared())
        _measure(benchmark, lambda: _ended(session._request("GET", "http://payments.example/v1")))
        loop.run_until_complete(session.close())


async def _nothing_on_loop(*_: Any, **__: Any) -> Any:
    return SimpleNamespace(status=200)


def _ended(coroutine: Coroutine[Any, Any, Any]) -> None:
    """One that waits for nothing is over at once."""
    with suppress(StopIteration):
        coroutine.send(None)
