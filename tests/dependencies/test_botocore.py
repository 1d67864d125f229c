"""boto3 and pynamodb against moto's server: what their users see of each fault, and what reached the server."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore import exceptions
from botocore.config import Config
from botocore.endpoint import Endpoint
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from botocore.retries.bucket import TokenBucket
from pynamodb.attributes import UnicodeAttribute
from pynamodb.exceptions import GetError, PutError
from pynamodb.models import Model

from chalicelib import time_limits
from chalicelib.outgoing import botocore as patched
from chalicelib.outgoing.aws_answers import GARBAGE
from chalicelib.outgoing.pace import LONGEST_SECONDS
from chalicelib.own_calls import own_calls
from tests.dependencies.aws_server import BUCKET, TABLE, AwsServer, aws_server, options
from tests.dependencies.harness import failing

MODES = ("legacy", "standard", "adaptive")
ATTEMPTS = 3
ITEM = {"id": {"S": "1"}}

RAISED: dict[str, type[Exception]] = {
    "error": ClientError,
    "throttle": ClientError,
    "timeout": exceptions.ReadTimeoutError,
    "refused": exceptions.EndpointConnectionError,
    "dns": exceptions.EndpointConnectionError,
    "reset": exceptions.ConnectionClosedError,
    "lost_reply": exceptions.ConnectionClosedError,
    "tls": exceptions.SSLError,
}
"""What users of botocore catch, by fault; all of these are retried."""


@pytest.fixture(scope="module")
def server() -> Iterator[AwsServer]:
    with aws_server() as running:
        yield running


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What botocore waits before retries: no time passes. Adaptive retries do wait, but not for seconds."""
    pauses: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=pauses.append))
    monkeypatch.setattr(TokenBucket.__init__, "__defaults__", (20.0,))
    return pauses


def client_of(server: AwsServer, mode: str = "standard", service: str = "dynamodb", **config: Any) -> Any:
    chosen = {"retries": {"mode": mode, "total_max_attempts": ATTEMPTS}, **config}
    return boto3.client(service, **options(server), config=Config(**chosen))


def attempts(pauses: list[float]) -> int:
    """botocore pauses before each retry."""
    return len(pauses) + 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", RAISED)
def test_each_attempt_fails_as_botocore_reports_it_and_the_client_works_afterwards(
    fault: str, mode: str, server: AwsServer, slept: list[float]
) -> None:
    before = client_of(server, mode, read_timeout=30)
    assert before.get_item(TableName=TABLE, Key=ITEM)
    server.seen.clear()
    with failing("dynamodb:GetItem", fault, duration_seconds=600.0):
        during = client_of(server, mode, read_timeout=30)
        for client in (before, during):
            slept.clear()
            with pytest.raises(RAISED[fault]) as caught:
                client.get_item(TableName=TABLE, Key=ITEM)
            assert type(caught.value).__mro__[1] is ClientError or type(caught.value) is RAISED[fault]
            assert attempts(slept) == ATTEMPTS
        assert server.seen == ["GetItem"] * (2 * ATTEMPTS if fault == "lost_reply" else 0)
        assert during.list_tables()["TableNames"] == [TABLE]
    for client in (before, during, client_of(server, mode)):
        slept.clear()
        assert client.get_item(TableName=TABLE, Key=ITEM)["ResponseMetadata"]["RetryAttempts"] == 0
    assert "_do_get_response" not in {name for name, value in vars(Endpoint).items() if hasattr(value, "__wrapped__")}


@pytest.mark.parametrize("mode", MODES)
def test_latency_delays_each_call_and_a_client_gives_up_when_its_own_time_is_over(
    mode: str, server: AwsServer, slept: list[float]
) -> None:
    client, impatient = client_of(server, mode), client_of(server, mode, read_timeout=1)
    with failing("dynamodb", "latency", delay_seconds=2.0) as chaos:
        assert client.get_item(TableName=TABLE, Key=ITEM)
        assert sum(chaos.clock.slept) == 2
        with pytest.raises(exceptions.ReadTimeoutError):
            impatient.get_item(TableName=TABLE, Key=ITEM)
        assert sum(chaos.clock.slept) == 2 + ATTEMPTS * 1
    assert attempts(slept) == ATTEMPTS


def test_a_time_out_lasts_as_long_as_the_client_waits(server: AwsServer) -> None:
    for config, seconds in (({}, 60), ({"read_timeout": 7}, 7), ({"connect_timeout": 1, "read_timeout": 8}, 8)):
        with (
            failing("dynamodb", "timeout", duration_seconds=600.0) as chaos,
            pytest.raises(exceptions.ReadTimeoutError),
        ):
            client_of(server, **config).list_tables()
        assert sum(chaos.clock.slept) == seconds * ATTEMPTS


def test_a_request_may_have_a_time_out_of_its_own(server: AwsServer) -> None:
    client = client_of(server)
    client.meta.events.register("before-call.dynamodb.ListTables", lambda context, **_: context.update(read_timeout=3))
    with failing("dynamodb", "timeout") as chaos, pytest.raises(exceptions.ReadTimeoutError):
        client.list_tables()
    assert sum(chaos.clock.slept) == 3 * ATTEMPTS


