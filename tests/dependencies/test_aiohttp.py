"""aiohttp, on loops of asyncio and uvloop: every fault, on new connections and on pooled ones."""

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import Any, ClassVar

import pytest

aiohttp = pytest.importorskip("aiohttp")

from tests.dependencies import servers  # noqa: E402
from tests.dependencies.harness import failing  # noqa: E402 - where it is installed
from tests.dependencies.http_server import BODY, Server  # noqa: E402
from tests.dependencies.over_http import ALL, LONG, MADE, PATIENCE, Answer, meets, opened  # noqa: E402

LOOPS = ("asyncio", "uvloop")


class Client:
    """A session on a loop of its own. It sends what aiohttp does not repeat by itself."""

    errors: ClassVar[Mapping[str, type[Exception]]] = {
        "timeout": aiohttp.SocketTimeoutError,
        "refused": aiohttp.ClientConnectorError,
        "reset": aiohttp.ClientOSError,
        "dns": aiohttp.ClientConnectorDNSError,
        "tls": aiohttp.ClientConnectorCertificateError,
        "lost_reply": aiohttp.ServerDisconnectedError,
    }

    def __init__(self, loop: str, server: Server, **options: Any) -> None:
        self._runner = asyncio.Runner(loop_factory=_factory(loop))
        self._server = server
        options = {"timeout": aiohttp.ClientTimeout(sock_read=LONG), **options}
        self.session = self.run(self._opened(options))

    async def _opened(self, options: Any) -> Any:
        trusted = ssl.create_default_context(cafile=self._server.authority) if self._server.authority else True
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted), **options)

    def run(self, coroutine: Any) -> Any:
        return self._runner.run(coroutine, context=copy_context())

    def call(self, method: str = "POST", path: str = "/orders", *, read: float | None = None, **options: Any) -> Answer:
        if read is not None:
            options["timeout"] = aiohttp.ClientTimeout(sock_read=read)

        async def called() -> Answer:
            async with self.session.request(method, self._server.address + path, **options) as response:
                return Answer(response.status, response.headers, await response.read())

        return self.run(called())

    def close(self) -> None:
        self.run(self.session.close())
        self._runner.close()


def _factory(loop: str) -> Any:
    return None if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop


Open = Callable[..., Client]


@pytest.fixture(params=LOOPS)
def open_client(request: pytest.FixtureRequest) -> Open:
    return lambda server, **options: Client(request.param, server, **options)


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("fault", ALL)
def test_a_client_meets_a_fault(fault: str, made: str, open_client: Open, server_of: Callable[[str], Server]) -> None:
    meets(open_client, server_of(fault), fault, made)


def test_a_call_without_tls_cannot_meet_a_bad_certificate(open_client: Open, server: Server) -> None:
    with failing(server.host, "tls", scope_of_calls="requests") as chaos, chaos.request() as result:
        with opened(open_client, server) as client:
            assert client.call().body == BODY
        assert "unreached" in [note for _, note in result.notes]


@pytest.mark.parametrize("fault", ["reset", "lost_reply"])
def test_what_aiohttp_repeats_by_itself_is_repeated_once(fault: str, open_client: Open, server: Server) -> None:
    reached = fault == "lost_reply"
    with opened(open_client, server) as client, failing(server.host, fault, options={"first": {"requests": 3}}):
        with pytest.raises(client.errors[fault]):
            client.call("GET")
        assert len(server.requests) == 2 * reached
        assert client.call("GET").body == BODY
        assert len(server.requests) == 3 * reached + 1


@pytest.mark.parametrize("fault", ["refused", "dns", "timeout"])
def test_what_is_not_repeated_is_one_call(fault: str, open_client: Open, server: Server) -> None:
    with opened(open_client, server) as client, failing(server.host, fault, options={"first": {"requests": 1}}):
        with pytest.raises(client.errors[fault]):
            client.call("GET", read=PATIENCE)
        assert client.call("GET").body == BODY


def test_each_hop_of_a_redirect_is_a_call(open_client: Open, server: Server) -> None:
    with failing(f"{server.address}/orders", "error"), opened(open_client, server) as client:
        assert client.call("GET", "/moved").status == 503
        assert server.requests == ["GET /moved"]


def test_the_limit_of_the_whole_request_holds_for_all_that_a_fault_does(open_client: Open, server: Server) -> None:
    limits = {"timeout": aiohttp.ClientTimeout(total=PATIENCE)}
    for fault, more in (
        ("timeout", {}),
        ("latency", {"delay_seconds": 5.0}),
        ("slow", {"bytes_per_second": 10.0}),
    ):
        with failing(server.host, fault, **more), opened(lambda at: open_client(at, **limits), server) as client:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                client.call()
            assert 0.9 * PATIENCE <= time.monotonic() - began < 5


