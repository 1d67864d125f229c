import json
from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.response_corruption import ResponseCorruption
from chalicelib.faults.corrupt import MODES, Corrupt


def faults(**parameters: Any) -> list[Any]:
    return list(ResponseCorruption().faults(ResponseCorruption.Parameters(**parameters)))


def test_the_defaults_are_pinned() -> None:
    parameters = ResponseCorruption.Parameters()
    assert json.loads(parameters.model_dump_json(exclude_none=True)) == {
        "duration_seconds": 30.0,
        "percentage": 100.0,
        "mode": "truncate",
        "content_length": "right",
    }
    assert faults() == [Corrupt(mode="truncate", body_share=0.5)]


@pytest.mark.parametrize(
    ("mode", "share"),
    [("truncate", 0.5), ("malformed_json", 0.5), ("wrong_type", 1.0), ("empty", 1.0), ("bit_flip", 0.01)],
)
def test_each_mode_has_a_percentage_of_its_own(mode: Any, share: float) -> None:
    assert faults(mode=mode) == [Corrupt(mode=mode, body_share=share)]
    assert mode in MODES


def test_what_is_given_is_what_happens() -> None:
    assert faults(mode="bit_flip", percentage_of_body=20.0, content_length="wrong") == [
        Corrupt(mode="bit_flip", body_share=0.2, is_length_wrong=True)
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"mode": "garbage"},
        {"percentage_of_body": 0},
        {"percentage_of_body": 100.1},
        {"percentage_of_body": None},
        {"content_length": "missing"},
    ],
)
def test_anything_else_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(given))):
        ResponseCorruption.Parameters(**given)


def test_of_an_empty_body_there_is_no_percentage() -> None:
    with pytest.raises(ValidationError, match="percentage_of_body cannot be with the mode empty"):
        ResponseCorruption.Parameters(mode="empty", percentage_of_body=10.0)
