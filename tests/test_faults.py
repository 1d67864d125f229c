from chalicelib.faults import Answer, Hold, Wait


def test_memory_first_then_the_delay_then_the_answer() -> None:
    assert Hold.order < Wait.order < Answer.order
