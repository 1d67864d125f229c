from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.event_loop_block import EventLoopBlock
from chalicelib.faults.event_loop import BlockLoop


def test_each_request_asks_for_the_blocks_of_its_run() -> None:
    parameters = EventLoopBlock.Parameters(block_seconds=0.2, every_seconds=2)
    assert list(EventLoopBlock().faults(parameters)) == [BlockLoop(block_seconds=0.2, every_seconds=2)]


def test_the_defaults_are_pinned() -> None:
    assert EventLoopBlock.Parameters().model_dump(exclude_none=True) == {
        "block_seconds": 0.5,
        "every_seconds": 5.0,
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }


@pytest.mark.parametrize("name", ["block_seconds", "every_seconds"])
@pytest.mark.parametrize("seconds", [0, -1, 601, "1", True, None, float("inf")])
def test_anything_but_a_bounded_time_is_refused(name: str, seconds: Any) -> None:
    with pytest.raises(ValidationError, match=name):
        EventLoopBlock.Parameters.model_validate({name: seconds})


def test_half_of_the_time_the_loop_is_free() -> None:
    assert EventLoopBlock.Parameters(block_seconds=1, every_seconds=2).every_seconds == 2
    with pytest.raises(ValidationError, match="every_seconds must be at least twice block_seconds, which is 3; got 5"):
        EventLoopBlock.Parameters(block_seconds=3)


def test_the_longest_block_is_ten_seconds() -> None:
    assert EventLoopBlock.Parameters(block_seconds=10, every_seconds=20).block_seconds == 10
    with pytest.raises(ValidationError, match="block_seconds"):
        EventLoopBlock.Parameters(block_seconds=10.1, every_seconds=30)
