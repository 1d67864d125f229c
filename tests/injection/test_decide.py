from collections.abc import Iterator
from dataclasses import replace

import pytest

from chalicelib.experiments import EXPERIMENTS
from chalicelib.experiments.base import Experiment, Parameters
from chalicelib.experiments.catalogue import BUILT_IN, Catalogue
from chalicelib.faults import Answer, Chance, Fault, Hold, Wait
from chalicelib.injection.decide import Defect, Hit, decide
from chalicelib.runs.run import Run
from tests.support import a_run


class Defective(Experiment):
    """Fails half-way."""

    name = "defective"
    Parameters = Parameters

    def faults(self, parameters: Parameters, chance: Chance) -> Iterator[Fault]:
        yield Wait(60)
        raise ZeroDivisionError("a defect")


def always() -> float:
    return 0.0


def test_no_runs_no_hits() -> None:
    assert decide([], always) == []


def test_memory_comes_before_delay_and_delay_before_error_whatever_the_order_of_the_runs() -> None:
    runs = [a_run(name) for name in ("error_injection", "latency_injection", "resource_exhaustion")]
    for given in (runs, runs[::-1]):
        assert [type(hit.fault) for hit in decide(given, always)] == [Hold, Wait, Answer]


def test_faults_of_one_kind_keep_the_order_of_their_runs() -> None:
    first, second = a_run(token="1", delay_seconds=2.0), a_run(token="2", delay_seconds=1.0)
    assert decide([first, second], always) == [Hit(first, Wait(2.0)), Hit(second, Wait(1.0))]


@pytest.mark.parametrize(("drawn", "hits"), [(0.0, 1), (0.0999, 1), (0.1, 0), (0.999, 0)])
def test_chance_decides_which_requests_fail(drawn: float, hits: int) -> None:
    assert len(decide([a_run("error_injection", error_rate=0.1)], lambda: drawn)) == hits


def test_a_run_whose_experiment_has_a_defect_is_left_out_whole_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    sound = a_run()
    defective: Run = replace(a_run(), run_id="broken-run", experiment="defective", parameters={"percentage": 100.0})
    told = Defect("ZeroDivisionError: a defect")
    assert decide([defective, sound], always, Catalogue([*BUILT_IN, Defective])) == [
        Hit(defective, told),
        Hit(sound, Wait(2.0)),
    ]
    assert "Experiment defective raised an exception; its run broken-run does not affect this request" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_every_experiment_hits_with_its_defaults() -> None:
    assert len(decide([a_run(name) for name in EXPERIMENTS], always)) == len(EXPERIMENTS)


@pytest.mark.parametrize(("drawn", "hits"), [(0.0, 1), (0.0249, 1), (0.025, 0), (0.99, 0)])
def test_a_run_touches_its_share_of_the_requests(drawn: float, hits: int) -> None:
    assert len(decide([a_run(percentage=2.5)], lambda: drawn)) == hits


def test_each_run_draws_for_itself_and_before_the_experiment_does() -> None:
    drawn = iter([0.4, 0.05, 0.6])
    runs = [a_run("error_injection", error_rate=0.1, percentage=50.0), a_run(percentage=50.0)]
    assert [hit.run for hit in decide(runs, lambda: next(drawn))] == runs[:1]
