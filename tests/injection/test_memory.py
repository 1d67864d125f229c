import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from chalicelib.injection.memory import MB, Memory
from chalicelib.runs.run import Run
from tests.support import NOW, Clock, a_run

SLACK = 16 * MB


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


class Environment:
    """A memory whose watcher sleeps until a test lets it look."""

    def __init__(self, clock: Clock, spare_mb: int = 10_000) -> None:
        self.clock = clock
        self.active: list[Run] = []
        self.spare_mb = spare_mb
        self.sleeps: list[float] = []
        self._look = threading.Semaphore(0)
        self._looked = threading.Semaphore(0)
        self.memory = Memory(self._active, self._spare, clock, 1.0, self._sleep)

    def _active(self) -> list[Run]:
        return [run for run in self.active if run.is_active(self.clock.now)]

    def _spare(self) -> int:
        return self.spare_mb - self.memory.held_mb

    def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        assert self._look.acquire(timeout=60)

    def let_the_watcher_look(self) -> None:
        watcher = self.memory._watcher
        assert watcher is not None
        self._look.release()
        watcher.join(60)

    def end(self) -> None:
        self.active = []
        if self.memory._watcher is not None:
            self.let_the_watcher_look()


@pytest.fixture
def environment(clock: Clock):
    made = Environment(clock)
    yield made
    made.end()


@pytest.fixture
def run(environment: Environment) -> Run:
    started = a_run("resource_exhaustion", duration_seconds=10.0)
    environment.active = [started]
    return started


def test_every_page_is_resident_and_all_of_it_goes_back(environment: Environment, run: Run) -> None:
    before = resident()
    assert environment.memory.hold(run, 200) == 200
    assert resident() - before > 200 * MB - SLACK
    environment.active = []
    environment.memory.settle()
    assert resident() - before < SLACK


def test_it_is_held_once(environment: Environment, run: Run) -> None:
    assert [environment.memory.hold(run, 4) for _ in range(3)] == [4, 4, 4]
    assert environment.memory.held_mb == 4


def test_threads_that_ask_together_hold_it_once(environment: Environment, run: Run) -> None:
    together = threading.Barrier(8)

    def ask() -> int:
        together.wait(30)
        return environment.memory.hold(run, 64)

    with ThreadPoolExecutor(8) as pool:
        for asked in [pool.submit(ask) for _ in range(8)]:
            assert asked.result(30) <= 64
    assert environment.memory.held_mb == 64


def test_it_never_takes_more_than_is_spare_and_says_what_it_holds(environment: Environment, run: Run) -> None:
    environment.spare_mb = 20
    assert environment.memory.hold(run, 500) == 20
    assert environment.memory.hold(run, 500) == 20


def test_it_holds_nothing_where_nothing_is_spare(environment: Environment, run: Run) -> None:
    environment.spare_mb = 0
    assert environment.memory.hold(run, 500) == 0


def test_what_is_held_counts_as_available_to_the_run_that_replaces_it(environment: Environment, run: Run) -> None:
    environment.spare_mb = 50
    environment.memory.hold(run, 20)
    assert environment.memory.available_mb() == 50


def test_a_stop_gives_it_back_without_a_request(environment: Environment, run: Run) -> None:
    environment.memory.hold(run, 4)
    environment.active = []
    environment.let_the_watcher_look()
    assert environment.memory.held_mb == 0
    assert not environment.memory.is_holding


def test_the_end_gives_it_back_without_a_request(environment: Environment, run: Run, clock: Clock) -> None:
    environment.memory.hold(run, 4)
    clock.now = run.expires_at
    environment.let_the_watcher_look()
    assert environment.memory.held_mb == 0


def test_the_watcher_sleeps_no_longer_than_the_interval_nor_past_the_end(
    environment: Environment, run: Run, clock: Clock
) -> None:
    environment.memory.hold(run, 1)
    assert environment.memory.next_look_seconds() == 1.0
    clock.now = run.expires_at - 0.25
    assert environment.memory.next_look_seconds() == pytest.approx(0.25)
    clock.now = run.expires_at + 9
    assert environment.memory.next_look_seconds() == 0.0


def test_memory_that_went_back_can_be_held_again(environment: Environment, run: Run) -> None:
    environment.memory.hold(run, 4)
    environment.end()
    again = a_run("resource_exhaustion", now=NOW, token="2")
    environment.active = [again]
    assert environment.memory.hold(again, 4) == 4


def test_a_process_that_holds_nothing_has_no_watcher(environment: Environment) -> None:
    assert environment.memory._watcher is None
    environment.memory.settle()
