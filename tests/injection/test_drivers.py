import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.injection.drivers import OffLoop
from chalicelib.injection.engine import UNTOUCHED, Injected, Injection
from chalicelib.injection.snapshot import Snapshot
from tests.support import NOW, Clock, FakeRunStore, a_run, tallies

PREFIX = "/chaos_experiments"
MAIN = threading.main_thread()


class Memory:
    """Notes the thread in which it works."""

    def __init__(self) -> None:
        self.is_holding = False
        self.threads: list[threading.Thread] = []

    def hold(self, _run: object, megabytes: int) -> int:
        self.threads.append(threading.current_thread())
        return megabytes

    def settle(self, _active: object) -> None:
        self.threads.append(threading.current_thread())


class House:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.store = FakeRunStore()
        self.memory = Memory()
        self.read_in: list[threading.Thread] = []
        self.later: Callable[[], None] = lambda: None
        snapshot = Snapshot(self._read, clock)
        injection = Injection(
            snapshot,
            self.memory,  # type: ignore[arg-type]
            tallies(clock),
            chance=lambda: 0.0,
            clock=clock,
            sleep=lambda _: pytest.fail("the loop is blocked"),
            environment="here",
            control_plane=PREFIX,
            excluded_paths=("/health",),
        )
        self.inject = OffLoop(injection, self._sleep)

    def _read(self) -> Any:
        self.read_in.append(threading.current_thread())
        return self.store.latest()

    async def _sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.later()

    def start(self, name: str, **parameters: Any) -> None:
        self.store.runs[name] = a_run(name, **parameters)

    def ask(self, path: str = "/orders") -> Injected:
        return asyncio.run(self._ask(path))

    async def _ask(self, path: str) -> Injected:
        return await self.inject(path)


@pytest.fixture
def house(clock: Clock) -> House:
    return House(clock)


def test_the_table_is_read_in_a_thread_and_not_again_while_the_view_holds(house: House) -> None:
    assert house.ask().hits == ()
    assert house.ask().hits == ()
    assert len(house.read_in) == 1
    assert house.read_in[0] is not MAIN


def test_memory_is_filled_and_given_back_in_a_thread(house: House) -> None:
    house.start("resource_exhaustion", memory_mb=5)
    assert house.ask().hits[0]["memory_mb"] == 5
    house.memory.is_holding = True
    house.ask()
    assert len(house.memory.threads) == 3
    assert MAIN not in house.memory.threads


def test_a_delay_is_slept_by_the_loop_in_pieces_and_in_full(house: House) -> None:
    house.start("latency_injection", delay_seconds=2.5)
    injected = house.ask()
    assert injected.hits[0]["seconds"] == 2.5
    assert sum(house.clock.slept) == 2.5
    assert max(house.clock.slept) <= 1.0


def test_a_stop_ends_a_delay_under_way(house: House) -> None:
    house.start("latency_injection", delay_seconds=10.0)

    def stop() -> None:
        house.store.runs.clear()

    house.later = stop
    assert house.ask().hits[0]["seconds"] == 1.0


def test_an_error_is_given(house: House) -> None:
    house.start("error_injection", error_rate=1.0)
    answer = house.ask().answer
    assert answer
    assert answer.status == 500


@pytest.mark.parametrize("path", ["/health", f"{PREFIX}/list", PREFIX])
def test_what_is_spared_costs_no_read(house: House, path: str) -> None:
    house.start("error_injection", error_rate=1.0)
    assert house.ask(path) is UNTOUCHED
    assert house.read_in == []


def test_the_test_endpoint_reads_afresh(house: House) -> None:
    house.ask()
    house.start("error_injection", error_rate=1.0)
    assert house.ask(f"{PREFIX}/test").answer


def test_while_one_looks_the_others_go_on_with_what_is_known(house: House) -> None:
    house.start("error_injection", error_rate=1.0)
    house.ask()
    house.clock.now = NOW + 1.5
    reading, release = threading.Event(), threading.Event()
    read = house._read

    def slow() -> Any:
        reading.set()
        release.wait(30)
        return read()

    house.inject._injection.snapshot._read = slow

    async def both() -> tuple[Injected, Injected]:
        first = asyncio.create_task(house._ask("/orders"))
        await asyncio.to_thread(reading.wait, 30)
        second = await house._ask("/orders")
        release.set()
        return await first, second

    first, second = asyncio.run(both())
    assert first.answer
    assert second.answer
    assert len(house.read_in) == 2


def test_of_many_that_come_together_one_is_sent_to_look(house: House) -> None:
    async def many() -> None:
        await asyncio.gather(*(house._ask("/orders") for _ in range(50)))

    asyncio.run(many())
    assert len(house.read_in) == 1


def test_a_defect_is_logged_and_the_request_goes_on_untouched(house: House, caplog: pytest.LogCaptureFixture) -> None:
    def defect(_path: str) -> bool:
        raise ZeroDivisionError("a defect")

    house.inject._injection.spares = defect  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR):
        assert house.ask() is UNTOUCHED
    assert "a defect" in caplog.text


def test_a_defect_in_telling_is_logged_and_nothing_to_the_request(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.start("latency_injection", delay_seconds=0.0)
    injected = house.ask()
    house.inject.count(injected, 200)
    house.inject._injection.tallies.tell_if_due = lambda: 1 / 0  # type: ignore[assignment,method-assign,return-value]
    asyncio.run(house.inject.finish(injected))
    assert "Could not flush the request counts" in caplog.text
