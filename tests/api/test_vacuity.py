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
        ("dependency_failure", None, {"dependency": "dynamodb"}),
        ("dependency_failure", "both", {"dependency": "dynamodb", "scope_of_calls": "process"}),
        ("dependency_failure", "hit", {"dependency": "dynamodb"}),
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


LEAVING = (
    {"target": {"environments_percentage": 50}},
    {"max_requests": 100},
    {"first": {"requests": 2}},
    {"every": 3},
    {"sticky": {"header": "x-user-id"}},
    {"ramp_seconds": 10},
    {"dry_run": True},
)


@pytest.mark.parametrize("fields", LEAVING, ids=lambda fields: next(iter(fields)))
def test_what_leaves_requests_out_leaves_them_untouched(control: Control, fields: dict[str, Any]) -> None:
    assert started(control, **fields).status == 200


@pytest.mark.parametrize("fields", [{"every": 1}, {"seed": "x"}, {"label": "x"}, {"dry_run": False}], ids=str)
def test_what_leaves_no_request_out_does_not(control: Control, fields: dict[str, Any]) -> None:
    assert started(control, **fields).content["details"][0]["kind"] == "no_untouched_requests"


@pytest.mark.parametrize("of", ["hit", "both"])
def test_a_dry_run_hits_nobody_who_could_be_judged(control: Control, of: str) -> None:
    refused = started(control, of=of, dry_run=True)
    assert refused.content["error_message"] == (
        f'hypothesis.of must be "untouched" in a dry run, which hits no request; got "{of}".'
    )
    assert refused.content["details"][0]["kind"] == "no_hit_requests"


@pytest.mark.parametrize(("ramp", "baseline", "longest"), [(61, 0, 60), (51, 10, 50), (60, 0, None), (50, 10, None)])
def test_a_ramp_is_over_before_the_run_is(control: Control, ramp: int, baseline: int, longest: int | None) -> None:
    hypothesis = {**BOUND, "baseline_seconds": baseline}
    fields = {"experiment_name": "latency_injection", "duration_seconds": 60, "ramp_seconds": ramp}
    answer = control.post("/start", json.dumps({**fields, "hypothesis": hypothesis}))
    assert (answer.status == 200) is (longest is None)
    if longest:
        before = " less the baseline of 10" if baseline else ""
        assert answer.content["error_message"] == (
            f"ramp_seconds must be at most duration_seconds{before}, which is {longest}: the run would be over before "
            f"its share has grown to percentage; got {ramp}."
        )


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
