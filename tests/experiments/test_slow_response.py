import json
from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.slow_response import SlowResponse
from chalicelib.faults.slow import Slow


def test_the_defaults_are_pinned() -> None:
    parameters = SlowResponse.Parameters()
    assert json.loads(parameters.model_dump_json(exclude_none=True)) == {
        "duration_seconds": 30.0,
        "percentage": 100.0,
        "bytes_per_second": 1000.0,
    }
    assert list(SlowResponse().faults(parameters)) == [Slow(bytes_per_second=1000.0)]


@pytest.mark.parametrize("rate", [0.1, 1, 1e9])
def test_the_rate_is_what_is_given(rate: float) -> None:
    assert list(SlowResponse().faults(SlowResponse.Parameters(bytes_per_second=rate))) == [Slow(bytes_per_second=rate)]


@pytest.mark.parametrize("rate", [0, -1.0, 0.05, "1000", None, float("inf"), float("nan")])
def test_any_other_rate_is_refused(rate: Any) -> None:
    with pytest.raises(ValidationError, match="bytes_per_second"):
        SlowResponse.Parameters(bytes_per_second=rate)
