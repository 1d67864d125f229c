from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib import experiments
from chalicelib.errors import UnknownExperiment
from chalicelib.experiments import EXPERIMENTS, LONGEST_SHOWN, REGISTERED, find, registry
from chalicelib.experiments.base import Experiment, Parameters
from chalicelib.faults import Chance, Fault, Wait

NAMES = ["latency_injection", "error_injection", "resource_exhaustion"]


class Another(Experiment):
    """Does something else."""

    name = "latency_injection"
    Parameters = Parameters

    def faults(self, parameters: Parameters, chance: Chance) -> Iterator[Fault]:
        yield Wait(1)


def test_the_names_that_reach_the_api_and_dashboards_are_pinned() -> None:
    assert list(EXPERIMENTS) == NAMES


def test_every_file_is_one_registered_experiment_of_the_same_name() -> None:
    assert {file.stem for file in Path(experiments.__file__).parent.glob("[!_]*.py")} - {"base", "catalogue"} == set(
        NAMES
    )
    assert {each.__module__.rpartition(".")[2]: each.name for each in REGISTERED} == {name: name for name in NAMES}


def test_every_experiment_has_a_test_of_its_name() -> None:
    here = Path(__file__).parent
    assert [name for name in NAMES if not (here / f"test_{name}.py").exists()] == []


def test_two_experiments_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="Two experiments are called 'latency_injection'"):
        registry((*REGISTERED, Another))


def test_a_further_experiment_takes_its_line_and_nothing_else() -> None:
    class Further(Another):
        name = "further"

    assert list(registry((*REGISTERED, Further))) == [*NAMES, "further"]


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_is_found_by_its_name(name: str) -> None:
    assert find(name).name == name


@pytest.mark.parametrize("name", ["", "Latency_Injection", "latency", "latency_injection "])
def test_an_unknown_name_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(UnknownExperiment) as refused:
        find(name)
    assert refused.value.message == (
        f"There is no experiment {name!r}. experiment_name must be one of {', '.join(NAMES)}."
    )
    assert refused.value.resultset == {"available_experiments": NAMES}


def test_a_long_name_is_not_repeated_in_full() -> None:
    with pytest.raises(UnknownExperiment) as refused:
        find("x" * 10_000)
    assert f"'{'x' * LONGEST_SHOWN}'" in refused.value.message
    assert len(refused.value.message) < 200


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_every_experiment_can_be_started_without_parameters_and_tells_what_it_does(experiment: Experiment) -> None:
    assert experiment.Parameters().duration_seconds == 30.0
    assert experiment.description.endswith(".")
    for name, part in experiment.Parameters.model_json_schema()["properties"].items():
        assert part["description"], name
        assert part["type"] == "boolean" or part["unit"], name
        assert "default" in part, name
