import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from chalicelib.effects import event_loops
from chalicelib.effects.event_loops import BLOCKED, BLOCKS, MICROSECONDS, NO_LOOP, EventLoops, Wanted
from chalicelib.effects.places import Loop
from chalicelib.runs.run import Run
from tests.effects.support import surroundings
from tests.support import Clock, a_run

BRIEF = 0.001
BEAT_SECONDS = 0.001
EXACT_SECONDS = 0.005
PATIENCE_SECONDS = 30
Tell = Callable[[str], None]


class FakeLoop:
    """Calls what it is asked to when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Callable[[], object]] = []
        self.is_closed = False

    def call_soon(self, call: Callable[[], object]) -> None:
        if self.is_closed:
            raise RuntimeError("Event loop is closed")
        self.asked.append(call)

    def run(self) -> None:
        asked, self.asked = self.asked, []
        for call in asked:
            call()


@dataclass
class Process:
    """A process whose calls are served on one loop after the other. The test does what the watcher would."""

    clock: Clock
    serving: FakeLoop | None
    active: list[Run] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.effect = EventLoops(
            surroundings(
                lambda: [run for run in self.active if run.is_active(self.clock.now)],
                self.clock,
                count=lambda _, counts: self.counted.update(
                    {name: self.counted.get(name, 0) + count for name, count in counts.items()}
                ),
                record_problem=lambda _, problem: self.problems.append(problem),
            )
        )
        self.effect._watcher.watch = lambda: None  # type: ignore[method-assign]

    def running_loop(self) -> Loop | None:
        return Loop(self.serving, self.serving.call_soon) if self.serving else None

    def start(self, token: str = "1", *, block: float = BRIEF, every: float = 10.0, lasts: float = 60.0) -> Run:
        run = a_run("event_loop_block", now=self.clock.now, token=token, duration_seconds=lasts)
        self.active.append(run)
        self.call(run, block, every)
        return run

    def call(self, run: Run, block: float = BRIEF, every: float = 10.0) -> Any:
        self.effect.meet()
        return self.effect.hold(run, Wanted(block_seconds=block, every_seconds=every))[0]

    def blocks_in(self, seconds: int, *loops: FakeLoop) -> list[int]:
        """In which of so many seconds the loops were asked to block; they do at once."""
        asked = []
        for second in range(seconds):
            self.effect.look()
            if any(loop.asked for loop in loops):
                asked.append(second)
            for loop in loops:
                loop.run()
            self.clock.now += 1
        return asked


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def process(clock: Clock, loop: FakeLoop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    process = Process(clock, loop)
    monkeypatch.setattr(event_loops, "running_loop", process.running_loop)
    yield process
    process.effect.release_all()


def test_a_loop_is_blocked_at_the_first_call_and_then_again_and_again(process: Process, loop: FakeLoop) -> None:
    process.start(every=10.0)
    assert process.blocks_in(35, loop) == [0, 10, 20, 30]


def test_each_loop_that_serves_is_blocked_and_no_other(process: Process, loop: FakeLoop) -> None:
    run = process.start()
    loop.run()
    process.serving = other = FakeLoop()
    assert process.call(run) == {"event_loops": 2}
    assert (len(loop.asked), len(other.asked)) == (0, 1), "the first one is not due"
    other.run()
    assert process.blocks_in(12, loop, other) == [10]


def test_what_blocks_is_counted_without_a_request(process: Process, loop: FakeLoop) -> None:
    process.start(every=10.0)
    process.blocks_in(21, loop)
    assert process.counted[BLOCKS] == 3 - 1, "the third one is counted when it is seen"
    process.active.clear()
    process.effect.look()
    assert process.counted[BLOCKS] == 3
    assert process.counted[BLOCKED] >= 3 * BRIEF * MICROSECONDS


def test_a_run_that_is_over_blocks_no_more(process: Process, loop: FakeLoop) -> None:
    process.start(block=PATIENCE_SECONDS, every=100.0)
    process.active.clear()
    process.effect.look()
    began = time.monotonic()
    loop.run()  # it was asked before the end
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert process.counted == {}
    assert process.blocks_in(200, loop) == []
    assert not process.effect.is_holding


def test_a_stop_ends_a_block_under_way(process: Process, loop: FakeLoop) -> None:
    process.start(block=PATIENCE_SECONDS, every=100.0)
    blocked = threading.Thread(target=loop.run, daemon=True)
    blocked.start()
    process.active.clear()
    process.effect.look()
    blocked.join(PATIENCE_SECONDS / 2)
    assert not blocked.is_alive()


def test_a_block_ends_with_its_run(process: Process, loop: FakeLoop) -> None:
    process.start(block=PATIENCE_SECONDS, every=100.0, lasts=10.0)
    process.clock.now += 10 - BRIEF
    began = time.monotonic()
    loop.run()
    assert time.monotonic() - began < PATIENCE_SECONDS / 2


def test_what_was_asked_before_a_freeze_blocks_nothing_after_the_end(process: Process, loop: FakeLoop) -> None:
    process.start(block=PATIENCE_SECONDS, every=100.0, lasts=10.0)
    process.clock.now += 3600
    began = time.monotonic()
    loop.run()
    assert time.monotonic() - began < PATIENCE_SECONDS / 2
    process.effect.look()
    assert process.counted == {}


def test_two_runs_leave_a_loop_free_for_as_long_as_it_was_blocked(process: Process, loop: FakeLoop) -> None:
    process.start("1", block=0.05, every=10.0)
    process.start("2", block=0.001, every=0.002)
    assert len(loop.asked) == 1, "one at a time"
    loop.run()
    (place,) = process.effect._places.values()
    assert place.free_at - process.clock.now >= 0.05
    process.clock.now = place.free_at - 0.01
    process.effect.look()
    assert loop.asked == [], "it is not free yet"
    process.clock.now = place.free_at
    process.effect.look()
    assert len(loop.asked) == 1


def test_a_loop_that_does_not_run_is_asked_once(process: Process, loop: FakeLoop) -> None:
    process.start(every=10.0)
    for _ in range(100):
        process.clock.now += 10
        process.effect.look()
    assert len(loop.asked) == 1


def test_a_loop_that_is_closed_is_forgotten(process: Process, loop: FakeLoop) -> None:
    run = process.start(every=10.0)
    loop.run()
    loop.is_closed = True
    process.clock.now += 10
    process.effect.look()
    assert process.effect._places == {}
    process.serving = other = FakeLoop()
    process.call(run)
    assert process.blocks_in(12, loop, other) == [0, 10]


def test_the_watcher_has_nothing_to_do_before_the_next_block(process: Process, loop: FakeLoop) -> None:
    process.start(every=0.5)
    loop.run()
    assert process.effect.watch_seconds() == pytest.approx(0.5)


def test_a_process_without_an_event_loop_says_so(process: Process, caplog: pytest.LogCaptureFixture) -> None:
    process.serving = None
    run = process.start()
    assert process.call(run) == {"problem": NO_LOOP}
    assert process.problems == [NO_LOOP]
    assert f"Run {run.run_id} holds nothing in this environment: {NO_LOOP}" in caplog.text
    assert len(NO_LOOP) <= 100
    process.active.clear()
    process.effect.look()
    assert not process.effect.is_holding


def test_nothing_of_the_loops_is_kept_after_the_runs(process: Process, loop: FakeLoop) -> None:
    process.start()
    loop.run()
    process.active.clear()
    process.effect.look()
    assert process.effect._places == {}


def test_a_fork_waits_for_nothing_that_its_original_has_locked(process: Process, loop: FakeLoop) -> None:
    process.start()
    loop.run()
    (held,) = process.effect.holdings
    with held._over._cond:  # as another thread did, which the fork does not have
        process.effect.abandon()
    assert not process.effect.is_holding


# Real loops: how late what waits on them comes


async def lateness(sleep: Callable[[float], Any], effect: EventLoops, run: Run, wanted: Wanted) -> list[float]:
    """By how much the beats came too late that came much too late, while there were a few of them."""
    late: list[float] = []
    effect.meet()
    effect.hold(run, wanted)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(late) < 5 and time.monotonic() < deadline:
        began = time.perf_counter()
        await sleep(BEAT_SECONDS)
        lateness = time.perf_counter() - began - BEAT_SECONDS
        if lateness > wanted.block_seconds / 2:
            late.append(lateness)
    return late


def on_asyncio(*given: Any) -> list[float]:
    return asyncio.run(lateness(asyncio.sleep, *given))


def on_uvloop(*given: Any) -> list[float]:
    import uvloop  # noqa: PLC0415

    return uvloop.run(lateness(asyncio.sleep, *given))


def on_trio(*given: Any) -> list[float]:
    return trio.run(lateness, trio.sleep, *given)


@pytest.mark.parametrize("library", [on_asyncio, on_uvloop, on_trio])
def test_a_loop_stands_still_for_as_long_as_was_asked(
    library: Callable[..., list[float]], tell: Tell, pytestconfig: pytest.Config
) -> None:
    run = a_run("event_loop_block", now=time.time(), duration_seconds=600)
    active = [run]
    effect = EventLoops(surroundings(lambda: active))
    late = library(effect, run, Wanted(block_seconds=0.1, every_seconds=0.3))
    active.clear()
    effect.look()
    tell(f"blocks of 100 ms, late by {', '.join(f'{each * 1000:.1f}' for each in late)} ms")
    assert len(late) == 5
    if pytestconfig.getoption("--exact"):
        assert abs(statistics.median(late) - 0.1) <= EXACT_SECONDS
    assert max(late) >= 0.1 - EXACT_SECONDS
