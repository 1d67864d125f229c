"""What holds something in the environment: each says to its effect what its run wants."""

from typing import Any

import pytest

from chalicelib.effects.clock_skew import ClockSkew
from chalicelib.effects.clock_skew import Wanted as WantedSkew
from chalicelib.effects.descriptors import Descriptors
from chalicelib.effects.descriptors import Wanted as WantedDescriptors
from chalicelib.effects.disk import Disk
from chalicelib.effects.disk import Wanted as WantedDisk
from chalicelib.faults.base import PROCEED, declared_counters
from chalicelib.faults.clock_skew import SkewClock
from chalicelib.faults.descriptors import HoldDescriptors
from chalicelib.faults.disk import HoldDisk
from chalicelib.faults.hold import Hold
from tests.faults.support import FakeHitCall, drive


class Holder:
    """Holds what it is asked for, once."""

    def __init__(self) -> None:
        self.wanted: list[Any] = []
        self.counted: list[Any] = []

    def count(self, _run: Any, counters: Any) -> None:
        self.counted.append(counters)

    def held_for(self, _run: Any) -> dict[str, int] | None:
        return {"held": 1} if self.wanted else None

    def hold(self, _run: Any, wanted: Any) -> tuple[dict[str, int], dict[str, int]]:
        self.wanted.append(wanted)
        return {"held": 1}, {"counted": 1}


@pytest.mark.parametrize(
    ("fault", "effect", "wanted"),
    [
        (HoldDisk(megabytes=7, path="/srv"), Disk, WantedDisk(megabytes=7, path="/srv")),
        (HoldDescriptors(left=9), Descriptors, WantedDescriptors(left=9)),
        (SkewClock(seconds=-5.0, modules=("a",)), ClockSkew, WantedSkew(seconds=-5.0, modules=("a",))),
    ],
)
def test_the_first_call_takes_it_and_each_reports_it(fault: Hold, effect: type, wanted: Any) -> None:
    holder = Holder()
    call = FakeHitCall(effects={effect: holder})
    (_, first), (_, second) = drive(fault, call), drive(fault, call)
    assert first.outcome == PROCEED
    assert first.details == second.details == {"held": 1}
    assert (holder.wanted, holder.counted) == ([wanted], [{"counted": 1}])
    assert not first.counters  # which would be lost where the call is one of `/test`
    assert fault.order == 0


class Empty(Holder):
    """Has nothing to hold."""

    def held_for(self, _run: Any) -> Any:
        return {"problem": "none here"} if self.wanted else None

    def hold(self, _run: Any, wanted: Any) -> Any:
        self.wanted.append(wanted)
        return {"problem": "none here"}, {}


def test_where_nothing_can_be_held_it_did_nothing_to_any_call() -> None:
    call = FakeHitCall(effects={Disk: Empty()})
    for _ in range(2):
        _, applied = drive(HoldDisk(megabytes=7, path="/srv"), call)
        assert (applied.did_nothing, applied.details) == (True, {"problem": "none here"})
    _, applied = drive(HoldDisk(megabytes=7, path="/srv"), FakeHitCall(effects={Disk: Holder()}))
    assert not applied.did_nothing


def test_what_they_count_is_shown() -> None:
    shown = {counter.name: counter.key or counter.name for counter in declared_counters()}
    assert shown["held_disk_mb"] == "disk_mb"
    assert shown["held_descriptors"] == "held_descriptors"
    assert shown["skewed_modules"] == "skewed_modules"
