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

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.endpoint import AioEndpoint
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.httpxsession import HttpxSession
from aiobotocore.session import get_session

from chalicelib.outgoing import aiobotocore as patched
from chalicelib.outgoing.aws_answers import GARBAGE
from chalicelib.outgoing.passing import is_to_be_asked
from tests.dependencies.aws_server import BUCKET, TABLE, AwsServer, options, aws_server
from tests.dependencies.harness import failing
from tests.dependencies.test_botocore import ATTEMPTS, ITEM, MODES, RAISED

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
    async with get_session().create_client(service, **options(server), config=made) as client:
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
        async with client_of(server, session, mode, read_timeout=5) as before:
            assert await before.get_item(TableName=TABLE, Key=ITEM)
            server.seen.clear()
            with failing("dynamodb:GetItem", fault) as chaos:
                async with client_of(server, session, mode, read_timeout=5) as during:
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
