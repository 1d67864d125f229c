import json
import math

import pytest

from chalicelib.dependencies import Dependency
from chalicelib.faults.base import PROCEED, Fail, Failure
from chalicelib.faults.dependency import FailDependency
from tests.faults.support import FakeHitCall, FakeRun, drive
from tests.support import NOW

DYNAMODB = Dependency("dynamodb")
TIMED_OUT = Fail(Failure(way="timeout"))


def latency(seconds: float) -> FailDependency:
    return FailDependency(dependency=DYNAMODB, delay_seconds=seconds)


TIMEOUT = latency(math.inf)


def test_a_call_fails_at_once_and_is_counted() -> None:
    failure = Failure(way="error", code="ThrottlingException")
    fault = FailDependency(dependency=DYNAMODB, failure=failure)
    slept, applied = drive(fault, FakeHitCall(patience=5.0))
    assert (slept, applied.outcome, fault.way) == ([], Fail(failure), "error")
    assert (applied.details, applied.counters) == ({"failure": "error"}, {"failed_calls": 1})


def test_a_delay_that_the_client_waits_for_fails_nothing() -> None:
    slept, applied = drive(latency(2.5), FakeHitCall(patience=3.0))
    assert (slept, applied.outcome, latency(2.5).way) == ([1.0, 1.0, 0.5], PROCEED, "latency")
    assert (applied.details, applied.counters) == ({"seconds": 2.5}, {"delay": 2_500_000})


@pytest.mark.parametrize("patience", [2.0, 2.5, 0.1234567])
def test_a_client_that_does_not_wait_so_long_gives_up_after_its_own_time(patience: float) -> None:
    slept, applied = drive(latency(2.5), FakeHitCall(patience=patience))
    assert (sum(slept), applied.outcome) == (pytest.approx(patience), TIMED_OUT)
    assert applied.details == {"seconds": round(patience, 3), "failure": "timeout"}
    assert applied.counters == {"delay": round(round(patience, 3) * 1e6), "failed_calls": 1}


def test_no_answer_comes_for_as_long_as_the_client_waits() -> None:
    slept, applied = drive(TIMEOUT, FakeHitCall(patience=7.0))
    assert (sum(slept), applied.outcome, TIMEOUT.way) == (7.0, TIMED_OUT, "timeout")


def test_a_client_that_would_wait_longer_than_the_stage_allows_is_told_before_its_time() -> None:
    slept, applied = drive(TIMEOUT, FakeHitCall(patience=7.0, limits={"delay_seconds": 3.0}))
    assert (sum(slept), applied.outcome) == (3.0, TIMED_OUT)
    assert applied.details == {"seconds": 3.0, "cut_from_seconds": 7.0, "failure": "timeout"}


@pytest.mark.parametrize(("patience", "outcome"), [(1.0, TIMED_OUT), (1.5, PROCEED), (math.inf, PROCEED)])
def test_a_delay_is_no_longer_than_the_stage_allows(patience: float, outcome: object) -> None:
    """Then a client that waits longer than that gets its answer."""
    slept, applied = drive(latency(2.0), FakeHitCall(patience=patience, limits={"delay_seconds": 1.0}))
    assert (sum(slept), applied.outcome) == (1.0, outcome)


def test_a_client_without_a_time_out_gets_its_answer_when_the_run_is_over() -> None:
    slept, applied = drive(TIMEOUT, FakeHitCall(run=FakeRun(expires_at=NOW + 4.5)))
    assert (sum(slept), applied.outcome, applied.details) == (4.5, PROCEED, {"seconds": 4.5})


def test_a_client_without_a_time_out_gets_its_answer_after_what_the_stage_allows() -> None:
    slept, applied = drive(TIMEOUT, FakeHitCall(limits={"delay_seconds": 3.0}))
    assert (sum(slept), applied.outcome) == (3.0, PROCEED)


@pytest.mark.parametrize("fault", [TIMEOUT, latency(20.0)], ids=["timeout", "latency"])
def test_when_the_run_ends_the_call_is_made(fault: FailDependency) -> None:
    slept, applied = drive(fault, FakeHitCall(patience=10.0, active=lambda now: now < NOW + 2.5))
    assert (sum(slept), applied.outcome, applied.counters) == (3.0, PROCEED, {"delay": 3_000_000})
    slept, applied = drive(fault, FakeHitCall(patience=10.0, run=FakeRun(expires_at=NOW + 1.25)))
    assert (sum(slept), applied.outcome) == (1.25, PROCEED)
    assert applied.details == {"seconds": 1.25, "cut_from_seconds": 10.0}


def test_a_run_that_is_over_already_delays_nothing() -> None:
    slept, applied = drive(TIMEOUT, FakeHitCall(patience=10.0, run=FakeRun(expires_at=NOW - 1)))
    assert (slept, applied.outcome, applied.counters) == ([], PROCEED, {})


@pytest.mark.parametrize("seconds", [0.001, 2.0, math.inf])
@pytest.mark.parametrize("patience", [0.001, 3.0, math.inf])
@pytest.mark.parametrize("limit", [0.5, math.inf])
@pytest.mark.parametrize("left", [-1.0, 1.0, 60.0])
def test_details_are_json(seconds: float, patience: float, limit: float, left: float) -> None:
    call = FakeHitCall(patience=patience, limits={"delay_seconds": limit}, run=FakeRun(expires_at=NOW + left))
    slept, applied = drive(latency(seconds), call)
    json.dumps(applied.details, allow_nan=False)
    assert 0 <= applied.details["seconds"] <= max(left, 0)
    assert sum(slept) <= min(seconds, patience, limit) + 1e-9
