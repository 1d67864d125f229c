from dataclasses import FrozenInstanceError

import pytest

from chalicelib.faults import Answer, Fault, Hold, Wait

ANSWER = Answer(500, "code", "message")


def test_memory_is_held_before_the_delay_and_the_delay_waited_before_the_answer() -> None:
    assert Hold.order < Wait.order < Answer.order


def test_faults_of_equal_figures_are_equal() -> None:
    assert [Hold(1), Wait(1.5), ANSWER] == [Hold(1), Wait(1.5), Answer(500, "code", "message")]


@pytest.mark.parametrize(("fault", "name"), [(Hold(1), "megabytes"), (Wait(1), "seconds"), (ANSWER, "status")])
def test_a_fault_does_not_change(fault: Fault, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(fault, name, 2)
