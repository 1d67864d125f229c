"""What every client over HTTP meets of every fault, on a new connection and on a pooled one."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import pytest

from tests.dependencies.harness import failing
from tests.dependencies.http_server import BODY, OK, Server

ALL = ("latency", "error", "throttle", "timeout", "refused", "reset", "dns", "tls", "lost_reply", "slow", "garbage")
MADE = ("before", "pooled", "during")
"""When the client is made; one with a connection in its pool, too."""

PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "latency": {"delay_seconds": 0.1},
    "slow": {"bytes_per_second": 1000.0},
    "error": {"status_code": 502, "headers": {"X-Reason": "because"}, "body": {"error": "broken"}},
}
PATIENCE = 0.2
"""How long the clients wait for an answer that does not come, in seconds."""
LONG = 30.0
"""How long they wait else."""


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Client(Protocol):
    errors: Mapping[str, type[Exception]]
    """What it raises, by fault."""

    def call(self, method: str = "GET", path: str = "/orders", *, read: float = LONG) -> Answer: ...

    def close(self) -> None: ...


Open = Callable[[Server], Client]


@contextmanager
def opened(open_client: Open, server: Server) -> Iterator[Client]:
    client = open_client(server)
    try:
        yield client
    finally:
        client.close()


def meets(open_client: Open, server: Server, fault: str, made: str) -> None:
    """A client meets a fault, and nothing of it is left afterwards."""
    client = open_client(server) if made != "during" else None
    try:
        if client and made == "pooled":
            assert client.call().body == BODY
        with failing(server.host, fault, **PARAMETERS.get(fault, {})) as chaos:
            client = client or open_client(server)
            before = len(server.requests)
            expect(client, fault, chaos)
            assert len(server.requests) - before == (fault in {"latency", "slow", "lost_reply"})
        assert client.call().body == BODY
        with opened(open_client, server) as later:
            assert later.call().body == BODY
    finally:
        if client:
            client.close()


def expect(client: Client, fault: str, chaos: Any) -> None:
    began = time.monotonic()
    if fault in client.errors:
        with pytest.raises(client.errors[fault]) as raised:
            client.call(read=PATIENCE if fault == "timeout" else LONG)
        assert type(raised.value) is client.errors[fault]
    else:
        EXPECTED[fault](client.call())
    seconds = max(time.monotonic() - began, sum(chaos.clock.slept))
    least = {"latency": 0.1, "slow": 0.9 * len(BODY) / 1000, "timeout": PATIENCE}.get(fault, 0.0)
    assert seconds >= least


def _is_untouched(answer: Answer) -> None:
    assert (answer.status, answer.body) == (200, BODY)


def _is_error(answer: Answer) -> None:
    assert (answer.status, json.loads(answer.body)) == (502, {"error": "broken"})
    assert answer.headers["X-Reason"] == "because"
    assert answer.headers["Content-Type"] == "application/json"


def _is_throttled(answer: Answer) -> None:
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")


def _is_garbage(answer: Answer) -> None:
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.body)
    assert OK["ok"]


EXPECTED: Mapping[str, Callable[[Answer], None]] = {
    "latency": _is_untouched,
    "slow": _is_untouched,
    "error": _is_error,
    "throttle": _is_throttled,
    "garbage": _is_garbage,
}
