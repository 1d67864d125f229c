from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.connection_drop import ConnectionDrop
from chalicelib.faults.disconnect import DropConnection, DropWithin


def test_the_defaults_are_pinned() -> None:
    assert ConnectionDrop.Parameters().model_dump(exclude_none=True) == {
        "after_bytes": 0,
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }


@pytest.mark.parametrize(("after_bytes", "fault"), [(0, DropConnection()), (100, DropWithin(after_bytes=100))])
def test_it_closes_before_the_answer_or_within_it(after_bytes: int, fault: Any) -> None:
    parameters = ConnectionDrop.Parameters(after_bytes=after_bytes)
    stored = ConnectionDrop.Parameters.model_validate_json(parameters.model_dump_json(exclude_none=True))
    assert list(ConnectionDrop().faults(stored)) == [fault]


@pytest.mark.parametrize("after_bytes", [-1, 2**30 + 1, 1.5, "1", True, None])
def test_any_other_number_is_refused(after_bytes: Any) -> None:
    with pytest.raises(ValidationError, match="after_bytes"):
        ConnectionDrop.Parameters(after_bytes=after_bytes)
