"""Whatever experiments an application publishes: each is a command, each of its parameters an option of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.api import responses
from chalicelib.api.requests import start_options
from chalicelib.cli.options import Option, Switch, parameter_options
from chalicelib.experiments.base import Experiment
from chalicelib.experiments.catalogue import Catalogue, installed
from tests.cli.conftest import Run
from tests.cli.scripted import LISTED, Scripted, fine
from tests.experiments.odd import ODD, least

EVERY = Catalogue([*(type(each) for each in installed().values()), *ODD])


@pytest.fixture
def environment(scripted: Scripted, tmp_path: Path) -> dict[str, str]:
    available = [responses.experiment(each, {}) for each in EVERY.values()]
    listed = {**LISTED, "available_experiments": available, "start_options": start_options()}
    scripted.script["/list"] = [fine(json.loads(json.dumps(listed)))]
    return {"HOME": str(tmp_path), "CHAOS_URL": scripted.url, "CHAOS_TOKEN": "t", "COLUMNS": "200"}


@pytest.fixture(params=EVERY)
def experiment(request: pytest.FixtureRequest) -> Experiment:
    return EVERY[request.param]


def options_of(experiment: Experiment) -> dict[str, Option]:
    properties = responses.experiment(experiment, {})["parameters"]["properties"]
    return {each.path[0]: each for each in parameter_options(properties)}


def typed(option: Option, value: Any) -> Iterator[str]:
    """How a value is said on the command line."""
    if isinstance(option, Switch):
        yield option.name if value else option.name.replace("--", "--no-", 1)
    elif isinstance(value, dict) and option.schema["type"] == "object":
        for name, each in value.items():
            yield from (option.name, f"{name}={each}")
    elif isinstance(value, list) and option.schema["type"] == "array":
        for each in value:
            yield from (option.name, str(each))
    else:
        yield from (option.name, value if isinstance(value, str) else json.dumps(value))


def tries(experiment: Experiment) -> Iterator[tuple[str, Any]]:
    """Each parameter with its examples, and what there is to choose from."""
    for name, field in experiment.Parameters.model_fields.items():
        schema = options_of(experiment)[name].schema
        words = schema.get("enum", [True, False] if schema["type"] == "boolean" else [])
        for value in [*(field.examples or ()), *words]:
            yield name, value


def test_its_help_has_every_parameter_and_its_description(run: Run, experiment: Experiment) -> None:
    done = run("start", experiment.name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    shown = " ".join(done.stdout.split())
    options = options_of(experiment)
    assert set(options) == set(experiment.Parameters.model_fields)
    for name, option in options.items():
        assert f" {option.name}" in shown, name
        assert option.schema["description"].split(". ")[0][:40] in shown


def test_all_are_listed_with_what_they_do(run: Run) -> None:
    shown = " ".join(run("start", "--help").stdout.split())
    for each in EVERY.values():
        assert f" {each.name} {each.description.partition(',')[0].rstrip('.')[:30]}" in shown


def test_each_value_is_sent_as_it_was_typed(run: Run, experiment: Experiment, scripted: Scripted) -> None:
    options, needed = options_of(experiment), least(experiment)
    for name, value in tries(experiment):
        said = [word for each, given in {**needed, name: value}.items() for word in typed(options[each], given)]
        done = run("start", experiment.name, *said, "--detach")
        assert done.returncode == 0, (said, done.stderr)
        (path, body) = scripted.asked[-1]
        assert (path, body) == ("/start", {"experiment_name": experiment.name, **needed, name: value})


def test_without_an_option_nothing_is_sent_but_what_is_needed(
    run: Run, experiment: Experiment, scripted: Scripted
) -> None:
    options = options_of(experiment)
    said = [word for each, given in least(experiment).items() for word in typed(options[each], given)]
    assert run("start", experiment.name, *said, "--detach").returncode == 0
    assert scripted.asked[-1] == ("/start", {"experiment_name": experiment.name, **least(experiment)})
