import heapq
import math
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import count as numbers
from itertools import islice
from typing import Any

import pytest

from chalicelib.errors import StoreUnavailable
from chalicelib.faults.base import DISCONNECT, PROCEED, Answer, Change, Outcome
from chalicelib.faults.disconnect import Cut
from chalicelib.results.judgement import fails_beyond_chance
from chalicelib.results.recorder import LIFE_INTERVALS, PENDING_SECONDS, FlushPolicy, Recorder, in_a_thread
from chalicelib.results.store import MOST_COUNTERS
from chalicelib.results.tally import Block, Side, SideCounts, Tally
from chalicelib.runs.run import Run
from tests.support import NOW, Clock, FakeResultStore, a_recorder, a_run, with_hypothesis

RUN = a_run(duration_seconds=60.0)
OTHER = a_run("error_injection", token="2", duration_seconds=60.0)


@dataclass
class Active:
    """A run as it is active, and its own plan."""

    run: Run

    @property
    def run_id(self) -> str:
        return self.run.run_id

    @property
    def expires_at(self) -> float:
        return self.run.expires_at

    @property
    def aborts_itself(self) -> bool:
        return self.run.aborts_itself


@dataclass
class Hit:
    """One fault that hit a call, and what it reported."""

    plan: Active
    counters: Mapping[str, int]
    outcome: Outcome = PROCEED
    change: Change | None = None

    @property
    def applied(self) -> "Hit":
        return self


@dataclass(eq=False)
class ServedCall:
    """A call; `meets` are the ids of the runs that are about to hit it."""

    plans: list[Active]
    hits: list[Hit]
    meets: tuple[str, ...] = ()
    remaining_seconds: float = math.inf
    workers: int | None = None
    environment: str = "here"
    notes: tuple[tuple[Run, str], ...] = ()
    passages: tuple[Any, ...] = ()
    outcome: Outcome = PROCEED


def hit(run: Run = RUN, **counters: int) -> Hit:
    outcome = Answer(500, "injected_error", "") if "injected_errors" in counters else PROCEED
    return Hit(Active(run), counters or {"delay": 2_000_000}, outcome)


def count(recorder: Recorder, runs: list[Run], hits: list[Hit], status: int, seconds: float) -> None:
    recorder.count(ServedCall([Active(run) for run in runs], hits), status, seconds)


def begin(recorder: Recorder, runs: list[Run], *hits: Hit, **more: Any) -> ServedCall:
    """A call that has begun."""
    call = ServedCall([Active(run) for run in runs], list(hits), **more)
    if recorder.begin(call):
        recorder.flush_begun()
    return call


def flush_if_due(recorder: Recorder) -> None:
    """As a request does it in Lambda."""
    if recorder.is_flush_due():
        recorder.flush()


@pytest.fixture
def store() -> FakeResultStore:
    return FakeResultStore()


def test_a_request_flushes_at_once_where_nothing_was_flushed_for_an_interval(
    clock: Clock, store: FakeResultStore
) -> None:
    counted = a_recorder(clock, store)
    count(counted, [RUN], [], 200, 0.01)
    flush_if_due(counted)
    assert store.tallies[RUN.run_id].get("requests") == 1
    assert store.writes == 1


def test_there_is_one_write_an_interval_and_none_where_nothing_is_new(clock: Clock, store: FakeResultStore) -> None:
    counted = a_recorder(clock, store)
    for _ in range(100):
        count(counted, [RUN], [], 200, 0.01)
        flush_if_due(counted)
        clock.now += 0.01
    assert store.writes == 1
    clock.now += 1.0
    for _ in range(3):
        flush_if_due(counted)
    assert store.writes == 2
    assert store.tallies[RUN.run_id].get("requests") == 100
    assert not counted.is_waiting
    clock.now += 1.0
    flush_if_due(counted)
    assert store.writes == 2


def test_what_a_run_did_is_counted_for_that_run_alone(clock: Clock, store: FakeResultStore) -> None:
    counted = a_recorder(clock, store)
    count(counted, [RUN, OTHER], [hit(OTHER, injected_errors=1)], 500, 0.01)
    count(counted, [RUN, OTHER], [hit()], 200, 2.01)
    count(counted, [RUN, OTHER], [], 200, 0.01)
    counted.flush()
    first, second = store.tallies[RUN.run_id], store.tallies[OTHER.run_id]
    assert (first.get("requests"), first.requests("hit"), first.requests("untouched")) == (3, 1, 1)
    assert first.get("delay") == 2_000_000
    assert first.get("injected_errors") == 0
    assert (second.requests("hit"), second.get("injected_errors")) == (1, 1)


