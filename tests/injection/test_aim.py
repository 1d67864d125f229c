"""What an engine does with runs that have a target, a key, a budget, or that are dry."""

import asyncio
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.effects.memory import Memory, Wanted
from chalicelib.experiments.base import Experiment, Parameters
from chalicelib.experiments.catalogue import BUILT_IN, Catalogue
from chalicelib.faults.answer import Answer
from chalicelib.faults.base import PROCEED, Fault, RunBlocking, Step
from chalicelib.faults.wait import Wait
from chalicelib.injection.budgets import Budgets, Counters
from chalicelib.injection.call import Call
from chalicelib.injection.drivers import AsyncInjection, SyncInjection
from chalicelib.injection.engine import Engine, InjectionResult, Process
from chalicelib.injection.plan import Compiler, Environment, Plan
from chalicelib.injection.selection import Note, Selector
from chalicelib.injection.snapshot import Snapshot
from chalicelib.results.tally import Tally
from chalicelib.runs.run import Run
from tests.injection.support import FakeCall, catalogue
from tests.support import NOW, Clock, FakeBudgetStore, FakeResultStore, FakeRunStore, a_recorder, a_run, with_hypothesis

KEY = {"header": "x-user"}
ORDERS = {"paths": ["/orders"]}


@dataclass
class FakeBudget:
    """Admits so many calls, and remembers which ones it was asked for; by a step, where it has to ask the table."""

    left: int
    asks: bool = False
    run: Run = field(default_factory=a_run)
    asked: list[str] = field(default_factory=list)

    def admit(self, call: Call, note: Note) -> bool | Generator[Step, Any, bool]:
        self.asked.append(call.name)
        if call.header("x-user") == "":
            note(self.run, "without_key")
            return False
        return self._ask() if self.asks else self._take()

    def over(self) -> None:
        return None

    def _ask(self) -> Generator[Step, Any, bool]:
        taken: bool = yield RunBlocking(self._take)
        return taken

    def _take(self) -> bool:
        self.left -= 1
        return self.left >= 0


class Loop:
    """An event loop on which nothing may sleep."""

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)

    async def run_blocking(self, call: Callable[[], Any]) -> Any:
        return call()


