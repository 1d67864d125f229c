import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import coroutine
from typing import Any, TypeVar

import pytest

from chalicelib.effects.memory import Memory as RealMemory
from chalicelib.effects.memory import Wanted
from chalicelib.injection.drivers import ABANDONED_SECONDS, AsyncInjection
from chalicelib.injection.engine import Blocked, Engine, InjectionResult, Process, answer_of
from chalicelib.injection.plan import Compiler
from chalicelib.injection.snapshot import Snapshot
from chalicelib.paths import PathSet
from tests.injection.support import FakeCall, catalogue
from tests.support import NOW, Clock, FakeRunStore, a_recorder, a_run

MAIN = threading.main_thread()

T = TypeVar("T")


class Memory:
    """Notes the thread in which it works."""

    def __init__(self) -> None:
        self.is_holding = False
        self.threads: list[threading.Thread] = []

    def held_for(self, _run: object) -> None:
        return None

    def hold(self, _run: object, wanted: Wanted) -> tuple[dict[str, int], dict[str, int]]:
        self.threads.append(threading.current_thread())
        return {"memory_mb": wanted.megabytes}, {"memory_mb": wanted.megabytes}

    def count(self, _run: object, _counters: object) -> None: ...

    def is_due(self, _active: object) -> bool:
        return self.is_holding

    def settle(self, _active: object) -> None:
        self.threads.append(threading.current_thread())


