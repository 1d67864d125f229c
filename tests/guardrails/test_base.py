import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from chalicelib.errors import AlarmsUnavailable, StoreUnavailable
from chalicelib.guardrails.base import LOOKERS, REMEMBERED_RUNS, Guardrails, HypothesisGuard, alarm_condition
from chalicelib.results.judgement import Hypothesis
from chalicelib.results.tally import Tally
from chalicelib.runs.run import Run
from tests.support import NOW, Clock, FakeAlarms, FakeResultStore, FakeRunStore, a_run


def guarded(name: str = "latency_injection", *alarms: str) -> Run:
    return replace(a_run(name, token=name, duration_seconds=600), alarms=alarms)


class House:
    def __init__(self, clock: Clock, *runs: Run) -> None:
        self.store = FakeRunStore()
        for run in runs:
            self.store.start(run, now=NOW)
        self.alarms = FakeAlarms({"orders-5xx": None, "orders-slow": None})
        self.guardrails = Guardrails(
            self.store, [alarm_condition(self.alarms)], clock, interval_seconds=10.0, environment="here"
        )

    def active(self) -> list[str]:
        return [run.experiment.name for run in self.guardrails.keep(self.store.active(NOW))]


def test_an_alarm_that_fires_aborts_its_run_for_all_and_no_other(clock: Clock) -> None:
    house = House(clock, guarded("latency_injection", "orders-5xx"), guarded("error_injection", "orders-slow"))
    assert house.active() == ["latency_injection", "error_injection"]
    house.alarms.states["orders-5xx"] = "5 errors a minute"
    clock.now += 10
    assert house.active() == ["error_injection"]
    aborted = house.store.runs["latency_injection"]
    assert (aborted.status(clock.now), aborted.ended_at, aborted.ended_by) == ("aborted", NOW + 10, "guardrail")
    assert aborted.end_reason == "CloudWatch alarm orders-5xx is in ALARM: 5 errors a minute"
    assert aborted.ended_from == "environment here"
    assert house.store.runs["error_injection"].ended_at is None


def test_an_environment_looks_once_an_interval_and_not_at_all_without_alarms(clock: Clock) -> None:
    house = House(clock, guarded("latency_injection", "orders-5xx"))
    for _ in range(80):
        house.active()
        clock.now += 0.125
    assert house.alarms.asked == 1
    house.active()
    assert house.alarms.asked == 2
    without = House(clock, guarded())
    without.active()
    assert without.alarms.asked == 0


def test_idle_time_does_not_use_the_interval_up(clock: Clock) -> None:
    house = House(clock)
    house.active()
    house.store.start(guarded("latency_injection", "orders-5xx"), now=NOW)
    house.active()
    assert house.alarms.asked == 1


def test_a_clock_that_stepped_back_looks_again(clock: Clock) -> None:
    house = House(clock, guarded("latency_injection", "orders-5xx"))
    house.active()
    clock.now -= 3600
    house.active()
    assert house.alarms.asked == 2


