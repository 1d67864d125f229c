import logging
import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from chalicelib.effects.base import Surroundings
from chalicelib.effects.memory import Memory, Wanted
from chalicelib.errors import StoreUnavailable
from chalicelib.faults.base import PROCEED, Answer, Sleep
from chalicelib.injection.arrival import arrival
from chalicelib.injection.call import LambdaContext
from chalicelib.injection.drivers import SyncInjection
from chalicelib.injection.engine import Engine, InjectionResult, Process, Slots, answer_of
from chalicelib.injection.plan import Compiler
from chalicelib.injection.snapshot import Snapshot
from chalicelib.paths import PathSet
from chalicelib.runs.run import Run
from tests.effects.support import UNSHARED, surroundings
from tests.injection.support import FakeCall, catalogue
from tests.support import NOW, Clock, FakeResultStore, FakeRunStore, a_recorder, a_run


@dataclass
class FakeMemory:
    """An effect that only keeps account."""

    events: list[str]
    is_holding: bool = False
    settled: int = 0
    defect: Exception | None = None

    def held_for(self, _run: object) -> None:
        return None

    def hold(self, run: Run, wanted: Wanted) -> tuple[dict[str, int], dict[str, int]]:
        if self.defect:
            raise self.defect
        self.events.append(f"hold {wanted.megabytes}")
        return {"memory_mb": wanted.megabytes}, {"memory_mb": wanted.megabytes}

    def count(self, run: Run, counters: object) -> None: ...

    def is_due(self, active: Sequence[Run]) -> bool:
        return self.is_holding

    def settle(self, active: Sequence[Run]) -> None:
        self.settled += 1
        self.is_holding = False


@dataclass
class House:
    """An engine on fakes. `later` is done by the sleep, as soon as the clock has passed its moment."""

    clock: Clock
    store: FakeRunStore = field(default_factory=FakeRunStore)
    events: list[str] = field(default_factory=list)
    later: dict[float, Callable[[], None]] = field(default_factory=dict)
    excluded: tuple[str, ...] = ()
    results: FakeResultStore = field(default_factory=FakeResultStore)
    max_active_faults: int = 1000
    longest_request_seconds: float = math.inf
    defects: list[tuple[str, str]] = field(default_factory=list)
    effect: Any = None

    def __post_init__(self) -> None:
        self.memory = FakeMemory(self.events)
        compiled = Compiler(catalogue, lambda run, defect: self.defects.append((run.run_id, defect)))
        self.snapshot = Snapshot(lambda: compiled(self.store.active(self.clock())), self.clock)
        self.engine = Engine(
            snapshot=self.snapshot,
            recorder=a_recorder(self.clock, self.results),
            process=Process(name="here", clock=self.clock, chance=lambda: 0.0, timer=self.clock),
            excluded=PathSet(self.excluded),
            slots=Slots(self.max_active_faults),
            longest_request_seconds=self.longest_request_seconds,
        )
        self.engine.add_effect(self.effect or self.memory, Memory)
        self.injection = SyncInjection(self.engine, self.sleep)

    def inject(self, path: str = "/orders", context: LambdaContext | None = None) -> InjectionResult | None:
        """As a boundary does it."""
        if self.engine.is_idle():
            return None
        result = self.injection.arrive(FakeCall(path, context))
        if result:
            self.injection.apply(result)
        return result

    def hit(self, path: str = "/orders", context: LambdaContext | None = None) -> InjectionResult:
        result = self.inject(path, context)
        assert result
        return result

    def test(self) -> InjectionResult:
        result = self.injection.test(FakeCall("/test"))
        assert result
        return result

    def start(self, name: str = "latency_injection", **parameters: Any) -> Run:
        run = a_run(name, now=self.clock.now, token=name, **parameters)
        self.store.runs[name] = run
        return run

    def stop(self, run: Run) -> None:
        assert self.store.stop(run.ended(now=self.clock.now, by="grace", reason=None))

    def sleep(self, seconds: float) -> None:
        self.events.append(f"sleep {seconds:g}")
        until = self.clock.now + seconds
        for moment in sorted(moment for moment in self.later if moment <= until):
            self.clock.now = moment
            self.later.pop(moment)()
        self.clock.now = until
        self.clock.slept.append(seconds)


def shown(result: InjectionResult) -> list[dict[str, Any]]:
    return [hit.shown for hit in result.hits]


