"""Sockets, http.client and event loops: each with every fault that it can meet, against a server on loopback."""

import asyncio
import http.client
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from chalicelib.outgoing.sockets import NAMES, Names
from tests.dependencies import servers
from tests.dependencies.harness import failing

FAULTS = {
    "timeout": (TimeoutError, "timed out"),
    "refused": (ConnectionRefusedError, "Connection refused"),
    "reset": (ConnectionResetError, "Connection reset"),
    "dns": (socket.gaierror, "Name or service not known"),
}
NAME = "localhost"


class Server:
    """Accepts, answers one line of HTTP, hangs up. `seen`: how often."""

    def __init__(self) -> None:
        self.seen = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            with connection:
                if connection.recv(1000) == b"stop":
                    return
                self.seen += 1
                connection.sendall(b"HTTP/1.0 204 Fine\r\n\r\n")

    def stop(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"stop")
        self._thread.join()
        self._listening.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def only_this_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name has one address, so that one connection is one attempt; and it was looked up by nobody."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host, port, *args, **kwargs):
        return [each for each in resolve(host, port, *args, **kwargs) if each[0] == socket.AF_INET]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(NAMES, "_names", type(NAMES._names)())


def with_a_socket(port: int) -> None:
    with socket.create_connection((NAME, port), timeout=3) as connection:
        connection.sendall(b"x")
        assert connection.recv(100)


def with_a_name_of_the_kernel(port: int) -> None:
    with socket.socket() as connection:
        connection.settimeout(3)
        connection.connect((NAME, port))
        connection.sendall(b"x")
        assert connection.recv(100)


def with_http_client(port: int) -> None:
    connection = http.client.HTTPConnection(NAME, port, timeout=3)
    try:
        connection.request("GET", "/")
        assert connection.getresponse().status == 204
    finally:
        connection.close()


CALLS = [with_a_socket, with_a_name_of_the_kernel, with_http_client]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
def test_a_connection_fails_as_the_system_says_it(call: Callable[[int], None], fault: str, server: Server) -> None:
    call(server.port)
    error, message = FAULTS[fault]
    with failing(f"{NAME}:{server.port}", fault) as chaos:
        with pytest.raises(error, match=message):
            call(server.port)
        assert round(sum(chaos.clock.slept), 3) == (3 if fault == "timeout" else 0)
        assert server.seen == 1
    call(server.port)
    assert server.seen == 2


@pytest.mark.parametrize("fault", FAULTS)
def test_a_connection_that_there_is_goes_on(fault: str) -> None:
    """Only new ones meet faults: here, of http.client to Apache's httpd."""
    with servers.httpd() as httpd:
        connection = http.client.HTTPConnection(NAME, httpd.address.port, timeout=3)

        def get() -> int:
            connection.request("GET", "/page")
            with connection.getresponse() as response:
                return len(response.read())

        size = get()
        with failing(str(httpd.address), fault):
            assert get() == size
            connection.close()
            with pytest.raises(FAULTS[fault][0]):
                get()
        connection.close()
        assert get() == size
        connection.close()
        assert httpd.seen(3) == 3


@pytest.mark.parametrize("call", CALLS)
def test_a_connection_is_delayed_once(call: Callable[[int], None], server: Server) -> None:
    with failing(f"{NAME}:{server.port}", "latency", delay_seconds=2.0) as chaos:
        call(server.port)
        assert sum(chaos.clock.slept) == 2
    assert server.seen == 1


def test_a_delay_is_no_longer_than_the_socket_waits(server: Server) -> None:
    with failing(f"{NAME}:{server.port}", "latency", delay_seconds=9.0) as chaos:
        with pytest.raises(TimeoutError):
            with_a_socket(server.port)
        assert round(sum(chaos.clock.slept), 3) == 3


@pytest.mark.parametrize("fault", ["refused", "dns"])
def test_one_connection_is_one_call_of_the_run(fault: str, server: Server) -> None:
    """Though it looks a name up, and then connects to an address."""
    with failing(f"{NAME}:{server.port}", fault, options={"max_requests": 1}):
        with pytest.raises(FAULTS[fault][0]):
            with_a_socket(server.port)
        with_a_socket(server.port)
    assert server.seen == 1


