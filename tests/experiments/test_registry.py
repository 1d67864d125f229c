from pathlib import Path

import pytest

from chalicelib import experiments
from chalicelib.errors import UnknownExperiment
from chalicelib.experiments import EXPERIMENTS, find, registry
from chalicelib.experiments.latency_injection import LatencyInjection

FILES = sorted(path.stem for path in Path(experiments.__file__).parent.glob("*.py") if path.stem != "__init__")


def test_file_name_registered_name_and_test_are_one_word() -> None:
    assert sorted(EXPERIMENTS) == FILES
    assert [type(experiment).__module__.rpartition(".")[2] for experiment in EXPERIMENTS.values()] == list(EXPERIMENTS)
    tests = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert set(FILES) <= tests


def test_names_that_reach_dashboards_stay_as_they_are() -> None:
    assert list(EXPERIMENTS) == ["latency_injection", "error_injection", "resource_exhaustion"]


def test_two_of_one_name_are_refused_aloud() -> None:
    with pytest.raises(ValueError, match="latency_injection"):
        registry((LatencyInjection, LatencyInjection))


def test_an_unknown_name_is_told_what_there_is() -> None:
    with pytest.raises(UnknownExperiment, match="Available: latency_injection, error_injection, resource_exhaustion"):
        find("nonsense")


def test_a_message_repeats_no_more_than_the_beginning_of_a_long_name() -> None:
    with pytest.raises(UnknownExperiment) as refused:
        find("x" * 10_000)
    assert len(refused.value.message) < 300


@pytest.mark.parametrize("name", FILES)
def test_each_describes_itself_and_each_parameter(name: str) -> None:
    experiment = EXPERIMENTS[name]
    assert experiment.description.endswith(".")
    for field in experiment.Parameters.model_json_schema()["properties"].values():
        assert field["description"].endswith(".")
        assert field["unit"]
        assert "default" in field
