"""How long a run of 30 s lasts where clocks are wrong: of who starts it, of an environment, or of both.

Prints the table that docs/explanation.md has: `pytest tests/injection/test_clocks.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from email.utils import formatdate
from math import floor

import pytest

from chalicelib.dynamodb.clock import TableClock
from chalicelib.injection.plan import Compiler, Plan
from chalicelib.injection.snapshot import Snapshot
from tests.injection.support import catalogue
from tests.support import NOW, Clock, FakeRunStore, a_run

SKEWS = {"1 h behind": -3600.0, "1 min behind": -60.0, "2 s behind": -2.0, "right": 0.0}
SKEWS |= {"2 s ahead": 2.0, "1 min ahead": 60.0, "1 h ahead": 3600.0}
DURATION = 30.0
STEP = 0.05
ANSWER_SECONDS = 0.02


class Table:
    """One clock, one store. Each read takes a moment, and says what time it is, in whole seconds."""

    def __init__(self, at: float, *, has_date: bool = True) -> None:
        self.time = Clock(at)
        self.store = FakeRunStore()
        self.has_date = has_date

    def ask(self, clock: TableClock) -> None:
        sent_at = clock.local(), clock.timer()
        self.time.now += ANSWER_SECONDS / 2
        date = formatdate(floor(self.time.now), usegmt=True)
        self.time.now += ANSWER_SECONDS / 2
        if self.has_date:
            clock.learn(date, sent_at=sent_at)


class Machine:
    """A process whose clock is `skew` seconds ahead."""

    def __init__(self, table: Table, skew: float) -> None:
        self.table = table
        self.skew = skew
        self.clock = TableClock(lambda: table.time.now + self.skew, lambda: table.time.now - NOW)
        compiled = Compiler(catalogue, lambda _run, _defect: None, clock=self.clock, timer=self.clock.timer)
        self.snapshot = Snapshot(lambda: self._read(compiled), self.clock, local=self.clock.local)

    def _read(self, compiled: Callable[..., list[Plan]]) -> Sequence[Plan]:
        self.table.ask(self.clock)
        return compiled(self.table.store.active(self.clock()))

    def start(self) -> None:
        self.table.ask(self.clock)
        run = a_run(now=self.clock(), duration_seconds=DURATION)
        assert self.table.store.start([run], now=run.started_at) is None

    def feels(self) -> bool:
        return bool(self.snapshot.get())


def lasted(
    starter: float, environment: float, *, phase: float = 0.0, has_date: bool = True, steps_by: float = 0.0
) -> float:
    """From the start to the last moment at which some environment injected; others join every 7 s.

    `steps_by`: after 10 s the clocks of the environments step by so much. Without a `Date` it is from the first moment,
    and nobody joins whose clock steps.
    """
    table = Table(NOW + phase, has_date=has_date)
    machines = [Machine(table, environment)]
    machines[0].feels()
    Machine(table, starter).start()
    began = table.time.now
    felt: list[float] = []
    while table.time.now < began + 3 * DURATION:
        elapsed = table.time.now - began
        if len(machines) <= elapsed / 7 and (has_date or not steps_by):
            machines.append(Machine(table, environment + (steps_by if elapsed > 10 else 0.0)))
        for machine in machines:
            machine.skew = environment + (steps_by if elapsed > 10 else 0.0)
            if machine.feels():
                felt.append(table.time.now)
        table.time.now += STEP
    return felt[-1] - (began if has_date else felt[0]) if felt else 0.0


def over_a_second(**how: float) -> tuple[float, float]:
    """The shortest and the longest one, whenever in a second it starts."""
    measured = [lasted(phase=phase, **how) for phase in (0.0, 0.3, 0.6, 0.9)]  # type: ignore[arg-type]
    return min(measured), max(measured)


@pytest.mark.parametrize("name", SKEWS)
def test_a_run_lasts_as_long_as_it_is_to_whosever_clock_is_wrong(name: str, tell: Callable[[str], None]) -> None:
    skew = SKEWS[name]
    cases = {
        "the starter's": over_a_second(starter=skew, environment=0.0),
        "the environments'": over_a_second(starter=0.0, environment=skew),
        "one is, the other is as wrong the other way": over_a_second(starter=skew, environment=-skew),
        "the environments' steps by it during the run": over_a_second(starter=0.0, environment=0.0, steps_by=skew),
    }
    for case, (least, most) in cases.items():
        tell(f"{name}, {case}: {least:.1f} to {most:.1f} s")
        assert DURATION - 2 <= least <= most <= DURATION + 2.2


@pytest.mark.parametrize("skew", [-3600.0, -60.0, 60.0, 3600.0])
def test_without_a_date_it_never_lasts_longer(skew: float) -> None:
    """Where the table does not say what time it is, a run from the future waits until it begins, or it ends early."""
    for how in ({"starter": skew, "environment": 0.0}, {"starter": 0.0, "environment": skew}):
        assert lasted(has_date=False, **how) <= DURATION + 2.2
    assert lasted(has_date=False, starter=0.0, environment=0.0, steps_by=skew) <= DURATION + 2.2


def test_a_run_that_is_read_again_after_its_time_does_not_begin_anew() -> None:
    clock = Clock()
    compiled = Compiler(catalogue, lambda _run, _defect: None, clock=clock, timer=lambda: clock.now)
    run = a_run(duration_seconds=DURATION)
    (plan,) = compiled([run])
    clock.now += 20
    assert compiled([]) == []
    (again,) = compiled([run])
    assert again is not plan
    assert again.remaining_seconds(NOW) == 10  # by the timer, although the clock stepped back


def test_a_run_lasts_no_longer_than_its_parameters_say() -> None:
    """Of a table in which somebody changed when it ends, or of a starter whose clock stepped meanwhile."""
    clock = Clock()
    compiled = Compiler(catalogue, lambda _run, _defect: None, clock=clock, timer=clock)
    (plan,) = compiled([replace(a_run(duration_seconds=DURATION), expires_at=NOW + 3600)])
    assert (plan.expires_at, plan.remaining_seconds(NOW + 29)) == (NOW + 30, 1)


def test_a_frozen_environment_ends_a_run_by_the_clock_though_its_timer_stood_still() -> None:
    clock = Clock()
    compiled = Compiler(catalogue, lambda _run, _defect: None, clock=clock, timer=lambda: 5.0)
    (plan,) = compiled([a_run(duration_seconds=DURATION)])
    assert [plan.is_active(NOW + 29), plan.is_active(NOW + 30)] == [True, False]


def test_many_runs_do_not_fill_the_memory() -> None:
    compiled = Compiler(catalogue, lambda _run, _defect: None, clock=Clock(), timer=Clock())
    for number in range(300):
        compiled([a_run(token=str(number))])
    assert len(compiled._seen) == 200
