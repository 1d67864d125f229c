import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.faults.base import RunBlocking, Sleep
from chalicelib.injection.budgets import MOST_BUDGETS, MOST_KEYS, Budgets, Counters, hashed_key
from chalicelib.injection.plan import Compiler
from chalicelib.injection.selection import WITHOUT_KEY
from chalicelib.runs.run import Run
from chalicelib.runs.store import Exchange, Lease
from tests.injection.support import FakeCall, catalogue
from tests.support import NOW, Clock, FakeBudgetStore, FakeRunStore, a_run

KEY = {"header": "x-order-id"}


@dataclass
class Table:
    """What environments share."""

    clock: Clock
    budgets: FakeBudgetStore = field(default_factory=FakeBudgetStore)
    runs: FakeRunStore = field(default_factory=FakeRunStore)

    def start(self, *, duration_seconds: float = 600.0, **options: Any) -> Run:
        run = a_run(now=self.clock.now, options=options, duration_seconds=duration_seconds)
        self.runs.runs["latency_injection"] = run
        return run


class Environment:
    """One process: its budgets on the shared table; its timer is moved by `look`."""

    def __init__(self, table: Table, run: Run, *, in_lambda: bool = False) -> None:
        self.table = table
        self.run = run
        self.scheduled: list[tuple[float, Callable[[], None]]] = []
        self.notes: list[tuple[Run, str]] = []
        self.invalidated = 0
        self.is_unreachable = False
        self.while_asking: Callable[[], None] = lambda: None
        self.slept: list[float] = []
        self.counters = Counters(
            store=table.budgets,
            clock=table.clock,
            schedule=None if in_lambda else lambda seconds, call: self.scheduled.append((seconds, call)),
            is_unreachable=lambda: self.is_unreachable,
        )
        self.budgets = Budgets(self.counters, table.runs, environment="here", on_end=self.invalidate)
        budget = self.budgets.for_run(run)
        assert budget
        self.budget = budget

    def invalidate(self) -> None:
        self.invalidated += 1

    def note(self, run: Run, name: str) -> None:
        self.notes.append((run, name))

    def admit(self, key: str | None = None) -> bool:
        """Whether a call is hit, which is over at once."""
        is_hit = self.begin(key)
        end = self.budget.over() if is_hit else None
        if end:
            end()
        return is_hit

    def begin(self, key: str | None = None) -> bool:
        call = FakeCall("/orders", **({"x_order_id": key} if key else {}))
        admission = self.budget.admit(call, self.note)
        if isinstance(admission, bool):
            return admission
        answer = None
        try:
            while True:
                step = admission.send(answer)
                if isinstance(step, Sleep):
                    self.slept.append(step.seconds)
                    self.while_asking()
                    answer = None
                else:
                    assert isinstance(step, RunBlocking)
                    answer = step.call()
        except StopIteration as done:
            return bool(done.value)

    def asked(self) -> int:
        return len(self.table.budgets.asked) + self.table.budgets.claims

    def look(self) -> None:
        """What is scheduled happens."""
        scheduled, self.scheduled = self.scheduled, []
        for seconds, call in scheduled:
            self.table.clock.now += seconds
            call()


@pytest.fixture
def table(clock: Clock) -> Table:
    return Table(clock)


def hits(environment: Environment, number: int) -> int:
    return sum(environment.admit() for _ in range(number))


# A run that says nothing


def test_an_ordinary_run_has_no_budget_and_asks_nothing(table: Table) -> None:
    run = table.start(reason="a test")
    budgets = Budgets(Counters(store=table.budgets, clock=table.clock, schedule=None), table.runs, environment="here")
    assert budgets.for_run(run) is None
    (plan,) = Compiler(catalogue, lambda _run, _defect: None, budgets=budgets.for_run)([run])
    assert plan.budget is None


def test_a_run_has_one_budget_however_often_it_is_compiled(table: Table) -> None:
    run = table.start(max_requests=3)
    environment = Environment(table, run)
    (plan,) = Compiler(catalogue, lambda _run, _defect: None, budgets=environment.budgets.for_run)([run])
    assert plan.budget is environment.budget


