from typing import Any

from chalicelib.faults.base import PROCEED
from chalicelib.faults.hold import Hold
from tests.faults.support import FakeHitCall, drive


class Memory:
    """Holds all that it is asked for, once."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}

    def held_for(self, run: Any) -> int | None:
        return self.held.get(run.run_id)

    def hold(self, run: Any, megabytes: int, **steps: Any) -> tuple[int, int]:
        self.steps = steps
        added = 0 if run.run_id in self.held else megabytes
        self.held[run.run_id] = megabytes
        return megabytes, added


def test_it_reports_what_is_held_and_counts_what_it_has_added_itself() -> None:
    call = FakeHitCall(effects={"memory": Memory()})
    _, first = drive(Hold(megabytes=7), call)
    _, second = drive(Hold(megabytes=7), call)
    assert (first.outcome, first.details, first.counters) == (PROCEED, {"memory_mb": 7}, {"memory_mb": 7})
    assert (second.details, second.counters) == ({"memory_mb": 7}, {})


def test_it_says_in_which_steps_memory_grows() -> None:
    memory = Memory()
    drive(Hold(megabytes=10, steps=5, step_seconds=2.0), FakeHitCall(effects={"memory": memory}))
    assert memory.steps == {"steps": 5, "step_seconds": 2.0}
