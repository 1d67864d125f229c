from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.base import Experiment, LimitOf, Parameters, refusal
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


class Heaps(Parameters):
    heap_mb: Annotated[int, LimitOf("memory_mb")] = 10
    memory_mb: int = 20


def test_a_limit_holds_for_the_parameter_of_its_name_and_for_those_that_say_so() -> None:
    assert Parameters.limited({"memory_mb": 5.0}) == {}
    assert Heaps.limited({"memory_mb": 5.0}) == {"heap_mb": 5.0, "memory_mb": 5.0}
    assert Heaps.limited({"memory_mb": 5.0, "heap_mb": 2.0, "duration_seconds": 60.0}) == {
        "duration_seconds": 60.0,
        "heap_mb": 2.0,
        "memory_mb": 5.0,
    }


def test_what_an_experiment_refuses_is_said_in_its_words() -> None:
    error = refusal("heap_mb", "is odd", "an even number")
    assert (error.type, error.message()) == ("refused", "heap_mb is odd")
    assert error.context == {"field": "heap_mb", "problem": "is odd", "allowed": "an even number"}


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
