from typing import Any

from chalicelib.effects.memory import Memory as RealMemory
from chalicelib.effects.memory import Wanted
from chalicelib.faults.base import PROCEED
from chalicelib.faults.memory import HoldMemory
from tests.faults.support import FakeHitCall, drive


class Memory:
    """Holds all that it is asked for, once."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.counted: list[Any] = []

    def count(self, _run: Any, counters: Any) -> None:
        self.counted.append(counters)

    def held_for(self, run: Any) -> dict[str, int] | None:
        return {"memory_mb": self.held[run.run_id]} if run.run_id in self.held else None

    def hold(self, run: Any, wanted: Wanted) -> tuple[dict[str, int], dict[str, int]]:
        self.wanted = wanted
        self.held[run.run_id] = wanted.megabytes
        return {"memory_mb": wanted.megabytes}, {"memory_mb": wanted.megabytes}


def test_it_reports_what_is_held_and_counts_what_it_has_added_itself() -> None:
    memory = Memory()
    call = FakeHitCall(effects={RealMemory: memory})
    _, first = drive(HoldMemory(megabytes=7), call)
    _, second = drive(HoldMemory(megabytes=7), call)
    assert (first.outcome, first.details) == (second.outcome, second.details) == (PROCEED, {"memory_mb": 7})
    assert memory.counted == [{"memory_mb": 7}]


def test_it_says_in_which_steps_memory_grows() -> None:
    memory = Memory()
    drive(HoldMemory(megabytes=10, steps=5, step_seconds=2.0), FakeHitCall(effects={RealMemory: memory}))
    assert memory.wanted == Wanted(megabytes=10, steps=5, step_seconds=2.0)
