import json

import pytest
from pydantic import ValidationError

from chalicelib.runs.options import StartOptions
from chalicelib.runs.target import CRITERIA, Target

ENVIRONMENTS = [f"environment {number}" for number in range(2000)]
HALF = Target(environments_percentage=50.0)


def chosen(target: Target, run_id: str = "a") -> set[str]:
    return {name for name in ENVIRONMENTS if target.has_environment(run_id, name)}


@pytest.mark.parametrize("percentage", [0.5, 10.0, 50.0, 99.0])
def test_a_share_of_the_environments_is_chosen(percentage: float) -> None:
    share = percentage / 100
    deviation = (share * (1 - share) / len(ENVIRONMENTS)) ** 0.5
    found = len(chosen(Target(environments_percentage=percentage))) / len(ENVIRONMENTS)
    assert abs(found - share) < 4 * deviation


def test_one_hundred_percent_are_all_and_a_larger_share_has_the_environments_of_a_smaller_one() -> None:
    assert chosen(Target(environments_percentage=100.0)) == set(ENVIRONMENTS)
    assert chosen(Target(environments_percentage=20.0)) < chosen(HALF)


def test_the_choice_is_the_same_in_every_process_and_another_one_for_another_run() -> None:
    most, names = Target(environments_percentage=60.0), ("0f4838ce", "5f0c1b2a", "d6f07188")
    assert [most.has_environment("20270115T080000.000Z-1", name) for name in names] == [False, False, True]
    both = len(chosen(HALF, "a") & chosen(HALF, "b")) / len(ENVIRONMENTS)
    assert 0.2 < both < 0.3


@pytest.mark.parametrize(
    "content",
    [{}, [], 50, "50", *({"environments_percentage": each} for each in (0, -1, 101, float("nan"), "50", True, None))],
)
def test_what_is_no_target_is_refused(content: object) -> None:
    with pytest.raises(ValidationError):
        Target.model_validate(content)


def test_a_stored_one_with_a_criterion_of_another_version_is_refused_and_none_is_none() -> None:
    assert Target.stored(None) is None
    assert Target.stored({"environments_percentage": 50}) == HALF
    with pytest.raises(ValueError, match="path"):
        Target.stored({"environments_percentage": 50, "path": "/orders"})


def test_every_field_is_a_criterion_and_it_is_stored_without_nulls() -> None:
    assert set(CRITERIA) == set(Target.model_fields)
    assert json.dumps(StartOptions(target=HALF).content()) == '{"target": {"environments_percentage": 50.0}}'