@pytest.mark.parametrize(
    "options",
    [
        {"max_requests": "many"},
        {"max_requests": 0},
        {"first": {"requests": 0}},
        {"first": 3},
        {"first": {"requests": 2, "key": {"cookie": "id"}}},
    ],
)
def test_a_run_whose_budget_this_version_cannot_read_is_not_injected(table: Table, options: dict[str, Any]) -> None:
    run = table.start(**options)
    budgets = Budgets(Counters(store=table.budgets, clock=table.clock, schedule=None), table.runs, environment="here")
    assert Compiler(catalogue, lambda _run, _defect: None, budgets=budgets.for_run)([run]) == []


def test_budgets_are_forgotten_when_there_are_many(table: Table) -> None:
    environment = Environment(table, table.start(max_requests=3))
    for number in range(MOST_BUDGETS + 5):
        environment.budgets.for_run(a_run(token=str(number), options={"max_requests": 3}))
    assert len(environment.budgets._budgets) == MOST_BUDGETS


def test_the_budget_of_a_run_whose_time_is_over_is_forgotten_before_that_of_one_that_runs(table: Table) -> None:
    environment = Environment(table, table.start(max_requests=3, duration_seconds=86_400.0))
    for number in range(MOST_BUDGETS + 5):
        table.clock.now += 60.0
        short = a_run(token=str(number), now=table.clock.now, options={"max_requests": 3}, duration_seconds=30.0)
        environment.budgets.for_run(short)
    assert environment.budgets.for_run(environment.run) is environment.budget
    assert len(environment.budgets._budgets) <= 3


# So many hits in all


def test_one_environment_hits_exactly_so_many_calls(table: Table) -> None:
    environment = Environment(table, table.start(max_requests=100))
    assert [environment.admit() for _ in range(110)] == [True] * 100 + [False] * 10


def test_eight_environments_together_hit_exactly_so_many(table: Table) -> None:
    run = table.start(max_requests=100)
    fleet = [Environment(table, run) for _ in range(8)]
    hit = 0
    for number in range(3000):
        hit += fleet[number % 8].admit()
        if number % 100 == 99:
            for each in fleet:
                each.look()
    assert hit == 100


def test_a_hit_costs_a_fraction_of_a_write(table: Table) -> None:
    environment = Environment(table, table.start(max_requests=10_000))
    assert hits(environment, 10_001) == 10_000
    assert environment.asked() < 100


def test_an_environment_never_reserves_more_than_an_eighth_of_what_is_left_and_begins_with_less(table: Table) -> None:
    environment = Environment(table, table.start(max_requests=1000))
    hits(environment, 1000)
    left = 1000
    for asked in table.budgets.asked[:-1]:
        assert asked.wanted == 1 or asked.wanted <= left / 8
        left -= asked.wanted
    assert [asked.wanted for asked in table.budgets.asked[:5]] == [16, 32, 64, 111, 97]


def test_where_nothing_is_left_it_is_asked_again_once_a_second_as_others_may_give_back(table: Table) -> None:
    run = table.start(max_requests=2)
    here, there = Environment(table, run), Environment(table, run)
    assert (here.admit(), there.admit()) == (True, True)
    asked = here.asked()
    assert hits(here, 50) == 0
    assert here.asked() == asked + 1
    table.clock.now += 1.0
    assert hits(here, 50) == 0
    assert here.asked() == asked + 2


def test_what_is_not_used_is_given_back_within_about_a_second_and_others_use_it(table: Table) -> None:
    run = table.start(max_requests=80)
    here, there = Environment(table, run), Environment(table, run)
    hits(here, 8)  # of the 15 that it has reserved
    assert table.budgets.taken[run.run_id] > 8
    began = table.clock.now
    while here.scheduled:
        here.look()
    assert table.clock.now - began <= 1.0
    assert (table.budgets.taken[run.run_id], table.budgets.used[run.run_id]) == (8, 8)
    assert hits(there, 200) == 72


def test_what_is_in_use_is_not_given_back(table: Table) -> None:
    run = table.start(max_requests=80)
    here = Environment(table, run)
    hits(here, 4)
    for _ in range(3):
        assert here.admit()
        here.look()
    assert not any(asked.returned for asked in table.budgets.asked)


def test_at_the_end_of_the_process_it_gives_back_at_once(table: Table) -> None:
    run = table.start(max_requests=80)
    here = Environment(table, run)
    hits(here, 4)
    here.budgets.give_back()
    assert (table.budgets.taken[run.run_id], table.budgets.used[run.run_id]) == (4, 4)
    asked = here.asked()
    here.budgets.give_back()
    assert here.asked() == asked  # there is nothing left to say