def test_what_a_call_notes_is_counted_for_the_run_that_it_is_about(clock: Clock, store: FakeResultStore) -> None:
    counted = a_recorder(clock, store)
    for notes in (((RUN, "matched"), (OTHER, "without_key")), ((RUN, "matched"),), ()):
        counted.count(ServedCall([Active(RUN), Active(OTHER)], [], notes=notes), 200, 0.01)
    counted.flush()
    first, second = store.tallies[RUN.run_id], store.tallies[OTHER.run_id]
    assert (first.get("matched"), first.get("without_key"), first.requests("untouched")) == (2, 0, 3)
    assert (second.get("matched"), second.get("without_key"), second.requests("untouched")) == (0, 1, 3)


def test_of_a_run_that_is_long_over_no_note_is_counted(clock: Clock, store: FakeResultStore) -> None:
    counted = a_recorder(clock, store)
    clock.now = RUN.expires_at + PENDING_SECONDS + 1
    counted.count(ServedCall([Active(RUN)], [], notes=((RUN, "matched"),)), 200, 0.01)
    counted.flush()
    assert store.tallies == {}


def test_what_faults_report_is_added_up(clock: Clock, store: FakeResultStore) -> None:
    counted = a_recorder(clock, store)
    for added in (40, 24):
        count(counted, [RUN], [hit(memory_mb=added, of_another_kind=1), hit(memory_mb=0)], 200, 0.01)
        counted.flush()
    assert store.tallies[RUN.run_id].get("memory_mb") == 64
    assert store.tallies[RUN.run_id].get("of_another_kind") == 2


def test_an_answer_that_is_lost_is_counted_once(clock: Clock, store: FakeResultStore) -> None:
    counted = a_recorder(clock, store)
    store.loses_answers = True
    for _ in range(3):
        count(counted, [RUN], [], 200, 0.01)
        counted.flush()
    store.loses_answers = False
    counted.flush()
    counted.flush()
    assert store.tallies[RUN.run_id].get("requests") == 3


def test_an_unreachable_table_is_asked_more_and_more_seldom_and_gets_everything_in_the_end(
    clock: Clock, store: FakeResultStore, caplog: pytest.LogCaptureFixture
) -> None:
    counted = a_recorder(clock, store)
    store.broken = True
    for _ in range(200):
        count(counted, [RUN, OTHER], [], 200, 0.01)
        flush_if_due(counted)
        clock.now += 0.1
    assert store.writes < 6  # and one of the two runs at a time
    assert "they are kept, and the flush is tried again: The table does not answer." in caplog.text
    store.broken = False
    clock.now += 8.0
    flush_if_due(counted)
    clock.now += 1.0
    flush_if_due(counted)
    assert {tally.get("requests") for tally in store.tallies.values()} == {200}


def test_a_request_that_has_waited_for_an_unreachable_table_does_not_wait_again(
    clock: Clock, store: FakeResultStore
) -> None:
    counted = a_recorder(clock, store)
    counted._is_unreachable = lambda: True
    count(counted, [RUN], [], 200, 0.01)
    flush_if_due(counted)
    assert store.writes == 0
    assert counted.is_waiting
    counted._is_unreachable = lambda: False
    flush_if_due(counted)
    assert store.tallies[RUN.run_id].get("requests") == 1


def test_what_nobody_wants_to_know_any_more_is_forgotten(clock: Clock, store: FakeResultStore) -> None:
    counted = a_recorder(clock, store)
    store.broken = True
    count(counted, [RUN], [], 200, 0.01)
    clock.now = RUN.expires_at + PENDING_SECONDS + 1
    counted.flush()
    assert not counted.is_waiting


def test_a_request_that_was_under_way_at_the_end_is_counted_all_the_same(clock: Clock, store: FakeResultStore) -> None:
    counted = a_recorder(clock, store)
    count(counted, [RUN], [], 200, 0.01)
    counted.flush()
    clock.now = RUN.expires_at + 30
    count(counted, [RUN], [], 200, 40.0)
    counted.flush()
    assert store.tallies[RUN.run_id].get("requests") == 2


