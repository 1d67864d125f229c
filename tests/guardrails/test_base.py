import logging
from collections.abc import Mapping, Sequence

import pytest

from chalicelib.guardrails.alarms import alarm_condition
from chalicelib.guardrails.base import Guardrails
from chalicelib.guardrails.turn import OwnTurn
from chalicelib.runs.run import Run
from tests.support import NOW, Clock, FakeAlarms, FakeRunStore, a_run, with_options


def guarded(name: str = "latency_injection", *alarms: str) -> Run:
    return with_options(a_run(name, token=name, duration_seconds=600), alarms=list(alarms))


class House:
    def __init__(self, clock: Clock, *runs: Run) -> None:
        self.store = FakeRunStore()
        for run in runs:
            self.store.start([run], now=NOW)
        self.alarms = FakeAlarms({"orders-5xx": None, "orders-slow": None})
        self.guardrails = Guardrails(
            self.store, [alarm_condition(self.alarms)], OwnTurn(clock, 10.0), clock, environment="here"
        )

    def active(self) -> list[str]:
        return [run.experiment for run in self.guardrails.enforce(self.store.active(NOW))]


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
    house.store.start([guarded("latency_injection", "orders-5xx")], now=NOW)
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
    run = guarded("latency_injection", "orders-5xx")
    store = FakeRunStore({"latency_injection": run})

    def defective(_runs: Sequence[Run]) -> Mapping[str, str]:
        raise ZeroDivisionError

    def condition(runs: Sequence[Run]) -> Mapping[str, str]:
        return {each.run_id: "the application is not well" for each in runs}

    guardrails = Guardrails(store, [defective, condition], OwnTurn(clock, 10.0), clock, environment="here")
    assert guardrails.enforce([run]) == []
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
        assert house.guardrails.enforce([run]) == []
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
