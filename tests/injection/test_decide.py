import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from chalicelib.experiments.latency_injection import LatencyInjection
from chalicelib.faults import Answer, Chance, Fault, Hold, Wait
from chalicelib.injection.decide import decide
from tests.support import a_run


class Defective(LatencyInjection):
    """Fails after its first fault."""

    def faults(self, parameters: LatencyInjection.Parameters, chance: Chance) -> Iterator[Fault]:
        yield from super().faults(parameters, chance)
        raise ZeroDivisionError("a defect")


def test_hits_come_in_the_order_in_which_they_are_applied() -> None:
    runs = [a_run("error_injection", error_rate=1.0), a_run(), a_run("resource_exhaustion")]
    assert [type(hit.fault) for hit in decide(runs, lambda: 0.0)] == [Hold, Wait, Answer]


def test_an_experiment_with_a_defect_is_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    runs = [replace(a_run(), experiment=Defective()), a_run("resource_exhaustion")]
    with caplog.at_level(logging.ERROR):
        hits = decide(runs, lambda: 0.0)
    assert [hit.run for hit in hits] == [runs[1]]
    assert "a defect" in caplog.text
