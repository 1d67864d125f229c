from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from chalicelib.runs.options import Hypothesis
from chalicelib.runs.run import Run
from tests.support import NOW, a_run


@pytest.fixture
def run() -> Run:
    return a_run(duration_seconds=30.0)


def test_a_run_is_active_from_its_start_until_just_before_its_time_is_up(run: Run) -> None:
    assert [run.is_active(NOW + after) for after in (0, 29.999, 30, 1e6)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("hypothesis", "seconds"),
    [({"p95_seconds": 1, "baseline_seconds": 10.5}, 10.5), ({"p95_seconds": 1}, 0), ({"baseline_seconds": "x"}, 0)],
)
def test_it_hits_from_the_end_of_its_baseline_on(hypothesis: dict[str, Any], seconds: float) -> None:
    assert a_run(options={"hypothesis": hypothesis}).hits_from == NOW + seconds
    assert a_run().hits_from == NOW


def test_a_run_whose_time_was_up_is_completed(run: Run) -> None:
    assert [run.status(NOW + after) for after in (0, 29.999, 30)] == ["running", "running", "completed"]


def test_a_run_that_was_ended_before_its_time_is_stopped_at_once_and_for_good(run: Run) -> None:
    ended = run.ended(now=NOW + 10, by="grace", reason="enough")
    assert (ended.ended_at, ended.ended_by, ended.end_reason) == (NOW + 10, "grace", "enough")
    assert [ended.is_active(NOW + after) for after in (10, 10.5, 60)] == [False, False, False]
    assert [ended.status(NOW + after) for after in (10, 60)] == ["stopped", "stopped"]


def test_ending_a_run_leaves_the_run_itself_as_it_was(run: Run) -> None:
    run.ended(now=NOW + 10, by="grace", reason=None)
    assert run.is_active(NOW + 10)
    with pytest.raises(FrozenInstanceError):
        run.ended_at = NOW  # type: ignore[misc]


def test_a_run_that_is_ended_after_its_time_was_up_is_completed(run: Run) -> None:
    assert run.ended(now=NOW + 31, by="grace", reason=None).status(NOW + 31) == "completed"


def test_what_remains_counts_down_and_is_nothing_once_the_run_is_over(run: Run) -> None:
    assert [run.remaining_seconds(NOW + after) for after in (0, 12.3456, 30, 99)] == [30.0, 17.654, 0.0, 0.0]
    assert run.ended(now=NOW + 1, by="grace", reason=None).remaining_seconds(NOW + 1) == 0.0


def test_ids_tell_the_moment_of_the_start_and_sort_by_it() -> None:
    ids = [a_run(now=NOW + after, token=token).run_id for after, token in ((0, "zz"), (0.001, "m"), (1, "a"))]
    assert ids[0] == "20270115T080000.000Z-zz"
    assert ids[1] == "20270115T080000.001Z-m"
    assert ids == sorted(ids)


def test_two_runs_of_one_moment_have_two_ids() -> None:
    assert a_run(token="1").run_id != a_run(token="2").run_id


def test_times_are_kept_to_the_millisecond() -> None:
    run = a_run(now=NOW + 0.1234567, duration_seconds=0.5)
    assert (run.started_at, run.expires_at) == (NOW + 0.123, NOW + 0.623)
    assert run.ended(now=NOW + 0.2345678, by="grace", reason=None).ended_at == NOW + 0.235


def test_the_duration_is_30_seconds_where_nobody_says_otherwise() -> None:
    assert a_run().expires_at == NOW + 30


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reason": None, "alarms": None, "hypothesis": None},
        {"alarms": "orders-5xx", "hypothesis": [1]},
        {"alarms": [1], "hypothesis": {"p95_seconds": "long", "abort": "yes"}},
    ],
)
def test_options_that_are_not_there_or_not_known_are_none(options: dict[str, Any]) -> None:
    run = a_run(options=options)
    assert (run.reason, run.alarms, run.hypothesis) == (None, (), None)
    assert (run.aborts_itself, run.slow_after_seconds) == (False, None)


def test_options_are_read_from_what_was_stored() -> None:
    hypothesis = {"p95_seconds": 1, "abort": True, "of_a_newer_version": 1}
    run = a_run(options={"reason": "why", "alarms": ["orders-5xx"], "hypothesis": hypothesis})
    assert (run.reason, run.alarms, run.aborts_itself, run.slow_after_seconds) == ("why", ("orders-5xx",), True, 1)
    assert run.hypothesis == Hypothesis(p95_seconds=1.0, abort=True)