@pytest.mark.parametrize(
    ("fault", "notes"), [("refused", ["matched"]), ("dns", ["matched"]), ("tls", ["matched", "unreached"])]
)
def test_each_connection_is_counted_once(fault: str, notes: list[str], server: Server) -> None:
    with failing(f"{NAME}:{server.port}", fault, scope_of_calls="requests") as chaos, chaos.request() as result:
        with suppress(OSError):
            with_a_socket(server.port)
        assert [note for _, note in result.notes] == notes


def test_who_names_an_address_meets_what_is_about_the_address_and_has_no_name_to_look_up(server: Server) -> None:
    address = ("127.0.0.1", server.port)
    for fault, error in (("refused", ConnectionRefusedError), ("dns", None)):
        with failing(f"127.0.0.1:{server.port}", fault):
            if error:
                with pytest.raises(error):
                    socket.create_connection(address)
            else:
                with socket.create_connection(address) as connection:
                    connection.sendall(b"x")
    with failing(f"{NAME}:{server.port}", "refused"):
        socket.getaddrinfo(NAME, server.port)
        socket.getaddrinfo(*address)
        with socket.create_connection(address) as connection:
            connection.sendall(b"x")


def test_a_port_may_be_looked_up_with_the_name_or_not(server: Server) -> None:
    with failing(f"{NAME}:{server.port}", "refused"), socket.socket() as connection:
        ((*_, address),) = socket.getaddrinfo(NAME, None, type=socket.SOCK_STREAM)
        with pytest.raises(ConnectionRefusedError):
            connection.connect((address[0], server.port))


def test_what_does_not_block_and_what_is_no_stream_passes(server: Server) -> None:
    with failing("127.0.0.1", "refused"):
        with socket.socket() as connection:
            connection.settimeout(0)
            with pytest.raises(BlockingIOError):
                connection.connect(("127.0.0.1", server.port))
        with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            datagrams.connect(("127.0.0.1", server.port))


def test_names_are_forgotten_after_a_while_and_the_oldest_first() -> None:
    now = [0.0]
    names = Names(lambda: now[0])
    for port in range(Names.MOST + 1):
        names.remember("db.example", [(0, 0, 0, "", ("10.0.0.1", port + 1))])
    assert names.of("10.0.0.1", 1) == ""
    assert names.of("10.0.0.1", 2) == "db.example"
    now[0] = Names.SECONDS
    assert names.of("10.0.0.1", 2) == ""


async def connect(port: int, **how: object) -> None:
    reader, writer = await asyncio.open_connection(NAME, port, **how)
    writer.write(b"x")
    assert await reader.read(100)
    writer.close()
    await writer.wait_closed()