def test_runs_go_on_where_nobody_can_tell(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    house = House(clock, guarded("latency_injection", "orders-5xx"))
    house.alarms.broken = True
    assert house.active() == ["latency_injection"]
    assert "Could not check the guardrails, so active runs continue: CloudWatch does not tell" in caplog.text


def test_a_condition_with_a_defect_hides_no_other(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    run = guarded()
    store = FakeRunStore({"latency_injection": run})

    def defective(_runs: Sequence[Run]) -> Mapping[str, str]:
        raise ZeroDivisionError

    def condition(runs: Sequence[Run]) -> Mapping[str, str]:
        return {each.run_id: "the application is not well" for each in runs}

    guardrails = Guardrails(store, [defective, condition], clock, interval_seconds=10.0, environment="here")
    assert guardrails.keep([run]) == []
    assert "A guardrail raised an exception; active runs continue" in caplog.text
    assert store.runs["latency_injection"].end_reason == "the application is not well"


def test_a_run_whose_end_cannot_be_written_is_over_here_and_is_ended_later(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    run = guarded("latency_injection", "orders-5xx")
    house = House(clock, run)
    house.alarms.states["orders-5xx"] = "5 errors a minute"
    house.store.broken = True
    with caplog.at_level(logging.WARNING):
        assert house.guardrails.keep([run]) == []
    assert f"Could not abort run {run.run_id} in the table; it is over in this environment" in caplog.text
    house.store.broken = False
    clock.now += 1
    assert house.active() == []
    assert house.store.runs["latency_injection"].ended_at is None
    clock.now += 9
    assert house.active() == []
    assert house.store.runs["latency_injection"].aborted


def test_a_reason_is_bounded(clock: Clock) -> None:
    house = House(clock, guarded("latency_injection", "orders-5xx"))
    house.alarms.states["orders-5xx"] = "x" * 5000
    house.active()
    assert len(house.store.runs["latency_injection"].end_reason or "") == 200


def test_no_alarm_is_no_reason_to_ask() -> None:
    def never(_names: Sequence[str]) -> Mapping[str, str]:
        raise AlarmsUnavailable("asked")

    alarms = FakeAlarms()
    alarms.firing = never  # type: ignore[method-assign]
    assert alarm_condition(alarms)([guarded()]) == {}


def test_an_alarm_that_is_gone_keeps_no_other_from_ending_what_it_guards(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(clock, guarded("latency_injection", "gone"), guarded("error_injection", "orders-slow"))
    house.alarms.states["orders-slow"] = "2 s"
    assert house.active() == ["latency_injection"]
    assert "A run continues although an alarm that it names does not exist" in caplog.text


class Watched:
    """A run with a hypothesis, and what environments have told of it."""

    def __init__(self, clock: Clock, hypothesis: Hypothesis | None, *, chance: float = 0.0) -> None:
        self.run = replace(a_run(duration_seconds=600), hypothesis=hypothesis)
        self.store, self.results, self.aborted = FakeRunStore(), FakeResultStore(), 0
        self.store.start(self.run, now=NOW)
        self.guard = HypothesisGuard(
            self.store, self.results, clock, lambda: chance, environment="here", on_abort=self._note
        )

    def _note(self) -> None:
        self.aborted += 1

    def told(self, requests: int, errors: int, environments: int = 8) -> Run:
        counts = {"requests": requests, "untouched.2xx": requests - errors, "untouched.5xx": errors}
        self.results.tallies[self.run.run_id] = Tally(counts, environments)
        self.guard(self.run, counts)
        return self.store.runs["latency_injection"]


FEW_ERRORS = Hypothesis(max_error_rate=0.01, abort=True)


def test_a_hypothesis_that_fails_beyond_chance_ends_the_run_for_all_and_says_why(clock: Clock) -> None:
    watched = Watched(clock, FEW_ERRORS)
    assert watched.told(200, 3).ended_at is None
    clock.now += 5
    aborted = watched.told(200, 40)
    assert (aborted.status(clock.now), aborted.ended_at, watched.aborted) == ("aborted", NOW + 5, 1)
    assert aborted.end_reason is not None
    assert "40 of 200 untouched requests failed, 20 %" in aborted.end_reason


@pytest.mark.parametrize("hypothesis", [None, Hypothesis(max_error_rate=0.01)])
def test_a_hypothesis_that_is_not_to_end_the_run_is_not_looked_at(clock: Clock, hypothesis: Hypothesis | None) -> None:
    assert Watched(clock, hypothesis).told(1000, 1000).ended_at is None


def test_a_run_that_is_over_is_not_looked_at(clock: Clock) -> None:
    watched = Watched(clock, FEW_ERRORS)
    clock.now += 600
    assert watched.told(1000, 1000).ended_at is None


def test_a_table_that_does_not_tell_what_was_seen_ends_nothing(clock: Clock) -> None:
    watched = Watched(clock, FEW_ERRORS)
    watched.results.broken = True
    with pytest.raises(StoreUnavailable):
        watched.told(1000, 1000)
    assert watched.store.runs["latency_injection"].ended_at is None


def test_of_many_environments_some_look(clock: Clock) -> None:
    watched = Watched(clock, FEW_ERRORS, chance=0.5)
    watched.told(200, 0, environments=4 * LOOKERS)
    assert watched.told(200, 200, environments=4 * LOOKERS).ended_at is None
    lucky = Watched(clock, FEW_ERRORS, chance=0.1)
    lucky.told(200, 0, environments=4 * LOOKERS)
    assert lucky.told(200, 200, environments=4 * LOOKERS).ended_at == NOW


def test_of_a_run_that_nobody_has_told_of_nothing_is_judged(clock: Clock) -> None:
    watched = Watched(clock, FEW_ERRORS)
    watched.guard(watched.run, {})
    assert watched.store.runs["latency_injection"].ended_at is None


def test_how_many_look_at_is_remembered_of_some_runs(clock: Clock) -> None:
    watched = Watched(clock, FEW_ERRORS)
    for number in range(REMEMBERED_RUNS + 1):
        run = replace(watched.run, run_id=str(number))
        watched.results.tallies[run.run_id] = Tally({"requests": 1}, 1)
        watched.guard(run, {})
    assert len(watched.guard._environments) == 1


def test_of_many_environments_some_look_at_each_of_several_runs(clock: Clock) -> None:
    watched = Watched(clock, FEW_ERRORS, chance=0.5)
    other = replace(watched.run, run_id="other")
    for run in (watched.run, other):
        watched.results.tallies[run.run_id] = Tally({"requests": 100}, 4 * LOOKERS)
        watched.guard(run, {})
    looks: list[str] = []
    watched.results.results = lambda runs: looks.append(runs[0].run_id) or {}  # type: ignore[assignment,func-returns-value,method-assign]
    for run in (watched.run, other):
        watched.guard(run, {})
    assert looks == []
