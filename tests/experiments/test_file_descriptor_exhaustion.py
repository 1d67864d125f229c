from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.file_descriptor_exhaustion import FileDescriptorExhaustion
from chalicelib.faults.descriptors import HoldDescriptors


def test_each_request_asks_for_all_but_so_many() -> None:
    parameters = FileDescriptorExhaustion.Parameters(descriptors_left=9)
    assert list(FileDescriptorExhaustion().faults(parameters)) == [HoldDescriptors(left=9)]


def test_the_defaults_are_pinned() -> None:
    assert FileDescriptorExhaustion.Parameters().model_dump(exclude_none=True) == {
        "descriptors_left": 20,
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }


@pytest.mark.parametrize("left", [0, 7, -1, 8.5, "20", True, None, 100_001])
def test_less_than_a_server_needs_to_be_asked_for_a_stop_is_refused(left: Any) -> None:
    with pytest.raises(ValidationError, match="descriptors_left"):
        FileDescriptorExhaustion.Parameters(descriptors_left=left)
