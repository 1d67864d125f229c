"""urllib3: the attempts of its pools, below its retries."""

import json
import math
import socket
import time
from functools import partial
from typing import Any, ClassVar

import pytest
import requests
import urllib3
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import (
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from chalicelib.outgoing import urllib3 as patched
from tests.dependencies.harness import failing
from tests.dependencies.http_server import BODY, Server
from tests.dependencies.over_http import ALL, LONG, MADE, Answer, meets, opened

ADDRESS = "http://127.0.0.1:9"


class Pool:
    """A pool manager without retries, as `over_http` uses clients."""

    errors: ClassVar = {
        "timeout": ReadTimeoutError,
        "refused": NewConnectionError,
        "reset": ProtocolError,
        "dns": getattr(urllib3.exceptions, "NameResolutionError", NewConnectionError),
        "tls": SSLError,
        "lost_reply": ProtocolError,
    }

    def __init__(self, server: Server, **options: Any) -> None:
        self.address = server.address
        authority = {"ca_certs": str(server.authority)} if server.authority else {}
        self.manager = urllib3.PoolManager(**authority, **options)

    def call(self, method: str = "GET", path: str = "/orders", *, read: float = LONG, **options: Any) -> Answer:
        how = {"timeout": urllib3.Timeout(connect=LONG, read=read), "retries": False, **options}
        response = self.manager.request(method, self.address + path, **how)
        return Answer(response.status, response.headers, response.data)

    def close(self) -> None:
        self.manager.clear()


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("fault", ALL)
def test_each_fault(fault: str, made: str, server_of: Any) -> None:
    meets(Pool, server_of(fault), fault, made)


def test_a_call_fails_as_its_client_reports_it_and_nothing_is_left() -> None:
    before = dict(vars(HTTPConnectionPool))
    with failing("127.0.0.1:9", "refused"), pytest.raises(requests.ConnectionError, match="Connection refused"):
        requests.get(ADDRESS, timeout=1)
    assert dict(vars(HTTPConnectionPool)) == before


def test_a_request_is_hit_by_what_its_calls_met() -> None:
    with failing("127.0.0.1:9", "timeout", scope_of_calls="requests") as chaos, chaos.request() as result:
        with pytest.raises(requests.ReadTimeout):
            requests.get(ADDRESS, timeout=7)
        assert [(hit.kind, hit.applied.details["failure"]) for hit in result.hits] == [("dependency", "timeout")]
        assert sum(chaos.clock.slept) == 7


def test_retries_are_used_up_and_say_by_what(server: Server) -> None:
    with opened(Pool, server) as client, failing(server.host, "refused") as chaos:
        with pytest.raises(MaxRetryError) as raised:
            client.call(retries=urllib3.Retry(2, backoff_factor=0))
        assert isinstance(raised.value.reason, NewConnectionError)
        with chaos.request() as result, pytest.raises(MaxRetryError):
            client.call(retries=urllib3.Retry(2, backoff_factor=0))
        assert len(result.passages) == 3


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("fault", ["error", "garbage", "slow", "reset", "lost_reply"])
def test_a_pool_of_one_connection_gets_it_back(fault: str, preload: bool, server: Server) -> None:  # noqa: FBT001
    parameters = {"bytes_per_second": 1e9} if fault == "slow" else {}
    with opened(lambda server: Pool(server, maxsize=1, block=True), server) as client:
        with failing(server.host, fault, **parameters):
            for _ in range(20):
                try:
                    response = client.manager.request(
                        "GET", client.address, preload_content=preload, retries=False, pool_timeout=1
                    )
                except ProtocolError:
                    assert fault in Pool.errors
                else:
                    assert response.data
        assert client.call(pool_timeout=1).body == BODY


def test_an_unused_connection_stays_in_its_pool(server: Server) -> None:
    with opened(Pool, server) as client:
        client.call()
        with failing(server.host, "throttle"):
            assert client.call().status == 429
        client.call()
    assert server.connections == 1


def test_what_an_answer_is(server: Server) -> None:
    with opened(Pool, server) as client, failing(server.host, "error", body={"error": "busy"}, status_code=500):
        response = client.manager.request("GET", client.address, retries=False)
        assert isinstance(response, urllib3.HTTPResponse)
        assert (response.status, response.reason, response.version) == (500, "Internal Server Error", 11)
        assert json.loads(response.data) == {"error": "busy"}
        head = client.manager.request("HEAD", client.address, retries=False)
        assert (head.status, head.data, head.headers["Content-Length"]) == (500, b"", "17")


def test_a_connection_that_is_closed_while_its_call_is_delayed_is_made_anew(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(Pool, server) as client, failing(server.host, "latency", delay_seconds=1.0) as chaos:
        client.call(timeout=9)
        pool = client.manager.connection_from_url(client.address)
        connection = pool._get_conn()
        pool._put_conn(connection)
        hang_up = partial(connection.sock.shutdown, socket.SHUT_RD)
        monkeypatch.setattr(chaos.clock, "sleep", lambda _: hang_up())
        assert client.call(timeout=9).body == BODY
    assert server.connections == 2


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [
        (urllib3.Timeout(3), 3),
        (urllib3.Timeout(connect=1, read=2), 2),
        (urllib3.Timeout(total=4, read=9), 4),
        (urllib3.Timeout(total=4), 4),
        (urllib3.Timeout(total=4, read=None), 4),
        (urllib3.Timeout(connect=1, read=None), math.inf),
        (urllib3.Timeout(connect=1), math.inf),
        (None, math.inf),
        (2.5, 2.5),
    ],
)
def test_how_long_a_client_waits(timeout: Any, seconds: float) -> None:
    assert patched._seconds(timeout) == seconds


def test_the_default_of_sockets_is_how_long_a_client_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getdefaulttimeout", lambda: 6.0)
    assert patched._seconds(urllib3.Timeout(connect=1)) == 6.0
    assert patched._seconds(urllib3.Timeout(read=None)) == math.inf


def test_headers_are_set_on_what_is_sent_only(server: Server) -> None:
    headers = {"Baggage": "a=1"}
    attempt = None

    def send(call: Any, proceed: Any, *_: Any) -> Any:
        nonlocal attempt
        attempt = call
        assert call.get_header("baggage") == "a=1"
        call.set_header("baggage", "a=1,b=2")
        call.set_header("x-new", "c")
        return proceed()

    with pytest.MonkeyPatch.context() as monkeypatch, opened(Pool, server) as client, failing("elsewhere.x", "error"):
        monkeypatch.setattr(patched, "send", send)
        client.call(headers=headers)
    assert headers == {"Baggage": "a=1"}
    sent = {name.lower(): value for name, value in server.headers[0].items()}
    assert (sent["baggage"], sent["x-new"]) == ("a=1,b=2", "c")


@pytest.mark.parametrize(("method", "headers", "is_repeatable"), [
    ("GET", None, True),
    ("PUT", {}, True),
    ("POST", {"a": "b"}, False),
    ("POST", {"idempotency-key": "1"}, True),
    ("PATCH", {b"Idempotency-Key": b"1"}, True),
])  # fmt: skip
def test_what_may_be_repeated(method: str, headers: Any, is_repeatable: bool) -> None:  # noqa: FBT001
    pool = HTTPConnectionPool("[::1]", 8080)
    attempt = patched._Attempt(print, pool, None, method, "/a?b=c", options={"headers": headers})  # type: ignore[arg-type]
    call = attempt.described()
    assert (call.name, call.path, call.is_repeatable) == ("::1:8080", "/a", is_repeatable)


def test_through_a_tunnel_the_dependency_is_the_target() -> None:
    with failing("https://payments.example/*", "error"), urllib3.ProxyManager(ADDRESS) as manager:
        pool = manager.connection_from_url("https://payments.example")
        call = patched._Attempt(print, pool, None, "GET", "/pay", options={}).described()  # type: ignore[arg-type]
        assert (call.scheme, call.host, call.port) == ("https", "payments.example", 443)


def test_a_slow_answer_takes_its_time(server: Server) -> None:
    with opened(Pool, server) as client, failing(server.host, "slow", bytes_per_second=2000.0):
        began = time.monotonic()
        response = client.manager.request("GET", client.address, preload_content=False)
        assert b"".join(response.stream(20)) == BODY
        assert time.monotonic() - began > 0.9 * len(BODY) / 2000
