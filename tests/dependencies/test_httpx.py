"""httpx and httpx2, on a thread, on asyncio and on trio."""

import asyncio
import importlib
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from chalicelib.outgoing import httpcore as patched
from tests.dependencies.harness import failing
from tests.dependencies.http_server import BODY, Server, tunnelling
from tests.dependencies.over_http import ALL, LONG, MADE, PATIENCE, Answer, meets, opened


def errors_of(library: Any) -> Mapping[str, type[Exception]]:
    return {
        "timeout": library.ReadTimeout,
        "refused": library.ConnectError,
        "reset": library.ReadError,
        "dns": library.ConnectError,
        "tls": library.ConnectError,
        "lost_reply": library.RemoteProtocolError,
    }


def _verified(library: Any, server: Server) -> Any:
    import ssl  # noqa: PLC0415

    return ssl.create_default_context(cafile=str(server.authority)) if server.authority else True


class OnThread:
    """A client, as `over_http` uses them."""

    def __init__(self, name: str, server: Server, **options: Any) -> None:
        self.library = library = importlib.import_module(name)
        self.errors = errors_of(library)
        transport = library.HTTPTransport(verify=_verified(library, server), **options)
        self.client = library.Client(base_url=server.address, transport=transport, trust_env=False)

    def call(self, method: str = "GET", path: str = "/orders", *, read: float = LONG, **options: Any) -> Answer:
        response = self.client.request(method, path, timeout=self.library.Timeout(LONG, read=read), **options)
        return Answer(response.status_code, response.headers, response.content)

    def close(self) -> None:
        self.client.close()


class OnLoop:
    """As `OnThread`, on an event loop."""

    def __init__(self, name: str, server: Server, backend: str = "asyncio", **options: Any) -> None:
        self.library = library = importlib.import_module(name)
        self.errors = errors_of(library)
        transport = library.AsyncHTTPTransport(verify=_verified(library, server), **options)
        self.client = library.AsyncClient(base_url=server.address, transport=transport, trust_env=False)
        self._entered = start_blocking_portal(backend)
        self.portal = self._entered.__enter__()

    def call(self, method: str = "GET", path: str = "/orders", *, read: float = LONG, **options: Any) -> Answer:
        timeout = self.library.Timeout(LONG, read=read)

        async def call() -> Answer:
            response = await self.client.request(method, path, timeout=timeout, **options)
            return Answer(response.status_code, response.headers, response.content)

        return self.portal.call(call)

    def close(self) -> None:
        self.portal.call(self.client.aclose)
        self._entered.__exit__(None, None, None)


Opener = Callable[..., Any]
KINDS: Mapping[str, Opener] = {
    "thread": OnThread,
    "asyncio": OnLoop,
    "trio": lambda name, server, **options: OnLoop(name, server, "trio", **options),
}


NAMES = ("httpx", "httpx2")


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return str(request.param)


@pytest.fixture(params=[f"{name} {kind}" for name in NAMES for kind in KINDS])
def open_client(request: pytest.FixtureRequest) -> Opener:
    name, kind = request.param.split()
    pytest.importorskip(name)
    return lambda server, **options: KINDS[kind](name, server, **options)


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("fault", ALL)
def test_each_fault(fault: str, made: str, open_client: Opener, server_of: Any) -> None:
    meets(open_client, server_of(fault), fault, made)


def test_nothing_is_left(name: str) -> None:
    core = importlib.import_module(name.replace("httpx", "httpcore"))
    pools = core.ConnectionPool, core.AsyncConnectionPool
    before = [dict(vars(pool)) for pool in pools]
    with failing("elsewhere.example", "refused"):
        assert all("handle" in str(vars(pool)) for pool in pools)
        assert [dict(vars(pool)) for pool in pools] != before
    assert [dict(vars(pool)) for pool in pools] == before


@pytest.mark.parametrize("fault", ["refused", "dns"])
def test_a_transport_that_connects_again_does_so(
    fault: str, open_client: Opener, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patched, "BACKOFF_SECONDS", 0.05)
    with opened(lambda server: open_client(server, retries=2), server) as client:
        with failing(server.host, fault, options={"first": {"requests": 2}}):
            assert client.call().body == BODY
        began = time.monotonic()
        with failing(server.host, fault, options={"first": {"requests": 3}}):
            with pytest.raises(client.errors[fault]):
                client.call()
            assert time.monotonic() - began >= 0.05
            assert client.call().body == BODY


