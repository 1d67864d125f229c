from collections.abc import Mapping, Sequence

import pytest

from chalicelib.errors import AlarmsUnavailable
from chalicelib.guardrails.alarms import abort_for, alarm_condition
from tests.support import NOW, FakeAlarms, FakeRunStore, a_run, with_options

RUN = with_options(a_run(token="1"), alarms=["orders-5xx", "orders-slow"])
OTHER = with_options(a_run("error_injection", token="2"), alarms=["gone"])


def test_no_alarm_is_no_reason_to_ask() -> None:
    def never(_names: Sequence[str]) -> Mapping[str, str]:
        raise AlarmsUnavailable("asked")

    alarms = FakeAlarms()
    alarms.firing = never  # type: ignore[method-assign]
    assert alarm_condition(alarms)([a_run()]) == {}


def test_an_alarm_that_is_gone_keeps_no_other_from_ending_what_it_guards(caplog: pytest.LogCaptureFixture) -> None:
    fired = alarm_condition(FakeAlarms({"orders-5xx": None, "orders-slow": "2 s"}))
    assert fired([OTHER, RUN]) == {RUN.run_id: "CloudWatch alarm orders-slow is in ALARM: 2 s"}
    assert "A run continues although an alarm that it names does not exist" in caplog.text


def test_a_message_of_an_alarm_ends_the_runs_that_name_it() -> None:
    store = FakeRunStore({run.experiment: run for run in (RUN, OTHER)})
    assert abort_for(store, "orders-5xx", "9 errors", now=NOW + 1, source="a topic") == [RUN.run_id]
    aborted = store.runs[RUN.experiment]
    assert (aborted.aborted, aborted.ended_from) == (True, "a topic")
    assert aborted.end_reason == "CloudWatch alarm orders-5xx is in ALARM: 9 errors"
    assert store.runs[OTHER.experiment] == OTHER
