from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.error_injection import ErrorInjection
from chalicelib.faults.answer import Answer


@pytest.mark.parametrize("error_rate", [0.0, 0.25, 1.0])
def test_the_rate_is_the_share_of_the_calls_that_are_answered_with_an_error(error_rate: float) -> None:
    parameters = ErrorInjection.Parameters(error_rate=error_rate)
    assert list(ErrorInjection().faults(parameters)) == [
        Answer(share=error_rate, status=500, code="injected_error", message="Chaos experiment: injected error")
    ]


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
