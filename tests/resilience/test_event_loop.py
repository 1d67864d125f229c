"""Under an event loop: what waits, waits beside the others; what blocks, does not block them."""

import asyncio
import statistics
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.contract.servers import IDLE_SECONDS, Server, serving, uvicorn
from tests.staging.account import Wire
from tests.stalls import Stalls

API = "/chaos_experiments"
CONCURRENT = 200
BLOCKED_MS = 100
"""A loop that is blocked stands still for longer: for a timeout of the table, or while memory is filled."""

Tell = Callable[[str], None]


class Hanging(Wire):
    """A wire that can hold its breath: while it does, no answer comes through."""

    def __init__(self, port: int) -> None:
        self.flows = threading.Event()
        self.flows.set()
        super().__init__(port)

    def passes(self, data: bytes) -> bytes:
        self.flows.wait()
        return data


@pytest.fixture(scope="module")
def wire(dynamodb_url: str) -> Iterator[Hanging]:
    wire = Hanging(int(dynamodb_url.rpartition(":")[2]))
    yield wire
    wire.flows.set()
    wire.close()


@pytest.fixture(scope="module")
def server(wire: Hanging, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    variables = {
        "AWS_ENDPOINT_URL_DYNAMODB": wire.url,
        "CHAOS_TABLE": f"loop-{uuid.uuid4().hex[:8]}",
        "CHAOS_TABLE_TIMEOUT_SECONDS": "2",
        "CHAOS_REFRESH_SECONDS": "1",
    }

    def one_worker(folder: Path, port: int) -> list[str]:
        return [part if part != "2" else "1" for part in uvicorn(folder, port)]

    with serving(one_worker, tmp_path_factory.mktemp("loop"), **variables) as server:
        yield server


def start(server: Server, experiment: str, **parameters: float) -> None:
    body = {"experiment_name": experiment, "duration_seconds": 60, "restart": True, **parameters}
    answer = server.call("POST", f"{API}/start", json=body)
    assert answer.status_code == 200, answer.text
    time.sleep(IDLE_SECONDS)


def stop(server: Server, experiment: str) -> None:
    assert server.call("POST", f"{API}/stop", json={"experiment_name": experiment}).status_code == 200


class Client:
    """One connection, kept open; an HTTP library's pool would be what is measured."""

    async def open(self, server: Server) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        return self

    async def get(self, path: str) -> tuple[int, str]:
        """Status and head."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        await self._reader.readexactly(int(head.partition("content-length:")[2].partition("\r\n")[0]))
        return int(head.split()[1]), head

    def close(self) -> None:
        self._writer.close()


async def heartbeats(client: Client, going: asyncio.Event) -> list[float]:
    """Milliseconds of one request after the other to the excluded route."""
    took = []
    while going.is_set():
        began = time.perf_counter()
        assert (await client.get("/health"))[0] == 200
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.005)
    return took


def beside(server: Server, size: int, work: Callable[[list[Client]], Awaitable[None]]) -> list[float]:
    """The heartbeats while the work is done with so many clients."""

    async def both() -> list[float]:
        clients = [await Client().open(server) for _ in range(size + 1)]
        going = asyncio.Event()
        going.set()
        beating = asyncio.create_task(heartbeats(clients[0], going))
        await work(clients[1:])
        going.clear()
        took = await beating
        for client in clients:
            client.close()
        return took

    return asyncio.run(both())


def percentile(took: list[float]) -> str:
    return f"heartbeat: median {statistics.median(took):.1f} ms, 99 of 100 below {high(took):.1f} ms of {len(took)}"


def high(took: list[float]) -> float:
    return statistics.quantiles(took, n=100)[-1]


def test_two_hundred_delays_of_a_second_take_a_second_together(server: Server, tell: Tell) -> None:
    """Two of them one after the other would take two, and so would forty at a time, as many as the pool has threads."""
    baseline: list[float] = []
    took: list[float] = []

    async def all_at_once(clients: list[Client]) -> None:
        for _ in range(3):
            began = time.perf_counter()
            answers = await asyncio.gather(*(client.get("/orders/1") for client in clients))
            taken.append(time.perf_counter() - began)
            assert {status for status, _ in answers} == {201}
        assert all(("x-chaos-experiment: latency_injection" in head) == (taken is took) for _, head in answers)

    taken = baseline
    usual = high(beside(server, CONCURRENT, all_at_once))
    start(server, "latency_injection", delay_seconds=1.0)
    taken = took
    beats = beside(server, CONCURRENT, all_at_once)
    stop(server, "latency_injection")
    tell(f"{CONCURRENT} delays of 1 s: {', '.join(f'{each:.2f}' for each in took)} s; {percentile(beats)}")
    assert statistics.median(took) < 2 + statistics.median(baseline)
    assert high(beats) < 500 + usual  # where 200 arrive at once, one waits for the work of all, but for no delay


def test_a_table_that_hangs_delays_nobody_but_who_asks_it(server: Server, wire: Hanging, tell: Tell) -> None:
    async def while_it_hangs(clients: list[Client]) -> None:
        wire.flows.clear()
        until = time.monotonic() + 4
        while time.monotonic() < until:
            answers = await asyncio.gather(*(client.get("/orders/1") for client in clients))
            assert {status for status, _ in answers} == {201}
        wire.flows.set()

    with Stalls() as stalls:
        beats = beside(server, 4, while_it_hangs)
    tell(percentile(beats))
    assert high(beats) < BLOCKED_MS + stalls.longest() * 1000


def test_filling_memory_blocks_nobody(server: Server, tell: Tell) -> None:
    start(server, "resource_exhaustion", memory_mb=500)
    held = []

    async def filling(clients: list[Client]) -> None:
        until = time.monotonic() + 3
        while time.monotonic() < until:
            held.append("resource_exhaustion" in (await clients[0].get("/orders/1"))[1])

    with Stalls() as stalls:
        beats = beside(server, 1, filling)
    stop(server, "resource_exhaustion")
    tell(percentile(beats))
    assert held[-1]
    assert high(beats) < BLOCKED_MS + stalls.longest() * 1000
