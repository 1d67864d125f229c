import pytest

from chalicelib.faults.base import DISCONNECT, PROCEED
from chalicelib.faults.silence import Silence
from tests.faults.support import FakeHitCall, FakeRun, drive
from tests.support import NOW

UNTIL_CLIENT = Silence(longest_seconds=30.0, margin_seconds=0.5, ends_with_client=True)
UNTIL_DEADLINE = Silence(longest_seconds=30.0, margin_seconds=0.5, ends_with_client=False)
TIMED_OUT = {"injected_timeouts": 1, "dropped_connections": 1}


@pytest.mark.parametrize(
    ("fault", "call", "seconds"),
    [
        (UNTIL_CLIENT, FakeHitCall(), 30.0),
        (UNTIL_CLIENT, FakeHitCall(client_gone_at=NOW + 4.0), 4.0),
        (UNTIL_CLIENT, FakeHitCall(left=10.0), 9.5),
        (UNTIL_CLIENT, FakeHitCall(limits={"delay_seconds": 3.0}), 3.0),
        (UNTIL_DEADLINE, FakeHitCall(left=10.0), 9.5),
        (UNTIL_DEADLINE, FakeHitCall(left=10.0, client_gone_at=NOW), 9.5),
        (UNTIL_DEADLINE, FakeHitCall(), 30.0),
        (UNTIL_DEADLINE, FakeHitCall(left=0.2), 0.0),
        (Silence(longest_seconds=30.0, margin_seconds=0.0, ends_with_client=False), FakeHitCall(left=10.0), 10.0),
    ],
)
def test_there_is_no_answer_until_it_is_too_late_for_one(fault: Silence, call: FakeHitCall, seconds: float) -> None:
    slept, applied = drive(fault, call)
    assert sum(slept) == pytest.approx(seconds)
    assert (applied.outcome, applied.details) == (DISCONNECT, {"seconds": seconds})
    delay = {"delay": round(seconds * 1_000_000)} if seconds else {}
    assert applied.counters == {**delay, **TIMED_OUT}


def test_after_a_stop_the_application_answers_and_the_delay_is_counted() -> None:
    slept, applied = drive(UNTIL_CLIENT, FakeHitCall(active=lambda now: now < NOW + 2.5))
    assert slept == [1.0, 1.0, 1.0]
    assert (applied.outcome, applied.counters) == (PROCEED, {"delay": 3_000_000})


def test_so_it_does_at_the_end_of_the_run() -> None:
    slept, applied = drive(UNTIL_DEADLINE, FakeHitCall(run=FakeRun(expires_at=NOW + 1.25)))
    assert (slept, applied.outcome) == ([1.0, 0.25], PROCEED)