@pytest.mark.parametrize("fault", ["reset", "error", "timeout"])
def test_what_is_not_about_connecting_is_not_repeated(fault: str, open_client: Opener, server: Server) -> None:
    with (
        opened(lambda server: open_client(server, retries=2), server) as client,
        failing(server.host, fault, options={"first": {"requests": 1}}),
    ):
        try:
            assert client.call(read=PATIENCE).status == 503
        except (client.errors["reset"], client.errors["timeout"]):
            assert fault != "error"
        assert server.requests == []


def test_a_write_whose_reply_is_lost_was_made(open_client: Opener, server: Server) -> None:
    with opened(open_client, server) as client, failing(server.host, "lost_reply"):
        with pytest.raises(client.errors["lost_reply"], match="Server disconnected without sending a response"):
            client.call("POST", content=b"order 1")
        assert (server.requests, server.bodies) == (["POST /orders"], [b"order 1"])


def test_the_whole_answer_is_read_before_it_is_lost(open_client: Opener, server: Server) -> None:
    with opened(open_client, server) as client, failing(server.host, "lost_reply"):
        with pytest.raises(client.errors["lost_reply"]):
            client.call(path="/big")
        assert server.sent_big.wait(5)


def test_each_hop_of_a_redirect_is_a_call(open_client: Opener, server: Server) -> None:
    with opened(open_client, server) as client, failing(f"{server.address}/orders", "error"):
        assert client.call(path="/moved", follow_redirects=True).status == 503
    assert server.requests == ["GET /moved"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("fault", ["error", "reset", "refused", "lost_reply", "slow"])
def test_no_connection_is_lost_to_faults(fault: str, method: str, open_client: Opener, server: Server) -> None:
    limits = pytest.importorskip("httpx").Limits(max_connections=1)
    times = 20 if fault in {"lost_reply", "slow"} else 200
    with opened(lambda server: open_client(server, limits=limits), server) as client:
        with failing(server.host, fault, **({"bytes_per_second": 1e9} if fault == "slow" else {})):
            for _ in range(times):
                try:
                    client.call(method)
                except tuple(client.errors.values()):
                    continue
        assert client.call().body == BODY
    assert server.connections <= 1 or fault == "reset"


def test_an_answer_is_whole(open_client: Opener, server: Server) -> None:
    with opened(open_client, server) as client, failing(server.host, "error", body="Sorry", status_code=599):
        assert client.call().body == b"Sorry"
        head = client.call("HEAD")
        assert (head.status, head.body, head.headers["Content-Length"]) == (599, b"", "5")


def test_no_tls_no_fault_of_tls(open_client: Opener, server: Server) -> None:
    with opened(open_client, server) as client, failing(server.host, "tls"):
        assert client.call().body == BODY


def test_a_time_out_shorter_than_the_delay_is_the_clients_own(open_client: Opener, server: Server) -> None:
    with opened(open_client, server) as client, failing(server.host, "latency", delay_seconds=5.0):
        began = time.monotonic()
        with pytest.raises(client.errors["timeout"]):
            client.call(read=PATIENCE)
        assert time.monotonic() - began < 4


HTTPCORES_OWN = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <async_generator.*:pytest.PytestUnraisableExceptionWarning"
)
"""Where reading an answer ends early on trio, httpcore 1 leaves its generators to the garbage collector."""


@HTTPCORES_OWN
@pytest.mark.parametrize("path", ["/orders", "/chunked"])
def test_a_slow_answer_that_is_read_too_slowly_for_its_client(path: str, open_client: Opener, server: Server) -> None:
    with opened(open_client, server) as client:
        with failing(server.host, "slow", bytes_per_second=1.0), pytest.raises(client.errors["timeout"]):
            client.call(path=path, read=PATIENCE)
        assert client.call(path=path).body == BODY


def test_behind_a_proxy_the_dependency_is_the_target(open_client: Opener, server: Server) -> None:
    with opened(lambda server: open_client(server, proxy=server.address), server) as client:
        with failing("http://payments.example/v1/*", "throttle"):
            assert client.call(path="http://payments.example/v1/pay?x=1").status == 429
        with failing(server.host, "throttle"):
            assert client.call(path="http://payments.example/v1/pay").status == 200
    assert server.requests == ["GET http://payments.example/v1/pay"]


def test_through_a_tunnel_the_target_fails(open_client: Opener, secure_server: Server) -> None:
    with tunnelling() as proxy, opened(lambda server: open_client(server, proxy=proxy), secure_server) as client:
        for _ in ("on a new connection", "on a pooled one"):
            with failing(f"{secure_server.address}/*", "tls"), pytest.raises(client.errors["tls"]):
                client.call()
            assert client.call().body == BODY


