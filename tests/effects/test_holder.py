"""What every effect does that holds one thing for each run."""

import logging
import math
import signal
from collections.abc import Mapping

import pytest

from chalicelib.effects.base import ActiveRun
from chalicelib.effects.holder import Holder, Holding, Impossible
from chalicelib.runs.run import Run
from tests.effects.support import surroundings
from tests.support import Clock, a_run


class Thing(Holding):
    """Counts whatever the test says."""

    def __init__(self, run: ActiveRun) -> None:
        super().__init__(run)
        self.uncounted = self.at_the_end = 0
        self.defect: BaseException | None = None
        self.step_defect: BaseException | None = None

    def take_counters(self) -> Mapping[str, int]:
        counted, self.uncounted = self.uncounted, 0
        return {"things": counted} if counted else {}

    def release(self) -> None:
        self.uncounted += self.at_the_end
        if self.defect:
            raise self.defect


class Things(Holder[Thing, Exception | None]):
    """Raises what is wanted, or takes it."""

    def take(self, run: ActiveRun, wanted: Exception | None) -> Thing:
        if wanted:
            raise wanted
        return Thing(run)

    def advance(self, holding: Thing) -> None:
        holding.due_at = math.inf
        if holding.step_defect:
            raise holding.step_defect


class Process:
    """The test does what the watcher would."""

    def __init__(self, clock: Clock) -> None:
        self.run: Run = a_run(now=clock.now)
        self.active = [self.run]
        self.counted: list[Mapping[str, int]] = []
        self.problems: list[str] = []
        self.things = Things(
            surroundings(
                lambda: self.active,
                clock,
                count=lambda _, counts: self.counted.append(counts),
                record_problem=lambda _, problem: self.problems.append(problem),
            )
        )
        self.things._watcher.watch = lambda: None  # type: ignore[method-assign]

    def hold(self, wanted: Exception | None = None) -> Mapping[str, object]:
        return self.things.hold(self.run, wanted)[0]

    @property
    def thing(self) -> Thing:
        return self.things.holdings[0]


@pytest.fixture
def process(clock: Clock) -> Process:
    return Process(clock)


def test_what_goes_on_without_calls_is_counted_without_them(process: Process) -> None:
    process.hold()
    process.things.look()
    assert process.counted == []
    process.thing.uncounted = 2
    process.things.look()
    process.things.look()
    assert process.counted == [{"things": 2}]


def test_what_was_done_at_the_very_end_is_counted(process: Process) -> None:
    process.hold()
    process.thing.uncounted, process.thing.at_the_end = 1, 1
    process.active.clear()
    process.things.settle(())
    assert process.counted == [{"things": 2}]


def test_what_the_next_call_reports_is_left_to_it(process: Process) -> None:
    process.hold()
    process.thing.uncounted = 2
    process.thing.is_reported = False
    process.things.look()
    assert process.counted == []
    assert process.things.hold(process.run, None)[1] == {"things": 2}


def test_what_cannot_be_is_said_by_the_run_and_not_asked_for_again(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert process.hold(Impossible("There are no things here.")) == {"problem": "There are no things here."}
    assert process.problems == ["There are no things here."]
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)


def test_a_defect_is_said_by_the_run_too(process: Process) -> None:
    assert process.hold(ZeroDivisionError("oh")) == {"problem": "ZeroDivisionError: oh"}
    assert process.problems == ["ZeroDivisionError: oh"]


def test_a_step_with_a_defect_keeps_nobody_from_giving_back(process: Process) -> None:
    process.hold()
    process.thing.due_at, process.thing.step_defect = -math.inf, MemoryError()
    process.things.look()
    process.active.clear()
    process.things.look()
    assert not process.things.is_holding


def test_what_is_interrupted_while_it_is_taken_is_watched(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of gevent, a time-out is no Exception."""
    watched: list[bool] = []
    monkeypatch.setattr(process.things._watcher, "watch", lambda: watched.append(True))
    interrupted = Thing(process.run)
    interrupted.due_at, interrupted.step_defect = -math.inf, KeyboardInterrupt()
    monkeypatch.setattr(process.things, "take", lambda *_: interrupted)
    with pytest.raises(KeyboardInterrupt):
        process.hold()
    assert watched == [process.things.is_holding]


def test_the_end_of_the_process_does_not_wait_for_who_takes_something(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.effects.holder.LAST_SECONDS", 0.01)
    process.hold()
    with process.things._changing:
        process.things.release_all()
    assert process.things.is_holding


class TimedOut(BaseException):
    """As gevent's time-out, which may come in the middle of anything."""


def test_a_step_that_the_host_ends_is_taken_again(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = Thing(process.run)
    interrupted.due_at, interrupted.step_defect = -math.inf, TimedOut()
    monkeypatch.setattr(process.things, "take", lambda *_: interrupted)
    with pytest.raises(TimedOut):
        process.hold()
    with pytest.raises(TimedOut):
        process.things.look()
    interrupted.step_defect = None
    process.things.look()
    assert (interrupted.due_at, process.things.holdings) == (math.inf, [interrupted])


def test_what_the_host_keeps_from_being_given_back_is_given_back_later(process: Process) -> None:
    process.hold()
    thing = process.thing
    thing.defect = TimedOut()
    process.active.clear()
    with pytest.raises(TimedOut):
        process.things.settle(())
    assert process.things.is_due(())
    thing.defect, thing.at_the_end = None, 1
    process.things.settle(())
    assert (process.things.is_holding, process.counted) == (False, [{"things": 1}])


def test_what_a_signal_handler_raises_is_the_hosts_while_something_is_given_back(process: Process) -> None:
    def give_up(*_: object) -> None:
        raise TimeoutError

    process.hold()
    process.thing.release = lambda: signal.raise_signal(signal.SIGUSR1)  # type: ignore[method-assign]
    process.active.clear()
    before = signal.signal(signal.SIGUSR1, give_up)
    try:
        with pytest.raises(TimeoutError):
            process.things.settle(())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert process.things.is_holding


def test_what_cannot_be_given_back_is_not_tried_for_ever(process: Process) -> None:
    process.hold()
    process.thing.defect = OSError()
    process.active.clear()
    process.things.settle(())
    assert not process.things.is_holding
