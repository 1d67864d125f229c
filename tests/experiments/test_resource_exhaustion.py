from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.resource_exhaustion import ResourceExhaustion
from chalicelib.faults.hold import Hold


def test_each_request_asks_for_the_memory_of_its_run() -> None:
    parameters = ResourceExhaustion.Parameters(memory_mb=7)
    assert list(ResourceExhaustion().faults(parameters)) == [Hold(megabytes=7)]


def test_the_defaults_are_pinned() -> None:
    assert ResourceExhaustion.Parameters().model_dump() == {
        "memory_mb": 100,
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }


@pytest.mark.parametrize("memory_mb", [0, -1, 1.5, 100.0, "100", True, None, float("nan")])
def test_anything_but_a_whole_number_from_1_is_refused(memory_mb: Any) -> None:
    with pytest.raises(ValidationError, match="memory_mb"):
        ResourceExhaustion.Parameters(memory_mb=memory_mb)


@pytest.mark.parametrize("spare_memory_mb", [0, 348])
def test_its_limit_is_what_the_environment_can_lose_and_live(spare_memory_mb: int) -> None:
    assert ResourceExhaustion().limits(spare_memory_mb) == {"memory_mb": spare_memory_mb}