# Cancellation


@pytest.mark.parametrize("fault", ["latency", "timeout", "slow"])
def test_a_deadline_of_asyncio_ends_a_delay_at_once(fault: str, name: str, server: Server) -> None:
    library = importlib.import_module(name)

    async def call() -> None:
        limits = library.Limits(max_connections=1)
        async with library.AsyncClient(timeout=None, limits=limits, trust_env=False) as client:
            parameters = {"bytes_per_second": 1.0} if fault == "slow" else {}
            with failing(server.host, fault, **parameters), pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.get(server.address)
            assert (await client.get(server.address)).content == BODY

    began = time.monotonic()
    asyncio.run(call())
    assert time.monotonic() - began < 2


@HTTPCORES_OWN
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("fault", ["latency", "timeout", "slow"])
def test_a_cancel_scope_of_anyio_ends_a_delay_at_once(fault: str, backend: str, name: str, server: Server) -> None:
    library = importlib.import_module(name)

    async def call() -> None:
        limits = library.Limits(max_connections=1)
        async with library.AsyncClient(timeout=None, limits=limits, trust_env=False) as client:
            with failing(server.host, fault, **({"bytes_per_second": 1.0} if fault == "slow" else {})):
                with anyio.move_on_after(0.1) as scope:
                    await client.get(server.address)
                assert scope.cancelled_caught
            assert (await client.get(server.address)).content == BODY

    began = time.monotonic()
    anyio.run(call, backend=backend)
    assert time.monotonic() - began < 2


# Streams


def test_a_stream_trickles(name: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    library = importlib.import_module(name)
    slept: list[float] = []
    monkeypatch.setattr("chalicelib.time_limits.sleep", slept.append)
    with (
        library.Client(trust_env=False) as client,
        failing(server.host, "slow", bytes_per_second=100.0) as chaos,
        client.stream("GET", server.address) as response,
    ):
        parts = response.iter_bytes()
        assert next(parts) == BODY[:10]
        assert sum(slept) == pytest.approx(0.1)
        chaos.stop()
        assert BODY[:10] + b"".join(parts) == BODY
        assert sum(slept) == pytest.approx(0.1)
    assert response.elapsed.total_seconds() < 1


def test_a_stream_trickles_on_a_loop_and_others_go_on(name: str, server: Server) -> None:
    library = importlib.import_module(name)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.005)

    async def call() -> list[bytes]:
        counting = asyncio.create_task(count())
        async with library.AsyncClient(trust_env=False) as client, client.stream("GET", server.address) as response:
            parts = [part async for part in response.aiter_bytes()]
        counting.cancel()
        return parts

    with failing(server.host, "slow", bytes_per_second=500.0):
        parts = asyncio.run(call())
    assert b"".join(parts) == BODY
    assert len(parts) == 3
    assert turns > 10


# What a call is


def _attempt(name: str, *args: Any, **options: Any) -> Any:
    core = importlib.import_module(name.replace("httpx", "httpcore"))
    return patched._Attempt(core, print, None, core.Request(*args, **options))


def test_how_a_call_is_described(name: str) -> None:
    timeout = {"connect": 1, "read": 2, "write": 3, "pool": 4}
    call = _attempt(name, "POST", "https://[::1]/v1/a?b=c", extensions={"timeout": timeout}).described("httpx")
    assert (call.client, call.name, call.scheme, call.path) == ("httpx", "::1:443", "https", "/v1/a")
    assert (call.method, call.timeout_seconds, call.is_repeatable) == ("POST", 2, False)
    call = _attempt(name, "POST", "http://A.example:81", headers={"Idempotency-Key": "1"}).described("httpx")
    assert (call.name, call.timeout_seconds, call.is_repeatable) == ("a.example:81", math.inf, True)
    assert "tls" not in call.faults


def test_headers_are_set_on_what_is_sent_only(name: str) -> None:
    attempt = _attempt(name, "GET", "http://a.example", headers={"Baggage": "a=1", "X": "y"})
    original = attempt._request
    call = attempt.described("httpx")
    assert (call.get_header("baggage"), call.get_header("other")) == ("a=1", None)
    call.set_header("baggage", "b=2")
    assert attempt._request.headers == [(b"X", b"y"), (b"baggage", b"b=2")]
    assert original.headers == [(b"Baggage", b"a=1"), (b"X", b"y")]