def test_a_process_that_is_killed_costs_what_it_has_reserved_and_no_more(table: Table) -> None:
    run = table.start(max_requests=100)
    killed, there = Environment(table, run), Environment(table, run)
    used = hits(killed, 20)
    lost = table.budgets.taken[run.run_id] - used
    assert 0 < lost <= 100 / 8
    assert hits(there, 3000) == 100 - used - lost
    table.clock.now += 60
    assert hits(there, 3000) == 0


def test_where_no_timer_can_be_started_the_next_call_tries_again(
    table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    here = Environment(table, table.start(max_requests=100))

    def refuse(_seconds: float, _call: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    schedule, here.counters.schedule = here.counters.schedule, refuse
    assert hits(here, 2) == 2
    assert "can't start new thread" in caplog.text
    here.counters.schedule = schedule
    assert hits(here, 2) == 2
    assert here.scheduled


# The end of a run


def test_with_its_last_hit_the_run_is_completed_by_whoever_notices(table: Table) -> None:
    run = table.start(max_requests=100)
    here = Environment(table, run)
    assert hits(here, 100) == 100
    assert table.runs.runs["latency_injection"].ended_at is None
    here.look()
    ended = table.runs.runs["latency_injection"]
    assert (ended.status(table.clock.now), ended.end_reason) == ("completed", "max_requests: 100 calls were hit")
    assert (ended.ended_by, ended.is_spent, here.invalidated) == ("environment here", True, 1)
    asked = here.asked()
    table.clock.now += 10
    assert not here.admit()
    assert (here.asked(), here.scheduled) == (asked, [])


def test_a_dry_run_does_not_say_that_it_has_hit_any(table: Table) -> None:
    here = Environment(table, table.start(max_requests=2, dry_run=True))
    assert hits(here, 2) == 2
    here.look()
    assert table.runs.runs["latency_injection"].end_reason == "max_requests: 2 calls would have been hit"


def test_another_environment_notices_it_as_well(table: Table) -> None:
    run = table.start(max_requests=1)
    here, there = Environment(table, run), Environment(table, run)
    assert here.admit()
    here.look()
    there.admit()
    assert (here.invalidated, there.invalidated) == (1, 1)
    assert table.runs.runs["latency_injection"].end_reason == "max_requests: 1 call was hit"


def test_an_end_that_cannot_be_written_is_tried_again(table: Table) -> None:
    here = Environment(table, table.start(max_requests=1))
    assert here.admit()
    table.runs.broken = True
    here.look()
    assert not here.invalidated
    table.runs.broken = False
    here.look()
    assert table.runs.runs["latency_injection"].is_spent


@pytest.mark.parametrize(
    ("options", "most", "ends"),
    [
        ({"first": {"requests": 3}}, 3, False),
        ({"first": {"requests": 3}, "max_requests": 5}, 3, False),
        ({"first": {"requests": 5}, "max_requests": 3}, 3, True),
        ({"first": {"requests": 3}, "max_requests": 3}, 3, True),
    ],
)
def test_the_first_of_the_whole_run_are_counted_likewise_and_only_max_requests_ends_it(
    table: Table, *, options: dict[str, Any], most: int, ends: bool
) -> None:
    here = Environment(table, table.start(**options))
    assert [here.admit() for _ in range(8)] == [True] * most + [False] * (8 - most)
    here.look()
    asked = here.asked()
    table.clock.now += 5.0
    assert not here.admit()
    assert here.asked() == asked  # all are used: nobody will give any back
    assert table.runs.runs["latency_injection"].is_spent is ends


# In Lambda


def test_in_lambda_each_hit_is_reserved_on_its_own_and_the_last_one_ends_the_run(table: Table) -> None:
    run = table.start(max_requests=5)
    fleet = [Environment(table, run, in_lambda=True) for _ in range(3)]
    hit = [fleet[number % 3].admit() for number in range(12)]
    assert hit == [True] * 5 + [False] * 7
    assert {asked.wanted for asked in table.budgets.asked} == {1}
    assert not any(asked.environment for asked in table.budgets.asked)
    assert table.runs.runs["latency_injection"].is_spent


def test_in_lambda_whoever_got_the_last_hit_ends_the_run_when_it_is_over_and_nobody_before(table: Table) -> None:
    run = table.start(max_requests=1)
    here, there = (Environment(table, run, in_lambda=True) for _ in range(2))
    assert here.begin()
    assert not there.admit()
    assert table.runs.runs["latency_injection"].ended_at is None
    table.runs.broken = True
    end = here.budget.over()
    assert end
    end()
    table.runs.broken = False
    table.clock.now += 1.0
    asked = there.asked()
    assert not here.admit()
    assert table.runs.runs["latency_injection"].is_spent
    table.clock.now += 1.0
    assert not there.admit()
    assert there.asked() == asked + 1  # that was the other one


def test_what_is_put_back_after_a_slow_answer_is_given_back_though_nobody_asks_again(table: Table) -> None:
    run = table.start(max_requests=5, first={"requests": 2, "key": KEY})
    here, there = Environment(table, run), Environment(table, run)
    assert [there.admit("a") for _ in range(2)] == [True, True]
    admission: Any = here.budget.admit(FakeCall("/", x_order_id="a"), here.note)
    step = next(admission)
    while (claimed := step.call()) is None:
        step = admission.send(None)
    while here.scheduled:
        here.look()
    with pytest.raises(StopIteration):
        admission.send(claimed)
    while here.scheduled:
        here.look()
    while there.scheduled:
        there.look()
    assert (table.budgets.taken[run.run_id], table.budgets.used[run.run_id]) == (2, 2)


# A table that does not answer


def test_while_the_table_does_not_answer_nothing_is_hit_and_it_is_asked_once_a_second(table: Table) -> None:
    here = Environment(table, table.start(max_requests=100))
    table.budgets.broken = True
    for second in range(1, 6):
        assert hits(here, 100) == 0
        assert here.asked() == second
        table.clock.now += 1.0
    table.budgets.broken = False
    assert hits(here, 3000) == 100


def test_what_is_reserved_is_hit_although_the_table_has_gone(table: Table) -> None:
    here = Environment(table, table.start(max_requests=800))
    hits(here, 4)
    table.budgets.broken = True
    assert hits(here, 100) == table.budgets.taken[here.run.run_id] - 4 > 0


def test_where_the_snapshot_could_not_be_read_nothing_is_asked(table: Table) -> None:
    here = Environment(table, table.start(max_requests=800))
    here.is_unreachable = True
    assert hits(here, 3) == here.asked() == 0


@pytest.mark.parametrize("in_lambda", [False, True])
def test_an_answer_that_is_lost_never_grants_more(table: Table, *, in_lambda: bool) -> None:
    run = table.start(max_requests=20)
    here, there = (Environment(table, run, in_lambda=in_lambda) for _ in range(2))
    hit = 0
    for number in range(200):
        table.budgets.loses_answers = number % 3 == 0
        hit += here.admit() + there.admit()
        for each in (here, there):
            each.look()
        table.clock.now += 1.0
    assert hit <= 20
    assert hit == 20 or in_lambda


def test_what_is_given_back_twice_because_the_answer_was_lost_is_given_back_once(table: Table) -> None:
    run = table.start(max_requests=80)
    here, there = Environment(table, run), Environment(table, run)
    used = hits(here, 5)
    table.budgets.loses_answers = True
    for _ in range(4):
        here.look()
    table.budgets.loses_answers = False
    here.look()
    assert table.budgets.taken[run.run_id] == used
    assert hits(there, 200) == 80 - used


def test_a_defect_of_the_store_is_logged_and_nothing_is_hit(table: Table, caplog: pytest.LogCaptureFixture) -> None:
    here = Environment(table, table.start(max_requests=80))

    def fail(_run: Run, _most: int, _asked: Exchange) -> Lease:
        raise ZeroDivisionError("a defect")

    table.budgets.lease = fail  # type: ignore[method-assign]
    assert not here.admit()
    assert "a defect" in caplog.text


# Several calls at once


def test_calls_that_come_while_one_asks_wait_for_its_answer_a_little(table: Table) -> None:
    here = Environment(table, table.start(max_requests=80))
    assert here.budget._asking.acquire()  # type: ignore[attr-defined]
    here.while_asking = release_after(here, 3)
    assert here.admit()
    assert len(here.slept) == 3


def test_and_no_longer_than_that(table: Table) -> None:
    here = Environment(table, table.start(max_requests=80))
    assert here.budget._asking.acquire()  # type: ignore[attr-defined]
    assert not here.admit()
    assert sum(here.slept) == pytest.approx(0.25)


def test_where_the_table_has_failed_they_do_not_wait(table: Table) -> None:
    here = Environment(table, table.start(max_requests=80))
    table.budgets.broken = True
    assert not here.admit()
    table.clock.now += 1.0
    assert here.budget._asking.acquire()  # type: ignore[attr-defined]
    assert not here.admit()
    assert here.slept == []


def release_after(environment: Environment, pauses: int) -> Callable[[], None]:
    def asking() -> None:
        if len(environment.slept) == pauses:
            environment.budget._asking.release()  # type: ignore[attr-defined]

    return asking


def test_threads_share_what_one_has_reserved(table: Table) -> None:
    environments = [Environment(table, table.start(max_requests=100))] * 16
    barrier = threading.Barrier(16)

    def serve(environment: Environment) -> int:
        barrier.wait()
        return hits(environment, 50)

    with ThreadPoolExecutor(16) as pool:
        hit = sum(pool.map(serve, environments))
    assert hit + hits(environments[0], 200) == 100


# So many of each key


def test_of_each_key_the_first_are_hit_in_whatever_environment(table: Table) -> None:
    run = table.start(first={"requests": 2, "key": KEY})
    fleet = [Environment(table, run) for _ in range(3)]
    hit = {key: [fleet[number % 3].admit(key) for number in range(5)] for key in ("a", "b", "ä" * 300)}
    assert set(map(tuple, hit.values())) == {(True, True, False, False, False)}
    assert not any(table.budgets.asked)
    assert not table.runs.runs["latency_injection"].ended_at


def test_a_call_without_the_key_is_not_hit_and_is_counted(table: Table) -> None:
    here = Environment(table, table.start(first={"requests": 2, "key": KEY}))
    assert not here.admit()
    assert (here.notes, here.asked()) == ([(here.run, WITHOUT_KEY)], 0)


def test_it_costs_a_write_for_each_hit_and_one_more_for_each_environment_that_gets_the_key_later(table: Table) -> None:
    run = table.start(first={"requests": 2, "key": KEY})
    here, there = Environment(table, run), Environment(table, run)
    assert [here.admit("a") for _ in range(10)] == [True, True, *[False] * 8]
    assert here.asked() == 2
    assert [there.admit("a") for _ in range(10)] == [False] * 10
    assert here.asked() == 3


def test_it_remembers_so_many_keys_and_forgets_the_one_that_was_not_asked_for_longest(table: Table) -> None:
    here = Environment(table, table.start(first={"requests": 1, "key": KEY}))
    for number in range(MOST_KEYS):
        assert here.admit(str(number))
    assert not here.admit("0")
    here.admit("one more")
    asked = here.asked()
    assert not here.admit("0")
    assert here.asked() == asked
    assert not here.admit("1")
    assert here.asked() == asked + 1


def test_the_table_gets_to_know_no_key_and_each_run_has_hashes_of_its_own(table: Table) -> None:
    run, other = a_run(token="1"), a_run(token="2")
    here = Environment(table, table.start(first={"requests": 1, "key": KEY}))
    here.admit("ada@example.com")
    ((_, stored),) = table.budgets.hits
    assert "ada" not in stored
    assert hashed_key(run, "ada") == hashed_key(run, "ada") != hashed_key(other, "ada")
    assert hashed_key(run, "half a character: \ud800")


def test_while_the_table_does_not_answer_no_key_is_hit_and_one_call_a_second_asks(table: Table) -> None:
    here = Environment(table, table.start(first={"requests": 2, "key": KEY}))
    table.budgets.broken = True
    for second in range(1, 4):
        assert not any(here.admit(str(number)) for number in range(50))
        assert here.asked() == second
        table.clock.now += 1.0
    table.budgets.broken = False
    assert here.admit("1")


def test_calls_that_waited_for_a_thread_do_not_ask_a_table_that_has_failed_meanwhile(table: Table) -> None:
    here = Environment(table, table.start(first={"requests": 2, "key": KEY}))
    waiting: Sequence[Any] = [
        here.budget.admit(FakeCall("/", x_order_id=str(number)), here.note) for number in range(5)
    ]
    steps = [next(admission) for admission in waiting]
    table.budgets.broken = True
    assert [step.call() for step in steps] == [False] * 5
    assert here.asked() == 1


def test_of_those_that_ask_a_table_that_has_failed_one_does(table: Table) -> None:
    here = Environment(table, table.start(first={"requests": 2, "key": KEY}))
    table.budgets.broken = True
    here.admit("a")
    table.clock.now += 1.0
    assert here.budget._trying.acquire()  # type: ignore[attr-defined]
    assert not here.admit("b")
    assert here.asked() == 1


def test_a_lost_answer_costs_a_hit_of_the_key_and_never_grants_more(table: Table) -> None:
    here = Environment(table, table.start(first={"requests": 2, "key": KEY}))
    table.budgets.loses_answers = True
    assert not here.admit("a")
    table.budgets.loses_answers = False
    table.clock.now += 1.0
    assert [here.admit("a") for _ in range(3)] == [True, False, False]


def test_both_limits_hold_and_a_key_that_has_had_its_hits_uses_up_none_of_the_runs(table: Table) -> None:
    run = table.start(max_requests=5, first={"requests": 2, "key": KEY})
    here, there = Environment(table, run), Environment(table, run)
    assert [here.admit(key) for key in "aaabbb"] == [True, True, False, True, True, False]
    assert [there.admit(key) for key in "aabb"] == [False] * 4
    for each in (here, there):
        while each.scheduled:
            each.look()
    table.clock.now += 1.0
    assert [there.admit(key) for key in "cde"] == [True, False, False]
    there.look()
    assert table.runs.runs["latency_injection"].is_spent


def test_both_limits_hold_in_lambda_too(table: Table) -> None:
    run = table.start(max_requests=5, first={"requests": 2, "key": KEY})
    here, there = (Environment(table, run, in_lambda=True) for _ in range(2))
    assert [here.admit(key) for key in "aaa"] == [True, True, False]
    assert [there.admit(key) for key in "aabbb"] == [False, False, True, True, False]
    assert there.admit("c")
    assert not here.admit("d")
    assert table.runs.runs["latency_injection"].is_spent


def test_a_call_that_ends_while_it_asks_uses_up_nothing_of_the_run(table: Table) -> None:
    here = Environment(table, table.start(max_requests=80, first={"requests": 2, "key": KEY}))
    here.admit("a")
    admission: Any = here.budget.admit(FakeCall("/", x_order_id="b"), here.note)
    step = next(admission)
    while not isinstance(step, RunBlocking) or step.call() is None:
        step = admission.send(None)
    admission.close()
    here.budgets.give_back()
    assert table.budgets.used[here.run.run_id] == table.budgets.taken[here.run.run_id] == 1


def test_after_the_runs_time_nothing_is_looked_after(table: Table) -> None:
    run = table.start(max_requests=80, duration_seconds=10.0)
    here = Environment(table, run)
    hits(here, 5)
    table.budgets.broken = True
    table.clock.now = NOW + 10.0
    here.look()
    assert here.scheduled == []


def test_an_unreachable_table_does_not_hold_up_the_end_of_a_process(table: Table) -> None:
    run = table.start(max_requests=80)
    here = Environment(table, run)
    other = a_run(token="2", options={"max_requests": 5})
    second: Any = here.budgets.for_run(other)
    second._reserved = 1
    hits(here, 5)
    table.budgets.broken = True
    asked = here.asked()
    here.budgets.give_back()
    assert here.asked() == asked + 1


def test_what_the_host_raises_goes_on_to_the_host(table: Table) -> None:
    here = Environment(table, table.start(max_requests=80))

    def interrupt(_run: Run, _most: int, _asked: Exchange) -> Lease:
        raise KeyboardInterrupt

    lease, table.budgets.lease = table.budgets.lease, interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        here.admit()
    table.budgets.lease = lease  # type: ignore[method-assign]
    assert hits(here, 100) == 80


def test_hits_under_way_in_a_process_that_their_run_ends_are_others_to_have(table: Table) -> None:
    run = table.start(max_requests=3)
    ending, other = Environment(table, run), Environment(table, run)
    assert [ending.begin() for _ in range(3)] == [True, True, True]
    assert not other.begin()
    ending.budget.over()
    ending.budgets.give_back(run.run_id)
    assert not ending.begin()
    table.clock.now += 2
    assert [other.begin() for _ in range(3)] == [True, True, False]
