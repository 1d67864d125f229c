"""What does not answer costs a request two time-outs of the table, whatever it is: real sockets, in real time."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flask
import pytest

from chalicelib import time_limits
from chalicelib.api.http import Request
from chalicelib.bootstrap import REFRESH_TIMEOUTS, bootstrap
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.errors import AlarmsUnavailable, StoreUnavailable
from chalicelib.frameworks.flask import ChaosExperiments
from chalicelib.frameworks.module import ChaosModule
from chalicelib.guardrails.cloudwatch import CloudWatchAlarms
from chalicelib.runs.store import Current
from chalicelib.settings import Settings
from tests.fault_proxy import FaultProxy
from tests.injection.support import FakeCall
from tests.support import NOW, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

Tell = Callable[[str], None]

TIMEOUT_SECONDS = 0.2
PROMISED_SECONDS = 2 * TIMEOUT_SECONDS
NOISE_SECONDS = 1.5
"""What a busy machine may add. Most of this takes 3 s and more without a limit for all of the way."""

TRICKLE_SECONDS = 0.1
ADDRESSES = 20
FOREVER_SECONDS = 8.0


class Silent:
    """A server that accepts connections and does not answer, or does so byte by byte."""

    def __init__(self, answer: bytes = b"") -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.closing = threading.Event()
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def connections(self) -> int:
        return len(self._open)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                if self._answer:
                    trickle = threading.Thread(target=self._trickle, args=(connection,))
                    self._threads.append(trickle)
                    trickle.start()

    def _trickle(self, connection: socket.socket) -> None:
        with suppress(OSError):
            for byte in self._answer:
                if self.closing.wait(TRICKLE_SECONDS):
                    return
                connection.sendall(bytes([byte]))

    def close(self) -> None:
        self.closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(30)


@contextmanager
def unreachable() -> Iterator[int]:
    """A port to which no connection is ever made: its backlog is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 - the standard library's
            with suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine without credentials, whose metadata service is off."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return monkeypatch


@pytest.fixture
def silent() -> Iterator[Silent]:
    server = Silent()
    yield server
    server.close()


def settings_for(url: str | None = "http://127.0.0.1:9", **more: Any) -> Settings:
    return Settings(
        stage="qa",
        table="t",
        region="eu-west-1",
        endpoint_url=url,
        table_timeout_seconds=TIMEOUT_SECONDS,
        control_timeout_seconds=TIMEOUT_SECONDS,
        **more,
    )


def metadata_service(machine: pytest.MonkeyPatch, silent: Silent, _folder: Path) -> Settings:
    machine.setenv("AWS_EC2_METADATA_DISABLED", "false")
    machine.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", silent.url)
    return settings_for()


def container(machine: pytest.MonkeyPatch, silent: Silent, _folder: Path) -> Settings:
    machine.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{silent.url}/credentials")
    return settings_for()


def credential_process(machine: pytest.MonkeyPatch, _silent: Silent, folder: Path) -> Settings:
    (folder / "config").write_text(f"[default]\ncredential_process = sleep {FOREVER_SECONDS}\n")
    return settings_for()


def smart_defaults(machine: pytest.MonkeyPatch, silent: Silent, folder: Path) -> Settings:
    machine.setenv("AWS_DEFAULTS_MODE", "auto")
    return metadata_service(machine, silent, folder)