def test_a_process_that_lives_on_flushes_by_a_timer_and_no_request_does(clock: Clock, store: FakeResultStore) -> None:
    timers: list[tuple[float, Callable[[], None]]] = []
    counted = a_recorder(clock, store, schedule=lambda seconds, call: timers.append((seconds, call)))
    for _ in range(5):
        count(counted, [RUN], [], 200, 0.01)
        flush_if_due(counted)
    assert store.writes == 0
    ((seconds, call),) = timers
    assert seconds == 1.0
    call()
    assert store.tallies[RUN.run_id].get("requests") == 5
    assert len(timers) == 1  # nothing is left to flush
    count(counted, [RUN], [], 200, 0.01)
    assert len(timers) == 2


def test_the_timer_goes_on_while_the_table_is_unreachable(clock: Clock, store: FakeResultStore) -> None:
    timers: list[tuple[float, Callable[[], None]]] = []
    counted = a_recorder(clock, store, schedule=lambda seconds, call: timers.append((seconds, call)))
    store.broken = True
    count(counted, [RUN], [], 200, 0.01)
    for _ in range(5):
        timers[-1][1]()
    assert [seconds for seconds, _ in timers] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_a_defect_in_what_is_called_on_a_flush_is_logged(
    clock: Clock, store: FakeResultStore, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(_run: Run, _counts: Mapping[str, int]) -> None:
        raise ZeroDivisionError

    counted = a_recorder(clock, store)
    counted._on_flush = [defect]
    count(counted, [RUN], [], 200, 0.01)
    counted.flush()
    assert "raised an exception" in caplog.text
    assert store.tallies[RUN.run_id].get("requests") == 1


def test_where_no_more_can_be_made_of_it_the_next_attempt_is_later(clock: Clock, store: FakeResultStore) -> None:
    def unreachable(_run: Run, _counts: Mapping[str, int]) -> None:
        raise StoreUnavailable("The table does not answer.")

    counted = a_recorder(clock, store)
    counted._on_flush = [unreachable]
    for _ in range(100):
        count(counted, [RUN], [], 200, 0.01)
        flush_if_due(counted)
        clock.now += 0.1
    assert store.writes == 3  # after 0, 2 and 6 seconds


def test_what_is_slow_is_waited_for_by_a_request_once_and_no_run_is_left_out(
    clock: Clock, store: FakeResultStore
) -> None:
    add, asked = store.add, []

    def slow(run: Run, counts: Mapping[str, int], **more: Any) -> None:
        clock.now += 0.3
        asked.append(run.run_id)
        add(run, counts, **more)

    store.add = slow  # type: ignore[method-assign]
    counted = a_recorder(clock, store)
    for _ in range(4):
        count(counted, [RUN, OTHER], [], 200, 0.01)
        flush_if_due(counted)
        clock.now += 1.0
    assert asked == [RUN.run_id, OTHER.run_id, RUN.run_id, OTHER.run_id]


def test_of_a_run_that_is_long_over_nothing_is_counted_any_more(clock: Clock, store: FakeResultStore) -> None:
    counted = a_recorder(clock, store)
    clock.now = RUN.expires_at + PENDING_SECONDS + 1
    count(counted, [RUN], [], 200, 700.0)
    counted.flush()
    assert store.writes == 0


def test_a_thread_that_cannot_be_started_is_tried_for_again(
    clock: Clock, store: FakeResultStore, caplog: pytest.LogCaptureFixture
) -> None:
    timers: list[Callable[[], None]] = []

    def exhausted(_seconds: float, _call: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    counted = a_recorder(clock, store, schedule=exhausted)
    count(counted, [RUN], [], 200, 0.01)
    assert "Could not schedule a flush of the request counts" in caplog.text
    counted._policy = FlushPolicy(interval_seconds=1.0, schedule=lambda _seconds, call: timers.append(call))
    count(counted, [RUN], [], 200, 0.01)
    timers[0]()
    assert store.tallies[RUN.run_id].get("requests") == 2


def test_there_is_one_timer_at_a_time(clock: Clock, store: FakeResultStore) -> None:
    timers: list[Callable[[], None]] = []
    counted = a_recorder(clock, store, schedule=lambda _seconds, call: timers.append(call))
    counted._on_flush = [lambda _run, _counts: count(counted, [RUN], [], 200, 0.01)]  # while it is being flushed
    count(counted, [RUN], [], 200, 0.01)
    timers[0]()
    assert len(timers) == 2


# What a hypothesis that may abort is judged by

JUDGED = replace(RUN, options={"hypothesis": {"max_error_rate": 0.01, "min_requests": 10, "abort": True}})


def timers_of(clock: Clock, store: FakeResultStore) -> tuple[Recorder, list[Callable[[], None]]]:
    """As in a server, whose timers a test lets go off."""
    timers: list[Callable[[], None]] = []
    return a_recorder(clock, store, schedule=lambda _seconds, call: timers.append(call)), timers


def tallied(store: FakeResultStore, clock: Clock, side: Side = "untouched", run: Run = RUN) -> SideCounts:
    return store.tallies[run.run_id].side_counts(side, run, clock.now)


def test_what_has_begun_is_open_until_it_is_answered(clock: Clock, store: FakeResultStore) -> None:
    counted, timers = timers_of(clock, store)
    first, _other, hit_by_it = begin(counted, [RUN]), begin(counted, [RUN]), begin(counted, [RUN], hit())
    begin(counted, [RUN, OTHER], hit(OTHER))  # on neither side
    begin(counted, [RUN], meets=(RUN.run_id,))
    timers.pop()()
    assert (tallied(store, clock).open, tallied(store, clock, "hit").open) == (2, 2)
    counted.count(first, 200, 0.1)
    counted.count(hit_by_it, 200, 0.1)
    timers.pop()()
    assert (tallied(store, clock).open, tallied(store, clock, "hit").open) == (1, 1)
    assert (tallied(store, clock).requests, tallied(store, clock, "hit").requests) == (1, 1)
    assert tallied(store, clock).died == 0


def test_a_process_with_open_calls_writes_every_few_seconds_that_it_lives(clock: Clock, store: FakeResultStore) -> None:
    counted, timers = timers_of(clock, store)
    call = begin(counted, [RUN])
    for _ in range(30):
        clock.now += 1.0
        timers.pop()()
        assert tallied(store, clock).died == 0
    assert store.writes == 10
    counted.count(call, 200, 30.0)
    timers.pop()()
    assert store.writes == 11
    assert not timers
    assert (tallied(store, clock).open, tallied(store, clock).requests) == (0, 1)


def test_what_is_open_in_a_process_that_is_gone_has_died(clock: Clock, store: FakeResultStore) -> None:
    counted, timers = timers_of(clock, store)
    clock.now += 7.5
    begin(counted, [RUN])
    begin(counted, [RUN], hit())
    timers.pop()()
    clock.now += LIFE_INTERVALS + 0.1
    untouched, was_hit = tallied(store, clock), tallied(store, clock, "hit")
    for side in (untouched, was_hit):
        assert (side.requests, side.errors, side.died, side.open) == (1, 1, 1, 0)
        assert [block for block in side.blocks if block.began] == [Block(began=1, errors=1, slow=0)]
        assert side.percentile(0.95) is None
    assert tallied(store, clock, run=with_hypothesis(RUN, p95_seconds=1.0)).slow == 1


def test_a_process_that_was_taken_for_dead_corrects_that(clock: Clock, store: FakeResultStore) -> None:
    counted, timers = timers_of(clock, store)
    call = begin(counted, [RUN])
    timers.pop()()
    clock.now += 40
    assert tallied(store, clock).died == 1
    counted.count(call, 200, 40.0)
    timers.pop()()
    assert (tallied(store, clock).died, tallied(store, clock).requests) == (0, 1)


def test_a_call_that_ends_without_an_answer_has_died(clock: Clock, store: FakeResultStore) -> None:
    counted = a_recorder(clock, store)
    for hits in ([], [hit()]):
        counted.count(ServedCall([Active(RUN)], hits), None, 3.0)  # type: ignore[arg-type]
    counted.flush()
    for side in ("untouched", "hit"):
        assert (tallied(store, clock, side).died, tallied(store, clock, side).errors) == (1, 1)  # type: ignore[arg-type]
    assert store.tallies[RUN.run_id].get("requests") == 0  # that were answered


def test_what_is_open_when_the_process_ends_dies_with_it(clock: Clock, store: FakeResultStore) -> None:
    counted, _timers = timers_of(clock, store)
    begin(counted, [RUN])
    begin(counted, [RUN], hit())
    begin(counted, [RUN, OTHER], hit(OTHER))
    counted.flush_last()
    assert (tallied(store, clock).died, tallied(store, clock, "hit").died, tallied(store, clock).open) == (1, 1, 0)


def test_in_lambda_a_call_is_known_to_have_begun_once_an_interval(clock: Clock, store: FakeResultStore) -> None:
    counted = a_recorder(clock, store)
    call = begin(counted, [RUN], remaining_seconds=30.0)
    assert (store.writes, tallied(store, clock).open) == (1, 1)
    clock.now += 0.5
    counted.count(call, 200, 0.5)
    flush_if_due(counted)  # although none is due: or it would be taken for dead
    assert (store.writes, tallied(store, clock).open, tallied(store, clock).requests) == (2, 0, 1)
    for _ in range(5):
        counted.count(begin(counted, [RUN], remaining_seconds=30.0), 200, 0.01)
        flush_if_due(counted)
    assert store.writes == 2
    clock.now += 1.0
    begin(counted, [RUN], remaining_seconds=30.0)
    assert tallied(store, clock).open == 1
    clock.now += 30.9
    assert tallied(store, clock).died == 0
    clock.now += 0.2
    assert tallied(store, clock).died == 1  # its time is over, and it did not answer


def test_an_invocation_that_does_not_say_its_time_may_last_as_long_as_one_can(
    clock: Clock, store: FakeResultStore
) -> None:
    class Timeless(ServedCall):
        @property
        def remaining_seconds(self) -> float:  # type: ignore[override]
            raise AttributeError("get_remaining_time_in_millis")

        @remaining_seconds.setter
        def remaining_seconds(self, _seconds: float) -> None:
            pass

    counted = a_recorder(clock, store)
    assert counted.begin(Timeless([Active(RUN)], []))
    counted.flush_begun()
    clock.now += 890
    assert (tallied(store, clock).open, tallied(store, clock).died) == (1, 0)
    clock.now += 20
    assert tallied(store, clock).died == 1


def test_a_table_that_does_not_know_who_has_begun_delays_no_second_call(clock: Clock, store: FakeResultStore) -> None:
    counted = a_recorder(clock, store)
    store.broken = True
    for _ in range(10):
        counted.count(begin(counted, [RUN]), 200, 0.01)
    assert store.writes == 1
    counted._is_unreachable = lambda: True
    clock.now += 100
    begin(counted, [RUN])
    assert store.writes == 1


def test_nothing_is_lost_where_the_answer_to_who_has_begun_is_lost(clock: Clock, store: FakeResultStore) -> None:
    counted = a_recorder(clock, store)
    store.loses_answers = True
    call = begin(counted, [RUN])
    store.loses_answers = False
    counted.count(call, 200, 0.01)
    counted.flush()
    assert (tallied(store, clock).requests, tallied(store, clock).open) == (1, 0)


def test_a_long_silence_is_added_in_parts_and_each_of_them_once(clock: Clock, store: FakeResultStore) -> None:
    counted, _timers = timers_of(clock, store)
    for number in range(2 * MOST_COUNTERS):
        counted.count(ServedCall([Active(RUN)], [hit(**{f"counter{number}": 1})]), 200, 0.01)
    begin(counted, [RUN])
    flushed: list[Mapping[str, int]] = []
    counted._on_flush = [lambda _run, counts: flushed.append(counts)]
    store.loses_answers = True
    for _ in range(3):
        counted.flush()
    assert flushed == []
    store.loses_answers = False
    counted.flush()
    assert store.tallies[RUN.run_id].counts == flushed[0]
    assert [store.tallies[RUN.run_id].get(f"counter{number}") for number in range(2 * MOST_COUNTERS)] == [1] * 500
    assert (tallied(store, clock, "hit").requests, tallied(store, clock).open) == (500, 1)


@pytest.mark.parametrize("in_lambda", [True, False], ids=["lambda", "server"])
def test_errors_that_are_faster_than_successes_are_no_failure(*, in_lambda: bool) -> None:
    """Eight of a thousand fail, ten may; a failure is answered after 10 ms, a success after 2 s."""
    hypothesis = JUDGED.hypothesis
    assert hypothesis
    for seed in range(5):
        for tally, now in islice(_flushed_by(seed, in_lambda=in_lambda), 0, None, 50):
            assert not fails_beyond_chance(hypothesis, tally, JUDGED, now)


def _flushed_by(seed: int, *, in_lambda: bool) -> Iterator[tuple[Tally, float]]:
    """What the table knows, and when, after each answer, of 2,000 requests at a time for 4 seconds."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    clock, store = Clock(), FakeResultStore()
    events: list[tuple[float, int, Callable[[], None]]] = []
    order = numbers()

    def at(moment: float, call: Callable[[], None]) -> None:
        heapq.heappush(events, (moment, next(order), call))

    def serve(counted: Recorder) -> None:
        failed = chance.random() < 0.008
        seconds = 0.01 if failed else 2.0
        call = begin(counted, [JUDGED])

        def answer() -> None:
            counted.count(call, 500 if failed else 200, seconds)
            flush_if_due(counted)
            serve(counted)

        at(clock.now + seconds, answer)

    schedule = None if in_lambda else (lambda seconds, call: at(clock.now + seconds, call))
    for number in range(2000 if in_lambda else 4):
        counted = a_recorder(clock, store, schedule=schedule)
        counted._process = f"{number}"
        for _ in range(1 if in_lambda else 500):
            at(NOW + chance.random() * 0.5, partial(serve, counted))
    while events[0][0] < NOW + 4:
        clock.now, _, call = heapq.heappop(events)
        call()
        if JUDGED.run_id in store.tallies:
            yield store.tallies[JUDGED.run_id], clock.now


def test_only_one_flushes_at_a_time(clock: Clock, store: FakeResultStore) -> None:
    counted = a_recorder(clock, store)
    counted._on_flush = [lambda _run, _counts: counted.flush()]
    count(counted, [RUN], [], 200, 0.01)
    counted.flush()
    assert store.writes == 1


def test_later_is_in_a_thread_that_does_not_keep_the_process() -> None:
    done = threading.Event()
    in_a_thread(0.0, done.set)
    assert done.wait(5)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "chaos-results")


def test_the_last_flush_follows_the_one_that_is_under_way(clock: Clock) -> None:
    writing, release = threading.Event(), threading.Event()

    class SlowStore(FakeResultStore):
        def add(self, run: Run, counts: Mapping[str, int], **more: Any) -> None:
            writing.set()
            release.wait(30)
            super().add(run, counts, **more)

    store = SlowStore()
    recorder = a_recorder(clock, store, schedule=lambda _seconds, _call: None)
    recorder.count(ServedCall([Active(RUN)], []), 200, 0.1)
    under_way = threading.Thread(target=recorder.flush)
    under_way.start()
    writing.wait(30)
    recorder.count(ServedCall([Active(RUN)], []), 200, 0.1)
    threading.Timer(0.1, release.set).start()
    recorder.flush_last()
    under_way.join()
    assert store.tallies[RUN.run_id].requests("untouched") == 2


@pytest.mark.timeout(60)
def test_many_threads_and_a_table_that_loses_answers_lose_nothing(clock: Clock) -> None:
    """What clients counted, as 8 threads serve while flushes go on, and every third answer of the table is lost."""
    lock, chance = threading.Lock(), random.Random(1)  # noqa: S311 - not for secrets

    class LossyStore(FakeResultStore):
        def add(self, run: Run, counts: Mapping[str, int], **more: Any) -> None:
            with lock:
                super().add(run, counts, **more)
                if chance.random() < 1 / 3:
                    raise StoreUnavailable("The answer was lost.")

    store = LossyStore()
    counted, timers = timers_of(clock, store)

    def serve(number: int) -> None:
        for _ in range(500):
            call = begin(counted, [RUN, OTHER])
            if number % 2:
                call.hits.append(hit())
            counted.count(call, 200, 0.01)

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or timers:  # in this order: who ends may leave a timer
        if timers:
            timers.pop()()
    for run in (RUN, OTHER):
        assert store.tallies[run.run_id].get("requests") == 4000
    assert (tallied(store, clock).requests, tallied(store, clock, "hit").requests) == (2000, 2000)
    assert (tallied(store, clock).open, tallied(store, clock, "hit").open) == (0, 0)


@pytest.mark.parametrize(("has_workers", "queues"), [(True, True), (False, False)], ids=["no-threads", "lambda"])
def test_requests_queue_for_a_server_in_which_requests_flush(
    clock: Clock, store: FakeResultStore, *, has_workers: bool, queues: bool
) -> None:
    """A server without threads flushes as Lambda does, and its one worker has a queue nevertheless."""
    counted = a_recorder(clock, store, has_workers=has_workers)
    count(counted, [RUN], [], 200, 0.01)
    for _ in range(3):
        call = begin(counted, [RUN], hit(), workers=1)
        clock.now += 2.0
        counted.count(call, 200, 2.0)
        flush_if_due(counted)
    assert store.tallies[RUN.run_id].side_counts("untouched", RUN, clock()).times_leave_out_queue is queues


def test_a_server_without_threads_that_knows_its_time_limit_is_soon_known_to_be_dead(
    clock: Clock, store: FakeResultStore
) -> None:
    counted = a_recorder(clock, store, longest_call_seconds=10.0)
    begin(counted, [RUN])
    tally = store.tallies[RUN.run_id]
    assert tally.side_counts("untouched", RUN, NOW + 11.0).died == 0
    assert tally.side_counts("untouched", RUN, NOW + 11.1).died == 1


def test_a_call_that_queued_counts_in_the_part_in_which_it_was_open(clock: Clock, store: FakeResultStore) -> None:
    """A part of the run's life that is over gets no further calls: the abort has judged it."""
    counted = a_recorder(clock, store)
    clock.now = RUN.started_at + 10.5
    call = begin(counted, [RUN])
    before = [block.began for block in store.tallies[RUN.run_id].side_counts("untouched", RUN, NOW + 100).blocks]
    clock.now += 0.1
    counted.count(call, 200, 8.0)  # since it arrived
    counted.flush()
    counts = store.tallies[RUN.run_id].side_counts("untouched", RUN, NOW + 100)
    assert [block.began for block in counts.blocks] == before
    assert before[10] == 1
    assert counts.percentile(0.95) == pytest.approx(8.0, rel=0.2)


def test_after_a_failure_the_table_is_settled_when_every_process_that_lives_has_written_again(
    store: FakeResultStore, clock: Clock
) -> None:
    recorder = a_recorder(clock, store)
    assert recorder.is_table_settled
    store.broken = True
    count(recorder, [RUN], [hit()], 200, 0.1)
    recorder.flush()
    store.broken = False
    settled = []
    for seconds in (0.0, 1.0, 9.0, 1.5):
        clock.now += seconds
        recorder.flush()
        settled.append(recorder.is_table_settled)
    assert settled == [False, False, False, True]


class Slowed(Change):
    """A change that lets the application's answer be its own."""

    def part(self, data: bytes) -> list[bytes]:
        return [data]


@pytest.mark.parametrize(
    ("hits", "groups"),
    [
        ([Hit(Active(RUN), {}, DISCONNECT)], {"injected": 1}),
        ([Hit(Active(RUN), {}, PROCEED, Cut(5))], {"injected": 1}),
        ([Hit(Active(RUN), {}, PROCEED, Slowed())], {"hit": 1}),
        ([hit(), Hit(Active(OTHER), {}, DISCONNECT)], {"displaced": 1}),
        ([hit(), Hit(Active(OTHER), {}, PROCEED, Cut(5))], {"displaced": 1}),
        ([hit(injected_errors=1)], {"injected": 1}),
        ([hit()], {"hit": 1}),
    ],
)
def test_what_a_run_answers_drops_or_replaces_is_no_answer_of_the_application(
    clock: Clock, store: FakeResultStore, hits: list[Hit], groups: dict[str, int]
) -> None:
    counted = a_recorder(clock, store)
    count(counted, [RUN], hits, 0, 0.01)
    counted.flush()
    tally = store.tallies[RUN.run_id]
    assert {group: tally.get(f"{group}.0xx") for group in groups} == groups
    assert tally.statuses("hit") == {"0xx": 1}
    assert [part.errors for part in tally.timeline(RUN)] == [0]


def test_a_flush_that_the_host_ends_keeps_nobody_from_flushing(
    clock: Clock, store: FakeResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[Callable[[], None]] = []
    counted = a_recorder(clock, store, schedule=lambda _seconds, call: timers.append(call))
    count(counted, [RUN], [], 200, 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(counted, "flush", lambda: (_ for _ in ()).throw(GeneratorExit))  # as gevent's killall
        with pytest.raises(GeneratorExit):
            timers[-1]()
    timers[-1]()
    assert store.tallies[RUN.run_id].get("requests") == 1
