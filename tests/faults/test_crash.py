from chalicelib.faults.base import Exit
from chalicelib.faults.crash import Crash
from tests.faults.support import FakeHitCall, drive


def test_the_process_ends_at_once_or_after_the_answer_and_is_counted_when_it_does() -> None:
    slept, applied = drive(Crash(exit_code=7), FakeHitCall())
    assert (slept, applied.outcome) == ([], Exit(7))
    assert (applied.details, applied.counters) == ({"exit_code": 7}, {})
    assert drive(Crash(exit_code=0, after_seconds=2.0), FakeHitCall())[1].outcome == Exit(0, 2.0)
