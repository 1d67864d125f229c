import json
from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.resource_exhaustion import ResourceExhaustion
from chalicelib.faults.memory import HoldMemory


def test_each_request_asks_for_the_memory_of_its_run() -> None:
    parameters = ResourceExhaustion.Parameters(memory_mb=7)
    assert list(ResourceExhaustion().faults(parameters)) == [HoldMemory(megabytes=7, steps=1, step_seconds=30.0)]


def test_the_defaults_are_pinned() -> None:
    assert ResourceExhaustion.Parameters().model_dump(exclude_none=True) == {
        "memory_mb": 100,
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }


@pytest.mark.parametrize("memory_mb", [0, -1, 1.5, 100.0, "100", True, None, float("nan")])
def test_anything_but_a_whole_number_from_1_is_refused(memory_mb: Any) -> None:
    with pytest.raises(ValidationError, match="memory_mb"):
        ResourceExhaustion.Parameters(memory_mb=memory_mb)


def test_what_an_older_version_has_stored_is_read_as_it_was() -> None:
    stored = '{"duration_seconds": 30.0, "percentage": 100.0, "memory_mb": 64}'
    parameters = ResourceExhaustion.Parameters.model_validate_json(stored)
    assert parameters.model_dump(mode="json", exclude_none=True) == json.loads(stored)
    assert list(ResourceExhaustion().faults(parameters)) == [HoldMemory(megabytes=64, step_seconds=30.0)]


def test_steps_divide_the_duration() -> None:
    parameters = ResourceExhaustion.Parameters(memory_mb=100, steps=5, duration_seconds=50)
    assert list(ResourceExhaustion().faults(parameters)) == [HoldMemory(megabytes=100, steps=5, step_seconds=10.0)]


@pytest.mark.parametrize("steps", [0, 1, -1, 61, 2.5, "5", True, None])
def test_anything_but_a_number_of_steps_is_refused(steps: Any) -> None:
    with pytest.raises(ValidationError, match="steps"):
        ResourceExhaustion.Parameters(steps=steps)


def test_a_step_is_at_least_a_megabyte() -> None:
    assert ResourceExhaustion.Parameters(memory_mb=5, steps=5).memory_mb == 5
    with pytest.raises(ValidationError, match="steps must be at most memory_mb, which is 4; got 5"):
        ResourceExhaustion.Parameters(memory_mb=4, steps=5)
