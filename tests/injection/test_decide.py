from collections.abc import Callable, Sequence
from typing import Any

import pytest

from chalicelib.faults.answer import Answer
from chalicelib.faults.memory import HoldMemory
from chalicelib.faults.wait import Wait
from chalicelib.injection.decide import Hit, decide
from chalicelib.injection.plan import Compiler
from chalicelib.runs.run import Run
from tests.injection.support import catalogue, decided
from tests.support import a_run


def always() -> float:
    return 0.0


def hits(runs: Sequence[Run], chance: Callable[[], float] = always) -> list[Hit]:
    return decide(Compiler(catalogue, lambda _run, _defect: None)(runs), chance, decided())


def test_no_runs_no_hits() -> None:
    assert hits([]) == []


def test_memory_comes_before_delay_and_delay_before_error_whatever_the_order_of_the_runs() -> None:
    runs = [a_run(name, token=name) for name in ("error_injection", "latency_injection", "resource_exhaustion")]
    for given in (runs, runs[::-1]):
        assert [type(fault) for _, fault, _ in hits(given)] == [HoldMemory, Wait, Answer]


def test_faults_of_one_kind_keep_the_order_of_their_runs() -> None:
    runs = [a_run(token="1", delay_seconds=2.0), a_run(token="2", delay_seconds=1.0)]
    assert [(plan.run, fault) for plan, fault, _ in hits(runs)] == [
        (runs[0], Wait(seconds=2.0)),
        (runs[1], Wait(seconds=1.0)),
    ]


@pytest.mark.parametrize(("drawn", "hit"), [(0.0, 1), (0.0999, 1), (0.1, 0), (0.999, 0)])
def test_chance_decides_which_requests_fail(drawn: float, hit: int) -> None:
    assert len(hits([a_run("error_injection", error_rate=0.1)], lambda: drawn)) == hit


@pytest.mark.parametrize(("drawn", "hit"), [(0.0, 1), (0.0249, 1), (0.025, 0), (0.99, 0)])
def test_a_run_hits_its_share_of_the_requests(drawn: float, hit: int) -> None:
    assert len(hits([a_run(percentage=2.5)], lambda: drawn)) == hit


def test_each_run_draws_for_itself_and_before_its_faults_do() -> None:
    drawn: Any = iter([0.4, 0.05, 0.6])
    runs = [
        a_run("error_injection", token="1", error_rate=0.1, percentage=50.0),
        a_run(token="2", percentage=50.0),
    ]
    assert [plan.run for plan, _, _ in hits(runs, lambda: float(next(drawn)))] == runs[:1]


class Keyed:
    """Selects every call, with a chance of its own."""

    @staticmethod
    def chance() -> float:
        return 0.25

    def select(self, *_: Any) -> Callable[[], float]:
        return self.chance

    def explain(self, call: Any) -> Sequence[Any]:
        raise NotImplementedError


def test_a_fault_draws_from_what_its_run_was_decided_by() -> None:
    plans = Compiler(catalogue, lambda _run, _defect: None)([a_run(token="1"), a_run(token="2")])
    plans[1].selector = Keyed()
    met = decide(plans, always, decided())
    assert [chance for _, _, chance in met] == [always, Keyed.chance]
