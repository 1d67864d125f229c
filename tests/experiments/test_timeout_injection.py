from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.timeout_injection import TimeoutInjection
from chalicelib.faults.silence import Silence


def test_the_defaults_are_pinned() -> None:
    assert TimeoutInjection.Parameters().model_dump(exclude_none=True) == {
        "until": "client",
        "longest_seconds": 30.0,
        "margin_seconds": 0.5,
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }


@pytest.mark.parametrize(("until", "ends_with_client"), [("client", True), ("deadline", False)])
def test_what_is_started_is_stored_and_read_again(until: Any, ends_with_client: Any) -> None:
    stored = TimeoutInjection.Parameters(until=until, longest_seconds=5.0, margin_seconds=1.0).model_dump_json()
    (fault,) = TimeoutInjection().faults(TimeoutInjection.Parameters.model_validate_json(stored))
    assert fault == Silence(longest_seconds=5.0, margin_seconds=1.0, ends_with_client=ends_with_client)


@pytest.mark.parametrize(
    "given",
    [
        {"until": "never"},
        {"until": None},
        {"longest_seconds": 0.0},
        {"longest_seconds": 901.0},
        {"margin_seconds": -0.1},
        {"margin_seconds": 61.0},
        {"margin_seconds": "1"},
    ],
)
def test_anything_else_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(given))):
        TimeoutInjection.Parameters(**given)


def test_the_limit_of_delays_holds() -> None:
    assert TimeoutInjection.Parameters.limited({"delay_seconds": 3.0})["longest_seconds"] == 3.0
