"""The table when it is well, and the ways in which it can be unwell."""

import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from chalicelib.development.server import EmbeddedDynamoDB
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.dynamodb.table import Item, bind, create_table
from chalicelib.errors import StoreUnavailable
from chalicelib.injection.snapshot import Snapshot
from chalicelib.settings import Settings
from chalicelib.time_limits import request_time
from tests.support import NOW, Clock, a_run, latest

RESET = struct.pack("ii", 1, 0)  # closing sends a reset, without a farewell


class Proxy(ThreadingHTTPServer):
    """Before the table, with connections that stay open as DynamoDB's do, and that die in the ways that those do."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.target = target
        self.open: list[socket.socket] = []
        self.connections = 0
        self.silent = False
        self.hang_up = False
        self.lose_the_answer = False
        self.stop_listening_after_that = False
        self.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def cut(self, *, reset: bool) -> None:
        for connection in self.open:
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
        self.open.clear()

    def shutdown_request(self, request: socket.socket) -> None:
        request.close()


class ProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def setup(self) -> None:
        super().setup()
        self.server.open.append(self.connection)
        self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.hang_up:
            self.server.hang_up = False
            self.close_connection = True
            return
        if self.server.silent:
            self.server.silent = False
            self.server.closing.wait(60)
            return
        answer = requests.post(self.server.target, data=body, headers=dict(self.headers), timeout=60)
        if self.server.lose_the_answer and not self.headers["X-Amz-Target"].endswith(".Query"):
            self.server.lose_the_answer = False
            if self.server.stop_listening_after_that:
                self.server.socket.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class calls it so
        pass


@pytest.fixture
def proxy(settings: Settings) -> Iterator[Proxy]:
    made = Proxy(settings.endpoint_url or "")
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.closing.set()
    made.cut(reset=False)
    made.shutdown()
    made.server_close()
    thread.join(30)


@pytest.fixture
def through_proxy(settings: Settings, proxy: Proxy) -> DynamoDBRunStore:
    return DynamoDBRunStore(replace(settings, endpoint_url=proxy.url))


@contextmanager
def silent_server() -> Iterator[tuple[str, list[socket.socket]]]:
    """Accepts, and never says a word."""
    listener = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                accepted.append(listener.accept()[0])

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", accepted
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(30)
        for connection in accepted:
            connection.close()


def test_the_table_has_two_keys_a_ttl_and_is_paid_by_use(settings: Settings) -> None:
    client = bind(Item, settings)._get_connection().connection.client
    table = client._make_api_call("DescribeTable", {"TableName": settings.table})["Table"]
    assert table["KeySchema"] == [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ]
    assert {each["AttributeType"] for each in table["AttributeDefinitions"]} == {"S"}
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    ttl = client._make_api_call("DescribeTimeToLive", {"TableName": settings.table})["TimeToLiveDescription"]
    assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "ttl")


def test_a_table_that_is_there_stays_as_it_is(settings: Settings) -> None:
    DynamoDBRunStore(settings).start([a_run()], now=NOW)
    assert not create_table(settings)
    assert latest(DynamoDBRunStore(settings)) == [a_run()]


@contextmanager
def credentials() -> Iterator[None]:
    """Those that a stage other than dev takes from its environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        yield


def test_many_that_make_the_table_together_all_find_it_made(settings: Settings) -> None:
    missing = replace(settings, table=f"{settings.table}-missing")
    together = threading.Barrier(8)

    def make(_: int) -> bool:
        together.wait(60)
        return create_table(missing)

    with ThreadPoolExecutor(8) as pool:
        assert any(pool.map(make, range(8)))  # moto lets more than one believe that it made it
    assert latest(DynamoDBRunStore(missing)) == []


def test_a_missing_table_is_told_as_such(settings: Settings) -> None:
    store = DynamoDBRunStore(replace(settings, stage="qa", table="not-there", region="us-east-1"))
    with (
        credentials(),
        pytest.raises(StoreUnavailable, match=r"Table not-there does not exist .*; nothing was changed"),
    ):
        latest(store)


def test_in_development_a_missing_table_is_made_when_it_is_needed(settings: Settings) -> None:
    missing = replace(settings, table=f"{settings.table}-again")
    store = DynamoDBRunStore(missing)
    assert latest(store) == []
    bind(Item, missing).delete_table()
    assert store.start([a_run()], now=NOW) is None
    assert latest(store) == [a_run()]
    bind(Item, missing).delete_table()


