from typing import Any

import pytest
from pydantic import ValidationError

from chalicelib.experiments.thread_pool_exhaustion import MOST_LEFT, ThreadPoolExhaustion
from chalicelib.faults.thread_pool import HoldThreads


def test_each_request_asks_for_the_threads_of_its_run() -> None:
    parameters = ThreadPoolExhaustion.Parameters(threads_left=3)
    assert list(ThreadPoolExhaustion().faults(parameters)) == [HoldThreads(threads_left=3)]


def test_the_defaults_are_pinned() -> None:
    assert ThreadPoolExhaustion.Parameters().model_dump(exclude_none=True) == {
        "threads_left": 1,
        "duration_seconds": 30.0,
        "percentage": 100.0,
    }


@pytest.mark.parametrize("threads_left", [0, -1, 1.5, MOST_LEFT + 1, "1", True, None])
def test_the_control_plane_keeps_a_thread(threads_left: Any) -> None:
    with pytest.raises(ValidationError, match="threads_left"):
        ThreadPoolExhaustion.Parameters(threads_left=threads_left)
