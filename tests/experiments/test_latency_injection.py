import pytest
from pydantic import ValidationError

from chalicelib.experiments.latency_injection import LatencyInjection
from chalicelib.faults import Wait

EXPERIMENT = LatencyInjection()


def test_every_request_waits() -> None:
    parameters = EXPERIMENT.Parameters(delay_seconds=1.5)
    assert list(EXPERIMENT.faults(parameters, lambda: 0.999)) == [Wait(1.5)]


def test_defaults_are_safe() -> None:
    assert EXPERIMENT.Parameters().model_dump() == {"duration_seconds": 30.0, "delay_seconds": 2.0}


@pytest.mark.parametrize("allowed", [0, 0.0, 60])
def test_allowed(allowed: float) -> None:
    assert EXPERIMENT.Parameters(delay_seconds=allowed).delay_seconds == allowed


@pytest.mark.parametrize("refused", [-0.001, 60.001, "2", True, None, float("nan"), float("inf")])
def test_refused(refused: object) -> None:
    with pytest.raises(ValidationError):
        EXPERIMENT.Parameters.model_validate({"delay_seconds": refused})
