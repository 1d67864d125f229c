import logging
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psutil
import pytest

from chalicelib.effects.machine_lock import SHARES
from chalicelib.effects.memory import MB, SLICE_MB, Memory, Wanted
from chalicelib.runs.run import Run
from tests.effects.support import UNSHARED, hold, surroundings
from tests.support import NOW, Clock, a_run

HUNG = 30
"""Seconds after which a thread that should have gone on is given up."""


class Nap:
    """A sleep for the watcher that lasts until the test wakes it, and moves the clock by what was slept."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun: queue.Queue[float] = queue.Queue()
        self._over: queue.Queue[None] = queue.Queue()

    def sleep(self, seconds: float) -> None:
        self._begun.put(seconds)
        self._over.get(timeout=HUNG)

    def wake(self) -> float:
        """Wait for the watcher to sleep, and wake it when its time is up. Gives how long it slept."""
        seconds = self._begun.get(timeout=HUNG)
        self._clock.now += seconds
        self._over.put(None)
        return seconds

    def looks(self) -> None:
        """Wait until the watcher, once woken, has looked and sleeps again."""
        self._begun.put(self._begun.get(timeout=HUNG))


@dataclass
class Environment:
    """What a memory lives in: what is active, what is spare, and a watcher that sleeps as told."""

    clock: Clock
    active: list[Run] = field(default_factory=list)
    room_mb: int = 1000

    def __post_init__(self) -> None:
        self.nap = Nap(self.clock)
        self.memory = self.with_sleep(self.nap.sleep)

    def with_sleep(self, sleep: Callable[[float], None]) -> Memory:
        self.memory = Memory(surroundings(self._active, self.clock, sleep), spare_mb=self.spare_mb, machine=UNSHARED)
        return self.memory

    def spare_mb(self) -> int:
        return self.room_mb - self.memory.held_mb

    def _active(self) -> list[Run]:
        return [run for run in self.active if run.is_active(self.clock.now)]

    def start(self, token: str = "1", *, duration_seconds: float = 30) -> Run:
        run = a_run("resource_exhaustion", now=self.clock.now, token=token, duration_seconds=duration_seconds)
        self.active.append(run)
        return run

    def watcher(self) -> threading.Thread:
        assert self.memory._watcher.thread
        return self.memory._watcher.thread


@pytest.fixture
def environment(clock: Clock) -> Iterator[Environment]:
    environment = Environment(clock)
    yield environment
    environment.active.clear()
    if watcher := environment.memory._watcher.thread:
        environment.nap.wake()
        watcher.join(HUNG)
        assert not watcher.is_alive()


@pytest.fixture
def memory(environment: Environment) -> Memory:
    return environment.memory


def resident_mb() -> float:
    return psutil.Process().memory_info().rss / MB


# Holding


def test_what_is_held_is_really_resident_and_really_given_back(environment: Environment, memory: Memory) -> None:
    before = resident_mb()
    assert hold(memory, environment.start(), 96)[0] == 96
    held = resident_mb()
    assert 80 <= held - before <= 130
    environment.active.clear()
    memory.settle(())
    assert 80 <= held - resident_mb() <= 130


def test_nothing_is_held_and_nobody_watches_before_the_first_request(memory: Memory) -> None:
    assert (memory.is_holding, memory.held_mb, memory._watcher.thread) == (False, 0, None)


def test_a_run_is_held_for_once_whatever_the_number_of_requests(environment: Environment, memory: Memory) -> None:
    run = environment.start()
    assert [hold(memory, run, 3)[0] for _ in range(5)] == [3] * 5
    assert memory.held_mb == 3


def test_two_runs_are_held_for_side_by_side_under_one_watcher(environment: Environment, memory: Memory) -> None:
    one, other = environment.start("1"), environment.start("2")
    hold(memory, one, 2)[0]
    watcher = environment.watcher()
    hold(memory, other, 3)[0]
    assert memory.held_mb == 5
    assert environment.watcher() is watcher
    environment.active.remove(one)
    memory.settle(())
    assert memory.held_mb == 3


@pytest.mark.parametrize("room_mb", [SLICE_MB + 3, 2, 0, -1])
def test_it_never_takes_more_than_is_spare_and_says_what_it_holds(
    environment: Environment, memory: Memory, room_mb: int, caplog: pytest.LogCaptureFixture
) -> None:
    environment.room_mb = room_mb
    run = environment.start()
    assert hold(memory, run, 40)[0] == memory.held_mb == max(0, room_mb)
    assert hold(memory, run, 40)[0] == max(0, room_mb)
    assert (
        f"Run {run.run_id} holds {max(0, room_mb)} of 40 MB: this environment has no more memory to spare"
        in caplog.text
    )
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_what_becomes_scarce_meanwhile_is_noticed_slice_by_slice(environment: Environment, memory: Memory) -> None:
    spare = iter([1000, 5 * SHARES, 0])
    memory._spare_mb = lambda: next(spare)
    assert hold(memory, environment.start(), 100)[0] == SLICE_MB + 5


def test_a_run_started_now_could_have_what_is_spare_and_what_is_held(environment: Environment, memory: Memory) -> None:
    environment.room_mb = 50
    assert memory.available_mb() == 50
    hold(memory, environment.start(), 20)[0]
    assert memory.available_mb() == 50


def test_of_several_threads_that_ask_at_once_one_allocates_and_the_others_do_not_wait(
    environment: Environment, memory: Memory
) -> None:
    run, another_run = environment.start("1"), environment.start("2")
    allocating, go_on = threading.Event(), threading.Event()

    def spare_mb() -> int:
        allocating.set()
        assert go_on.wait(HUNG)
        return 1000

    memory._spare_mb = spare_mb
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(hold, memory, run, 4)
        try:
            assert allocating.wait(HUNG)
            assert [pool.submit(hold, memory, run, 4).result(HUNG) for _ in range(8)] == [(0, 0)] * 8
            assert pool.submit(hold, memory, another_run, 4).result(HUNG) == (0, 0)
        finally:
            go_on.set()
        assert first.result(HUNG) == (4, 4)
        assert hold(memory, run, 4) == (4, 0)
        assert memory.held_mb == 4


def test_threads_that_start_together_allocate_once(environment: Environment, memory: Memory) -> None:
    run, together = environment.start(), threading.Barrier(16)

    def serve() -> None:
        together.wait(HUNG)
        for _ in range(50):
            hold(memory, run, 2)

    with ThreadPoolExecutor(16) as pool:
        for served in [pool.submit(serve) for _ in range(16)]:
            served.result(HUNG)
    assert memory.held_mb == 2


# Growing


def test_memory_grows_in_equal_steps_with_the_requests(environment: Environment, memory: Memory) -> None:
    run = environment.start(duration_seconds=50)
    held = []
    for after in (0, 9.999, 10, 19, 30, 49.999):
        environment.clock.now = NOW + after
        held.append(hold(memory, run, 12, steps=5, step_seconds=10.0))
    assert held == [(2, 2), (2, 0), (4, 2), (4, 0), (9, 5), (12, 3)]
    environment.clock.now = NOW
    assert memory.held_for(run) == {"memory_mb": 12}


def test_memory_grows_without_a_request_and_the_next_one_reports_it(environment: Environment, memory: Memory) -> None:
    run = environment.start(duration_seconds=5)
    assert hold(memory, run, 8, steps=2, step_seconds=2.5) == (4, 4)
    assert [environment.nap.wake() for _ in range(3)] == [1.0, 1.0, 0.5]
    environment.nap.looks()
    assert (memory.held_mb, memory.held_for(run)) == (8, None)
    assert hold(memory, run, 8, steps=2, step_seconds=2.5) == (8, 4)
    assert memory.held_for(run) == {"memory_mb": 8}


def test_who_comes_late_holds_what_is_due_by_then(environment: Environment, memory: Memory) -> None:
    run = environment.start(duration_seconds=40)
    environment.clock.now = NOW + 25
    assert hold(memory, run, 8, steps=4, step_seconds=10.0) == (6, 6)


def test_each_step_takes_no_more_than_is_spare_then(environment: Environment, memory: Memory) -> None:
    run = environment.start(duration_seconds=30)
    environment.room_mb = 3
    held = []
    for after, room_mb in ((0, 3), (5, 100), (10, 6), (20, 100)):
        environment.clock.now, environment.room_mb = NOW + after, room_mb
        held.append(hold(memory, run, 12, steps=3, step_seconds=10.0)[0])
    assert held == [3, 3, 6, 12]
    environment.clock.now = NOW


def test_what_grew_is_given_back_at_the_end(environment: Environment, memory: Memory) -> None:
    hold(memory, environment.start(duration_seconds=2), 4, steps=2, step_seconds=1.0)
    watcher = environment.watcher()
    environment.nap.wake()
    environment.nap.looks()
    assert memory.held_mb == 4
    environment.nap.wake()
    watcher.join(HUNG)
    assert (memory.held_mb, memory.is_holding) == (0, False)


def test_of_several_threads_one_takes_a_step_and_the_others_do_not_wait(
    environment: Environment, memory: Memory
) -> None:
    run, together = environment.start(duration_seconds=20), threading.Barrier(8)
    hold(memory, run, 8, steps=2, step_seconds=10.0)
    environment.clock.now = NOW + 10

    def serve() -> int:
        together.wait(HUNG)
        return sum(hold(memory, run, 8, steps=2, step_seconds=10.0)[1] for _ in range(20))

    with ThreadPoolExecutor(8) as pool:
        assert sum(served.result(HUNG) for served in [pool.submit(serve) for _ in range(8)]) == 4
    assert memory.held_mb == 8
    environment.clock.now = NOW


# Giving back


def test_settling_keeps_what_is_held_for_a_run_that_goes_on(environment: Environment, memory: Memory) -> None:
    hold(memory, environment.start(), 2)[0]
    memory.settle(())
    assert memory.held_mb == 2


def test_settling_where_nothing_is_held_asks_nobody(clock: Clock) -> None:
    def defect() -> list[Run]:
        raise AssertionError("It asked what is active.")

    Memory(surroundings(defect, clock, clock.sleep), spare_mb=lambda: 0).settle(())


def test_the_watcher_gives_back_after_a_stop_without_a_request(environment: Environment, memory: Memory) -> None:
    hold(memory, environment.start(), 2)[0]
    watcher = environment.watcher()
    assert environment.nap.wake() == 1.0  # a refresh interval
    environment.nap.looks()
    assert memory.held_mb == 2
    environment.active.clear()
    assert environment.nap.wake() == 1.0
    watcher.join(HUNG)
    assert not watcher.is_alive()
    assert (memory.held_mb, memory.is_holding) == (0, False)


def test_the_watcher_gives_back_at_the_very_end_of_the_run_without_a_request(
    environment: Environment, memory: Memory
) -> None:
    hold(memory, environment.start(duration_seconds=2.25), 2)[0]
    watcher = environment.watcher()
    assert [environment.nap.wake() for _ in range(3)] == [1.0, 1.0, 0.25]
    watcher.join(HUNG)
    assert memory.held_mb == 0
    assert environment.clock.now == NOW + 2.25


def test_the_watcher_lives_until_the_last_run_is_over_and_another_comes_with_the_next(
    environment: Environment, memory: Memory
) -> None:
    hold(memory, environment.start("1", duration_seconds=0.5), 1)[0]
    hold(memory, environment.start("2", duration_seconds=0.75), 2)[0]
    watcher = environment.watcher()
    naps = [environment.nap.wake()]
    environment.nap.looks()
    assert memory.held_mb == 2
    naps.append(environment.nap.wake())
    watcher.join(HUNG)
    assert naps == [0.5, 0.25]
    assert (memory.held_mb, memory._watcher.thread) == (0, None)
    hold(memory, environment.start("3", duration_seconds=1), 3)[0]
    assert environment.watcher() is not watcher
    assert memory.held_mb == 3


def test_the_watcher_keeps_nobody_from_exiting(environment: Environment, memory: Memory) -> None:
    hold(memory, environment.start(), 1)[0]
    assert environment.watcher().daemon


@pytest.mark.parametrize(("after", "seconds"), [(0, 1.0), (8.5, 1.0), (9.75, 0.25), (10, 0.0), (60, 0.0)])
def test_the_watcher_sleeps_to_the_next_look_or_to_the_first_end(
    environment: Environment, memory: Memory, after: float, seconds: float
) -> None:
    hold(memory, environment.start(duration_seconds=10), 1)[0]
    environment.clock.now = NOW + after
    assert memory.watch_seconds() == seconds
    environment.clock.now = NOW


def test_a_run_that_goes_on_after_all_is_held_for_anew(environment: Environment, memory: Memory) -> None:
    """As after a table that was silent for too long."""
    run = environment.start()
    hold(memory, run, 2)[0]
    environment.active.clear()
    memory.settle(())
    environment.active.append(run)
    assert hold(memory, run, 2)[0] == memory.held_mb == 2


# What a fault in one of the promises above once looked like


def test_a_run_that_replaces_another_has_the_memory_of_it(environment: Environment, memory: Memory) -> None:
    environment.room_mb = 6
    hold(memory, environment.start("1"), 5)[0]
    environment.active.clear()
    assert hold(memory, environment.start("2"), 5)[0] == 5
    assert memory.held_mb == 5


def test_a_thread_that_cannot_start_does_not_leave_the_process_unwatched_for_good(
    environment: Environment, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", cannot)
        details, counters = memory.hold(environment.start("1"), Wanted(megabytes=1))
        assert (details, counters) == ({"problem": "RuntimeError: can't start new thread"}, {})
        assert memory.held_mb == 0
    environment.active.clear()
    memory.settle(())
    assert hold(memory, environment.start("2"), 1)[0] == 1
    assert environment.watcher().is_alive()


def test_a_watcher_that_fails_is_followed_by_another(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: float) -> None:
        raise ZeroDivisionError("a defect")

    memory = environment.with_sleep(fails)
    hold(memory, environment.start(), 1)[0]
    for thread in threading.enumerate():
        if thread.name == "chaos-memory" and thread is not threading.current_thread():
            thread.join(HUNG)
    assert memory._watcher.thread is None
    assert "a defect" in caplog.text
    environment.active.clear()
    memory.settle(())


def test_what_the_host_interrupts_is_taken_to_its_end_later(
    environment: Environment, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> int:
        if environment.memory.held_mb >= SLICE_MB:
            raise KeyboardInterrupt
        return 1000

    monkeypatch.setattr(memory, "_spare_mb", interrupted)
    run = environment.start()
    with pytest.raises(KeyboardInterrupt):
        hold(memory, run, 3 * SLICE_MB)
    monkeypatch.setattr(memory, "_spare_mb", lambda: 1000)
    memory.look()
    assert memory.held_mb == 3 * SLICE_MB
