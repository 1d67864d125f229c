"""requests: what its users see of each fault, below the retries of urllib3 that they have mounted."""

import socket
import time
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from tests.dependencies.harness import failing
from tests.dependencies.http_server import BODY, Server, tunnelling
from tests.dependencies.over_http import ALL, LONG, MADE, PATIENCE, Answer, meets, opened


class Session:
    """A session, as `over_http` uses clients."""

    errors: ClassVar = {
        "timeout": requests.ReadTimeout,
        "refused": requests.ConnectionError,
        "reset": requests.ConnectionError,
        "dns": requests.ConnectionError,
        "tls": requests.exceptions.SSLError,
        "lost_reply": requests.ConnectionError,
    }

    def __init__(self, server: Server, retries: Any = None, **options: Any) -> None:
        self.address = server.address
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(server.authority) if server.authority else True
        if retries or options:
            self.session.mount("http://", HTTPAdapter(max_retries=retries or 0, **options))

    def call(self, method: str = "GET", path: str = "/orders", *, read: float = LONG, **options: Any) -> Answer:
        response = self.session.request(method, self.address + path, **{"timeout": (LONG, read), **options})
        return Answer(response.status_code, response.headers, response.content)

    def close(self) -> None:
        self.session.close()


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("fault", ALL)
def test_each_fault(fault: str, made: str, server_of: Any) -> None:
    meets(Session, server_of(fault), fault, made)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("timeout", r"Read timed out. \(read timeout=0.2\)"),
        ("refused", "Connection refused"),
        ("reset", "Connection reset by peer"),
        ("dns", "Name or service not known"),
        ("lost_reply", "Remote end closed connection without response"),
    ],
)
def test_an_exception_says_what_urllib3_would(fault: str, message: str, server: Server) -> None:
    with (
        opened(Session, server) as client,
        failing(server.host, fault),
        pytest.raises(requests.RequestException, match=message),
    ):
        client.call(read=PATIENCE)


def test_no_tls_no_fault_of_tls(server: Server) -> None:
    with opened(Session, server) as client, failing(server.host, "tls"):
        assert client.call().body == BODY


@pytest.mark.parametrize("fault", ["error", "throttle", "reset", "refused", "timeout", "dns"])
def test_retries_see_it(fault: str, server: Server) -> None:
    retries = Retry(3, status_forcelist=[429, 503], backoff_factor=0, respect_retry_after_header=False)
    with (
        opened(lambda server: Session(server, retries), server) as client,
        failing(server.host, fault, options={"first": {"requests": 2}}) as chaos,
    ):
        assert client.call(read=20).body == BODY
        assert len(server.requests) == 1
        assert sum(chaos.clock.slept) == pytest.approx(40 if fault == "timeout" else 0)