@pytest.fixture
def house(clock: Clock) -> House:
    return House(clock)


# What is done to a request


def test_nothing_running_leaves_the_request_untouched(house: House) -> None:
    assert house.inject() is None
    assert house.events == []


def test_a_delay_is_waited_and_told(house: House) -> None:
    run = house.start(delay_seconds=0.4)
    injected = house.hit()
    assert house.events == ["sleep 0.4"]
    assert [plan.run for plan in injected.plans] == [run]
    assert answer_of(injected) is None
    assert shown(injected) == [
        {"experiment": "latency_injection", "run_id": run.run_id, "fault": "wait", "seconds": 0.4},
    ]


def test_an_error_takes_the_applications_place(house: House) -> None:
    run = house.start("error_injection")
    injected = house.hit()
    assert answer_of(injected) == Answer(500, "injected_error", "Chaos experiment: injected error")
    assert shown(injected) == [
        {"experiment": "error_injection", "run_id": run.run_id, "fault": "answer", "status": 500}
    ]


def test_memory_is_held_for_the_run_and_told(house: House) -> None:
    run = house.start("resource_exhaustion", memory_mb=7)
    assert shown(house.hit()) == [
        {"experiment": "resource_exhaustion", "run_id": run.run_id, "fault": "hold", "memory_mb": 7},
    ]


def test_a_request_is_not_hit_where_the_environment_has_nothing_to_hold_but_the_test_endpoint_says_why(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.memory, "hold", lambda *_: ({"problem": "none here"}, {}))
    house.start("resource_exhaustion", memory_mb=50)
    untouched = house.hit()
    assert (untouched.hits, untouched.headers) == ([], {})
    (hit,) = house.test().hits
    assert hit.shown["problem"] == "none here"


def test_memory_comes_first_then_the_delay_then_the_error(house: House) -> None:
    for name in ("error_injection", "latency_injection", "resource_exhaustion"):
        house.start(name)
    injected = house.hit()
    assert house.events == ["hold 100", "sleep 1", "sleep 1"]
    assert [hit.kind for hit in injected.hits] == ["hold", "wait", "answer"]
    assert answer_of(injected)


def test_a_touched_response_names_its_experiments_and_runs_once_each_and_where_it_was_made(house: House) -> None:
    runs = [house.start(name) for name in ("latency_injection", "error_injection")]
    house.store.runs["again"] = runs[0]
    assert house.hit().headers == {
        "X-Chaos-Experiment": "latency_injection, error_injection",
        "X-Chaos-Environment": "here",
        "X-Chaos-Run": f"{runs[0].run_id}, {runs[1].run_id}",
    }


def test_a_request_that_chance_spares_has_no_headers_though_the_run_is_active(house: House) -> None:
    run = house.start("error_injection", error_rate=0.0)
    injected = house.hit()
    assert (injected.active_names, injected.headers, answer_of(injected)) == ([run.experiment], {}, None)


# Whom chaos never hits


def test_the_test_endpoint_is_hit_and_always_reads_afresh(house: House) -> None:
    assert house.inject() is None
    house.start("error_injection")
    assert house.inject() is None  # not yet due
    assert answer_of(house.test())
    house.store.runs.clear()
    assert answer_of(house.test()) is None


def test_a_request_that_reads_afresh_says_so_where_it_could_not(house: House) -> None:
    house.store.broken = True
    assert house.inject() is None
    result = house.test()
    assert (result.problem, result.active_names, result.headers) == ("store_unavailable", [], {})
    house.store.broken = False
    house.clock.now += 5
    run = house.start()
    assert house.test().problem is None
    house.store.broken = True
    result = house.test()
    assert (result.problem, len(result.hits)) == ("store_unavailable", 1)  # known, and trusted yet
    assert result.active_names == [run.experiment]


@pytest.mark.parametrize("path", ["/", "/orders", "/chaos_experiments_of_ours", "/v1/chaos_experiments/list"])
def test_every_path_of_the_application_is_hit(house: House, path: str) -> None:
    house.start("error_injection")
    assert answer_of(house.hit(path))


@pytest.mark.parametrize(
    ("path", "hit"),
    [
        ("/health", False),
        ("/health/", False),
        ("/healthz", True),
        ("/health/deep", True),
        ("/internal/", False),
        ("/internal/jobs/7", False),
        ("/internal", True),
        ("/x/internal/", True),
    ],
)
def test_excluded_paths_are_exact_or_all_that_is_below(clock: Clock, *, path: str, hit: bool) -> None:
    house = House(clock, excluded=("/health", "/internal/*"))
    house.start("error_injection")
    assert bool(house.inject(path)) is hit
    assert house.store.reads == hit