def test_a_missing_permission_is_told_as_such(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_client: BaseClient, operation: str, _parameters: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    with pytest.raises(StoreUnavailable, match="AWS denied dynamodb:Query on table"):
        DynamoDBRunStore(settings).start([a_run()], now=NOW)


def test_a_refused_connection_is_told_at_once_and_changed_nothing(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    store = DynamoDBRunStore(replace(settings, endpoint_url=url))
    with pytest.raises(StoreUnavailable, match="nothing was changed"):
        latest(store)
    with pytest.raises(StoreUnavailable, match="nothing was changed"):
        store.start([a_run()], now=NOW)


def test_a_write_for_which_no_time_is_left_has_changed_nothing(settings: Settings) -> None:
    with request_time(0.0), pytest.raises(StoreUnavailable, match="nothing was changed"):
        DynamoDBRunStore(settings).start([a_run()], now=NOW)


def test_a_silent_table_costs_two_timeouts_and_no_more(settings: Settings) -> None:
    with silent_server() as (url, accepted):
        store = DynamoDBRunStore(replace(settings, endpoint_url=url, table_timeout_seconds=0.05))
        with pytest.raises(StoreUnavailable, match="nothing was changed"):
            latest(store)
        assert len(accepted) == 2
        with pytest.raises(StoreUnavailable, match="may have been made"):
            store.stop(a_run().ended(now=NOW, by="bob", reason=None))
        assert len(accepted) == 4
        with pytest.raises(StoreUnavailable, match="nothing was changed"):
            store.start([a_run()], now=NOW)
        assert len(accepted) == 6


def test_a_healthy_connection_is_used_again(through_proxy: DynamoDBRunStore, proxy: Proxy) -> None:
    for _ in range(3):
        latest(through_proxy)
    assert proxy.connections == 1


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_was_closed_while_idle_is_replaced_at_once(
    through_proxy: DynamoDBRunStore, proxy: Proxy, *, reset: bool
) -> None:
    through_proxy.start([a_run()], now=NOW)
    proxy.cut(reset=reset)
    assert latest(through_proxy) == [a_run()]
    assert proxy.connections == 2


@pytest.mark.parametrize("way", ["hang_up", "silent"])
def test_a_connection_that_turns_out_to_be_dead_is_replaced_at_once(settings: Settings, proxy: Proxy, way: str) -> None:
    store = DynamoDBRunStore(replace(settings, endpoint_url=proxy.url, table_timeout_seconds=2.0))
    latest(store)
    setattr(proxy, way, True)
    assert latest(store) == []
    assert proxy.connections == 2


def test_a_write_whose_answer_was_lost_is_carried_out_once_and_told_as_done(
    through_proxy: DynamoDBRunStore, proxy: Proxy
) -> None:
    latest(through_proxy)
    run = a_run()
    proxy.lose_the_answer = True
    assert through_proxy.start([run], now=NOW) is None
    assert latest(through_proxy) == [run]
    proxy.lose_the_answer = True
    ended = run.ended(now=NOW + 1, by="bob", reason="enough")
    assert through_proxy.stop(ended)
    assert latest(through_proxy) == [ended]
    assert proxy.connections == 3


def test_a_write_that_was_sent_twice_and_got_no_answer_may_have_been_made(
    through_proxy: DynamoDBRunStore, proxy: Proxy
) -> None:
    latest(through_proxy)
    proxy.lose_the_answer = True
    proxy.stop_listening_after_that = True
    with pytest.raises(StoreUnavailable, match="may have been made"):
        through_proxy.start([a_run()], now=NOW)


def test_a_table_that_cannot_be_made_is_told(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(StoreUnavailable, match="nothing was changed"):
        create_table(replace(settings, endpoint_url=url))


def test_a_table_that_dies_in_mid_experiment_ends_it_within_three_seconds(settings: Settings, clock: Clock) -> None:
    server = EmbeddedDynamoDB().start()
    mortal = replace(settings, endpoint_url=server.url)
    create_table(mortal)
    store = DynamoDBRunStore(mortal)
    store.start([a_run(duration_seconds=3600.0)], now=NOW)
    snapshot = Snapshot(lambda: store.running(NOW), clock)
    assert snapshot.get() == (a_run(duration_seconds=3600.0),)
    server.stop()
    clock.now = NOW + 2.9
    assert snapshot.get()
    clock.now = NOW + 3.0
    assert snapshot.get() == ()


def test_an_endpoint_that_is_no_address_is_told(settings: Settings) -> None:
    with pytest.raises(StoreUnavailable, match=r"is unreachable \(ValueError\); nothing was changed"):
        latest(DynamoDBRunStore(replace(settings, endpoint_url="http://no port:x")))
