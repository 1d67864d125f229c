"""Under an event loop: what waits, waits beside the others; what blocks, does not block them."""

import asyncio
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.servers import IDLE_SECONDS, TOKEN, Server, serving, uvicorn
from tests.staging.account import Wire

API = "/chaos_experiments"
CONCURRENT = 200
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
        "CHAOS_TABLE_TIMEOUT_SECONDS": "0.5",
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


async def heartbeats(client: httpx.AsyncClient, going: asyncio.Event) -> list[float]:
    """Milliseconds of one request after the other to the excluded route."""
    took = []
    while going.is_set():
        began = time.perf_counter()
        assert (await client.get("/health")).status_code == 200
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.005)
    return took


def beside(server: Server, work: Callable[[httpx.AsyncClient], "asyncio.Future[None]"]) -> list[float]:
    """The heartbeats while the work is done."""

    async def both() -> list[float]:
        limits = httpx.Limits(max_connections=CONCURRENT)
        async with (
            httpx.AsyncClient(base_url=server.url, timeout=30) as heart,
            httpx.AsyncClient(base_url=server.url, timeout=30, limits=limits) as client,
        ):
            going = asyncio.Event()
            going.set()
            beating = asyncio.create_task(heartbeats(heart, going))
            await work(client)
            going.clear()
            return await beating

    return asyncio.run(both())


def percentile(took: list[float]) -> str:
    return f"heartbeat: median {statistics.median(took):.1f} ms, 99 of 100 below {high(took):.1f} ms of {len(took)}"


def high(took: list[float]) -> float:
    return statistics.quantiles(took, n=100)[-1]


def test_two_hundred_delays_of_a_second_take_a_second_together(server: Server, tell: Tell) -> None:
    start(server, "latency_injection", delay_seconds=1.0)
    took: list[float] = []

    async def all_at_once(client: httpx.AsyncClient) -> None:
        await asyncio.gather(*(client.get("/orders/1") for _ in range(CONCURRENT)))  # connections are made
        began = time.perf_counter()
        answers = await asyncio.gather(*(client.get("/orders/1") for _ in range(CONCURRENT)))
        took.append(time.perf_counter() - began)
        assert {answer.headers.get("X-Chaos-Experiment") for answer in answers} == {"latency_injection"}

    beats = beside(server, all_at_once)
    stop(server, "latency_injection")
    tell(f"{CONCURRENT} delays of 1 s: {took[0]:.2f} s; {percentile(beats)}")
    assert took[0] <= 1.5


def test_a_table_that_hangs_delays_nobody_but_who_asks_it(server: Server, wire: Hanging, tell: Tell) -> None:
    async def while_it_hangs(client: httpx.AsyncClient) -> None:
        wire.flows.clear()
        until = time.monotonic() + 4
        while time.monotonic() < until:
            answers = await asyncio.gather(*(client.get("/orders/1") for _ in range(4)))
            assert {answer.status_code for answer in answers} == {201}
        wire.flows.set()

    beats = beside(server, while_it_hangs)
    tell(percentile(beats))
    assert high(beats) < 20


def test_filling_memory_blocks_nobody(server: Server, tell: Tell) -> None:
    async def filling(client: httpx.AsyncClient) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        body = {"experiment_name": "resource_exhaustion", "memory_mb": 500}
        assert (await client.post(f"{API}/start", json=body, headers=headers)).status_code == 200
        until = time.monotonic() + 3
        held = ""
        while time.monotonic() < until:
            held = (await client.get("/orders/1")).headers.get("X-Chaos-Experiment", "")
        assert held == "resource_exhaustion"

    beats = beside(server, filling)
    stop(server, "resource_exhaustion")
    tell(percentile(beats))
    assert high(beats) < 20
