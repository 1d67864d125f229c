"""aiobotocore against moto's server, by aiohttp and by httpx: what its users see, and what reached the server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

pytest.importorskip("aiobotocore")

import anyio
import anyio.lowlevel
from aiobotocore.config import AioConfig
from aiobotocore.endpoint import AioEndpoint, AnyioEndpoint
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.httpxsession import HttpxSession
from aiobotocore.retries.bucket import AsyncTokenBucket
from aiobotocore.session import get_session

from chalicelib.injection.loops import AnyLoop
from chalicelib.outgoing import botocore as patched
from chalicelib.outgoing.aws_answers import GARBAGE
from chalicelib.outgoing.passing import is_to_be_asked
from chalicelib.own_calls import own_calls
from tests.dependencies.aws_server import BUCKET, TABLE, AwsServer, aws_server, options
from tests.dependencies.harness import failing
from tests.dependencies.test_botocore import ATTEMPTS, ITEM, MODES, RAISED

SESSION = get_session()
SESSIONS = (AIOHTTPSession, HttpxSession)


@pytest.fixture(scope="module")
def server() -> Iterator[AwsServer]:
    with aws_server() as running:
        yield running


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What aiobotocore waits before retries: no time passes. Adaptive retries do wait, but not for seconds."""
    pauses: list[float] = []

    async def sleep(_endpoint: Any, seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(AioEndpoint, "_sleep", sleep)
    monkeypatch.setattr(AnyioEndpoint, "_sleep", sleep)
    monkeypatch.setattr(AsyncTokenBucket.__init__, "__defaults__", (20.0,))
    return pauses


@pytest.fixture(autouse=True)
def delayed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the module waits on the event loop: no time passes, but others have their turn."""
    pauses: list[float] = []

    async def sleep(_loop: AnyLoop, seconds: float) -> None:
        pauses.append(seconds)
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(AnyLoop, "sleep", sleep)
    return pauses


@asynccontextmanager
async def client_of(
    server: AwsServer,
    session: type = AIOHTTPSession,
    mode: str = "standard",
    service: str = "dynamodb",
    **config: Any,
) -> AsyncIterator[Any]:
    chosen = {"retries": {"mode": mode, "total_max_attempts": ATTEMPTS}, **config}
    made = AioConfig(http_session_cls=session, **chosen)
    async with SESSION.create_client(service, **options(server), config=made) as client:
        yield client


def attempts(pauses: list[float]) -> int:
    return len(pauses) + 1


@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", RAISED)
def test_each_attempt_fails_as_aiobotocore_reports_it_and_the_client_works_afterwards(
    fault: str, mode: str, session: type, server: AwsServer, slept: list[float]
) -> None:
    before_all = dict(vars(AioEndpoint))

    async def calls() -> None:
        async with client_of(server, session, mode, read_timeout=30) as before:
            assert await before.get_item(TableName=TABLE, Key=ITEM)
            server.seen.clear()
            with failing("dynamodb:GetItem", fault) as chaos:
                async with client_of(server, session, mode, read_timeout=30) as during:
                    for client in (before, during):
                        slept.clear()
                        with pytest.raises(RAISED[fault]):
                            await client.get_item(TableName=TABLE, Key=ITEM)
                        assert attempts(slept) == ATTEMPTS
                    assert server.seen == ["GetItem"] * (2 * ATTEMPTS if fault == "lost_reply" else 0)
                    assert (await during.list_tables())["TableNames"] == [TABLE]
                    chaos.stop()
                    for client in (before, during):
                        answer = await client.get_item(TableName=TABLE, Key=ITEM)
                        assert answer["ResponseMetadata"]["RetryAttempts"] == 0
        async with client_of(server, session, mode) as after:
            assert await after.get_item(TableName=TABLE, Key=ITEM)

    asyncio.run(calls())
    assert dict(vars(AioEndpoint)) == before_all


@pytest.mark.parametrize("session", SESSIONS)
def test_a_time_out_lasts_as_long_as_the_client_waits_and_latency_no_longer(
    session: type, server: AwsServer, delayed: list[float]
) -> None:
    async def calls() -> None:
        async with client_of(server, session, read_timeout=30) as client:
            with failing("dynamodb", "timeout"), pytest.raises(exceptions.ReadTimeoutError):
                await client.list_tables()
            assert sum(delayed) == 30 * ATTEMPTS
            delayed.clear()
            with failing("dynamodb", "latency", delay_seconds=3.0):
                await client.list_tables()
                assert sum(delayed) == 3
                with own_calls():
                    await client.list_tables()
            assert sum(delayed) == 3

    asyncio.run(calls())


@pytest.mark.parametrize("session", SESSIONS)
def test_after_two_failures_the_third_attempt_succeeds_and_the_server_has_seen_that_one(
    session: type, server: AwsServer
) -> None:
    async def calls() -> None:
        async with client_of(server, session) as client:
            server.seen.clear()
            with failing("dynamodb:PutItem", "throttle", options={"first": {"requests": 2}}):
                answer = await client.put_item(TableName=TABLE, Item=ITEM)
            assert answer["ResponseMetadata"]["RetryAttempts"] == 2
            assert server.seen == ["PutItem"]

    asyncio.run(calls())


@pytest.mark.parametrize("session", SESSIONS)
def test_what_is_lost_is_done_and_its_connection_is_free_for_the_next(session: type, server: AwsServer) -> None:
    item = {"id": {"S": f"lost-{session.__name__}"}}

    async def calls() -> None:
        async with client_of(server, session, max_pool_connections=1) as client:
            server.seen.clear()
            with failing("dynamodb:PutItem", "lost_reply"), pytest.raises(exceptions.ConnectionClosedError):
                await client.put_item(TableName=TABLE, Item=item)
            assert server.seen == ["PutItem"] * ATTEMPTS
            assert (await client.get_item(TableName=TABLE, Key=item))["Item"] == item
        async with client_of(server, session, service="s3", max_pool_connections=1) as s3:
            with failing("s3:GetObject", "lost_reply"), pytest.raises(exceptions.ConnectionClosedError):
                await s3.get_object(Bucket=BUCKET, Key="1")
            answer = await s3.get_object(Bucket=BUCKET, Key="1")
            assert await answer["Body"].read() == b"x" * 100

    asyncio.run(calls())


@pytest.mark.parametrize("session", SESSIONS)
def test_a_slow_answer_comes_at_so_many_bytes_a_second(session: type, server: AwsServer, delayed: list[float]) -> None:
    async def calls() -> None:
        async with client_of(server, session) as client:
            with failing("dynamodb", "slow", bytes_per_second=10.0):
                answer = await client.list_tables()
            size = int(answer["ResponseMetadata"]["HTTPHeaders"]["content-length"])
            assert sum(delayed) == pytest.approx(size / 10)
        delayed.clear()
        async with client_of(server, session, service="s3") as s3:
            with failing("s3:GetObject", "slow", bytes_per_second=50.0):
                body = (await s3.get_object(Bucket=BUCKET, Key="1"))["Body"]
                assert not delayed
                assert b"".join([chunk async for chunk in body.iter_chunks(25)]) == b"x" * 100
                assert sum(delayed) == pytest.approx(2)
                delayed.clear()
                async with (await s3.get_object(Bucket=BUCKET, Key="1"))["Body"] as body:
                    assert await body.read() == b"x" * 100
                assert sum(delayed) == pytest.approx(2)
            delayed.clear()
            assert await (await s3.get_object(Bucket=BUCKET, Key="1"))["Body"].read() == b"x" * 100
            assert not delayed

    asyncio.run(calls())


def test_a_slow_stream_of_events_is_slow_too(server: AwsServer, delayed: list[float]) -> None:
    async def calls() -> None:
        async with client_of(server, service="s3") as s3:
            with failing("s3:GetObject", "slow", bytes_per_second=50.0):
                raw = (await s3.get_object(Bucket=BUCKET, Key="1"))["Body"].raw_stream
                assert b"".join([data async for data, _ in raw.content.iter_chunks()]) == b"x" * 100
                assert sum(delayed) == pytest.approx(2)

    asyncio.run(calls())


@pytest.mark.parametrize("session", SESSIONS)
def test_a_client_gives_up_an_answer_of_which_no_byte_comes_in_its_time(
    session: type, server: AwsServer, delayed: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patched, "_timeout_seconds", lambda *_: 0.5)

    async def calls() -> None:
        async with client_of(server, session, service="s3") as s3:
            with failing("s3", "slow", bytes_per_second=1.0):
                answer = await s3.get_object(Bucket=BUCKET, Key="1")
                with pytest.raises(exceptions.ReadTimeoutError):
                    await answer["Body"].read()
                assert sum(delayed) == 0.5
                with pytest.raises(exceptions.ReadTimeoutError):
                    await s3.list_buckets()
            assert sum(delayed) == 0.5 + 0.5 * ATTEMPTS

    asyncio.run(calls())


@pytest.mark.parametrize("session", SESSIONS)
def test_garbage_fails_as_each_protocol_of_botocore_fails_to_parse_it(
    session: type, server: AwsServer, slept: list[float]
) -> None:
    async def calls() -> None:
        async with client_of(server, session, service="sns") as sns:
            with failing("sns", "garbage"), pytest.raises(ResponseParserError):
                await sns.list_topics()
        async with client_of(server, session) as client:
            with failing("dynamodb", "garbage"), pytest.raises(UnicodeDecodeError):
                await client.get_item(TableName=TABLE, Key=ITEM)
        assert not slept
        async with client_of(server, session, service="s3") as s3:
            with failing("s3", "garbage"):
                with pytest.raises(ClientError, match="Internal Server Error"):
                    await s3.list_buckets()
                async with (await s3.get_object(Bucket=BUCKET, Key="1"))["Body"] as body:
                    assert await body.read() == GARBAGE

    server.seen.clear()
    asyncio.run(calls())
    assert not server.seen


@pytest.mark.parametrize("session", SESSIONS)
def test_what_aiobotocore_calls_with_does_not_decide_again(
    session: type, server: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    async def connect(original: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **how: Any) -> Any:
        asked.append(is_to_be_asked())
        return await original(*args, **how)

    original = asyncio.BaseEventLoop.create_connection
    monkeypatch.setattr(
        asyncio.BaseEventLoop, "create_connection", lambda *args, **how: connect(original, *args, **how)
    )

    async def calls() -> None:
        with failing(server.address, "latency", delay_seconds=1.0) as chaos, chaos.request() as result:
            async with client_of(server, session) as client:
                await client.list_tables()
            assert [passage.call.client for passage in result.passages] == ["aiobotocore"]

    asyncio.run(calls())
    assert asked == [False]


def test_a_deadline_of_the_application_ends_a_delay(server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_loop: AnyLoop, _seconds: float) -> None:
        await asyncio.sleep(60)

    async def calls() -> None:
        async with client_of(server) as client:
            with failing("dynamodb", "latency", delay_seconds=30.0), pytest.raises(TimeoutError):
                await asyncio.wait_for(client.list_tables(), 0.05)
            assert await client.list_tables()

    monkeypatch.setattr(AnyLoop, "sleep", sleep)
    asyncio.run(calls())


def test_tasks_share_a_client_and_each_call_is_decided_once(server: AwsServer) -> None:
    async def calls() -> list[Any]:
        async with client_of(server, retries={"total_max_attempts": 1}) as client:
            with failing("dynamodb:GetItem", "reset", options={"every": 2}):
                tasks = [client.get_item(TableName=TABLE, Key=ITEM) for _ in range(40)]
                return await asyncio.gather(*tasks, return_exceptions=True)

    server.seen.clear()
    results = asyncio.run(calls())
    assert len([each for each in results if isinstance(each, exceptions.ConnectionClosedError)]) == 20
    assert server.seen == ["GetItem"] * 20


def test_trio_waits_and_fails_as_asyncio_does(server: AwsServer, delayed: list[float]) -> None:
    async def calls() -> None:
        async with client_of(server, HttpxSession, read_timeout=30) as client:
            assert await client.list_tables()
            with failing("dynamodb", "timeout"), pytest.raises(exceptions.ReadTimeoutError):
                await client.list_tables()
            assert sum(delayed) == 30 * ATTEMPTS
            with failing("dynamodb", "error", code="ResourceNotFoundException"), pytest.raises(ClientError) as caught:
                await client.list_tables()
            assert type(caught.value) is client.exceptions.ResourceNotFoundException
            assert await client.list_tables()

    anyio.run(calls, backend="trio")
