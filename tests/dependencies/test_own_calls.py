"""What the module itself calls is never the application's dependency: watched at the sockets and in urllib3."""

import functools
import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError
from urllib3.connectionpool import HTTPConnectionPool

from chalicelib import access, aws
from chalicelib.access import Role, TokenStore, hash_token, new_token
from chalicelib.cli.remote import Destination, Remote, Unreachable
from chalicelib.development import embedded
from chalicelib.dynamodb.budgets import DynamoDBBudgetStore
from chalicelib.dynamodb.clock import TableClock
from chalicelib.dynamodb.lease import DynamoDBLease
from chalicelib.dynamodb.results import DynamoDBResultStore
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.dynamodb.seen import DynamoDBSeenStore
from chalicelib.dynamodb.table import create_table
from chalicelib.dynamodb.tokens import DynamoDBTokenStore
from chalicelib.errors import AlarmsUnavailable
from chalicelib.guardrails.cloudwatch import CloudWatchAlarms
from chalicelib.own_calls import is_own_call
from chalicelib.results import store as results_store
from chalicelib.results.seen import SeenCalls, SeenKey
from chalicelib.results.store import ResultStore, SeenStore
from chalicelib.runs import store as runs_store
from chalicelib.runs.observation import Observation
from chalicelib.runs.store import BudgetStore, Exchange, RunStore
from chalicelib.settings import Settings
from chalicelib.web_keys import WebKeys, fetch_keys
from tests.dependencies.harness import failing
from tests.loopback import until
from tests.support import NOW, a_run, an_event

TOKEN = new_token("ci", Role.VIEWER, now=NOW)[1]
RUN = a_run("latency_injection")
METHODS: Mapping[type, Mapping[str, Callable[[Any], object]]] = {
    RunStore: {
        "start": lambda runs: runs.start([RUN], now=NOW),
        "current": lambda runs: runs.current(NOW),
        "observe": lambda runs: runs.observe(Observation(NOW, NOW)),
        "active": lambda runs: runs.active(NOW),
        "running": lambda runs: runs.running(NOW),
        "last": lambda runs: runs.last(RUN.experiment),
        "last_labelled": lambda runs: runs.last_labelled(RUN.label),
        "record_defect": lambda runs: runs.record_defect(RUN, "a defect"),
        "stop": lambda runs: runs.stop(RUN.ended(now=NOW + 1, by="ada", reason=None)),
        "halt": lambda runs: runs.halt(an_event()),
        "halted": lambda runs: runs.halted(),
        "resume": lambda runs: runs.resume(an_event("resume", token="r")),
        "record": lambda runs: runs.record(an_event("refusal", token="f")),
        "find": lambda runs: runs.find(RUN.run_id),
        "history": lambda runs: runs.history(
            since=NOW - 60, until=NOW + 60, experiment=None, before=None, limit=10, label=None
        ),
    },
    ResultStore: {
        "add": lambda results: results.add(RUN, {"requests": 1}, environment="here", number=1),
        "results": lambda results: results.results([RUN]),
    },
    SeenStore: {
        "add": lambda seen: seen.add(SeenKey(NOW, "urllib3", "x:80"), SeenCalls(), addition="a"),
        "seen": lambda seen: seen.seen(NOW - 60),
    },
    BudgetStore: {
        "lease": lambda budgets: budgets.lease(RUN, 5, Exchange(environment="here", number=1, wanted=1, used=0)),
        "claim": lambda budgets: budgets.claim(RUN, "ada", 2),
    },
    TokenStore: {
        "add": lambda tokens: tokens.add(TOKEN),
        "find": lambda tokens: tokens.find(hash_token("unknown")),
        "all": lambda tokens: tokens.all(),
        "revoke": lambda tokens: tokens.revoke(TOKEN.hash),
    },
}
"""Every method of every store."""


class Watched:
    """What is called in this process, and whether it is the module's own."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bool]] = []

    def wrap(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, is_own_call()))
            return original(*args, **kwargs)

        return watched

    def all_own(self) -> bool:
        """Whether something was called, and all of it was the module's own. Forgets it."""
        calls, self.calls = self.calls, []
        return bool(calls) and all(is_own for _, is_own in calls)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    made = Watched()
    points = (
        (HTTPConnectionPool, "_make_request"),
        (socket.socket, "connect"),
        (socket, "getaddrinfo"),
    )
    for owner, name in points:
        monkeypatch.setattr(owner, name, made.wrap(getattr(owner, name), name))
    return made


def stores(settings: Settings) -> Mapping[type, Any]:
    clock = TableClock(time.time)
    return {
        RunStore: DynamoDBRunStore(settings, clock=clock),
        ResultStore: DynamoDBResultStore(settings),
        SeenStore: DynamoDBSeenStore(settings),
        BudgetStore: DynamoDBBudgetStore(settings),
        TokenStore: DynamoDBTokenStore(settings, clock),
    }


