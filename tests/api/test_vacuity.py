"""A hypothesis that nothing could prove wrong is refused."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.api import vacuity
from chalicelib.experiments.base import Experiment, Parameters
from chalicelib.experiments.catalogue import installed
from chalicelib.faults.base import Fault
from chalicelib.runs.options import StartOptions
from tests.api.conftest import Control

BOUND = {"max_error_rate": 0.01}


def started(control: Control, name: str = "latency_injection", *, of: str | None = None, **fields: Any) -> Any:
    """The answer to a start with a hypothesis."""
    hypothesis = {**BOUND, **({"of": of} if of else {})}
    return control.post("/start", json.dumps({"experiment_name": name, "hypothesis": hypothesis, **fields}))


@pytest.mark.parametrize("of", [None, "untouched", "both"])
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("latency_injection", {}),
        ("latency_injection", {"percentage": 100}),
        ("resource_exhaustion", {}),
        ("error_injection", {"error_rate": 1}),
    ],
)
def test_where_every_request_is_hit_nothing_is_expected_of_untouched_ones(
    control: Control, name: str, fields: dict[str, Any], of: str | None
) -> None:
    refused = started(control, name, of=of, **fields)
    assert (refused.status, refused.content["code"]) == (400, "invalid_parameters")
    (problem,) = refused.content["details"]
    assert (problem["field"], problem["kind"]) == ("hypothesis", "no_untouched_requests")
    assert refused.content["error_message"] == (
        "hypothesis is about requests that no run hits, and there are none: the run hits every request (percentage "
        '100). Lower percentage, for example to 20, or send "of": "hit" in hypothesis to judge the requests that the '
        "run hits."
    )
    assert not control.store.runs


@pytest.mark.parametrize(
    ("name", "of", "fields"),
    [
        ("latency_injection", None, {"percentage": 99.9}),
        ("latency_injection", "hit", {}),
        ("error_injection", None, {}),
        ("error_injection", "both", {"error_rate": 0.99}),
        ("resource_exhaustion", "hit", {}),
    ],
)
def test_where_there_can_be_such_requests_it_starts(
    control: Control, name: str, of: str | None, fields: dict[str, Any]
) -> None:
    run = started(control, name, of=of, **fields).content["resultset"]
    assert run["hypothesis"]["of"] == (of or "untouched")
    assert run["hypothesis"]["verdict"] == "too_few_requests"


def test_a_baseline_that_leaves_no_time_to_hit_is_refused(control: Control) -> None:
    body = {"experiment_name": "latency_injection", "percentage": 20, "duration_seconds": 10}
    refused = control.post("/start", json.dumps({**body, "hypothesis": {**BOUND, "baseline_seconds": 10}}))
    assert refused.content["error_message"] == (
        "hypothesis.baseline_seconds must be less than duration_seconds, which is 10: nothing is hit before the "
        "baseline is over; got 10."
    )
    assert control.post("/start", json.dumps({**body, "hypothesis": {**BOUND, "baseline_seconds": 9}})).status == 200


class Defective(Experiment):
    """It raises."""

    name = "defective"
    Parameters = Parameters

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        raise RuntimeError(parameters)


def test_an_experiment_with_a_defect_hits_nothing_so_everything_is_untouched() -> None:
    options = StartOptions.model_validate({"hypothesis": BOUND})
    assert vacuity.problems(options, Parameters(), Defective()) == []


class Targeted(StartOptions):
    target: dict[str, Any] | None = None

    def content(self) -> dict[str, Any]:
        return {**super().content(), "target": self.target}


@pytest.mark.parametrize(("share", "problems"), [(100.0, 1), (50.0, 0)])
def test_what_is_out_of_the_target_is_untouched(share: float, problems: int) -> None:
    options = Targeted.model_validate({"hypothesis": BOUND, "target": {"environments_percentage": share}})
    latency = installed()["latency_injection"]
    assert len(vacuity.problems(options, latency.Parameters(), latency)) == problems
