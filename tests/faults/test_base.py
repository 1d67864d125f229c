from dataclasses import FrozenInstanceError, fields

import pytest

from chalicelib.faults.answer import Answer
from chalicelib.faults.base import Fault
from chalicelib.faults.memory import HoldMemory
from chalicelib.faults.wait import Wait

ANSWER = Answer(status=500, code="code", message="message")
FAULTS: list[Fault] = [HoldMemory(megabytes=1), Wait(seconds=1.5), ANSWER]


def test_memory_is_held_before_the_delay_and_the_delay_waited_before_the_answer() -> None:
    assert HoldMemory.order < Wait.order < Answer.order


def test_faults_of_equal_figures_are_equal() -> None:
    assert [HoldMemory(megabytes=1), Wait(seconds=1.5), Answer(status=500, code="code", message="message")] == FAULTS


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
def test_a_fault_does_not_change_and_meets_every_call_of_its_run_unless_it_says_so(fault: Fault) -> None:
    assert fault.share == 1.0
    for each in fields(fault):
        with pytest.raises(FrozenInstanceError):
            setattr(fault, each.name, 2)
