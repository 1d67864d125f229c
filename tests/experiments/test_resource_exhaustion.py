import pytest
from pydantic import ValidationError

from chalicelib.experiments.resource_exhaustion import ResourceExhaustion
from chalicelib.faults import Hold

EXPERIMENT = ResourceExhaustion()


def test_every_request_makes_sure_that_memory_is_held() -> None:
    assert list(EXPERIMENT.faults(EXPERIMENT.Parameters(memory_mb=7), lambda: 0.5)) == [Hold(7)]


def test_defaults_are_safe() -> None:
    assert EXPERIMENT.Parameters().model_dump() == {"duration_seconds": 30.0, "memory_mb": 100}


def test_the_environment_sets_the_limit() -> None:
    assert EXPERIMENT.limits(spare_memory_mb=42) == {"memory_mb": 42}


@pytest.mark.parametrize("refused", [0, -1, 1.5, "100", True, None])
def test_refused(refused: object) -> None:
    with pytest.raises(ValidationError):
        EXPERIMENT.Parameters.model_validate({"memory_mb": refused})
