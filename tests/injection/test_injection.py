import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from chalicelib.injection.injection import UNTOUCHED, Injection
from chalicelib.injection.memory import Memory
from chalicelib.runs.snapshot import Snapshot
from tests.support import NOW, Clock, FakeRunStore, a_run


@pytest.fixture
def store() -> FakeRunStore:
    return FakeRunStore()


class Stage:
    """An injection on a store and a clock that a test moves; nothing is random."""

    def __init__(self, store: FakeRunStore, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.during_sleep: list[Callable[[], None]] = []
        self.chance = 0.0
        snapshot = Snapshot(store.latest, clock)
        self.over = threading.Event()
        self.memory = Memory(snapshot.active, lambda: 100, clock, 1.0, lambda _: self.over.wait(60))
        self.inject = Injection(
            snapshot,
            self.memory,
            chance=lambda: self.chance,
            clock=clock,
            sleep=self._sleep,
            control_plane="/chaos_experiments",
            excluded_paths=("/health", "/internal/*"),
        )

    def _sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        for act in self.during_sleep:
            act()

    def start(self, name: str, **parameters: float) -> str:
        run = a_run(name, now=self.clock.now, token=name, **parameters)
        self.store.runs[name] = run
        return run.run_id

    def stop(self, name: str) -> None:
        self.store.stop(self.store.runs[name].ended(now=self.clock.now, by="ada", reason=None))


@pytest.fixture
def stage(store: FakeRunStore, clock: Clock) -> Iterator[Stage]:
    made = Stage(store, clock)
    yield made
    clock.now += 1_000_000
    made.over.set()


def test_nothing_running_touches_nothing(stage: Stage) -> None:
    assert stage.inject("/orders") is UNTOUCHED
    assert UNTOUCHED.headers == {}


def test_memory_then_delay_then_error(stage: Stage) -> None:
    error = stage.start("error_injection", error_rate=1.0)
    delay = stage.start("latency_injection", delay_seconds=0.5)
    memory = stage.start("resource_exhaustion", memory_mb=1)
    injected = stage.inject("/orders")
    assert injected.hits == (
        {"experiment": "resource_exhaustion", "run_id": memory, "fault": "hold", "memory_mb": 1},
        {"experiment": "latency_injection", "run_id": delay, "fault": "wait", "seconds": 0.5},
        {"experiment": "error_injection", "run_id": error, "fault": "answer", "status": 500},
    )
    assert injected.answer is not None
    assert injected.answer.message == "Chaos experiment: injected error"
    assert injected.headers == {
        "X-Chaos-Experiment": "resource_exhaustion, latency_injection, error_injection",
        "X-Chaos-Run": f"{memory}, {delay}, {error}",
    }


def test_a_request_that_chance_spares_carries_no_header(stage: Stage) -> None:
    stage.start("error_injection", error_rate=0.3)
    stage.chance = 0.3
    injected = stage.inject("/orders")
    assert (injected.hits, injected.headers, injected.answer) == ((), {}, None)


@pytest.mark.parametrize("path", ["list", "start", "stop", "status", "anything/else"])
def test_the_control_plane_is_never_hit_and_reads_nothing(stage: Stage, path: str) -> None:
    stage.start("error_injection", error_rate=1.0)
    assert stage.inject(f"/chaos_experiments/{path}") is UNTOUCHED
    assert stage.inject("/chaos_experiments") is UNTOUCHED
    assert stage.store.reads == 0


def test_the_test_endpoint_is_hit_and_reads_afresh(stage: Stage) -> None:
    assert stage.inject("/chaos_experiments/test") is UNTOUCHED
    stage.start("error_injection", error_rate=1.0)
    assert stage.inject("/chaos_experiments/test").answer
    stage.stop("error_injection")
    assert stage.inject("/chaos_experiments/test") is UNTOUCHED


@pytest.mark.parametrize(
    ("path", "hit"),
    [
        ("/health", False),
        ("/healthy", True),
        ("/internal/a/b", False),
        ("/internal", True),
        ("/chaos_experimental", True),
    ],
)
def test_excluded_paths_are_exact_or_everything_that_begins_so(stage: Stage, path: str, *, hit: bool) -> None:
    stage.start("error_injection", error_rate=1.0)
    assert (stage.inject(path) is not UNTOUCHED) is hit


def test_a_delay_below_the_refresh_interval_is_one_sleep(stage: Stage, clock: Clock) -> None:
    stage.start("latency_injection", delay_seconds=0.8)
    stage.inject("/orders")
    assert clock.slept == [0.8]
    assert stage.store.reads == 1


def test_a_long_delay_takes_as_long_as_it_was_asked_to(stage: Stage, clock: Clock) -> None:
    stage.start("latency_injection", delay_seconds=3.5)
    assert stage.inject("/orders").hits[0]["seconds"] == 3.5
    assert sum(clock.slept) == 3.5


def test_a_stop_ends_a_delay_that_is_under_way_within_a_second(stage: Stage, clock: Clock) -> None:
    stage.start("latency_injection", delay_seconds=60.0, duration_seconds=600.0)

    def stop_at_the_second_piece() -> None:
        if len(clock.slept) == 2:
            stage.stop("latency_injection")

    stage.during_sleep = [stop_at_the_second_piece]
    assert stage.inject("/orders").hits[0]["seconds"] == pytest.approx(2.0)


def test_an_expiry_ends_a_delay_at_once(stage: Stage, clock: Clock) -> None:
    stage.start("latency_injection", delay_seconds=60.0, duration_seconds=2.5)
    stage.inject("/orders")
    assert clock.now == NOW + 2.5


def test_a_table_that_falls_silent_ends_a_delay_after_three_seconds(stage: Stage, clock: Clock) -> None:
    stage.start("latency_injection", delay_seconds=60.0, duration_seconds=600.0)

    def fall_silent() -> None:
        stage.store.broken = True

    stage.during_sleep = [fall_silent]
    stage.inject("/orders")
    assert clock.now - NOW <= 3.0 + 1.0


def test_memory_of_a_run_that_is_over_is_given_back_by_the_next_request(stage: Stage, clock: Clock) -> None:
    stage.start("resource_exhaustion", memory_mb=1, duration_seconds=1.0)
    stage.inject("/orders")
    assert stage.memory.held_mb == 1
    clock.now += 600  # frozen meanwhile: no watcher ran
    stage.inject("/orders")
    assert stage.memory.held_mb == 0


def test_a_defect_is_logged_and_the_request_goes_on_untouched(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.start("resource_exhaustion", memory_mb=1)

    def defect(*_: object) -> int:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(stage.memory, "hold", defect)
    with caplog.at_level(logging.ERROR):
        assert stage.inject("/orders") is UNTOUCHED
    assert "a defect" in caplog.text


def test_a_silent_table_leaves_every_request_untouched(stage: Stage) -> None:
    stage.store.broken = True
    assert [stage.inject("/orders") for _ in range(3)] == [UNTOUCHED] * 3