def test_retries_wait_as_long_as_the_answer_says(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time", SimpleNamespace(sleep=slept.append))
    retries = Retry(3, status_forcelist=[429])
    with (
        opened(lambda server: Session(server, retries), server) as client,
        failing(server.host, "throttle", options={"first": {"requests": 2}}),
    ):
        assert client.call().body == BODY
    assert slept == [1, 1]


def test_a_write_whose_reply_is_lost_was_made_and_is_made_again_if_the_client_says_so(server: Server) -> None:
    with opened(Session, server) as client, failing(server.host, "lost_reply"):
        with pytest.raises(requests.ConnectionError):
            client.call("POST", data=b"order 1")
        assert (server.requests, server.bodies) == (["POST /orders"], [b"order 1"])
    retries = Retry(3, allowed_methods=None, backoff_factor=0)
    with (
        opened(lambda server: Session(server, retries), server) as client,
        failing(server.host, "lost_reply", options={"first": {"requests": 1}}),
    ):
        assert client.call("POST", data=b"order 2").body == BODY
        assert server.bodies[1:] == [b"order 2", b"order 2"]


def test_the_whole_answer_is_read_before_it_is_lost(server: Server) -> None:
    with opened(Session, server) as client, failing(server.host, "lost_reply"):
        with pytest.raises(requests.ConnectionError):
            client.call(path="/big")
        assert server.sent_big.wait(5)


def test_each_hop_of_a_redirect_is_a_call(server: Server) -> None:
    with opened(Session, server) as client, failing(f"{server.address}/orders", "error"):
        assert client.call(path="/moved").status == 503
    assert server.requests == ["GET /moved"]


LASTING = ("lost_reply", "slow", "timeout")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("fault", ["error", "throttle", "garbage", "reset", "timeout", "lost_reply", "slow"])
def test_no_connection_is_lost_to_faults(fault: str, method: str, stream: bool, server: Server) -> None:  # noqa: FBT001
    times = 1000 if stream and fault not in LASTING else 50
    patience = PATIENCE if fault == "timeout" else LONG
    client = Session(server, pool_connections=1, pool_maxsize=1, pool_block=True)
    with failing(server.host, fault, **({"bytes_per_second": 1e9} if fault == "slow" else {})):
        for _ in range(times):
            try:
                response = client.session.request(method, client.address, timeout=patience, stream=stream)
            except requests.RequestException:
                continue
            for _ in response.iter_content(10):
                pass
    assert client.call().body == BODY
    client.close()


def test_a_slow_answer_trickles_and_stops_with_the_run(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("chalicelib.time_limits.sleep", slept.append)
    with opened(Session, server) as client:
        with failing(server.host, "slow", bytes_per_second=10.0) as chaos:
            response = client.session.get(server.address, stream=True, timeout=LONG)
            parts = response.iter_content(10)
            assert next(parts) == BODY[:10]
            assert sum(slept) == pytest.approx(1.0)
            assert response.elapsed.total_seconds() < 1
            chaos.stop()
            assert BODY[:10] + b"".join(parts) == BODY
            assert sum(slept) == pytest.approx(1.0)
        with failing(server.host, "slow", bytes_per_second=0.1) as chaos, pytest.raises(requests.ConnectionError):
            client.session.get(server.address, timeout=(LONG, 5.0))
        assert sum(slept) == pytest.approx(6.0)


def test_a_slow_answer_in_chunks(server: Server) -> None:
    with opened(Session, server) as client, failing(server.host, "slow", bytes_per_second=1000.0):
        began = time.monotonic()
        assert client.call(path="/chunked").body == BODY
        assert time.monotonic() - began > 0.9 * len(BODY) / 1000


def test_behind_a_proxy_the_dependency_is_the_target(server: Server) -> None:
    proxies = {"http": server.address}
    with opened(Session, server) as client:
        with failing("http://payments.example/v1/*", "timeout"), pytest.raises(requests.ReadTimeout):
            client.session.get("http://payments.example/v1/pay?x=1", proxies=proxies, timeout=PATIENCE)
        with failing("payments.example", "throttle"):
            assert client.session.get("http://payments.example/v1/pay", proxies=proxies).status_code == 429
        with failing(server.host, "throttle"):
            assert client.session.get("http://payments.example/v1/pay", proxies=proxies).status_code == 200
    assert server.requests == ["GET http://payments.example/v1/pay"]


def test_a_time_out_shorter_than_the_delay_is_the_clients_own(server: Server) -> None:
    with opened(Session, server) as client, failing(server.host, "latency", delay_seconds=5.0) as chaos:
        with pytest.raises(requests.ReadTimeout):
            client.call(timeout=(9, 0.5))
        assert sum(chaos.clock.slept) == pytest.approx(0.5)
        assert client.call(timeout=None).body == BODY
        assert sum(chaos.clock.slept) == pytest.approx(5.5)


@pytest.mark.parametrize(("fault", "error"), [("timeout", requests.ReadTimeout), ("refused", requests.ConnectionError)])
def test_through_a_tunnel_the_target_fails(fault: str, error: type[Exception], secure_server: Server) -> None:
    with tunnelling() as proxy, opened(Session, secure_server) as client:
        for _ in ("on a new connection", "on a pooled one"):
            with failing(f"{secure_server.address}/*", fault), pytest.raises(error) as raised:
                client.call(proxies={"https": proxy}, read=PATIENCE)
            # urllib3 1.26 blames the proxy for whatever is refused behind it
            blames_proxy = fault == "refused" and urllib3.__version__.startswith("1.")
            assert isinstance(raised.value, requests.exceptions.ProxyError) is blames_proxy
            assert client.call(proxies={"https": proxy}).body == BODY


def test_a_tunnel_that_is_closed_while_its_call_is_delayed_is_made_anew(
    secure_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tunnelling() as proxy, opened(Session, secure_server) as client:
        client.call(proxies={"https": proxy})
        adapter: Any = client.session.get_adapter(secure_server.address)
        pools = adapter.proxy_manager[proxy].pools
        [pool] = [pools[key] for key in pools.keys()]  # noqa: SIM118 - it has no iterator
        connection = pool._get_conn()
        pool._put_conn(connection)
        hang_up = partial(connection.sock.shutdown, socket.SHUT_RD)
        with failing(f"{secure_server.address}/*", "latency", delay_seconds=1.0) as chaos:
            monkeypatch.setattr(chaos.clock, "sleep", lambda _: hang_up())
            assert client.call(proxies={"https": proxy}, timeout=9).body == BODY