async def look_up_and_connect(port: int) -> None:
    """As libraries do that try several addresses."""
    loop = asyncio.get_running_loop()
    ((*_, address), *_) = await loop.getaddrinfo(NAME, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
    transport, _ = await loop.create_connection(asyncio.Protocol, *address)
    transport.write(b"x")
    transport.close()


def run(loops: str, coroutine) -> object:
    """With a loop of asyncio or uvloop."""
    return asyncio.run(coroutine) if loops == "asyncio" else pytest.importorskip("uvloop").run(coroutine)


@pytest.fixture(params=["asyncio", "uvloop"])
def loops(request: pytest.FixtureRequest) -> str:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return request.param


@pytest.mark.parametrize("fault", ["refused", "reset", "dns"])
@pytest.mark.parametrize("call", [connect, look_up_and_connect])
def test_a_connection_of_a_loop_fails_as_the_system_says_it(call, fault: str, loops: str, server: Server) -> None:
    with failing(f"{NAME}:{server.port}", fault, options={"max_requests": 1}):
        with pytest.raises(FAULTS[fault][0]):
            run(loops, call(server.port))
        assert server.seen == 0
        run(loops, call(server.port))
    run(loops, call(server.port))


def test_a_connection_of_a_loop_is_given_up_by_who_waits_for_it(loops: str, server: Server) -> None:
    async def impatient() -> None:
        async with asyncio.timeout(0.05):
            await connect(server.port)

    with failing(f"{NAME}:{server.port}", "timeout"), pytest.raises(TimeoutError):
        run(loops, impatient())
    assert server.seen == 0


def test_a_connection_of_a_loop_is_delayed_and_the_loop_is_not(loops: str, server: Server) -> None:
    async def delayed() -> list[str]:
        done: list[str] = []
        loop = asyncio.get_running_loop()
        loop.call_later(0.02, done.append, "another")
        await connect(server.port)
        return [*done, "connected"]

    with failing(f"{NAME}:{server.port}", "latency", delay_seconds=0.2):
        assert run(loops, delayed()) == ["another", "connected"]


def test_a_connection_of_a_loop_with_tls_meets_a_bad_certificate_and_one_without_does_not(loops: str, server) -> None:
    with failing(f"{NAME}:{server.port}", "tls"):
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            run(loops, connect(server.port, ssl=ssl.create_default_context()))
        run(loops, connect(server.port))
    assert server.seen == 1


async def look_up(port: int) -> None:
    await asyncio.get_running_loop().getaddrinfo(NAME, port)


def test_a_look_up_of_a_loop_is_of_the_request_that_it_serves(server: Server) -> None:
    with failing(f"{NAME}:{server.port}", "dns", scope_of_calls="requests") as chaos:
        asyncio.run(look_up(server.port))
        with chaos.request() as result:
            with pytest.raises(socket.gaierror):
                asyncio.run(look_up(server.port))
            assert [hit.applied.details["failure"] for hit in result.hits] == ["dns"]


def test_a_look_up_of_a_loop_is_not_decided_about_on_its_thread_once_more(server: Server) -> None:
    def fails() -> bool:
        try:
            asyncio.run(look_up(server.port))
        except socket.gaierror:
            return True
        return False

    with failing(f"{NAME}:{server.port}", "dns", options={"every": 2}):
        assert sorted([fails(), fails()]) == [False, True]


def test_classes_and_modules_are_as_before() -> None:
    owners = [socket.socket, socket, asyncio.BaseEventLoop]
    before = [dict(vars(owner)) for owner in owners]
    with failing(NAME, "refused"):
        assert [dict(vars(owner)) != was for owner, was in zip(owners, before, strict=True)] == [True] * 3
    assert [dict(vars(owner)) for owner in owners] == before


def test_sockets_of_gevent_meet_faults_and_other_greenlets_go_on() -> None:
    pytest.importorskip("gevent")
    done = subprocess.run(
        [sys.executable, "-c", GREENLETS], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


ROOT = Path(__file__).parents[2]
GREENLETS = """
import gevent.monkey
gevent.monkey.patch_all()
import socket, time
from tests.dependencies.harness import failing

listening = socket.create_server(("127.0.0.1", 0))
address = ("localhost", listening.getsockname()[1])
for fault, error in (("refused", ConnectionRefusedError), ("dns", socket.gaierror), ("timeout", TimeoutError)):
    with failing("localhost:%d" % address[1], fault):
        try:
            socket.create_connection(address, timeout=3)
        except error:
            continue
        raise AssertionError(fault)
with failing("localhost:%d" % address[1], "latency", delay_seconds=0.5) as chaos:
    chaos.clock.sleep = lambda seconds: (time.sleep(seconds), setattr(chaos.clock, "now", chaos.clock.now + seconds))
    ticks = []
    ticking = gevent.spawn(lambda: [(time.sleep(0.01), ticks.append(1)) for _ in range(10)])
    socket.create_connection(address).close()
    assert len(ticks) == 10, ticks
assert "connect" not in vars(socket.socket) or vars(socket.socket)["connect"].__module__.startswith("gevent")
"""
