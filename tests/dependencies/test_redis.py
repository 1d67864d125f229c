"""redis-py, with threads and with asyncio, and a real Redis: every fault, on new connections and on pooled ones."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

redis = pytest.importorskip("redis")
from redis.asyncio.retry import Retry as RetryOnLoop  # noqa: E402 - where it is installed
from redis.backoff import NoBackoff  # noqa: E402
from redis.exceptions import InvalidResponse  # noqa: E402

from tests.dependencies import servers  # noqa: E402
from tests.dependencies.harness import failing  # noqa: E402

PATIENCE = 0.2
ERRORS = {
    "timeout": (redis.TimeoutError, "Timeout reading from localhost"),
    "refused": (redis.ConnectionError, "Error 111 connecting to localhost:.* Connection refused"),
    "reset": (redis.ConnectionError, "Connection reset by peer"),
    "dns": (redis.ConnectionError, "Name or service not known"),
    "lost_reply": (redis.ConnectionError, "Connection reset by peer"),
    "garbage": (InvalidResponse, "Protocol Error"),
}
DELAYED = {"latency": {"delay_seconds": 0.1}, "slow": {"bytes_per_second": 40.0}}
FAULTS = (*ERRORS, *DELAYED)


def _options(address: servers.Address) -> dict[str, Any]:
    return {
        "host": address.host,
        "port": address.port,
        "socket_timeout": PATIENCE,
        "retry_on_error": [redis.ConnectionError, redis.TimeoutError],  # version 5 retries no others
    }


class Blocking:
    def __init__(self, address: servers.Address, retries: int = 0) -> None:
        retry = redis.retry.Retry(NoBackoff(), retries)
        self.client = redis.Redis(**_options(address), retry=retry)

    def run(self, answer: Any) -> Any:
        return answer

    def close(self) -> None:
        self.client.close()


class OnLoop:
    def __init__(self, address: servers.Address, retries: int = 0) -> None:
        self._runner = asyncio.Runner()
        retry = RetryOnLoop(NoBackoff(), retries)
        self.client = redis.asyncio.Redis(**_options(address), retry=retry)

    def run(self, answer: Any) -> Any:
        async def answered() -> Any:
            return await answer

        return self._runner.run(answered())

    def close(self) -> None:
        self.run(self.client.aclose())
        self._runner.close()


Kind = Callable[..., Any]


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Address]:
    with servers.redis() as address:
        yield address


@pytest.fixture(params=[Blocking, OnLoop], ids=["redis", "redis.asyncio"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture
def opened(kind: Kind, server: servers.Address) -> Iterator[Callable[..., Any]]:
    """Makes clients, which are closed when the test is over."""
    made: list[Any] = []

    def client(**options: Any) -> Any:
        made.append(kind(server, **options))
        return made[-1]

    yield client
    for each in made:
        each.close()


@pytest.fixture
def key() -> str:
    """What a command adds 1 to: so the value is how often the server got it."""
    return uuid.uuid4().hex


def single(client: Any, key: str) -> int:
    return int(client.run(client.client.incr(key)))


def transaction(client: Any, key: str) -> int:
    return int(client.run(client.client.pipeline().incr(key).execute())[0])


def pipeline(client: Any, key: str) -> int:
    return int(client.run(client.client.pipeline(transaction=False).incr(key).execute())[0])


def count(client: Any, key: str) -> int:
    return int(client.run(client.client.get(key)) or 0)


@pytest.mark.parametrize("made", ["before", "pooled", "during"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_command_meets_a_fault(opened, server: servers.Address, key: str, fault: str, made: str) -> None:
    client = opened() if made != "during" else None
    if client and made == "pooled":
        assert count(client, key) == 0
    with failing(str(server), fault, **DELAYED.get(fault, {})) as chaos:
        client = client or opened()
        meet(client, single, key, fault, chaos)
    reached = fault in {"lost_reply", *DELAYED}
    for each in (client, opened()):
        assert count(each, key) == reached
    assert single(client, key) == reached + 1


@pytest.mark.parametrize("call", [transaction, pipeline])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_pipeline_is_one_call(opened, server: servers.Address, key: str, fault: str, call) -> None:
    client = opened()
    with failing(str(server), fault, options={"max_requests": 1}, **DELAYED.get(fault, {})) as chaos:
        meet(client, call, key, fault, chaos)
        reached = fault in {"lost_reply", *DELAYED}
        assert call(client, key) == reached + 1


def meet(client: Any, call: Callable[[Any, str], int], key: str, fault: str, chaos: Any) -> None:
    began = time.monotonic()
    if fault in ERRORS:
        error, message = ERRORS[fault]
        with pytest.raises(error, match=message):
            call(client, key)
    else:
        assert call(client, key) == 1
    least = {"timeout": PATIENCE, "latency": 0.1, "slow": 0.1}.get(fault, 0.0)
    assert max(time.monotonic() - began, sum(chaos.clock.slept)) >= least


@pytest.mark.parametrize("fault", ["timeout", "refused", "reset", "dns", "lost_reply"])
def test_the_clients_own_retries_do_what_they_do(opened, server: servers.Address, key: str, fault: str) -> None:
    client = opened(retries=2)
    repeats = 2 if fault == "lost_reply" else 0
    with failing(str(server), fault, options={"first": {"requests": 2}}):
        assert single(client, key) == repeats + 1
    with failing(str(server), fault, options={"first": {"requests": 3}}):
        with pytest.raises(ERRORS[fault][0]):
            single(client, key)
        assert single(client, key) == repeats + 2 + (3 if repeats else 0)


def test_an_answer_so_slow_that_not_a_byte_comes_in_time_is_a_time_out(opened, server: servers.Address, key) -> None:
    client = opened()
    with failing(str(server), "slow", bytes_per_second=2.0), pytest.raises(redis.TimeoutError):
        single(client, key)
    assert single(client, key) == 2


def test_an_error_of_the_server_is_lost_as_any_reply_is(opened, server: servers.Address, key: str) -> None:
    client = opened()
    client.run(client.client.set(key, "no number"))
    with failing(str(server), "lost_reply"), pytest.raises(redis.ConnectionError):
        single(client, key)
    with pytest.raises(redis.ResponseError):
        single(client, key)


def test_what_a_connection_does_to_be_one_is_no_call(opened, server: servers.Address, key: str) -> None:
    """It connects, and says who it is; the first call is its first command."""
    client = opened()
    with failing(str(server), "lost_reply", options={"max_requests": 1}):
        with pytest.raises(redis.ConnectionError):
            single(client, key)
        assert single(client, key) == 2


@pytest.mark.parametrize("fault", ["refused", "lost_reply"])
def test_a_subscription_fails_when_it_is_sent(opened, server: servers.Address, fault: str) -> None:
    client = opened()
    subscriber = client.client.pubsub()
    with failing(str(server), fault, options={"max_requests": 1}), pytest.raises(redis.ConnectionError):
        client.run(subscriber.subscribe("news"))
    client.run(subscriber.subscribe("news"))
    client.run(subscriber.get_message(timeout=PATIENCE))
    client.run(client.client.publish("news", "x"))
    assert client.run(subscriber.get_message(timeout=PATIENCE))["data"] in {b"x", 1}
    client.run(subscriber.aclose() if hasattr(subscriber, "aclose") else subscriber.close())


def test_a_fault_that_it_cannot_meet_is_counted_and_the_command_goes_on(opened, server: servers.Address, key) -> None:
    client = opened()
    with failing(str(server), "tls", scope_of_calls="requests") as chaos, chaos.request() as result:
        assert single(client, key) == 1
        assert "unreached" in [note for _, note in result.notes]


def test_classes_are_as_before() -> None:
    owners = [
        owner
        for module in (redis, redis.asyncio)
        for owner in (module.Redis, module.client.Pipeline, module.connection.AbstractConnection)
    ]
    before = [dict(vars(owner)) for owner in owners]
    with failing("localhost:6379", "refused"):
        assert [dict(vars(owner)) != was for owner, was in zip(owners, before, strict=True)] == [True] * 6
    assert [dict(vars(owner)) for owner in owners] == before
