from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.latency_injection import LatencyInjection
from chalicelib.faults.wait import Wait


def test_each_request_waits_for_the_delay() -> None:
    parameters = LatencyInjection.Parameters(delay_seconds=1.5)
    assert list(LatencyInjection().faults(parameters)) == [Wait(seconds=1.5)]
    allowed = LatencyInjection.Parameters(delay_seconds=1.5, allow_timeout=True)
    assert list(LatencyInjection().faults(allowed)) == [Wait(seconds=1.5, allow_timeout=True)]


def test_the_defaults_are_pinned() -> None:
    assert LatencyInjection.Parameters().model_dump() == {
        "delay_seconds": 2.0,
        "allow_timeout": False,
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }


@pytest.mark.parametrize("delay_seconds", [0, 0.0, 0.001, 60, 60.0])
def test_a_delay_from_0_to_60_seconds_is_allowed(delay_seconds: float) -> None:
    assert LatencyInjection.Parameters(delay_seconds=delay_seconds).delay_seconds == delay_seconds


@pytest.mark.parametrize("delay_seconds", [-0.001, 60.001, "2", True, None, float("nan"), float("inf"), [2], 10**400])
def test_any_other_delay_is_refused(delay_seconds: Any) -> None:
    with pytest.raises(ValidationError, match="delay_seconds"):
        LatencyInjection.Parameters(delay_seconds=delay_seconds)


def test_its_limits_do_not_depend_on_the_environment() -> None:
    assert LatencyInjection().limits(spare_memory_mb=0) == {}
