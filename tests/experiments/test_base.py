from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.base import Experiment, Parameters
from chalicelib.faults.base import Fault


class Example(Experiment):
    """Says in its first line what it does.

    And then more.
    """

    name = "example"
    Parameters = Parameters

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield from ()


class Silent(Example):
    __doc__ = None


def test_the_description_is_the_first_line_of_the_docstring() -> None:
    assert Example().description == "Says in its first line what it does."


def test_an_experiment_without_a_docstring_has_an_empty_description() -> None:
    assert Silent().description == ""


def test_an_experiment_has_no_limits_of_the_environment_unless_it_says_so() -> None:
    assert Example().limits(spare_memory_mb=0) == {}


def test_an_experiment_must_say_what_it_does_to_a_request() -> None:
    class Unfinished(Experiment):
        pass

    with pytest.raises(TypeError, match="faults"):
        Unfinished()  # type: ignore[abstract]


def test_a_run_lasts_30_seconds_unless_its_parameters_say_otherwise() -> None:
    assert Parameters().duration_seconds == 30.0


@pytest.mark.parametrize("duration_seconds", [0.001, 1, 3600, 1e6])
def test_a_duration_above_0_is_allowed(duration_seconds: float) -> None:
    assert Parameters(duration_seconds=duration_seconds).duration_seconds == duration_seconds


@pytest.mark.parametrize("duration_seconds", [0, -1, "30", True, None, float("nan"), float("inf")])
def test_numbers_are_numbers_and_a_duration_is_above_0(duration_seconds: Any) -> None:
    with pytest.raises(ValidationError, match="duration_seconds"):
        Parameters(duration_seconds=duration_seconds)


def test_an_unknown_parameter_is_a_problem() -> None:
    with pytest.raises(ValidationError, match="duration_minutes"):
        Parameters.model_validate({"duration_minutes": 1})


def test_parameters_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Parameters().duration_seconds = 1.0  # type: ignore[misc]


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as refused:
        Parameters.model_validate({"duration_seconds": "30", "duration_minutes": 1})
    assert {error["loc"][0] for error in refused.value.errors()} == {"duration_seconds", "duration_minutes"}