@dataclass
class House:
    """An engine on fakes, without any sleep."""

    clock: Clock = field(default_factory=Clock)
    budget: Callable[[Run], FakeBudget | None] = lambda _run: None
    here: Environment = field(default_factory=Environment)
    events: list[str] = field(default_factory=list)
    is_holding: bool = False
    drawn: float = 0.0
    experiments: Callable[[], Catalogue] = catalogue

    def __post_init__(self) -> None:
        self.store, self.results = FakeRunStore(), FakeResultStore()
        compiled = Compiler(
            self.experiments, lambda _run, _defect: None, environment=self.here, budgets=self.budget, clock=self.clock
        )
        self.engine = Engine(
            snapshot=Snapshot(lambda: compiled(self.store.active(self.clock())), self.clock),
            recorder=a_recorder(self.clock, self.results),
            process=Process(name="here", clock=self.clock, chance=lambda: self.drawn, timer=self.clock),
        )
        self.engine.add_effect(self, Memory)
        self.injection = SyncInjection(self.engine, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.events.append(f"sleep {seconds:g}")

    def held_for(self, _run: object) -> None:
        return None

    def hold(self, _run: object, wanted: Wanted) -> tuple[dict[str, int], dict[str, int]]:
        self.events.append(f"hold {wanted.megabytes}")
        return {"memory_mb": wanted.megabytes}, {"memory_mb": wanted.megabytes}

    def start(self, name: str = "error_injection", **options: Any) -> Run:
        parameters = {"error_rate": 1.0} if name == "error_injection" else {}
        run = a_run(name, token=name, options=options, **options.pop("parameters", parameters))
        self.store.runs[name] = run
        return run

    def ask(self, path: str = "/orders", status: int = 200, **headers: str) -> InjectionResult:
        """As a boundary does it: from the arrival to the answer."""
        call = FakeCall(path, **headers)
        self.engine.snapshot.get()
        result = self.injection.arrive(call)
        assert result
        self.injection.apply(result)
        self.injection.finish(result, status)
        return result

    def tally(self, run: Run) -> Tally:
        self.engine.recorder.flush()
        return self.results.tallies.get(run.run_id, Tally())


def counted(tally: Tally) -> dict[str, int]:
    """What is counted of aim, and of the requests."""
    names = ("requests", "matched", "without_key", "would_hit", "injected_errors", "delay", "memory")
    return {name: tally.get(name) for name in names if tally.get(name)}


# A target


def test_a_request_outside_of_the_target_is_untouched_and_counted_as_such() -> None:
    house = House()
    run = house.start(target={**ORDERS, "headers": {"x-tenant": "acme"}})
    assert house.ask(x_tenant="acme").headers
    for result in (house.ask("/cart", x_tenant="acme"), house.ask(x_tenant="other"), house.ask()):
        assert (result.headers, result.outcome) == ({}, PROCEED)
    tally = house.tally(run)
    assert counted(tally) == {"requests": 4, "matched": 1, "injected_errors": 1}
    assert (tally.requests("hit"), tally.requests("untouched")) == (1, 3)


@pytest.mark.parametrize(("function", "hit"), [("billing-api", True), ("shop", False), ("", False)])
def test_a_target_may_name_functions(function: str, *, hit: bool) -> None:
    house = House(here=Environment("here", function))
    run = house.start(target={**ORDERS, "functions": ["billing-*"]}, every=1)
    assert bool(house.ask().hits) is hit
    assert counted(house.tally(run)).get("matched", 0) == hit, "nothing matches where no environment does"


def test_a_run_whose_options_cannot_be_read_hits_nothing_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    house.start(every="third")
    run = house.start("latency_injection")
    assert [hit.plan.run for hit in house.ask().hits] == [run]
    assert "which this version cannot read" in caplog.text


def test_a_baseline_matches_nothing() -> None:
    house = House()
    run = with_hypothesis(house.start(target=ORDERS), max_error_rate=0.1, baseline_seconds=10.0)
    house.store.runs["error_injection"] = run
    house.ask()
    house.clock.now = NOW + 20
    house.ask()
    assert counted(house.tally(run)) == {"requests": 2, "matched": 1, "injected_errors": 1}


# A key


def test_a_request_without_the_key_is_not_hit_and_is_counted_as_such() -> None:
    house = House()
    run = house.start(sticky=KEY)
    assert not house.ask().hits
    assert not house.ask(x_user="").hits
    assert house.ask(x_user="ada").hits
    assert counted(house.tally(run)) == {"requests": 3, "without_key": 2, "injected_errors": 1}


def test_a_selector_that_raises_leaves_the_request_untouched(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House()
    run = house.start(sticky=KEY)

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(Selector, "select", fail)
    result = house.ask(x_user="ada")
    assert (result.outcome, result.headers) == (PROCEED, {})
    assert "the request continues untouched" in caplog.text
    tally = house.tally(run)
    assert (tally.requests("hit"), tally.requests("untouched")) == (0, 1)

    caplog.clear()
    asynchronous = AsyncInjection(house.engine, None)  # type: ignore[arg-type]
    arrived = asynchronous.arrive_now(FakeCall("/orders"))
    assert isinstance(arrived, InjectionResult)
    assert asynchronous.decide(arrived) is None
    assert "the request continues untouched" in caplog.text


# A budget


@pytest.mark.parametrize("asks", [False, True])
def test_a_budget_is_used_up_by_what_is_hit_and_by_nothing_else(*, asks: bool) -> None:
    budget = FakeBudget(2, asks=asks)
    house = House(budget=lambda _run: budget)
    run = house.start(target=ORDERS, every=2, max_requests=2)
    answers = [bool(house.ask(path).hits) for path in ("/cart", *["/orders"] * 7)]
    assert answers == [False, False, True, False, True, False, False, False]
    assert budget.asked == ["/orders"] * 3, "each second call that the target matches, and no other"
    tally = house.tally(run)
    assert (tally.requests("hit"), tally.requests("untouched")) == (2, 6)


def test_a_fault_that_its_own_share_leaves_out_uses_nothing_up() -> None:
    budget = FakeBudget(5)
    house = House(budget=lambda _run: budget, drawn=0.5)
    house.start(max_requests=5, parameters={"error_rate": 0.4})
    assert not house.ask().hits
    assert budget.asked == []


def test_what_an_earlier_error_answers_or_a_run_that_is_over_uses_nothing_up() -> None:
    budgets = {"error_injection": FakeBudget(5), "latency_injection": FakeBudget(5)}
    house = House(budget=lambda run: budgets[run.experiment])
    house.start("latency_injection", max_requests=5, parameters={"delay_seconds": 2.0})
    house.start(max_requests=5)
    house.sleep = lambda _seconds: house.store.runs.clear() or setattr(house.clock, "now", NOW + 1.5)  # type: ignore[method-assign, func-returns-value]
    house.injection = SyncInjection(house.engine, house.sleep)
    assert [hit.kind for hit in house.ask().hits] == ["wait"]
    assert (budgets["latency_injection"].left, budgets["error_injection"].left) == (4, 5)


@pytest.mark.parametrize("in_lambda", [False, True])
def test_the_last_hit_of_a_run_ends_it_when_it_is_over_and_its_delay_is_not_cut(*, in_lambda: bool) -> None:
    clock, due = Clock(), list[tuple[float, Callable[[], None]]]()
    schedule = None if in_lambda else lambda seconds, call: due.append((clock.now + seconds, call))
    house = House(clock=clock, budget=lambda run: budgets.for_run(run))  # type: ignore[arg-type, return-value] # noqa: PLW0108
    counters = Counters(store=FakeBudgetStore(), clock=clock, schedule=schedule)
    budgets = Budgets(counters, house.store, environment="here", on_end=house.engine.snapshot.invalidate)

    def sleep(seconds: float) -> None:
        clock.now += seconds
        for each in [each for each in due if each[0] <= clock.now]:
            due.remove(each)
            each[1]()

    house.injection = SyncInjection(house.engine, sleep)
    house.start("latency_injection", max_requests=1, parameters={"delay_seconds": 5.0, "duration_seconds": 60.0})
    assert [hit.applied.details for hit in house.ask().hits] == [{"seconds": 5.0}]
    sleep(0.5)
    assert house.store.runs["latency_injection"].is_spent


def test_where_there_is_no_slot_nothing_is_used_up() -> None:
    budget = FakeBudget(5)
    house = House(budget=lambda _run: budget)
    house.start(max_requests=5)
    assert house.engine.slots.take()
    while house.engine.slots.take():
        pass
    assert not house.ask().hits
    assert budget.asked == []


def test_what_a_budget_notes_is_counted_and_a_call_that_it_refuses_is_untouched() -> None:
    house = House(budget=lambda run: FakeBudget(5, run=run))
    run = house.start(first={"requests": 2, "key": KEY})
    result = house.ask(x_user="")
    assert (result.hits, result.meets) == ([], ())
    assert counted(house.tally(run)) == {"requests": 1, "without_key": 1}


def test_a_call_whose_budget_is_used_up_is_not_open_as_a_hit_one() -> None:
    house = House(budget=lambda run: FakeBudget(0) if run.experiment == "resource_exhaustion" else None)
    run = house.start("resource_exhaustion", max_requests=1, parameters={"memory_mb": 5})
    house.start("latency_injection", parameters={"delay_seconds": 0.5})
    house.injection = SyncInjection(house.engine, lambda _seconds: house.engine.recorder.flush_last())
    house.ask()
    assert house.results.tallies[run.run_id].get("hit.died") == 0


class Twice(Experiment):
    """A delay, and then an error."""

    name = "twice"
    Parameters = Parameters

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield Wait(seconds=0.0)
        yield Answer(status=500, code="injected_error", message="twice")


@pytest.mark.parametrize("dry", [False, True])
def test_two_faults_of_a_run_are_one_hit_of_its_budget_and_of_a_dry_run(*, dry: bool) -> None:
    budget = FakeBudget(5)
    house = House(budget=lambda _run: budget, experiments=lambda: Catalogue([*BUILT_IN, Twice]))
    run = house.start("twice", max_requests=5, dry_run=dry, parameters={})
    result = house.ask()
    assert (len(result.hits), result.would_hit) == ((0, ["twice"]) if dry else (2, []))
    assert (budget.left, house.tally(run).get("would_hit")) == (4, int(dry))


# A dry run


def everything(house: House, **options: Any) -> list[Run]:
    parameters: dict[str, dict[str, Any]] = {
        "resource_exhaustion": {"memory_mb": 5},
        "latency_injection": {"delay_seconds": 2.0},
        "error_injection": {"error_rate": 1.0},
    }
    return [house.start(name, parameters=each, **options) for name, each in parameters.items()]


def test_a_dry_run_does_nothing_at_all_and_says_so() -> None:
    house = House()
    runs = everything(house, dry_run=True)
    result = house.ask()
    assert (house.events, house.clock.slept, result.outcome, result.hits, result.meets) == ([], [], PROCEED, [], ())
    assert result.headers == {"X-Chaos-Dry-Run": "resource_exhaustion, latency_injection, error_injection"}
    for run in runs:
        tally = house.tally(run)
        assert counted(tally) == {"requests": 1, "would_hit": 1}
        assert (tally.requests("hit"), tally.requests("untouched"), tally.get("hit.died")) == (0, 1, 0)


def test_what_a_dry_run_does_not_select_is_not_marked() -> None:
    house = House()
    run = house.start(dry_run=True, target=ORDERS)
    assert house.ask("/cart").headers == {}
    assert house.ask().headers == {"X-Chaos-Dry-Run": "error_injection"}
    assert counted(house.tally(run)) == {"requests": 2, "matched": 1, "would_hit": 1}


def test_a_dry_run_beside_a_real_one_leaves_that_as_it_is() -> None:
    house = House()
    dry, real = house.start(dry_run=True), house.start("latency_injection", parameters={"delay_seconds": 0.5})
    result = house.ask()
    assert house.events == ["sleep 0.5"]
    assert result.headers["X-Chaos-Experiment"] == "latency_injection"
    assert result.headers["X-Chaos-Dry-Run"] == "error_injection"
    assert house.tally(real).requests("hit") == 1
    tally = house.tally(dry)
    assert counted(tally) == {"requests": 1, "would_hit": 1}
    assert (tally.requests("hit"), tally.requests("untouched")) == (0, 0), "only another run hit it"


def test_a_dry_run_uses_its_budget_up_as_the_real_one_would() -> None:
    budget = FakeBudget(2)
    house = House(budget=lambda _run: budget)
    house.start(dry_run=True, max_requests=2)
    assert [bool(house.ask().headers) for _ in range(4)] == [True, True, False, False]


def test_while_a_dry_run_is_decided_the_call_is_open_as_an_untouched_one() -> None:
    house = House()
    run = house.start(dry_run=True)
    house.engine.snapshot.get()
    result = house.injection.arrive(FakeCall("/orders"))
    assert result
    assert house.engine.decide(result)
    house.engine.recorder.flush_last()
    assert house.results.tallies[run.run_id].get("untouched.died") == 1


def test_the_test_endpoint_is_marked_and_counts_nowhere() -> None:
    house = House()
    run = house.start(dry_run=True, target={"methods": ["GET"]})
    result = house.injection.test(FakeCall("/chaos_experiments/test"))
    assert result
    assert result.would_hit == ["error_injection"]
    house.injection.finish(result, 200)
    assert house.tally(run).counts == {"test.requests": 1}


def test_on_an_event_loop_it_is_the_same() -> None:
    house = House()
    house.start(dry_run=True)
    house.engine.snapshot.get()
    injection = AsyncInjection(house.engine, Loop())

    async def ask() -> InjectionResult:
        result = injection.arrive_now(FakeCall("/orders"))
        assert isinstance(result, InjectionResult)
        hits = injection.decide(result)
        assert hits
        assert await injection.apply(result, hits) is PROCEED
        return result

    assert asyncio.run(ask()).headers == {"X-Chaos-Dry-Run": "error_injection"}


# What is compiled


def compiled(*runs: Run, **more: Any) -> Sequence[Plan]:
    return Compiler(catalogue, lambda _run, _defect: None, **more)(runs)


def test_an_ordinary_run_has_neither_selector_nor_budget() -> None:
    (plan,) = compiled(a_run(percentage=20.0), a_run("error_injection", options={"reason": "why"}))[:1]
    assert (plan.selector, plan.budget, plan.is_dry, plan.share) == (None, None, False, 0.2)


def test_the_turns_of_a_run_go_on_when_the_snapshot_is_read_again() -> None:
    house = House()
    house.start(every=3)
    found = []
    for _ in range(9):
        found.append(bool(house.ask().hits))
        house.clock.now += 2
    assert found == [False, False, True] * 3
