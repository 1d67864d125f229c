import math

import pytest

from chalicelib.faults.base import PROCEED
from chalicelib.faults.wait import Wait
from tests.faults.support import FakeHitCall, FakeRun, drive
from tests.support import NOW


def test_it_sleeps_in_pieces_and_in_full_and_reports_the_delay() -> None:
    slept, applied = drive(Wait(seconds=2.5), FakeHitCall())
    assert slept == [1.0, 1.0, 0.5]
    assert (applied.outcome, applied.details) == (PROCEED, {"seconds": 2.5})
    assert applied.counters == {"delay": 2_500_000}


def test_what_it_takes_to_read_the_table_is_part_of_the_delay() -> None:
    call = FakeHitCall(read_seconds=0.5)
    slept, applied = drive(Wait(seconds=2.0), call)
    assert (slept, call.clock - NOW, applied.details) == ([1.0, 0.5], 2.0, {"seconds": 2.0})


def test_no_delay_is_no_sleep_and_counts_nothing() -> None:
    slept, applied = drive(Wait(seconds=0.0), FakeHitCall())
    assert (slept, applied.details, applied.counters) == ([], {"seconds": 0.0}, {})


def test_it_ends_soon_after_the_run_does() -> None:
    slept, _ = drive(Wait(seconds=20.0), FakeHitCall(active=lambda now: now < NOW + 2.5))
    assert slept == [1.0, 1.0, 1.0]


def test_the_end_of_the_run_cuts_it_exactly() -> None:
    slept, _ = drive(Wait(seconds=20.0), FakeHitCall(run=FakeRun(expires_at=NOW + 1.25)))
    assert slept == [1.0, 0.25]


@pytest.mark.parametrize(("left", "waits"), [(30.0, 2.0), (2.5, 2.0), (2.0, 1.5), (0.3, 0.0)])
def test_it_leaves_the_application_its_time_and_says_so(left: float, waits: float) -> None:
    slept, applied = drive(Wait(seconds=2.0), FakeHitCall(left=left))
    assert sum(slept) == waits
    assert applied.details.get("cut_from_seconds") == (2.0 if waits < 2.0 else None)


def test_the_time_that_reads_of_the_table_take_is_not_taken_from_the_application() -> None:
    call = FakeHitCall(left=4.0, read_seconds=0.2)
    slept, applied = drive(Wait(seconds=20.0), call)
    assert 3.5 <= call.clock - NOW <= 3.5 + call.read_seconds
    assert applied.details == {"seconds": 3.5, "cut_from_seconds": 20.0}
    assert sum(slept) < 3.5


def test_it_takes_all_the_time_where_that_is_allowed() -> None:
    slept, applied = drive(Wait(seconds=2.0, allow_timeout=True), FakeHitCall(left=1.0))
    assert sum(slept) == 2.0
    assert "cut_from_seconds" not in applied.details


def test_a_delay_is_drawn_by_the_chance_of_the_call() -> None:
    slept, applied = drive(Wait(quantile=lambda chance: 4 * chance), FakeHitCall(chance=lambda: 0.125))
    assert (slept, applied.details) == ([0.5], {"seconds": 0.5})


@pytest.mark.parametrize(
    ("wanted", "limits", "waits"),
    [(70.0, {}, 60.0), (7.0, {"delay_seconds": 1.5}, 1.5), (-0.5, {}, 0.0), (math.inf, {}, 60.0)],
)
def test_what_is_drawn_is_within_what_a_delay_may_be(wanted: float, limits: dict[str, float], waits: float) -> None:
    call = FakeHitCall(run=FakeRun(expires_at=NOW + 100), limits=limits)
    slept, applied = drive(Wait(quantile=lambda _: wanted), call)
    assert (sum(slept), applied.details) == (waits, {"seconds": waits})


def test_a_delay_that_was_drawn_and_is_cut_says_how_long_it_was() -> None:
    _, applied = drive(Wait(quantile=lambda _: 2.0), FakeHitCall(left=1.5))
    assert applied.details == {"seconds": 1.0, "cut_from_seconds": 2.0}
