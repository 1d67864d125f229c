import json
from itertools import repeat
from typing import Any

import pytest

from chalicelib.access import Caller, Role
from chalicelib.api import refusals
from chalicelib.api.handlers import LONGEST_RECORDED
from chalicelib.api.refusals import LAST, MOST_A_MINUTE, MOST_CALLERS, Refusals
from chalicelib.runs.event import Event
from chalicelib.settings import Settings
from tests.api.conftest import Control
from tests.support import Clock

START = json.dumps({"experiment_name": "latency_injection"})


def recorded(control: Control) -> list[dict[str, Any]]:
    return [dict(each.details) for each in control.store.past.values() if isinstance(each, Event)]


@pytest.fixture
def locked(clock: Clock) -> Control:
    return Control(clock, Settings(stage="production"))


def test_a_script_in_a_loop_writes_a_few_entries_and_one_that_says_so(locked: Control, clock: Clock) -> None:
    for _ in range(1000):
        assert locked.post("/start", START).status == 403
        clock.now += 0.01
    entries = recorded(locked)
    assert len(entries) == MOST_A_MINUTE
    assert [entry.get("note") for entry in entries] == [*repeat(None, MOST_A_MINUTE - 1), LAST]


def test_the_next_entry_says_how_many_were_left_out(locked: Control, clock: Clock) -> None:
    for _ in range(100):
        locked.post("/start", START)
    clock.now += 60
    locked.post("/start", START)
    locked.post("/start", START)
    assert [entry.get("left_out_before") for entry in recorded(locked)][MOST_A_MINUTE:] == [100 - MOST_A_MINUTE, None]


def test_each_caller_has_entries_of_its_own(locked: Control) -> None:
    for name in ("ada", "bob"):
        for _ in range(10):
            locked.post("/start", START, caller=Caller(name, Role.VIEWER))
    by = [each.by for each in locked.store.past.values() if isinstance(each, Event)]
    assert {name: by.count(name) for name in by} == {"ada": MOST_A_MINUTE, "bob": MOST_A_MINUTE}


def test_an_entry_is_small_whatever_was_sent(locked: Control) -> None:
    body = json.dumps({"experiment_name": "latency_injection", "reason": "x" * 90, "alarms": ["y" * 100] * 5})
    locked.post("/start", body)
    (entry,) = recorded(locked)
    assert len(entry["body"]) == LONGEST_RECORDED
    assert len(json.dumps(entry)) < 3 * LONGEST_RECORDED


def test_a_clock_that_stepped_back_does_not_stop_the_record(clock: Clock) -> None:
    some = Refusals(clock)
    for _ in range(9):
        some.admit("ada")
    clock.now -= 3600
    assert some.admit("ada") == {"left_out_before": 9 - MOST_A_MINUTE}


def test_callers_without_number_take_no_memory_without_number(clock: Clock) -> None:
    some = Refusals(clock)
    for number in range(3 * MOST_CALLERS):
        assert some.admit(f"caller {number}") == {}
    assert len(some._minutes) == refusals.MOST_CALLERS
