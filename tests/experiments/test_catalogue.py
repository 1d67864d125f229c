"""What holds for every experiment, and for the catalogue; no test of another file names them all."""

import re
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from chalicelib import experiments
from chalicelib.errors import Misconfigured, UnknownExperiment
from chalicelib.experiments import catalogue as module
from chalicelib.experiments.base import Experiment, Parameters
from chalicelib.experiments.catalogue import BUILT_IN, ENTRY_POINTS, LONGEST_NAME_SHOWN, Catalogue, installed
from chalicelib.faults.base import Fault
from chalicelib.faults.wait import Wait

CATALOGUE = Catalogue()
NO_EXPERIMENTS = {"base", "catalogue"}
"""Files of the folder that are none."""


class Another(Experiment):
    """Does something else."""

    name = "latency_injection"
    Parameters = Parameters

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield Wait(seconds=1)


class Further(Another):
    name = "further"


def test_the_names_of_the_first_experiments_are_pinned_since_they_are_in_dashboards() -> None:
    assert list(CATALOGUE)[:3] == ["latency_injection", "error_injection", "resource_exhaustion"]


def test_every_file_is_one_experiment_of_the_same_name() -> None:
    files = {file.stem for file in Path(experiments.__file__).parent.glob("[!_]*.py")}
    assert files - NO_EXPERIMENTS == set(CATALOGUE)
    assert all(each.__module__.rpartition(".")[2] == each.name for each in BUILT_IN)


def test_every_experiment_has_a_test_of_its_name() -> None:
    here = Path(__file__).parent
    assert [name for name in CATALOGUE if not (here / f"test_{name}.py").exists()] == []


def test_two_experiments_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="Two experiments are called 'latency_injection'"):
        Catalogue((*BUILT_IN, Another))


def test_a_further_experiment_takes_its_line_and_nothing_else() -> None:
    assert list(Catalogue((*BUILT_IN, Further))) == [*CATALOGUE, "further"]


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_experiment_is_found_by_its_name(name: str) -> None:
    assert CATALOGUE.find(name).name == name


@pytest.mark.parametrize("name", ["", "Latency_Injection", "latency", "latency_injection "])
def test_an_unknown_name_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(UnknownExperiment) as refused:
        CATALOGUE.find(name)
    assert refused.value.message == (
        f"There is no experiment {name!r}. experiment_name must be one of {', '.join(CATALOGUE)}."
    )
    assert refused.value.resultset == {"available_experiments": list(CATALOGUE)}


def test_a_long_name_is_not_repeated_in_full() -> None:
    with pytest.raises(UnknownExperiment) as refused:
        CATALOGUE.find("x" * 10_000)
    assert f"'{'x' * LONGEST_NAME_SHOWN}'" in refused.value.message
    assert len(refused.value.message) < 500


def test_a_limit_of_a_parameter_that_no_experiment_has_is_refused() -> None:
    CATALOGUE.check_limits(["duration_seconds", "error_rate", "memory_mb"])
    with pytest.raises(Misconfigured, match=r"CHAOS_MAX_MEMORY_GB limits no parameter.*CHAOS_MAX_MEMORY_MB"):
        CATALOGUE.check_limits(["duration_seconds", "memory_gb"])


@pytest.mark.parametrize("name", ["distribution", "allow_timeout"])
def test_a_limit_of_what_is_no_number_is_refused(name: str) -> None:
    with pytest.raises(Misconfigured, match="limits no parameter"):
        CATALOGUE.check_limits([name])


def test_packages_add_experiments_by_entry_points_and_a_broken_one_is_skipped_aloud(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def found(*, group: str) -> list[Any]:
        names = {"broken": f"{__name__}:Missing", "further": f"{__name__}:Further", "twice": f"{__name__}:Another"}
        return [EntryPoint(name, value, group) for name, value in names.items()]

    monkeypatch.setattr(module, "entry_points", found)
    monkeypatch.setattr(EntryPoint, "load", lambda entry: globals()[entry.value.partition(":")[2]])
    assert list(installed.__wrapped__()) == [*CATALOGUE, "further"]
    assert caplog.text.count("Skipped the experiment of the entry point") == 2
    assert ENTRY_POINTS in caplog.text


@pytest.mark.parametrize("experiment", CATALOGUE.values(), ids=CATALOGUE)
def test_every_experiment_can_be_started_with_what_it_needs_and_says_what_it_does(experiment: Experiment) -> None:
    schema = experiment.Parameters.model_json_schema()
    needed = schema.get("required", [])
    parameters = experiment.Parameters(**{name: schema["properties"][name]["examples"][0] for name in needed})
    assert parameters.duration_seconds == 30.0
    assert list(experiment.faults(parameters))
    assert experiment.description.endswith(".")
    for name, part in schema["properties"].items():
        assert part["description"], name
        assert part.get("type") not in {"number", "integer"} or part["unit"], name
        assert ("default" in part) is (name not in needed), name
        for each in (part, part.get("items", {}), *part.get("anyOf", ())):  # nobody reads a pattern out of a refusal
            assert "pattern" not in each or "allowed" in each, name


FIELDS = {name for experiment in CATALOGUE.values() for name in experiment.Parameters.model_fields if "_" in name}


@pytest.mark.parametrize("experiment", CATALOGUE.values(), ids=CATALOGUE)
def test_descriptions_name_parameters_in_words_as_whoever_reads_a_form_knows_them(experiment: Experiment) -> None:
    for part in experiment.Parameters.model_json_schema()["properties"].values():
        assert FIELDS.isdisjoint(re.findall(r"\w+", part["description"]))
