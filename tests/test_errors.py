import errno

import pytest

from chalicelib import errors
from chalicelib.errors import ChaosError

PINNED = {
    "alarm_active": 409,
    "alarms_unavailable": 503,
    "halted": 423,
    "keys_unavailable": 503,
    "not_halted": 409,
    "production_locked": 403,
    "too_many_runs": 409,
    "unknown_alarm": 404,
    "unknown_run": 404,
    "already_running": 409,
    "body_too_large": 413,
    "forbidden": 403,
    "internal_error": 500,
    "method_not_allowed": 405,
    "invalid_json": 400,
    "invalid_parameters": 400,
    "misconfigured": 503,
    "missing_parameter": 400,
    "module_off": 503,
    "not_running": 404,
    "store_unavailable": 503,
    "unauthenticated": 401,
    "unknown_endpoint": 404,
    "unknown_experiment": 404,
    "unknown_token": 404,
    "unsupported_media_type": 415,
}

FAMILY = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ChaosError)]


def test_the_codes_and_statuses_that_callers_rely_on_are_pinned() -> None:
    assert {each.code: each.status for each in FAMILY if each is not ChaosError} == PINNED


def test_no_two_errors_have_one_code() -> None:
    assert len(FAMILY) == len(PINNED) + 1


@pytest.mark.parametrize("family", FAMILY)
def test_an_error_carries_its_message_and_nothing_else_unless_given(family: type[ChaosError]) -> None:
    error = family("What went wrong.")
    assert str(error) == error.message == "What went wrong."
    assert (error.details, error.resultset, error.headers) == ([], {}, {})


@pytest.mark.parametrize("kind", FAMILY)
def test_an_error_says_in_a_sentence_when_it_comes(kind: type[ChaosError]) -> None:
    assert kind.__doc__
    assert kind.__doc__.strip().endswith(".")


def test_an_error_keeps_copies_of_its_details_and_its_resultset() -> None:
    details, resultset = [{"field": "name"}], {"name": "x"}
    error = errors.InvalidParameters("Wrong.", details=details, resultset=resultset)
    details.clear()
    resultset.clear()
    assert (error.details, error.resultset) == ([{"field": "name"}], {"name": "x"})


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError(errno.EMFILE, "Too many open files"), True),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (MemoryError(), True),
        (ImportError("_sqlite3.so: cannot open shared object file: Too many open files"), True),
        (ImportError("No module named pynamodb"), False),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("a defect"), False),
    ],
)
def test_what_had_run_out_may_be_there_later(error: Exception, *, passes: bool) -> None:
    assert errors.may_pass(error) is passes