def _signed(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("AWS_ACCESS_KEY_ID", "k")
    machine.setenv("AWS_SECRET_ACCESS_KEY", "s")


def table(machine: pytest.MonkeyPatch, silent: Silent, _folder: Path) -> Settings:
    _signed(machine)
    return settings_for(silent.url)


def names(machine: pytest.MonkeyPatch, silent: Silent, _folder: Path) -> Settings:
    """A resolver that does not answer; it has no time-out that a caller could set."""

    def hang(*_: object, **__: object) -> None:
        silent.closing.wait(FOREVER_SECONDS)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    _signed(machine)
    machine.setattr(socket, "getaddrinfo", hang)
    return settings_for("http://table.example:80")


HANGING = (metadata_service, container, credential_process, smart_defaults, table, names)


def opened(settings: Settings) -> DynamoDBRunStore:
    """With its client, which takes a busy machine a second to make, but waits for nothing."""
    store = DynamoDBRunStore(settings)
    assert store._connection.client
    return store


def seconds_of(call: Callable[[], object]) -> float:
    began = time.monotonic()
    with pytest.raises((StoreUnavailable, AlarmsUnavailable)):
        call()
    return time.monotonic() - began


@pytest.mark.parametrize("way", HANGING, ids=lambda way: way.__name__)
def test_a_read_costs_two_timeouts_whatever_does_not_answer(
    machine: pytest.MonkeyPatch, silent: Silent, tmp_path: Path, tell: Tell, way: Callable[..., Settings]
) -> None:
    store = opened(way(machine, silent, tmp_path))
    took = [seconds_of(lambda: store.active(NOW)) for _ in range(2)]
    silent.close()
    tell(f"{way.__name__}: {took[0]:.2f} s, then {took[1]:.2f} s, of {PROMISED_SECONDS:.2f} s promised")
    assert max(took) < PROMISED_SECONDS + NOISE_SECONDS


def test_an_answer_that_trickles_is_no_answer(machine: pytest.MonkeyPatch, tell: Tell) -> None:
    body = b'{"Items": []}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    server = Silent(answer)
    _signed(machine)
    store = opened(settings_for(server.url))
    took = seconds_of(lambda: store.active(NOW))
    server.close()
    tell(f"{len(answer)} bytes, one each {TRICKLE_SECONDS} s: {took:.2f} s")
    assert took < PROMISED_SECONDS + NOISE_SECONDS


def test_a_name_of_many_addresses_has_one_limit(machine: pytest.MonkeyPatch, tell: Tell) -> None:
    _signed(machine)
    with unreachable() as port:
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        machine.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * ADDRESSES)
        store = opened(settings_for(f"http://table.example:{port}"))
        took = seconds_of(lambda: store.active(NOW))
    tell(f"{ADDRESSES} addresses that do not answer: {took:.2f} s")
    assert took < PROMISED_SECONDS + NOISE_SECONDS


def test_a_write_that_was_not_answered_in_time_may_have_been_made(
    machine: pytest.MonkeyPatch, silent: Silent, tmp_path: Path
) -> None:
    store = DynamoDBRunStore(table(machine, silent, tmp_path))
    with pytest.raises(StoreUnavailable, match="may have been made"):
        store.stop(a_run().ended(now=NOW, by="ada", reason=None))


def test_one_lookup_serves_all_that_wait_for_it(machine: pytest.MonkeyPatch, silent: Silent, tmp_path: Path) -> None:
    store = DynamoDBRunStore(container(machine, silent, tmp_path))
    for _ in range(4):
        seconds_of(lambda: store.active(NOW))
    assert silent.connections == 1


@pytest.mark.parametrize("way", [metadata_service, table, names], ids=lambda way: way.__name__)
def test_the_alarms_cost_four_timeouts(
    machine: pytest.MonkeyPatch, silent: Silent, tmp_path: Path, tell: Tell, way: Callable[..., Settings]
) -> None:
    made = way(machine, silent, tmp_path)
    machine.setenv("AWS_ENDPOINT_URL", made.endpoint_url or "")
    alarms = CloudWatchAlarms(made)
    assert alarms._open()
    took = seconds_of(lambda: alarms.firing(["orders-5xx"]))
    silent.close()
    tell(f"{way.__name__}: {took:.2f} s of {4 * TIMEOUT_SECONDS:.2f} s")
    assert took < 4 * TIMEOUT_SECONDS + NOISE_SECONDS


