import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydantic import field_validator

from chalicelib.errors import StoreUnavailable
from chalicelib.experiments.base import Experiment, Parameters
from chalicelib.experiments.catalogue import BUILT_IN, Catalogue
from chalicelib.faults.base import Fault, Unavailable
from chalicelib.faults.wait import Wait
from chalicelib.injection.decide import decide
from chalicelib.injection.plan import Compiler, Environment
from chalicelib.injection.snapshot import Snapshot
from chalicelib.runs.run import Run
from chalicelib.runs.target import Target
from tests.injection.support import catalogue, decided
from tests.support import NOW, Clock, a_run, with_hypothesis


class Defects:
    """Records what `record_defect` is called with."""

    def __init__(self, error: Exception | None = None) -> None:
        self.recorded: list[tuple[str, str]] = []
        self._error = error

    def __call__(self, run: Run, defect: str) -> None:
        self.recorded.append((run.run_id, defect))
        if self._error:
            raise self._error


def test_a_plan_has_the_share_and_the_faults_and_ends_with_its_run() -> None:
    run = a_run(delay_seconds=0.5, percentage=20.0, duration_seconds=60.0)
    (plan,) = Compiler(catalogue, Defects())([run])
    assert (plan.run, plan.share, plan.faults) == (run, 0.2, (Wait(seconds=0.5),))
    assert plan.is_active(NOW + 59)
    assert not plan.is_active(NOW + 60)


def test_a_run_is_compiled_once_and_forgotten_when_it_is_over() -> None:
    compiled = Compiler(catalogue, Defects())
    run = a_run()
    (first,) = compiled([run])
    (again,) = compiled([replace(run)])
    assert again is first
    assert compiled([]) == []
    (anew,) = compiled([run])
    assert anew is not first


@pytest.mark.parametrize(
    "unreadable",
    [
        pytest.param({"parameters": {}, "unreadable": True}, id="an envelope alone"),
        pytest.param({"experiment": "of_a_later_version"}, id="an unknown experiment"),
        pytest.param({"parameters": {"delay_seconds": "long"}}, id="a value of another kind"),
        pytest.param({"parameters": {"of_a_later_version": 1}}, id="an unknown parameter"),
        pytest.param({"run_id": "1\r\nSet-Cookie: a=b"}, id="an id that would be another header"),
        pytest.param({"run_id": "caf\u00e9"}, id="an id that no header can have"),
        pytest.param({"run_id": "x" * 65}, id="a long id"),
        pytest.param({"options": {"target": {"path": "/orders"}}}, id="an unknown target"),
        pytest.param({"options": {"target": []}}, id="a target that is none"),
    ],
)
def test_a_run_that_this_version_cannot_read_is_left_out_and_logged_once(
    unreadable: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    compiled = Compiler(catalogue, Defects())
    strange, sound = replace(a_run(token="1"), **unreadable), a_run(token="2")  # type: ignore[arg-type]
    for _ in range(3):
        assert [plan.run for plan in compiled([strange, sound])] == [sound]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


class Fussy(Experiment):
    """Of a package whose validator has a defect."""

    name = "fussy"

    class Parameters(Parameters):
        @field_validator("duration_seconds")
        @classmethod
        def check(cls, seconds: float) -> float:
            raise LookupError("a defect")

    def faults(self, _parameters: Parameters) -> Iterator[Fault]:
        yield from ()


def test_parameters_that_raise_anything_leave_out_their_run_alone(caplog: pytest.LogCaptureFixture) -> None:
    compiled = Compiler(lambda: Catalogue([*BUILT_IN, Fussy]), Defects())
    sound = a_run(token="2")
    assert [plan.run for plan in compiled([a_run("fussy", token="1"), sound])] == [sound]
    assert "which this version cannot read: a defect" in caplog.text


def test_a_defect_is_recorded_once_and_the_run_hits_nothing() -> None:
    defects = Defects()
    compiled = Compiler(catalogue, defects)
    run = a_run("defective")
    for _ in range(3):
        assert [plan.faults for plan in compiled([run])] == [()]
    assert defects.recorded == [(run.run_id, "ZeroDivisionError: a defect")]


def test_what_a_process_cannot_inject_as_yet_hits_nothing_and_is_compiled_again_at_the_next_read() -> None:
    is_there = False

    class Late(Experiment):
        name = "late"
        Parameters = Parameters

        def faults(self, parameters: Parameters) -> Iterator[Fault]:
            del parameters
            if not is_there:
                raise Unavailable("shop.errors is not imported")
            yield Wait(seconds=1.0)

    defects = Defects()
    compiled = Compiler(lambda: Catalogue([Late]), defects, environment=Environment("a1b2c3d4"))
    run = a_run("late")
    assert [plan.faults for plan in compiled([run])] == [()]
    recorded = "not injected by environment a1b2c3d4 as yet: shop.errors is not imported"
    assert defects.recorded == [(run.run_id, recorded)]
    run = replace(run, defect=recorded)
    assert [plan.faults for plan in compiled([run])] == [()]
    is_there = True
    (plan,) = compiled([run])
    assert plan.faults == (Wait(seconds=1.0),)
    assert compiled([run]) == [plan]  # and not once more
    assert len(defects.recorded) == 1


def test_where_a_defect_cannot_be_recorded_the_others_are_compiled_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    compiled = Compiler(catalogue, Defects(StoreUnavailable("The table does not answer.")))
    assert len(compiled([a_run("defective", token="1"), a_run(token="2")])) == 2
    assert "Could not record the defect" in caplog.text


def test_a_run_with_a_target_hits_nothing_elsewhere_and_is_active_there_all_the_same() -> None:
    target = Target(environments_percentage=50.0)
    run = a_run(percentage=20.0, options={"target": target.model_dump(exclude_none=True)})
    shares = {}
    for name in map(str, range(20)):
        (plan,) = Compiler(catalogue, Defects(), environment=Environment(name))([run])
        assert plan.is_active(NOW)
        assert plan.faults
        shares[name] = plan.share
    assert shares == {name: 0.2 if target.has_environment(run.run_id, name) else 0.0 for name in shares}
    assert set(shares.values()) == {0.0, 0.2}


def test_a_run_that_first_looks_at_what_is_normal_hits_nothing_until_then_and_everything_from_then_on() -> None:
    run = with_hypothesis(a_run(duration_seconds=60), max_error_rate=0.01, baseline_seconds=10)
    clock = Clock()
    plans = Compiler(catalogue, Defects())([run])
    snapshot = Snapshot(lambda: plans, clock)
    for at, share in ((0.0, 0.0), (9.9, 0.0), (10.0, 1.0), (59.9, 1.0)):
        clock.now = NOW + at
        (plan,) = snapshot.get()
        assert (plan.share, plan.run_id, len(decide([plan], lambda: 0.0, decided()))) == (
            share,
            run.run_id,
            int(share),
        )
    clock.now = NOW + 60
    assert snapshot.get() == ()


@pytest.mark.parametrize("label", ["a\r\nSet-Cookie: a=b", "größer", "a b", "a" * 65])
def test_a_dry_run_with_a_label_that_no_header_can_have_is_not_injected(label: str) -> None:
    run = a_run(label=label, options={"dry_run": True})
    assert Compiler(catalogue, Defects())([run]) == []
    assert len(Compiler(catalogue, Defects())([a_run(label=label)])) == 1