def test_the_modules_own_calls_meet_nothing(server: AwsServer) -> None:
    client = client_of(server)
    with failing("dynamodb", "dns"), own_calls():
        assert client.list_tables()["TableNames"] == [TABLE]


def test_after_two_failures_the_third_attempt_succeeds_and_the_server_has_seen_that_one(
    server: AwsServer,
) -> None:
    client = client_of(server, "standard")
    server.seen.clear()
    with failing(
        "dynamodb:PutItem", "error", options={"first": {"requests": 2}}, code="ProvisionedThroughputExceededException"
    ):
        answer = client.put_item(TableName=TABLE, Item=ITEM)
    assert answer["ResponseMetadata"]["RetryAttempts"] == 2
    assert server.seen == ["PutItem"]


def test_the_write_whose_answer_is_lost_is_done(server: AwsServer) -> None:
    client = client_of(server)
    server.seen.clear()
    with failing("dynamodb:PutItem", "lost_reply"), pytest.raises(exceptions.ConnectionClosedError):
        client.put_item(TableName=TABLE, Item={"id": {"S": "lost"}, "state": {"S": "paid"}})
    assert server.seen == ["PutItem"] * ATTEMPTS
    assert client.get_item(TableName=TABLE, Key={"id": {"S": "lost"}})["Item"]["state"] == {"S": "paid"}


def test_a_connection_whose_answer_is_lost_goes_back_to_its_pool(server: AwsServer) -> None:
    client = client_of(server, service="s3", max_pool_connections=1)
    with failing("s3:GetObject", "lost_reply"), pytest.raises(exceptions.ConnectionClosedError):
        client.get_object(Bucket=BUCKET, Key="1")
    [pool] = client._endpoint.http_session._manager.pools._container.values()
    assert pool.pool.qsize() == 1
    assert client.get_object(Bucket=BUCKET, Key="1")["Body"].read() == b"x" * 100


def test_a_slow_answer_comes_at_so_many_bytes_a_second(server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time_limits, "sleep", waited.append)
    client, s3 = client_of(server), client_of(server, service="s3")
    with failing("dynamodb", "slow", bytes_per_second=10.0):
        size = int(client.list_tables()["ResponseMetadata"]["HTTPHeaders"]["content-length"])
        assert sum(waited) == pytest.approx(size / 10)
        assert max(waited) <= LONGEST_SECONDS
    waited.clear()
    with failing("s3:GetObject", "slow", bytes_per_second=50.0):
        body = s3.get_object(Bucket=BUCKET, Key="1")["Body"]
        assert not waited
        assert body.read(25) == b"x" * 25
        assert sum(waited) == pytest.approx(0.5)
        assert b"".join(body.iter_chunks(10)) == b"x" * 75
        assert sum(waited) == pytest.approx(2)
    waited.clear()
    assert s3.get_object(Bucket=BUCKET, Key="1")["Body"].read() == b"x" * 100
    assert not waited


