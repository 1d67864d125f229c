"""What says that nothing runs, without botocore."""

import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from chalicelib import first_look
from chalicelib.aws import STAND_IN, STAND_IN_REGION
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.first_look import EXPIRED_SECONDS, UNUSUAL, CannotLook, Credentials, FirstLook, is_empty_scope, signed
from chalicelib.runs.observation import Observation
from chalicelib.settings import Settings, read_settings
from tests.support import Clock, a_run, an_event

OF_LAMBDA = {
    "CHAOS_STAGE": "qa",
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
}

# The read


@pytest.fixture
def store(settings: Settings) -> DynamoDBRunStore:
    return DynamoDBRunStore(settings)


def looks_empty(settings: Settings, clock: Callable[[], float] = time.time) -> bool:
    own = {**OF_LAMBDA, "AWS_ACCESS_KEY_ID": STAND_IN}  # DynamoDB Local has other tables for another key
    return is_empty_scope(replace(settings, fallback_region=STAND_IN_REGION), own, clock)


def test_a_scope_without_anything_is_empty(settings: Settings) -> None:
    assert looks_empty(settings)


def test_with_a_run_it_is_not(settings: Settings, store: DynamoDBRunStore) -> None:
    store.start([a_run(now=time.time())], now=time.time())
    assert not looks_empty(settings)


def test_with_a_halt_it_is_not(settings: Settings, store: DynamoDBRunStore) -> None:
    store.halt(an_event(now=time.time()))
    assert not looks_empty(settings)


def test_with_an_observation_it_is_not(settings: Settings, store: DynamoDBRunStore) -> None:
    store.observe(Observation(began=time.time(), until=time.time() + 60))
    assert not looks_empty(settings)


def test_a_run_counts_for_as_long_after_its_time_as_a_clock_may_be_wrong(
    settings: Settings, store: DynamoDBRunStore
) -> None:
    run = a_run(now=time.time())
    store.start([run], now=time.time())
    assert not looks_empty(settings, lambda: run.expires_at + EXPIRED_SECONDS - 1)
    assert looks_empty(settings, lambda: run.expires_at + EXPIRED_SECONDS + 1)


def test_an_observation_that_is_over_does_not_count_either(settings: Settings, store: DynamoDBRunStore) -> None:
    until = time.time() + 60
    store.observe(Observation(began=time.time(), until=until))
    assert not looks_empty(settings, lambda: until + EXPIRED_SECONDS - 1)
    assert looks_empty(settings, lambda: until + EXPIRED_SECONDS + 1)


def test_a_run_whose_time_cannot_be_read_counts(settings: Settings, store: DynamoDBRunStore) -> None:
    store.start([a_run(now=time.time())], now=time.time())
    client = store._item._get_connection().connection.client
    client.update_item(
        TableName=settings.table,
        Key={"pk": {"S": settings.scope}, "sk": {"S": "run#latency_injection"}},
        UpdateExpression="SET expires_at = :text",
        ExpressionAttributeValues={":text": {"S": "1"}},
    )
    assert not looks_empty(settings, lambda: time.time() + 10 * EXPIRED_SECONDS)


def test_where_there_is_no_table_it_cannot_look(settings: Settings) -> None:
    with pytest.raises(CannotLook, match="400"):
        looks_empty(replace(settings, table="another"))


@pytest.mark.parametrize("token", ["", "a-token"])
def test_it_is_signed_as_botocore_signs(token: str) -> None:
    body = b'{"TableName": "orders"}'
    now = time.time()
    headers = signed("dynamodb.eu-west-1.amazonaws.com", "eu-west-1", body, Credentials("key", "secret", token), now)
    theirs = AWSRequest(
        "POST",
        "https://dynamodb.eu-west-1.amazonaws.com/",
        headers={"Content-Type": headers["content-type"], "X-Amz-Target": headers["x-amz-target"]},
        data=body,
    )
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    signer = SigV4Auth(BotocoreCredentials("key", "secret", token or None), "dynamodb", "eu-west-1")
    theirs.context["timestamp"] = moment
    signer._modify_request_before_signing(theirs)
    canonical = signer.canonical_request(theirs)
    signature = signer.signature(signer.string_to_sign(theirs, canonical), theirs)
    assert headers["authorization"].endswith(f"Signature={signature}")


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_only_botocore_knows_to_follow_is_left_to_it(name: str) -> None:
    with pytest.raises(CannotLook):
        is_empty_scope(read_settings(OF_LAMBDA), {**OF_LAMBDA, name: "x"}, time.time)


