"""Whatever experiments there are: each is published, started, previewed, reported and measured, all by itself."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from chalicelib.api.endpoints import PREFIX
from chalicelib.api.openapi import document
from chalicelib.experiments.base import Experiment
from chalicelib.experiments.catalogue import BUILT_IN, Catalogue, installed
from chalicelib.faults.base import Counter, declared_counters
from chalicelib.results.metrics import Metrics
from chalicelib.results.tally import Counting, Served, Tally
from chalicelib.runs.run import Run
from chalicelib.settings import Settings
from tests.api.conftest import Control
from tests.experiments.odd import ODD, examples, least
from tests.support import NOW, Clock

EVERY = Catalogue([*(type(each) for each in installed().values()), *ODD])
DOCUMENT = document(PREFIX, {}, EVERY)


@pytest.fixture
def control(clock: Clock) -> Control:
    return Control(clock, document=lambda: DOCUMENT, catalogue=EVERY)


@pytest.fixture(params=EVERY)
def experiment(request: pytest.FixtureRequest) -> Experiment:
    return EVERY[request.param]


def resultset(answer: Any) -> Any:
    assert answer.status == 200, answer.body
    return json.loads(answer.body)["resultset"]


def problems(method: str, path: str, content: Any) -> list[str]:
    """Where an answer is not as the document says."""
    shown = DOCUMENT["paths"][PREFIX + path][method]["responses"]["200"]["content"]["application/json"]["schema"]
    schema = {**shown, "components": DOCUMENT["components"]}
    return [problem.message for problem in Draft202012Validator(schema).iter_errors(content)]


def starts(experiment: Experiment) -> Iterator[dict[str, Any]]:
    """Bodies of its start: by its name alone, and with each parameter that has an example."""
    for parameters in ({}, *examples(experiment)):
        yield {"experiment_name": experiment.name, **least(experiment), **parameters}


def test_built_in_ones_are_all_there() -> None:
    assert [each.name for each in BUILT_IN] == list(EVERY)[: len(BUILT_IN)]


def test_the_list_is_as_the_document_says_and_the_document_is_valid(control: Control) -> None:
    validate(DOCUMENT)
    for experiment in EVERY.values():
        resultset(control.post("/start", json.dumps({"experiment_name": experiment.name, **least(experiment)})))
    listed = json.loads(control.ask("GET", "/list").body)
    assert problems("get", "/list", listed) == []
    assert [each["name"] for each in listed["resultset"]["available_experiments"]] == list(EVERY)
    assert sorted(each["name"] for each in listed["resultset"]["active_experiments"]) == sorted(EVERY)


def test_every_parameter_says_what_it_is(control: Control, experiment: Experiment) -> None:
    available = resultset(control.ask("GET", "/list"))["available_experiments"]
    (shown,) = [each for each in available if each["name"] == experiment.name]
    assert shown["description"].endswith(".")
    for name, schema in shown["parameters"]["properties"].items():
        assert schema["description"].endswith((".", "%.")), name
        assert not name.endswith("_seconds") or schema["unit"] == "seconds"
        assert not name.endswith("_mb") or schema["unit"] == "MB"


def test_it_starts_from_its_name_alone_and_as_each_of_its_examples_says(experiment: Experiment, clock: Clock) -> None:
    """Unless one of its parameters needs another one: then the refusal says which."""
    for number, body in enumerate(starts(experiment)):
        control = Control(clock, catalogue=EVERY)
        answer = control.post("/start", json.dumps(body))
        if number and answer.status == 400:
            assert {each["field"] for each in json.loads(answer.body)["details"]} <= {
                *experiment.Parameters.model_fields
            }
            continue
        shown = resultset(answer)
        assert (shown["name"], shown["status"]) == (experiment.name, "running")
        assert shown["parameters"].items() >= {key: body[key] for key in body if key != "experiment_name"}.items()
        assert problems("get", "/list", json.loads(control.ask("GET", "/list").body)) == []


def test_a_preview_shows_its_faults(control: Control, experiment: Experiment) -> None:
    body = {"experiment_name": experiment.name, **least(experiment)}
    answer = json.loads(control.post("/preview", json.dumps({**body, "request": {"path": "/orders/1"}})).body)
    assert problems("post", "/preview", answer) == []
    made = experiment.Parameters(**least(experiment))
    assert answer["resultset"]["applies_to"] == experiment.applies_to
    assert [each["kind"] for each in answer["resultset"]["faults"]] == [each.kind for each in experiment.faults(made)]


@pytest.fixture
def told(control: Control, experiment: Experiment, clock: Clock) -> str:
    """The id of a run of it that is over, in which every counter of its faults has counted."""
    run = run_of(experiment)
    control.store.start([run], now=NOW)
    tally = Tally(environments=2)
    for side in ("hit", "untouched"):
        counted = {counter.key or counter.name: 3 * counter.per_unit for counter in own_counters(experiment)}
        served = Served(at=NOW, seconds=0.01, status=200, side=side, counters=counted if side == "hit" else {})
        tally.record(Counting(run), served)
    control.results.tallies[run.run_id] = tally
    control.store.stop(run.ended(now=NOW + 20, by="vic", reason="seen enough"))
    clock.now = NOW + 100
    return run.run_id


def run_of(experiment: Experiment) -> Run:
    made = experiment.Parameters(**least(experiment), duration_seconds=60.0)
    complete = made.model_dump(mode="json", exclude_none=True)
    return Run.started(experiment.name, complete, now=NOW, by="ada", token="1")


def own_counters(experiment: Experiment) -> list[Counter]:
    made = experiment.Parameters(**least(experiment))
    return [counter for fault in experiment.faults(made) for counter in fault.counters]


@pytest.mark.parametrize("written", ["json", "markdown", "html"])
def test_it_is_reported_with_what_it_counts(control: Control, experiment: Experiment, told: str, written: str) -> None:
    answer = control.ask("GET", "/report", query={"run_id": [told], "format": [written]})
    assert answer.status == 200, answer.body
    if written == "json":
        content = json.loads(answer.body)
        assert problems("get", "/report", content) == []
        counted = {each["name"]: each["value"] for each in content["resultset"]["run"]["results"]["counters"]}
        assert counted.items() >= {counter.name: 3 for counter in own_counters(experiment)}.items()
        return
    assert experiment.name.capitalize().replace("_", " ") in answer.body
    for counter in own_counters(experiment):
        assert counter.title in answer.body


def test_what_it_counts_is_shown_of_a_run_that_goes_on(control: Control, experiment: Experiment, told: str) -> None:
    status = json.loads(control.ask("GET", "/status", query={"run_id": [told]}).body)
    assert problems("get", "/status", status) == []
    assert {counter.name for counter in own_counters(experiment)} <= {
        each["name"] for each in status["resultset"]["results"]["counters"]
    }


def test_it_is_a_dimension_of_the_metrics_which_have_what_it_counts(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    counted = {counter.key or counter.name: 3 * counter.per_unit for counter in own_counters(experiment)}
    Metrics(Settings(stage="qa"))(run_of(experiment), counted or {"requests": 1})
    written = json.loads(capsys.readouterr().out)
    assert written["Experiment"] == experiment.name
    assert all(written[counter.metric] == [3] for counter in own_counters(experiment) if counter.metric)


def test_no_two_counters_and_no_two_metrics_have_the_same_name() -> None:
    for names in (
        [each.name for each in declared_counters()],
        [each.metric for each in declared_counters() if each.metric],
    ):
        assert len(set(names)) == len(names)
