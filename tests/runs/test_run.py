import pytest

from tests.support import NOW, a_run


def test_ids_sort_by_the_time_of_the_start() -> None:
    ids = [a_run(now=NOW + seconds, token=token).run_id for seconds, token in ((0, "z"), (0.001, "a"), (61, "a"))]
    assert ids == sorted(ids)
    assert ids[0] == "20270115T080000.000Z-z"


@pytest.mark.parametrize(
    ("after", "active", "status", "remaining"),
    [(0, True, "running", 30.0), (29.999, True, "running", 0.001), (30, False, "completed", 0.0)],
)
def test_its_time_decides(after: float, *, active: bool, status: str, remaining: float) -> None:
    run = a_run()
    now = NOW + after
    assert (run.is_active(now), run.status(now), run.remaining_seconds(now)) == (active, status, remaining)


def test_a_stopped_run_is_over_even_where_the_clock_is_behind() -> None:
    run = a_run().ended(now=NOW + 10, by="bob", reason="enough")
    assert not run.is_active(NOW + 8)
    assert (run.status(NOW + 8), run.ended_by, run.end_reason) == ("stopped", "bob", "enough")


def test_an_end_recorded_after_its_time_was_up_makes_it_no_stopped_run() -> None:
    assert a_run().ended(now=NOW + 30, by="bob", reason=None).status(NOW + 31) == "completed"


def test_it_runs_for_as_long_as_it_was_asked_to_to_the_millisecond() -> None:
    assert a_run(now=NOW + 0.0004, duration_seconds=0.25).expires_at == NOW + 0.25