@pytest.mark.parametrize(
    "different",
    [
        {"AWS_REGION": "us-iso-east-1"},
        {"AWS_REGION": "us-gov-west-1"},
        {"AWS_REGION": ""},
        {"AWS_ACCESS_KEY_ID": ""},
        {"CHAOS_TABLE": "arn:aws:dynamodb:eu-west-1:1:table/x"},
        {"AWS_ENDPOINT_URL": "http://localhost:1/path"},
        {"AWS_ENDPOINT_URL": "http://[::1]:1"},
    ],
)
def test_an_unusual_table_is_left_to_the_module(different: dict[str, str]) -> None:
    variables = {**OF_LAMBDA, **different}
    with pytest.raises(CannotLook):
        is_empty_scope(read_settings(variables), variables, time.time)


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "dynamodb.eu-west-1.amazonaws.com"),
        ("cn-north-1", "dynamodb.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_it_asks_the_regions_own_address(region: str, host: str) -> None:
    found = first_look._address(read_settings(OF_LAMBDA), region, OF_LAMBDA)
    assert found == (host, host, 443, True)


class Table(ThreadingHTTPServer):
    """Gives one answer."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust it hangs up."""


@contextmanager
def table(
    content: bytes, context: ssl.SSLContext | None = None, head: bytes = b"HTTP/1.1 200 OK\r\n"
) -> Iterator[Table]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.wfile.write(head + content)

        def log_message(self, *arguments: object) -> None:
            pass

    server = Table(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def found_at(url: str) -> bool:
    variables = {**OF_LAMBDA, "AWS_ENDPOINT_URL": url, "CHAOS_TABLE_TIMEOUT_SECONDS": "5"}
    return is_empty_scope(read_settings(variables), variables, time.time)


def sized(content: dict[str, Any]) -> bytes:
    body = json.dumps(content).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


@pytest.mark.parametrize(
    "answer",
    [
        sized({"Count": 0, "LastEvaluatedKey": {}}),
        sized({}),
        b"Content-Length: 3\r\n\r\n[1]",
        b"Content-Length: 20\r\n\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"",
    ],
)
def test_an_answer_that_does_not_count_is_none(answer: bytes) -> None:
    with table(answer) as server, pytest.raises((CannotLook, OSError, ValueError, LookupError, TypeError)):
        found_at(f"http://127.0.0.1:{server.server_port}")


def test_of_the_machines_certificates_it_trusts_amazons_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "bundle.pem"
    amazon, other = trustme.CA(organization_name="Amazon"), trustme.CA(organization_name="Somebody")
    bundle.write_bytes(other.cert_pem.bytes() + b"# a comment\n" + amazon.cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    trusted = {}
    for name, authority in {"amazon": amazon, "other": other}.items():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        with table(sized({"Count": 0}), context) as server:
            try:
                trusted[name] = found_at(f"https://localhost:{server.server_port}")
            except ssl.SSLCertVerificationError:
                trusted[name] = False
    assert trusted == {"amazon": True, "other": False}


def test_it_imports_neither_botocore_nor_a_library_for_http() -> None:
    heavy = ["botocore", "pynamodb", "pydantic", "psutil", "http.client", "urllib.request", "ssl", "email", "pathlib"]
    script = f"import sys, chalicelib.first_look; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


# When it is made


class Scope:
    """Of a test: what is found in it, and how often."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_empty: bool | Exception = True

    def __call__(self) -> bool:
        self.asked += 1
        if isinstance(self.is_empty, Exception):
            raise self.is_empty
        return self.is_empty


@pytest.fixture
def scope() -> Scope:
    return Scope()


@pytest.fixture
def look(scope: Scope, clock: Clock) -> FirstLook:
    return FirstLook(Settings(idle_refresh_seconds=5), {}, clock, scope)


def test_it_asks_no_more_often_than_the_module_does_when_nothing_runs(
    look: FirstLook, scope: Scope, clock: Clock
) -> None:
    assert [look.finds_nothing() for _ in range(3)] == [True] * 3
    assert scope.asked == 1
    clock.now += 5
    assert look.finds_nothing()
    assert scope.asked == 2


def test_what_was_begun_is_waited_for_and_not_asked_again(look: FirstLook, scope: Scope) -> None:
    look.begin()
    assert look.finds_nothing()
    assert scope.asked == 1


@pytest.mark.parametrize("seconds", [5, 3600, -1])
def test_what_was_begun_before_a_freeze_or_a_step_of_the_clock_is_asked_again(
    look: FirstLook, scope: Scope, clock: Clock, seconds: float
) -> None:
    look.begin()
    scope.is_empty = False
    clock.now += seconds
    assert not look.finds_nothing()


@pytest.mark.parametrize("found", [False, CannotLook("no"), OSError("no route")])
def test_once_it_cannot_say_so_it_never_asks_again(look: FirstLook, scope: Scope, clock: Clock, found: Any) -> None:
    scope.is_empty = found
    assert not look.finds_nothing()
    scope.is_empty = True
    clock.now += 60
    look.begin()
    assert not look.finds_nothing()
    assert scope.asked == 1


def test_it_waits_for_no_answer_longer_than_it_may(scope: Scope, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_look, "LONGEST_SECONDS", 0.01)
    answered = threading.Event()
    look = FirstLook(Settings(), {}, clock, answered.wait)
    assert not look.finds_nothing()
    answered.set()
    assert not look.finds_nothing()