def test_every_method_of_every_store_is_tried() -> None:
    rooms = (access, results_store, runs_store)
    assert set(METHODS) == {each for room in rooms for name, each in vars(room).items() if name.endswith("Store")}
    for port, methods in METHODS.items():
        assert set(methods) == {name for name in vars(port) if not name.startswith("_")}


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in a pool that the application has, too"])
def test_the_table_is_called_by_the_module_itself(settings: Settings, watched: Watched, *, elsewhere: bool) -> None:
    made = stores(settings)
    lease = DynamoDBLease(settings)
    asked = [functools.partial(call, made[port]) for port, methods in METHODS.items() for call in methods.values()]
    asked.append(functools.partial(lease.take, now=NOW, until=NOW + 10, by="here"))
    asked.append(functools.partial(create_table, settings))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        for each in asked:
            watched.calls.clear()
            pool.submit(each).result() if elsewhere else each()
            assert watched.all_own(), each
        assert not pool.submit(is_own_call).result(), "What the application calls next is its own."


def test_a_table_that_is_missing_is_made_by_the_module_itself(settings: Settings, watched: Watched) -> None:
    other = replace(settings, table=f"{settings.table}-2")
    assert stores(other)[RunStore].active(NOW) == []
    assert watched.all_own()
    assert create_table(replace(settings, table=f"{settings.table}-3"))
    assert watched.all_own()


def test_alarms_are_asked_for_by_the_module_itself(
    settings: Settings, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with pytest.raises(AlarmsUnavailable):
        CloudWatchAlarms(replace(settings, region="eu-west-1", stage="qa")).firing(["orders"])
    assert watched.all_own()


@contextmanager
def answering(content: Callable[[], Mapping[str, Any]]) -> Iterator[str]:
    """The address of a server that answers so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(content()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_keys_are_fetched_by_the_module_itself_on_a_thread(watched: Watched) -> None:
    class Key:
        public_key_use, key_id, key = "sig", "a", "key a"

    class KeySet:
        keys = (Key(),)

    with answering(lambda: {"keys": []}) as url:
        keys = WebKeys(lambda: fetch_keys(url, lambda _found: KeySet()))
        assert keys.find("a") == "key a"
    assert watched.all_own()


def test_credentials_for_the_table_are_looked_up_and_renewed_by_the_module_itself(
    settings: Settings, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They expire so soon that each call has them renewed beside it, on a thread."""
    found: list[str] = []

    def credentials() -> Mapping[str, Any]:
        found.append(f"key-{len(found)}")
        expires = datetime.now(UTC) + timedelta(minutes=5)
        return {
            "AccessKeyId": found[-1],
            "SecretAccessKey": "s",
            "Token": "t",
            "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    with answering(credentials) as url:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        looked_up = aws.session(replace(settings, stage="qa")).get_credentials()
        first = looked_up.get_frozen_credentials().access_key
        assert watched.all_own()
        until(lambda: looked_up.get_frozen_credentials().access_key != first)
        until(lambda: not any(each.name == "chaos-credentials" for each in threading.enumerate()))
        assert watched.all_own()


def test_the_embedded_dynamodb_is_greeted_by_the_module_itself(
    watched: Watched, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(dict) as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        shared = embedded.Shared(tmp_path, "key")
        shared.publish(json.dumps({"url": url, "port": port}))
        monkeypatch.setattr(embedded, "GREETING_SECONDS", 0.1)
        assert embedded._find(shared) is None
    assert watched.all_own()


def test_the_command_line_calls_for_itself(watched: Watched) -> None:
    remote = Remote(
        Destination("http://127.0.0.1:9", "a-token"),
        program="chaos",
        command=lambda line: line,
        note=lambda _line: None,
    )
    with pytest.raises(Unreachable):
        remote.ask("GET", "/list")
    assert watched.all_own()


def test_a_run_about_all_that_is_called_leaves_the_module_alone(settings: Settings) -> None:
    """The same address: the application's call fails, and the module's goes through."""
    address = cast("str", settings.endpoint_url).removeprefix("http://")
    with failing(address, "dns"):
        runs = stores(settings)[RunStore]
        for method in METHODS[RunStore].values():
            method(runs)
        with pytest.raises(EndpointConnectionError):
            _application(settings).list_tables()


def _application(settings: Settings) -> Any:
    """The application's own client of the same DynamoDB."""
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client(
        "dynamodb",
        config=config,
        endpoint_url=settings.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="its",
        aws_secret_access_key="own",
    )
