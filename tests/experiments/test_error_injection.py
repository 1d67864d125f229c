from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.error_injection import ErrorInjection
from chalicelib.faults import Answer, Fault

INJECTED = Answer(500, "injected_error", "Chaos experiment: injected error")


def faults(error_rate: float, drawn: float) -> list[Fault]:
    return list(ErrorInjection().faults(ErrorInjection.Parameters(error_rate=error_rate), lambda: drawn))


@pytest.mark.parametrize(("drawn", "expected"), [(0.0, [INJECTED]), (0.2499, [INJECTED]), (0.25, []), (0.9, [])])
def test_a_request_fails_where_chance_is_below_the_rate(drawn: float, expected: list[Fault]) -> None:
    assert faults(0.25, drawn) == expected


@pytest.mark.parametrize("drawn", [0.0, 0.5, 0.9999999999999999])
def test_a_rate_of_0_hits_none_and_a_rate_of_1_hits_all(drawn: float) -> None:
    assert faults(0.0, drawn) == []
    assert faults(1.0, drawn) == [INJECTED]


def test_the_share_of_the_requests_that_fail_is_the_rate() -> None:
    assert sum(len(faults(0.1, draw / 1000)) for draw in range(1000)) == 100


def test_the_defaults_are_pinned() -> None:
    assert ErrorInjection.Parameters().model_dump() == {
        "error_rate": 0.1,
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }


@pytest.mark.parametrize("error_rate", [0, 0.0, 1, 1.0, 0.5])
def test_a_rate_from_0_to_1_is_allowed(error_rate: float) -> None:
    assert ErrorInjection.Parameters(error_rate=error_rate).error_rate == error_rate


@pytest.mark.parametrize("error_rate", [-0.001, 1.001, "0.5", True, None, float("nan"), float("-inf")])
def test_any_other_rate_is_refused(error_rate: Any) -> None:
    with pytest.raises(ValidationError, match="error_rate"):
        ErrorInjection.Parameters(error_rate=error_rate)
