from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.process_crash import ProcessCrash
from chalicelib.faults.crash import Crash
from chalicelib.faults.wait import Wait


def faults(**given: Any) -> list[Any]:
    return list(ProcessCrash().faults(ProcessCrash.Parameters(**given)))


def test_the_defaults_are_pinned() -> None:
    assert ProcessCrash.Parameters().model_dump(exclude_none=True) == {
        "exit_code": 1,
        "when": "before",
        "delay_seconds": 0.0,
        "max_crashes": 1,
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }


def test_the_process_ends_instead_of_an_answer_at_once_or_after_a_delay() -> None:
    assert faults() == [Crash(exit_code=1)]
    assert faults(exit_code=0, delay_seconds=2.0) == [Wait(seconds=2.0), Crash(exit_code=0)]


def test_the_process_ends_after_the_answer_which_is_not_delayed() -> None:
    assert faults(when="after") == [Crash(exit_code=1, after_seconds=0.0)]
    assert faults(when="after", delay_seconds=2.0) == [Crash(exit_code=1, after_seconds=2.0)]


def test_in_lambda_there_is_no_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    assert faults() == [Crash(exit_code=1)]
    with pytest.raises(ValueError, match="only before"):
        faults(when="after")


def test_a_run_hits_at_most_as_many_calls_as_processes_are_to_crash() -> None:
    assert ProcessCrash().most_hits(ProcessCrash.Parameters(max_crashes=3)) == 3


@pytest.mark.parametrize(
    "given",
    [
        {"exit_code": -1},
        {"exit_code": 256},
        {"exit_code": 1.5},
        {"exit_code": True},
        {"max_crashes": 0},
        {"max_crashes": 1001},
        {"when": "during"},
        {"delay_seconds": -1},
        {"delay_seconds": 61},
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(ValidationError, match=name):
        ProcessCrash.Parameters(**given)