def test_an_answer_that_is_under_way_is_slow_no_longer_than_the_run_lasts(
    server: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = client_of(server, service="s3")
    with failing("s3:GetObject", "slow", bytes_per_second=1.0) as chaos:
        body = s3.get_object(Bucket=BUCKET, Key="1")["Body"]
        waited: list[float] = []

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 3:
                chaos.stop()

        monkeypatch.setattr(time_limits, "sleep", sleep)
        assert body.read() == b"x" * 100
    assert len(waited) == 3


def test_a_client_gives_up_an_answer_of_which_no_byte_comes_in_its_time(
    server: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time_limits, "sleep", waited.append)
    monkeypatch.setattr(patched, "_timeout_seconds", lambda *_: 0.5)
    s3 = client_of(server, service="s3")
    with failing("s3", "slow", bytes_per_second=1.0):
        with pytest.raises(exceptions.ReadTimeoutError):
            s3.get_object(Bucket=BUCKET, Key="1")["Body"].read()
        assert sum(waited) == 0.5
        with pytest.raises(exceptions.ReadTimeoutError):
            s3.list_buckets()
    assert sum(waited) == 0.5 + 0.5 * ATTEMPTS


@pytest.mark.parametrize("mode", MODES)
def test_garbage_fails_as_each_protocol_of_botocore_fails_to_parse_it(
    mode: str, server: AwsServer, slept: list[float]
) -> None:
    server.seen.clear()
    with failing("sns", "garbage"), pytest.raises(ResponseParserError):
        client_of(server, mode, service="sns").list_topics()
    with failing("dynamodb", "garbage"), pytest.raises(UnicodeDecodeError):
        client_of(server, mode).get_item(TableName=TABLE, Key=ITEM)
    assert not slept
    s3 = client_of(server, mode, service="s3")
    with failing("s3", "garbage"):
        with pytest.raises(ClientError, match="Internal Server Error"):
            s3.list_buckets()
        assert attempts(slept) == ATTEMPTS
        assert s3.get_object(Bucket=BUCKET, Key="1")["Body"].read() == GARBAGE
    assert not server.seen


def test_what_botocore_calls_with_does_not_decide_again(server: AwsServer) -> None:
    client = client_of(server)
    with failing(server.address, "latency", delay_seconds=1.0) as chaos, chaos.request() as result:
        client.list_tables()
        assert sum(chaos.clock.slept) == 1
        assert [passage.call.client for passage in result.passages] == ["botocore"]


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "is_repeatable"),
    [
        ("dynamodb", "get_item", {"TableName": TABLE, "Key": ITEM}, True),
        ("dynamodb", "put_item", {"TableName": TABLE, "Item": ITEM}, True),
        ("dynamodb", "delete_item", {"TableName": TABLE, "Key": ITEM}, True),
        ("dynamodb", "update_item", {"TableName": TABLE, "Key": ITEM}, False),
        ("dynamodb", "update_item", {"TableName": TABLE, "Key": ITEM, "ConditionExpression": "a = b"}, True),
        ("dynamodb", "transact_write_items", {"TransactItems": []}, True),
        ("sqs", "receive_message", {"QueueUrl": "http://queue"}, False),
        ("sqs", "send_message", {"QueueUrl": "http://queue", "MessageBody": "1"}, False),
        (
            "sqs",
            "send_message",
            {"QueueUrl": "http://queue", "MessageBody": "1", "MessageDeduplicationId": "1"},
            True,
        ),
        ("sns", "publish", {"TopicArn": "arn", "Message": "1"}, False),
        ("lambda", "invoke", {"FunctionName": "f"}, False),
        ("lambda", "list_functions", {}, True),
        ("kinesis", "put_record", {"StreamName": "s", "Data": b"1", "PartitionKey": "1"}, False),
        ("events", "put_events", {"Entries": [{}]}, False),
        ("s3", "put_object", {"Bucket": BUCKET, "Key": "2", "Body": b"2"}, True),
        ("s3", "head_object", {"Bucket": BUCKET, "Key": "2"}, True),
        ("secretsmanager", "create_secret", {"Name": "s"}, True),
    ],
)
def test_what_does_no_harm_when_it_is_made_twice(
    service: str, operation: str, arguments: dict[str, Any], is_repeatable: object, server: AwsServer
) -> None:
    client = client_of(server, service=service, parameter_validation=False)
    with failing(service, "refused") as chaos, chaos.request() as result, suppress(exceptions.EndpointConnectionError):
        getattr(client, operation)(**arguments)
    assert {passage.call.is_repeatable for passage in result.passages} == {is_repeatable}


class Order(Model):
    class Meta:
        table_name = TABLE
        region = "eu-west-1"
        aws_access_key_id = "testing"
        aws_secret_access_key = "testing"
        read_timeout_seconds = 30
        max_retry_attempts = 2

    id = UnicodeAttribute(hash_key=True)


def test_pynamodb_fails_as_its_users_know_it_and_works_afterwards(server: AwsServer, slept: list[float]) -> None:
    Order.Meta.host = server.url
    Order("kept").save()
    server.seen.clear()
    with failing("dynamodb:PutItem", "throttle"):
        with pytest.raises(PutError) as caught:
            Order("2").save()
        assert caught.value.cause_response_code == "ProvisionedThroughputExceededException"
        assert attempts(slept) == 3
        assert Order.get("kept").id == "kept"
    with failing("dynamodb:GetItem", "timeout", duration_seconds=600.0) as chaos:
        with pytest.raises(GetError) as unread:
            Order.get("kept")
        assert isinstance(unread.value.cause, exceptions.ReadTimeoutError)
        assert sum(chaos.clock.slept) == 3 * 30
    with failing("dynamodb:PutItem", "lost_reply"), pytest.raises(PutError):
        Order("written").save()
    assert Order.get("written").id == "written"


def test_a_request_is_hit_and_remembers_each_attempt_of_its_calls(server: AwsServer) -> None:
    client = client_of(server, read_timeout=30)
    with failing("dynamodb:PutItem", "error", scope_of_calls="requests", code="Nope") as chaos, chaos.request() as hit:
        with pytest.raises(ClientError):
            client.put_item(TableName=TABLE, Item=ITEM)
        client.get_item(TableName=TABLE, Key=ITEM)
    [passage] = hit.passages
    call = passage.call
    assert (call.client, call.name, call.method, call.scheme, call.path) == (
        "botocore",
        "dynamodb:PutItem",
        "POST",
        "http",
        "/",
    )
    assert f"{call.host}:{call.port}" == server.address
    assert (call.timeout_seconds, passage.status, passage.error) == (30, 400, None)


def test_threads_share_a_client_and_each_call_is_decided_once(server: AwsServer) -> None:
    client = client_of(server, retries={"total_max_attempts": 1}, max_pool_connections=8)
    server.seen.clear()
    failed, answered = [], []

    def call() -> None:
        for _ in range(10):
            try:
                answered.append(client.get_item(TableName=TABLE, Key=ITEM))
            except exceptions.EndpointConnectionError as error:
                failed.append(error)

    with failing("dynamodb:GetItem", "refused", options={"every": 2}):
        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(failed), len(answered)) == (40, 40)
    assert server.seen == ["GetItem"] * 40
