"""Processes are killed and the table is unwell while a run counts its hits: fewer than asked for, and never more."""

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.contract.servers import IDLE_SECONDS, SERVERS, Server, serving, uvicorn
from tests.contract_servers.fleet import Fleet
from tests.fault_proxy import FaultProxy
from tests.loopback import until
from tests.stalls import Stalls

LATENCY = {"experiment_name": "latency_injection", "delay_seconds": 0.0, "duration_seconds": 600.0, "restart": True}
KEY = {"header": "x-order-id"}
PROCESSES = 5
OUTAGE_SECONDS = 2.5
SLOW_SECONDS = 0.3
SLOWEST_SECONDS = 2.0
"""Two time-outs of 0.25 s, and what a busy machine adds."""


@pytest.fixture(scope="module")
def fleet(proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Its snapshots are trusted for longer than an outage lasts."""
    variables = {
        "AWS_ENDPOINT_URL_DYNAMODB": proxy.url,
        "CHAOS_TABLE": f"exact-{uuid.uuid4().hex[:8]}",
        "CHAOS_TABLE_TIMEOUT_SECONDS": "0.25",
        "CHAOS_MAX_STALENESS_SECONDS": "60",
    }
    with ExitStack() as stack:
        yield Fleet(
            [
                stack.enter_context(serving(command, tmp_path_factory.mktemp("server"), **variables))
                for command in SERVERS.values()
            ]
        )


def start(fleet: Fleet, **options: Any) -> None:
    """The run, in a table that is well, and known to all."""
    fleet.call("POST", "/start", json={**LATENCY, **options})
    time.sleep(IDLE_SECONDS)


# Killed


def test_a_process_that_is_killed_costs_no_more_than_what_it_had_reserved(dynamodb_url: str, tmp_path: Path) -> None:
    table = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url, "CHAOS_TABLE": f"killed-{uuid.uuid4().hex[:8]}"}
    with ExitStack() as stack:
        servers = []
        for name in ("killed", "other"):
            (tmp_path / name).mkdir()
            servers.append(stack.enter_context(serving(uvicorn, tmp_path / name, **table)))
        killed, other = Fleet(servers[:1], clients=1), Fleet(servers[1:])
        other.call("POST", "/start", json={**LATENCY, "max_requests": 100})
        time.sleep(IDLE_SECONDS)
        used = killed.hits({} for _ in range(30))
        process = servers[0].process
        assert process
        os.killpg(process.pid, signal.SIGKILL)
        hit = used + other.hits({} for _ in range(600))
        time.sleep(1.5)
        hit += other.hits({} for _ in range(600))
    assert used == 30
    assert 75 <= hit <= 100  # it had two workers, each with an eighth at most


# The table


@dataclass(frozen=True)
class Seen:
    seconds: float
    is_hit: bool


class Users:
    """Two for each server, as long as they are entered."""

    def __init__(self, fleet: Fleet) -> None:
        self._servers = fleet.servers
        self._going = threading.Event()
        self.seen: list[Seen] = []

    def ask_for(self, seconds: float) -> list[Seen]:
        self._going.set()
        self.seen = []
        with ThreadPoolExecutor(2 * len(self._servers)) as pool:
            asking = [pool.submit(self._ask, server) for server in self._servers for _ in range(2)]
            time.sleep(seconds)
            self._going.clear()
            for each in asking:
                each.result()
        return self.seen

    def _ask(self, server: Server) -> None:
        with requests.Session() as session:
            while self._going.is_set():
                began = time.monotonic()
                answer = session.get(f"{server.url}/orders/7", headers={"x-order-id": f"{began}"}, timeout=60)
                assert answer.status_code == 201
                self.seen.append(Seen(time.monotonic() - began, "X-Chaos-Run" in answer.headers))


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("hang", {"max_requests": 100_000}),
        ("hang", {"first": {"requests": 1, "key": KEY}}),
        ("refused", {"max_requests": 100_000}),
    ],
)
def test_while_the_table_is_unreachable_nothing_is_hit_and_few_requests_wait_for_it(
    fleet: Fleet, proxy: FaultProxy, fault: str, options: Any, tell: Callable[[str], None]
) -> None:
    start(fleet, **options)
    users = Users(fleet)
    until(lambda: any(each.is_hit for each in users.ask_for(0.5)))
    proxy.fail(fault, "" if fault == "refused" else "UpdateItem")
    try:
        users.ask_for(1.0)  # what is reserved is used up, and all notice
        with Stalls() as stalls:
            seen = users.ask_for(OUTAGE_SECONDS)
    finally:
        proxy.heal()
    slow = [each for each in seen if each.seconds > SLOW_SECONDS]
    slowest = max(each.seconds for each in seen)
    tell(f"{len(seen)} requests, {sum(each.is_hit for each in seen)} hit, {len(slow)} slow, slowest {slowest:.2f} s")
    assert slowest < SLOWEST_SECONDS + stalls.longest()
    assert len(slow) < len(seen) / 2
    if "first" in options:
        assert not any(each.is_hit for each in seen)
    until(lambda: any(each.is_hit for each in users.ask_for(1.0)))


def test_answers_that_are_lost_never_make_more_hits(fleet: Fleet, proxy: FaultProxy) -> None:
    start(fleet, max_requests=60)
    hit = 0
    for _ in range(3):
        hit += fleet.hits({} for _ in range(12))
        proxy.fail("reset", "UpdateItem")
        try:
            hit += fleet.hits({} for _ in range(50))
        finally:
            proxy.heal()
        time.sleep(1.1)

    def are_used_up() -> bool:
        nonlocal hit
        time.sleep(1.1)
        hit += fleet.hits({} for _ in range(200))
        return hit >= 55

    until(are_used_up)
    are_used_up()
    assert hit <= 60


def test_nor_of_a_key(fleet: Fleet, proxy: FaultProxy) -> None:
    start(fleet, first={"requests": 2, "key": KEY})
    hits: dict[str, int] = {}
    for is_lost in (True, False, True, False, False):
        if is_lost:
            proxy.fail("reset", "UpdateItem")
        try:
            for number in range(12):
                key = f"{number}"
                hits[key] = hits.get(key, 0) + fleet.hits([{"x-order-id": key}] * 3)
        finally:
            if is_lost:
                proxy.heal()
        time.sleep(1.1)
    assert max(hits.values()) <= 2
    until(lambda: fleet.hits([{"x-order-id": uuid.uuid4().hex}]) > 0)  # it goes on where the table answers again
