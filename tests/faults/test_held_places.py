"""What is held where calls are served: the fault lets the effect see the place first, on the call's own thread."""

from typing import Any

import pytest

from chalicelib.effects import cpu, event_loops, thread_pools
from chalicelib.faults.base import PROCEED
from chalicelib.faults.cpu import UseCpu
from chalicelib.faults.event_loop import BlockLoop
from chalicelib.faults.hold import Hold
from chalicelib.faults.thread_pool import HoldThreads
from tests.faults.support import FakeHitCall, drive


class Effect:
    """Holds what it is asked for, once, and notes what it is called for."""

    def __init__(self) -> None:
        self.called: list[Any] = []
        self.counted: list[Any] = []

    def meet(self) -> None:
        self.called.append("meet")

    def held_for(self, run: Any) -> dict[str, int] | None:
        return {"held": 1} if "hold" in self.called else None

    def hold(self, run: Any, wanted: Any) -> tuple[dict[str, int], dict[str, int]]:
        self.called.append("hold")
        self.wanted = wanted
        return {"held": 1}, {"counted": 1}

    def count(self, run: Any, counters: Any) -> None:
        self.counted.append(counters)


FAULTS = [
    (UseCpu(load=0.3, cores=2), cpu.Wanted(load=0.3, cores=2), []),
    (HoldThreads(threads_left=2), thread_pools.Wanted(threads_left=2), ["meet"]),
    (
        BlockLoop(block_seconds=0.1, every_seconds=1),
        event_loops.Wanted(block_seconds=0.1, every_seconds=1),
        ["meet"],
    ),
]


@pytest.mark.parametrize(("fault", "wanted", "first"), FAULTS)
def test_the_first_call_takes_what_is_wanted_and_each_reports_it(fault: Hold, wanted: object, first: list[str]) -> None:
    effect = Effect()
    call = FakeHitCall(effects={type(fault).effect: effect})
    _, one = drive(fault, call)
    _, other = drive(fault, call)
    assert effect.called == [*first, "hold", *first]
    assert effect.wanted == wanted
    assert (one.outcome, one.details) == (other.outcome, other.details) == (PROCEED, {"held": 1})
    assert effect.counted == [{"counted": 1}]


@pytest.mark.parametrize("fault", [fault for fault, _, _ in FAULTS])
def test_what_is_held_is_held_before_anything_delays_or_ends_the_call(fault: Hold) -> None:
    assert fault.order == 0