# Defects


def test_an_experiment_with_a_defect_leaves_the_request_untouched_and_is_logged_and_recorded_once(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    run = house.start("defective")
    for _ in range(3):
        injected = house.hit()
        house.clock.now += 1
        assert (injected.headers, answer_of(injected), house.events) == ({}, None, [])
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert house.defects == [(run.run_id, "ZeroDivisionError: a defect")]


def test_an_experiment_with_a_defect_does_not_keep_the_others_from_the_request(house: House) -> None:
    house.start("defective")
    house.start("error_injection")
    assert house.hit().headers["X-Chaos-Experiment"] == "error_injection"


def test_a_defect_in_the_snapshot_leaves_the_request_untouched_and_is_logged(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def defect() -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(house.snapshot, "get", defect)
    monkeypatch.setattr(house.snapshot, "get_fresh", defect)
    assert house.inject() is None
    assert house.injection.test(FakeCall("/test")) is None
    assert "Fault injection raised an exception; the request continues untouched" in caplog.text
    assert "ZeroDivisionError: a defect" in caplog.text


def test_a_defect_while_a_fault_is_applied_leaves_the_request_untouched_and_is_logged(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.memory.defect = OSError("no memory")
    house.start("resource_exhaustion")
    injected = house.hit()
    assert (injected.hits, answer_of(injected)) == ([], None)
    assert "OSError: no memory" in caplog.text


def test_a_table_that_never_answered_leaves_every_request_untouched(house: House) -> None:
    house.start("error_injection")
    house.store.broken = True
    assert house.inject() is None
    result = house.test()
    assert (result.active_names, result.hits, result.problem) == ([], [], "store_unavailable")
    assert house.store.reads == 1


# A delay and its end


def test_a_delay_below_the_interval_is_one_sleep_and_no_further_look(house: House) -> None:
    house.start(delay_seconds=1.0)
    house.inject()
    assert house.events == ["sleep 1"]
    assert house.store.reads == 1


def test_no_delay_is_no_sleep(house: House) -> None:
    house.start(delay_seconds=0.0)
    assert shown(house.hit())[0]["seconds"] == 0
    assert house.events == []


def test_a_longer_delay_is_waited_in_pieces_and_in_full(house: House) -> None:
    house.start(delay_seconds=2.5)
    assert shown(house.hit())[0]["seconds"] == 2.5
    assert house.clock.now == NOW + 2.5


def test_a_stop_in_the_middle_of_a_delay_ends_it_within_the_refresh_interval(house: House) -> None:
    run = house.start(delay_seconds=20.0)
    house.later[NOW + 2.25] = lambda: house.stop(run)
    assert shown(house.hit())[0]["seconds"] == 3
    assert house.clock.now <= NOW + 2.25 + 1


def test_the_end_of_the_run_cuts_a_delay_exactly(house: House) -> None:
    house.start(delay_seconds=20.0, duration_seconds=3.625)
    assert shown(house.hit())[0]["seconds"] == 3.625
    assert house.clock.now == NOW + 3.625


def test_the_end_of_the_run_cuts_a_short_delay_too(house: House) -> None:
    house.start(delay_seconds=1.0, duration_seconds=0.25)
    house.inject()
    assert house.events == ["sleep 0.25"]


def test_a_silent_table_does_not_end_a_delay_at_once(house: House) -> None:
    house.start(delay_seconds=2.5)
    house.later[NOW + 0.5] = lambda: setattr(house.store, "broken", True)
    assert shown(house.hit())[0]["seconds"] == 2.5


def test_a_table_that_is_silent_for_longer_than_the_staleness_limit_ends_a_delay(house: House) -> None:
    house.start(delay_seconds=20.0)
    house.later[NOW + 0.5] = lambda: setattr(house.store, "broken", True)
    house.inject()
    assert house.clock.now == NOW + 3


def test_a_run_that_replaces_another_does_not_inherit_its_delays(house: House) -> None:
    house.start(delay_seconds=20.0)
    house.later[NOW + 1.5] = lambda: house.store.runs.update(latency_injection=a_run(token="2", delay_seconds=20.0))
    assert shown(house.hit())[0]["seconds"] == 2


# Memory that outlived its run


def test_a_request_after_the_end_of_a_run_gives_its_memory_back(house: House) -> None:
    house.memory.is_holding = True
    assert house.inject() is None
    assert house.memory.settled == 1


def test_a_request_is_not_troubled_with_memory_where_none_is_held(house: House) -> None:
    house.inject()
    assert house.memory.settled == 0


def test_real_memory_is_held_by_one_request_and_given_back_by_another_where_no_watcher_woke(clock: Clock) -> None:
    houses: list[House] = []
    memory = Memory(
        surroundings(lambda: houses[0].snapshot.get(), clock, lambda _: None),  # noqa: PLW0108
        spare_mb=lambda: 100,
        machine=UNSHARED,
    )
    house = House(clock, effect=memory)
    houses.append(house)
    memory._watcher.watch = lambda: None  # type: ignore[method-assign] # frozen with its process
    run = house.start("resource_exhaustion", memory_mb=2)
    assert shown(house.hit())[0]["memory_mb"] == memory.held_mb == 2
    house.stop(run)
    clock.now += 3600
    assert house.inject() is None
    assert memory.held_mb == 0


# What a fault in one of the promises above once looked like


def test_an_error_whose_run_is_over_when_the_delay_ends_is_not_injected(house: House) -> None:
    house.start("latency_injection", delay_seconds=10.0, duration_seconds=60)
    house.start("error_injection", duration_seconds=2)
    injected = house.hit()
    assert answer_of(injected) is None
    assert injected.headers["X-Chaos-Experiment"] == "latency_injection"


def test_an_error_whose_run_goes_on_when_the_delay_ends_is_injected(house: House) -> None:
    house.start("latency_injection", delay_seconds=10.0, duration_seconds=60)
    house.start("error_injection", duration_seconds=60)
    assert answer_of(house.hit())


def test_a_stop_is_obeyed_within_a_second_by_delays_whatever_others_have_read_meanwhile(house: House) -> None:
    run = house.start(delay_seconds=20.0, duration_seconds=60)
    house.snapshot.get()
    house.clock.now += 0.95
    began = house.clock.now
    house.later = {began + 0.05: lambda: house.snapshot.get() and None, began + 0.06: lambda: house.stop(run)}
    house.inject()
    assert house.clock.now - (began + 0.06) <= 1.0


@pytest.mark.parametrize("seconds", [2.0, 0.3])
def test_a_run_that_is_over_when_a_call_reaches_its_route_does_not_hit_it(house: House, seconds: float) -> None:
    house.engine.process = replace(house.engine.process, timer=house.clock)
    run = house.start("error_injection", error_rate=1.0, duration_seconds=10)
    house.clock.now += 10 - 0.2 if seconds < 1 else 1
    result = house.injection.arrive(FakeCall("/orders"))
    assert result
    if seconds > 1:
        house.stop(run)
    house.clock.now += seconds  # in the application's own hooks
    assert house.injection.apply(result) is PROCEED
    assert result.headers == {}


def test_a_run_that_goes_on_hits_a_call_that_is_late_at_its_route(house: House) -> None:
    house.engine.process = replace(house.engine.process, timer=house.clock)
    house.start("error_injection", error_rate=1.0, duration_seconds=10)
    result = house.injection.arrive(FakeCall("/orders"))
    assert result
    house.clock.now += 5
    house.injection.apply(result)
    assert answer_of(result)


class TimeOut(BaseException):
    """As gevent's, which ends whatever a request does."""


def test_a_time_out_of_the_host_gives_the_slot_back_at_once(clock: Clock) -> None:
    house = House(clock, max_active_faults=1)
    house.start(delay_seconds=0.5)
    house.later[clock.now] = lambda: (_ for _ in ()).throw(TimeOut)
    with pytest.raises(TimeOut) as _held:  # with the stack, as whoever reports it does
        house.inject()
    assert house.hit().hits


def test_a_call_that_a_time_out_of_the_host_ends_in_a_delay_was_hit(house: House) -> None:
    """Or its failure would be one of the untouched calls."""
    run = house.start(delay_seconds=0.5)
    house.later[house.clock.now] = lambda: (_ for _ in ()).throw(TimeOut)
    result = house.injection.arrive(FakeCall("/orders"))
    assert result
    with pytest.raises(TimeOut):
        house.injection.apply(result)
    assert result.headers["X-Chaos-Run"] == run.run_id
    house.engine.count(result, 504)
    house.engine.recorder.flush()
    assert house.results.tallies[run.run_id].statuses("hit") == {"5xx": 1}


def test_memory_of_a_run_that_is_over_goes_back_though_another_runs(house: House) -> None:
    house.start("latency_injection", delay_seconds=0.0)
    house.memory.is_holding = True
    house.inject()
    assert house.memory.settled == 1


class Context:
    """A Lambda invocation with some time left."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


@pytest.mark.parametrize(("left", "waits"), [(30.0, 2.0), (2.5, 2.0), (2.0, 1.5), (0.75, 0.25), (0.3, 0.0)])
def test_a_delay_leaves_the_invocation_its_time_and_says_so(house: House, left: float, waits: float) -> None:
    house.start(delay_seconds=2.0)
    injected = house.hit("/orders", Context(left))
    assert sum(house.clock.slept) == pytest.approx(waits)
    cut = waits < 2.0
    assert shown(injected)[0].get("cut_from_seconds") == (2.0 if cut else None)
    assert injected.headers.get("X-Chaos-Cut") == ("latency_injection" if cut else None)


@pytest.mark.parametrize(
    ("limit", "left", "spent", "waits"), [(29.0, 900.0, 0.0, 28.5), (3.0, 2.0, 0.0, 1.5), (10.0, 900.0, 4.0, 5.5)]
)
def test_a_delay_leaves_time_before_the_limit_of_the_process_too(
    clock: Clock, limit: float, left: float, spent: float, waits: float
) -> None:
    house = House(clock, longest_request_seconds=limit)
    house.start(delay_seconds=60.0, duration_seconds=600.0)
    result = house.injection.arrive(FakeCall("/orders", Context(left)))
    assert result
    clock.sleep(spent)
    house.injection.apply(result)
    assert sum(clock.slept) == pytest.approx(spent + waits)
    assert result.headers["X-Chaos-Cut"] == "latency_injection"
    assert shown(result)[0]["cut_from_seconds"] == 60.0


def test_a_delay_goes_past_it_where_the_run_says_so(house: House) -> None:
    house.start(delay_seconds=2.0, allow_timeout=True)
    injected = house.hit("/orders", Context(1.0))
    assert sum(house.clock.slept) == pytest.approx(2.0)
    assert "X-Chaos-Cut" not in injected.headers


def test_requests_above_the_budget_are_untouched_and_it_is_given_back(clock: Clock) -> None:
    house = House(clock, max_active_faults=2)
    house.start(delay_seconds=2.0)
    house.snapshot.get()
    under_way = [delayed(house) for _ in range(2)]
    above = house.hit()
    assert above.hits == []
    assert above.reached_route  # and so counted as untouched
    under_way.pop().close()  # its client hung up
    assert house.hit().hits


def delayed(house: House) -> Generator[Any, Any, Any]:
    """A request in the middle of its delay."""
    result = house.injection.arrive(FakeCall("/orders"))
    assert result
    steps = house.engine.apply(result, house.engine.decide(result) or [])
    while not isinstance(step := next(steps), Sleep):
        step.call()  # in Lambda the table knows first that it has begun
    return steps


def test_a_defect_in_counting_is_logged_and_nothing_to_the_request(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.start(delay_seconds=0.0)
    injected = house.hit()
    house.engine.recorder._pending = None  # type: ignore[assignment]
    house.injection.finish(injected, 200)
    assert "Could not count a request" in caplog.text


class Timeless:
    """The context of an invocation that does not say how much time it has left."""

    def get_remaining_time_in_millis(self) -> int:
        raise AttributeError("get_remaining_time_in_millis")


def test_an_invocation_that_does_not_say_its_time_is_answered_all_the_same(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.start("error_injection", error_rate=0.0)
    injected = house.hit()
    injected.call = FakeCall("/orders", Timeless())
    house.injection.finish(injected, 200)
    assert "Could not flush the request counts" in caplog.text


def test_a_call_that_reached_no_route_is_not_counted(house: House) -> None:
    house.start(delay_seconds=0.0)
    house.snapshot.get()
    result = house.injection.arrive(FakeCall("/nowhere"))
    assert result
    house.injection.finish(result, 404)
    house.engine.recorder.flush()
    assert house.results.tallies == {}


def test_a_call_to_the_test_endpoint_is_nobodys_traffic(house: House) -> None:
    run, other = house.start(delay_seconds=2.0), house.start("error_injection", error_rate=0.0)
    for _ in range(3):
        house.injection.finish(house.test(), 200)
    house.engine.recorder.flush()
    assert house.results.tallies[run.run_id].counts == {"test.requests": 3, "test.hit": 3}
    assert house.results.tallies[other.run_id].counts == {"test.requests": 3}


# Since when its time is measured


def measured(clock: Clock, *, by_header: bool, ago: float) -> InjectionResult:
    """A call that is answered, after it has waited in front of the process."""
    house = House(clock)
    house.engine.arrival = arrival(trusts_headers=by_header)
    house.start("error_injection", error_rate=0.0)
    house.snapshot.get()
    result = house.injection.arrive(FakeCall("/orders", x_request_start=f"t={clock.now - ago:.3f}"))
    assert result
    house.injection.apply(result)
    house.injection.finish(result, 200)
    house.engine.recorder.flush()
    (tally,) = house.results.tallies.values()
    seconds = tally.percentile("untouched", 0.95)
    assert seconds is not None
    assert (seconds >= ago / 1.2) is result.knows_arrival
    return result


def test_the_time_of_a_call_begins_where_it_arrived_in_front_of_the_process(clock: Clock) -> None:
    assert measured(clock, by_header=True, ago=4.0).knows_arrival


def test_the_time_of_a_call_begins_here_where_nobody_can_be_believed(clock: Clock) -> None:
    assert not measured(clock, by_header=False, ago=4.0).knows_arrival
    assert not measured(clock, by_header=True, ago=4000.0).knows_arrival


class Keyed:
    """Selects every call, with the chance of its key."""

    def __init__(self, chance: float) -> None:
        self.chance = chance

    def select(self, *_: Any) -> Callable[[], float]:
        return lambda: self.chance

    def explain(self, call: Any) -> Any:
        raise NotImplementedError


def test_a_delay_is_drawn_by_what_decided_that_the_call_is_hit(house: House) -> None:
    house.start(delay_seconds=2.0, jitter_seconds=1.0)
    (plan,) = house.snapshot.get()
    drawn = []
    for chance in (0.75, 0.25, 0.75):
        plan.selector = Keyed(chance)
        drawn.append(house.hit().hits[0].shown["seconds"])
    plan.selector = None
    assert drawn == [2.5, 1.5, 2.5]
    assert house.hit().hits[0].shown["seconds"] == 1.0  # the process's chance is 0


# What effects do without a call


@dataclass
class Counting:
    """An effect that counts, and has a problem, for whoever hands it a run."""

    surroundings: Surroundings
    is_holding: bool = False

    def is_due(self, active: Sequence[Run]) -> bool:
        return False

    def settle(self, active: Sequence[Run]) -> None:
        pass


def test_what_an_effect_counts_is_flushed_with_the_results_of_its_run(house: House) -> None:
    run = house.start()
    (plan,) = house.snapshot.get()
    effect = house.engine.effect(Counting)
    effect.surroundings.count(plan, {"blocks": 2})
    effect.surroundings.count(plan, {"blocks": 1})
    house.engine.recorder.flush()
    assert house.results.tallies[run.run_id].get("blocks") == 3


def test_what_an_effect_counts_at_the_end_of_its_run_is_flushed_by_the_next_request(house: House) -> None:
    run = house.start()
    (plan,) = house.snapshot.get()
    house.stop(run)
    house.snapshot.invalidate()
    house.engine.effect(Counting).surroundings.count(plan, {"blocks": 1})
    assert not house.engine.is_idle()
    house.inject()
    assert house.results.tallies[run.run_id].get("blocks") == 1


def test_a_problem_of_an_effect_is_what_its_run_says(house: House) -> None:
    run = house.start()
    (plan,) = house.snapshot.get()
    house.engine.record_defect = lambda run, defect: house.defects.append((run.run_id, defect))
    house.engine.effect(Counting).surroundings.record_problem(plan, "There is none.")
    assert house.defects == [(run.run_id, "There is none.")]


def test_a_problem_that_the_table_does_not_take_is_logged(house: House, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_run: Run, _defect: str) -> None:
        raise StoreUnavailable("The table does not answer.")

    house.start()
    (plan,) = house.snapshot.get()
    house.engine.record_defect = fail
    house.engine.effect(Counting).surroundings.record_problem(plan, "There is none.")
    assert "Could not record the defect" in caplog.text