class House:
    """An engine on an event loop; also the loop's library."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.store = FakeRunStore()
        self.memory = Memory()
        self.read_in: list[threading.Thread] = []
        self.later: Callable[[], None] = lambda: None
        self.compiled = Compiler(catalogue, lambda _run, _defect: None)
        self.engine = Engine(
            snapshot=Snapshot(self.read, clock),
            recorder=a_recorder(clock),
            process=Process(name="here", clock=clock, chance=lambda: 0.0),
            excluded=PathSet(["/health"]),
        )
        self.engine.add_effect(self.memory, RealMemory)
        self.injection = AsyncInjection(self.engine, self)

    def read(self) -> Any:
        self.read_in.append(threading.current_thread())
        return self.compiled(self.store.active(self.clock()))

    async def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.later()

    async def run_blocking(self, call: Callable[[], T]) -> T:
        return await asyncio.to_thread(call)

    def start(self, name: str, **parameters: Any) -> None:
        self.store.runs[name] = a_run(name, **parameters)

    def ask(self, path: str = "/orders") -> InjectionResult | None:
        return asyncio.run(self.asked(path))

    def hit(self) -> InjectionResult:
        result = self.ask()
        assert result
        return result

    async def asked(self, path: str) -> InjectionResult | None:
        """As a boundary does it."""
        call = FakeCall(path)
        arrived = self.injection.arrive_now(call)
        result = await self.injection.arrive(call) if isinstance(arrived, Blocked) else arrived
        hits = self.injection.decide(result) if result else None
        if result and hits is not None:
            await self.injection.apply(result, hits)
        return result


@pytest.fixture
def house(clock: Clock) -> House:
    return House(clock)


def seconds_of(result: InjectionResult) -> float:
    return float(result.hits[0].shown["seconds"])


def test_the_table_is_read_in_a_thread_and_not_again_while_the_view_holds(house: House) -> None:
    assert house.ask() is None
    assert house.ask() is None
    assert len(house.read_in) == 1
    assert house.read_in[0] is not MAIN


def test_memory_is_filled_and_given_back_in_a_thread(house: House) -> None:
    house.start("resource_exhaustion", memory_mb=5)
    assert house.hit().hits[0].shown["memory_mb"] == 5
    house.memory.is_holding = True
    house.ask()
    assert len(house.memory.threads) == 3
    assert MAIN not in house.memory.threads


def test_a_delay_is_slept_by_the_loop_in_pieces_and_in_full(house: House) -> None:
    house.start("latency_injection", delay_seconds=2.5)
    assert seconds_of(house.hit()) == 2.5
    assert sum(house.clock.slept) == 2.5
    assert max(house.clock.slept) <= 1.0


def test_a_stop_ends_a_delay_under_way(house: House) -> None:
    house.start("latency_injection", delay_seconds=10.0)

    def stop() -> None:
        house.store.runs.clear()

    house.later = stop
    assert seconds_of(house.hit()) == 1.0


def test_an_error_is_injected(house: House) -> None:
    house.start("error_injection", error_rate=1.0)
    answer = answer_of(house.hit())
    assert answer
    assert answer.status == 500


def test_an_excluded_path_costs_no_read(house: House) -> None:
    house.start("error_injection", error_rate=1.0)
    assert house.ask("/health") is None
    assert house.read_in == []


def test_the_test_endpoint_reads_afresh(house: House) -> None:
    house.ask()
    house.start("error_injection", error_rate=1.0)
    result = asyncio.run(house.injection.test(FakeCall("/test")))
    assert result
    assert answer_of(result)


def test_while_one_reads_the_others_go_on_with_what_is_known(house: House) -> None:
    house.start("error_injection", error_rate=1.0)
    house.ask()
    house.clock.now = NOW + 1.5
    reading, release = threading.Event(), threading.Event()

    def slow() -> Any:
        reading.set()
        release.wait(30)
        return house.read()

    house.engine.snapshot._read = slow

    async def both() -> tuple[InjectionResult | None, InjectionResult | None]:
        first = asyncio.create_task(house.asked("/orders"))
        await asyncio.to_thread(reading.wait, 30)
        second = await house.asked("/orders")
        release.set()
        return await first, second

    first, second = asyncio.run(both())
    assert first
    assert second
    assert answer_of(first)
    assert answer_of(second)
    assert len(house.read_in) == 2


def test_of_many_that_come_together_one_is_sent_to_read(house: House) -> None:
    async def many() -> None:
        await asyncio.gather(*(house.asked("/orders") for _ in range(50)))

    asyncio.run(many())
    assert len(house.read_in) == 1


def test_a_defect_is_logged_and_the_request_goes_on_untouched(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect() -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(house.engine.snapshot, "cached", defect)
    with caplog.at_level(logging.ERROR):
        assert house.ask() is None
    assert "a defect" in caplog.text


def test_a_call_that_a_time_out_of_the_host_ends_in_a_delay_was_hit(house: House) -> None:
    house.start("latency_injection", delay_seconds=2.5)

    async def ended() -> InjectionResult:
        call = FakeCall("/orders")
        result = await house.injection.arrive(call)
        assert result
        hits = house.injection.decide(result)
        assert hits
        house.sleep = lambda _seconds: asyncio.sleep(30)  # type: ignore[method-assign]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(house.injection.apply(result, hits), 0.01)
        return result

    assert asyncio.run(ended()).headers["X-Chaos-Experiment"] == "latency_injection"


def test_a_defect_in_flushing_is_logged_and_nothing_to_the_request(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.start("latency_injection", delay_seconds=0.0)
    result = house.hit()
    house.injection.count(result, 200)
    house.engine.recorder.is_waiting = True
    monkeypatch.setattr(house.engine.recorder, "is_flush_due", lambda: 1 / 0)
    assert not house.injection.may_flush(result)
    assert "Could not flush the request counts" in caplog.text


def test_a_read_whose_event_loop_is_gone_hinders_later_ones_for_a_few_seconds_only(clock: Clock) -> None:
    house = House(clock)
    house.engine.process = replace(house.engine.process, timer=clock)
    house.start("latency_injection", delay_seconds=0.0, duration_seconds=600.0)
    read = house.run_blocking

    @coroutine
    def never(_call: Callable[[], Any]) -> Iterator[None]:
        yield

    house.run_blocking = never  # type: ignore[method-assign, assignment]
    abandoned = house.asked("/orders")
    abandoned.send(None)  # as a loop does that is never run again
    house.run_blocking = read  # type: ignore[method-assign]
    assert house.ask() is None
    clock.now += ABANDONED_SECONDS
    assert house.hit()
    abandoned.close()
