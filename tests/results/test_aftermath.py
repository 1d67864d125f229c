"""Untouched requests before, during and after a run that has a hypothesis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from chalicelib.results.recorder import Recorder
from chalicelib.results.tally import AfterPart, Phase
from chalicelib.runs.run import Run
from tests.results.test_recorder import Active, ServedCall, hit
from tests.support import NOW, Clock, FakeResultStore, a_recorder, a_run, with_hypothesis

RUN = with_hypothesis(a_run(duration_seconds=60.0), max_error_rate=0.1, p95_seconds=1.0)
END = NOW + 60


@dataclass
class House:
    """A process that counts, and what it has flushed."""

    clock: Clock
    store: FakeResultStore
    recorder: Recorder

    def read(self, *runs: Run) -> None:
        """The table says that these are active."""
        self.recorder.notice([Active(run) for run in runs])

    def serve(self, at: float, *runs: Run, status: int | None = 200, seconds: float = 0.1) -> ServedCall:
        """A request that began then, while these runs were active."""
        self.clock.now = at + seconds
        call = ServedCall([Active(run) for run in runs], [])
        self.recorder.count(call, status, seconds)
        return call

    def after(self, run: Run = RUN) -> Sequence[AfterPart]:
        self.recorder.flush()
        return self.store.tallies[run.run_id].after(run)


@pytest.fixture
def house(clock: Clock) -> House:
    store = FakeResultStore()
    timers: list[Callable[[], None]] = []
    return House(clock, store, a_recorder(clock, store, schedule=lambda _seconds, call: timers.append(call)))


def test_after_the_end_of_a_run_requests_are_counted_in_parts_for_a_minute(house: House) -> None:
    house.read(RUN)
    house.serve(NOW + 1, RUN)
    assert house.recorder.is_watching
    for part in range(14):
        house.serve(END + 5 * part + 1, status=503, seconds=2.0)
    assert not house.recorder.is_watching
    parts = house.after()
    assert [part.at - END for part in parts] == [5 * number for number in range(12)]
    assert {part._replace(at=0.0) for part in parts} == {
        AfterPart(at=0.0, seconds=5.0, requests=1, errors=1, slow=1, mean_seconds=2.0)
    }


def test_it_ends_sooner_when_the_application_is_steady(house: House) -> None:
    house.read(RUN)
    house.serve(NOW + 1, RUN)
    seen: list[tuple[int | None, float]] = [(503, 0.1), (200, 0.1), (200, 2.0), (200, 0.1), (200, 0.1), (200, 0.1)]
    for part, (status, seconds) in enumerate(seen):
        house.serve(END + 5 * part, status=status, seconds=seconds)
        assert house.recorder.is_watching
    house.serve(END + 30)
    assert not house.recorder.is_watching
    assert [(part.errors, part.slow) for part in house.after()] == [(1, 0), (0, 0), (0, 1), (0, 0), (0, 0), (0, 0)]


def test_a_time_without_requests_is_not_steady(house: House) -> None:
    house.read(RUN)
    for part in (0, 1, 3, 4):
        house.serve(END + 5 * part)
    house.serve(END + 25)
    assert house.recorder.is_watching
    house.serve(END + 30)
    assert not house.recorder.is_watching


def test_of_a_run_that_is_stopped_the_minute_begins_when_that_is_known(house: House) -> None:
    house.read(RUN)
    under_way = ServedCall([Active(RUN)], [])
    house.clock.now = NOW + 20
    house.read()
    house.recorder.count(under_way, 200, 5.0)  # it belongs to the run
    house.serve(NOW + 21, status=None)
    (part,) = house.after(RUN.ended(now=NOW + 20, by="ada", reason=None))
    assert (part.at, part.requests, part.errors, part.slow, part.mean_seconds) == (NOW + 20, 1, 1, 1, None)
    assert house.store.tallies[RUN.run_id].requests("untouched") == 1


def test_what_another_run_hits_is_not_what_comes_after(house: House) -> None:
    other = a_run("error_injection", token="2", duration_seconds=600.0)
    house.read(RUN, other)
    house.clock.now = END + 1
    house.recorder.count(ServedCall([Active(other)], [hit(other)]), 500, 0.1)
    house.serve(END + 2, other)
    (part,) = house.after()
    assert part.requests == 1


def test_a_run_without_a_hypothesis_has_no_time_after_it(house: House) -> None:
    house.read(a_run(duration_seconds=60.0))
    assert not house.recorder.is_watching


@dataclass(frozen=True, slots=True, kw_only=True)
class WithBaseline(Run):
    """A run that hits nothing in its first 10 seconds."""

    @property
    def hits_from(self) -> float:
        return self.started_at + 10


def test_what_was_normal_before_stands_beside_what_came_after(house: House) -> None:
    run = WithBaseline(**{name: getattr(RUN, name) for name in RUN.__dataclass_fields__})
    house.read(run)
    for at in (1.0, 9.5):
        house.serve(NOW + at, run, seconds=0.2)
    for at in (10.0, 12.0, 50.0):
        house.serve(NOW + at, run, status=503, seconds=3.0)
    house.serve(END + 1, seconds=0.4)
    house.recorder.flush()
    tally = house.store.tallies[run.run_id]
    phases = tally.phases()
    assert {name: (phase.requests, phase.errors) for name, phase in phases.items()} == {
        "before": (2, 0),
        "during": (3, 3),
        "after": (1, 0),
    }
    for name, seconds in (("before", 0.2), ("during", 3.0), ("after", 0.4)):
        assert phases[name].p95_seconds == pytest.approx(seconds, rel=0.2)
    judged = tally.side_counts("untouched", run, END)
    assert (judged.requests, sum(block.began for block in judged.blocks)) == (3, 3)  # what the run can have done
    assert sum(part.untouched for part in tally.timeline(run)) == 5
    assert tally.get("requests") == 5


def test_what_died_is_in_its_phase(house: House) -> None:
    house.read(RUN)
    house.clock.now = NOW + 1
    house.recorder.begin(ServedCall([Active(RUN)], []))
    house.serve(NOW + 2, RUN, status=None)
    house.recorder.flush()
    tally = house.store.tallies[RUN.run_id]
    assert tally.phases()["during"] == Phase(requests=1, errors=1, p95_seconds=None)
    assert tally.phases(NOW + 100)["during"] == Phase(requests=2, errors=2, p95_seconds=None)


def test_without_requests_there_are_phases_without_figures() -> None:
    nothing = FakeResultStore().tallies
    assert nothing == {}
    store = FakeResultStore()
    store.add(RUN, {}, environment="here", number=1)
    assert set(store.tallies[RUN.run_id].phases().values()) == {Phase(requests=0, errors=0, p95_seconds=None)}