def test_a_refresh_has_one_limit_for_all_that_is_done_beside(tell: Tell) -> None:
    """Alarms are asked, and runs are ended: each has its own limit, and so has their sum."""
    released = threading.Event()

    class Hanging(FakeRunStore):
        def current(self, now: float) -> Current:
            del now
            time_limits.within(FOREVER_SECONDS, partial(released.wait, FOREVER_SECONDS))
            return Current()

    chaos = bootstrap(settings_for(), runs=Hanging(), results=FakeResultStore(), tokens=FakeTokenStore())
    began = time.monotonic()
    assert chaos.engine.snapshot.get() == ()
    took = time.monotonic() - began
    released.set()
    tell(f"{took:.2f} s of {REFRESH_TIMEOUTS * TIMEOUT_SECONDS:.2f} s")
    assert chaos.engine.snapshot.is_unreachable
    assert took < REFRESH_TIMEOUTS * TIMEOUT_SECONDS + NOISE_SECONDS


@pytest.fixture
def slow_table(settings: Settings) -> Iterator[tuple[Settings, FaultProxy]]:
    """A table that answers after 0.3 s, which is more than a request of the application waits for."""
    proxy = FaultProxy(settings.endpoint_url or "")
    proxy.latency_seconds = 0.3
    yield replace(settings, endpoint_url=proxy.url, table_timeout_seconds=0.1), proxy
    proxy.close()


def test_the_endpoints_have_more_patience_than_a_request(slow_table: tuple[Settings, FaultProxy], tell: Tell) -> None:
    settings, proxy = slow_table
    app = flask.Flask(__name__)
    app.route("/")(lambda: "fine")
    proxy.latency_seconds = 0.0
    ChaosExperiments(app, settings=settings)
    client, headers = app.test_client(), {"Authorization": "Bearer dev-token"}
    client.get("/chaos_experiments/list", headers=headers)  # imports
    proxy.latency_seconds = 0.3
    took = {}
    for path, body in (
        ("/start", {"experiment_name": "latency_injection", "delay_seconds": 0.0}),
        ("/halt", {"reason": "enough"}),
        ("/resume", {}),
    ):
        began = time.monotonic()
        answer = client.post(f"/chaos_experiments{path}", json=body, headers=headers)
        took[path] = time.monotonic() - began
        assert answer.status_code == 200, answer.text
    assert client.get("/").text == "fine"
    tell(f"at 0.3 s latency: {', '.join(f'{path} {seconds:.2f} s' for path, seconds in took.items())}, all 200")


def test_the_endpoints_answer_within_the_time_that_an_invocation_has_left(
    machine: pytest.MonkeyPatch, silent: Silent, tmp_path: Path, tell: Tell
) -> None:
    made = replace(table(machine, silent, tmp_path), table_timeout_seconds=9.0, dev_token="t", in_lambda=True)
    module = ChaosModule(settings=made)
    assert module.get().api()
    began = time.monotonic()
    request = Request(method="GET", path="/list", headers={"authorization": "Bearer x"})
    answer = module.handle(request, FakeCall("/list", SimpleNamespace(get_remaining_time_in_millis=lambda: 1500)))
    took = time.monotonic() - began
    tell(f"1.5 s left of an invocation, a table that does not answer: {answer.status} after {took:.2f} s")
    assert (answer.status, answer.content["code"]) == (503, "store_unavailable")
    assert took < 1.5 + NOISE_SECONDS


def test_the_longest_request_of_an_application_whose_metadata_service_is_silent(
    machine: pytest.MonkeyPatch, silent: Silent, tmp_path: Path, tell: Tell
) -> None:
    app = flask.Flask(__name__)
    app.route("/")(lambda: "fine")
    ChaosExperiments(app, settings=metadata_service(machine, silent, tmp_path))
    client, took, until = app.test_client(), [], time.monotonic() + 4
    client.get("/")  # imports what the module is wired with
    while time.monotonic() < until:
        began = time.monotonic()
        assert client.get("/").text == "fine"
        took.append(time.monotonic() - began)
        time.sleep(0.01)
    slow = [each for each in took if each > TIMEOUT_SECONDS]
    tell(f"longest of {len(took)} requests in 4 s: {max(took):.2f} s; {len(slow)} longer than {TIMEOUT_SECONDS} s")
    assert max(took) < PROMISED_SECONDS + NOISE_SECONDS
    assert len(slow) <= 4
