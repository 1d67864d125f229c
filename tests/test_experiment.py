from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from chalicelib.experiment import Experiment, Parameters
from chalicelib.faults import Chance, Fault, Wait


class Nothing(Experiment):
    """Does nothing at all.

    And says so at length.
    """

    name = "nothing"
    Parameters = Parameters

    def faults(self, parameters: Parameters, chance: Chance) -> Iterator[Fault]:
        del parameters, chance
        yield Wait(0.0)


def test_the_description_is_the_first_line_of_the_docstring() -> None:
    assert Nothing().description == "Does nothing at all."


def test_an_experiment_has_no_limits_of_its_own_unless_it_says_so() -> None:
    assert Nothing().limits(spare_memory_mb=0) == {}


def test_every_run_ends_after_thirty_seconds_unless_asked_otherwise() -> None:
    assert Parameters().duration_seconds == 30.0


@pytest.mark.parametrize("refused", [0, -1, "30", True, float("nan"), float("inf")])
def test_no_run_without_an_end(refused: object) -> None:
    with pytest.raises(ValidationError):
        Parameters.model_validate({"duration_seconds": refused})


def test_parameters_cannot_be_changed_nor_invented() -> None:
    with pytest.raises(ValidationError):
        Parameters.model_validate({"invented": 1})
    with pytest.raises(ValidationError):
        Parameters().duration_seconds = 1  # type: ignore[misc]
