from chalicelib.api.responses import run
from chalicelib.api.shapes import iso
from tests.support import NOW, a_run


def test_times_are_iso_8601_in_utc() -> None:
    assert iso(NOW + 0.25) == "2027-01-15T08:00:00.250Z"


def test_an_end_that_came_too_late_is_not_shown() -> None:
    shown = run(a_run().ended(now=NOW + 31, by="bob", reason="late"), NOW + 32)
    assert (shown["status"], shown["end_time"], shown["ended_by"]) == ("completed", "2027-01-15T08:00:30.000Z", None)