def test_who_is_cancelled_while_a_call_is_delayed_is_cancelled(open_client: Open, server: Server) -> None:
    async def cancelled(session: Any) -> None:
        async with asyncio.timeout(0.05):
            await session.get(server.address)

    with opened(open_client, server) as client, failing(server.host, "latency", delay_seconds=5.0):
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            client.run(cancelled(client.session))
        assert time.monotonic() - began < 4
    assert server.requests == []


def test_a_slow_answer_can_be_read_in_every_way_and_be_left(open_client: Open, server: Server) -> None:
    async def read(session: Any) -> list[Any]:
        read = []
        async with session.get(server.address + "/chunked") as response:
            read.append(b"".join([each async for each in response.content.iter_any()]))
        async with session.get(server.address) as response:
            read.append(b"".join([each async for each in response.content.iter_chunked(7)]))
        async with session.get(server.address) as response:
            read.append(json.dumps(await response.json()).encode())
        async with session.head(server.address) as response:
            read.append(await response.read())
        async with session.get(server.address) as response:
            await response.content.readexactly(1)
        return read

    with failing(server.host, "slow", bytes_per_second=2000.0), opened(open_client, server) as client:
        assert client.run(read(client.session)) == [BODY, BODY, BODY, b""]
        assert client.call().body == BODY


def test_an_answer_so_slow_that_not_a_byte_comes_in_time_is_a_time_out(open_client: Open, server: Server) -> None:
    with (
        opened(open_client, server) as client,
        failing(server.host, "slow", bytes_per_second=2.0),
        pytest.raises(aiohttp.SocketTimeoutError),
    ):
        client.call(read=PATIENCE)


@pytest.mark.parametrize("fault", ["error", "garbage", "reset", "refused", "lost_reply", "slow"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_connection_is_lost_to_faults(fault: str, method: str, open_client: Open, server: Server) -> None:
    async def session(client: Client) -> Any:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))

    with opened(open_client, server) as client:
        client.run(client.session.close())
        client.session = client.run(session(client))
        with failing(server.host, fault, **({"bytes_per_second": 1e9} if fault == "slow" else {})):
            for _ in range(20):
                try:
                    client.call(method, data=b"x" * 100_000 if method == "GET" else None)
                except client.errors.get(fault, ZeroDivisionError):
                    pass
        assert client.call().body == BODY


def test_middlewares_of_the_application_are_in_front(open_client: Open, server: Server) -> None:
    async def repeat(request: Any, handler: Any) -> Any:
        response = await handler(request)
        if response.status == 503:
            response = await handler(request)
        return response

    for where in ("session", "request"):
        options = {"middlewares": (repeat,)}
        of_session, of_request = (options, {}) if where == "session" else ({}, options)
        once = failing(server.host, "error", options={"max_requests": 1})
        with opened(lambda at, more=of_session: open_client(at, **more), server) as client, once:
            assert client.call(**of_request).body == BODY


def test_a_web_socket_is_refused_as_its_server_would(open_client: Open, server: Server) -> None:
    with (
        failing(f"{server.address}/*", "error"),
        opened(open_client, server) as client,
        pytest.raises(aiohttp.WSServerHandshakeError, match="503"),
    ):
        client.run(client.session.ws_connect(server.address.replace("http", "ws")).__aenter__())


def test_its_look_up_and_its_connection_are_no_calls_of_their_own(open_client: Open, server: Server) -> None:
    port = server.server_port
    delayed = failing(f"localhost:{port}", "latency", delay_seconds=0.01, scope_of_calls="requests")
    with opened(open_client, server) as client, delayed as chaos, chaos.request() as result:
        server.address = f"http://localhost:{port}"
        assert client.call().body == BODY
        assert [(passage.call.client, passage.status) for passage in result.passages] == [("aiohttp", 200)]


@pytest.mark.parametrize(("fault", "reached"), [("lost_reply", 1), ("slow", 1), ("error", 0), ("reset", 0)])
def test_apaches_httpd_sees_what_is_sent(fault: str, reached: int, open_client: Open, server: Server) -> None:
    """With one connection for all."""
    with servers.httpd() as httpd, opened(open_client, server) as client:
        server.address = f"http://{httpd.address}"
        assert client.call(path="/page").status == 200
        with failing(f"http://{httpd.address}/page", fault):
            try:
                client.call(path="/page")
            except client.errors.get(fault, ZeroDivisionError):
                assert fault in client.errors
        assert client.call(path="/page").status == 200
        assert httpd.seen(2 + reached) == 2 + reached


def test_classes_are_as_before() -> None:
    owners = [aiohttp.ClientSession, aiohttp.BaseConnector]
    before = [dict(vars(owner)) for owner in owners]
    with failing("localhost", "refused"):
        assert [dict(vars(owner)) != was for owner, was in zip(owners, before, strict=True)] == [True] * 2
    assert [dict(vars(owner)) for owner in owners] == before
