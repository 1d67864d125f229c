"""Each promise of the snapshot: the figures are those that operators rely on."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count

import pytest

from chalicelib.injection.snapshot import Snapshot
from chalicelib.runs.run import Run
from tests.support import NOW, Clock, FakeRunStore, a_run

HUNG = 30
"""Seconds after which a thread that should have returned is given up."""


@pytest.fixture
def run() -> Run:
    return a_run(duration_seconds=600)


@pytest.fixture
def store() -> FakeRunStore:
    return FakeRunStore()


@pytest.fixture
def running(store: FakeRunStore, run: Run) -> FakeRunStore:
    """The store, with the run in it."""
    store.start([run], now=NOW)
    return store


@pytest.fixture
def snapshot(store: FakeRunStore, clock: Clock) -> Snapshot:
    return Snapshot(store.latest, clock)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


class BlockedRead:
    """A read that says when it has begun, and ends when it is let go."""

    def __init__(self, read: Callable[[], Sequence[Run]]) -> None:
        self._read = read
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.count = 0

    def __call__(self) -> Sequence[Run]:
        self.count += 1
        found = self._read()
        self.begun.set()
        assert self.let_go.wait(HUNG)
        return found


def stop(store: FakeRunStore, run: Run, clock: Clock) -> None:
    assert store.stop(run.ended(now=clock.now, by="grace", reason=None))


# How soon a change is seen


def test_a_stop_is_seen_at_the_next_refresh(running: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock) -> None:
    assert snapshot.get() == (run,)
    stop(running, run, clock)
    clock.now = NOW + 0.999
    assert snapshot.get() == (run,)
    clock.now = NOW + 1
    assert snapshot.get() == ()


def test_a_start_is_seen_within_five_seconds_where_nothing_was_running(
    store: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock
) -> None:
    assert snapshot.get() == ()
    store.start([run], now=NOW)
    clock.now = NOW + 4.999
    assert snapshot.get() == ()
    clock.now = NOW + 5
    assert snapshot.get() == (run,)


def test_a_start_is_seen_within_a_second_where_something_is_running(
    running: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock
) -> None:
    assert snapshot.get() == (run,)
    other = a_run("error_injection")
    running.start([other], now=NOW)
    clock.now = NOW + 1
    assert snapshot.get() == (run, other)


def test_an_expiry_is_obeyed_at_once_and_without_a_read(store: FakeRunStore, snapshot: Snapshot, clock: Clock) -> None:
    short, long = a_run(duration_seconds=0.5), a_run("error_injection", duration_seconds=60)
    store.runs = {"short": short, "long": long}
    assert snapshot.get() == (short, long)
    clock.now = NOW + 0.499
    assert snapshot.get() == (short, long)
    clock.now = NOW + 0.5
    assert snapshot.get() == (long,)
    assert store.reads == 1


def test_runs_that_were_over_when_they_were_read_are_not_active(
    running: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock
) -> None:
    clock.now = NOW + 600
    assert snapshot.get() == ()


def test_a_glance_never_reads_and_says_whose_turn_it_is(
    running: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock
) -> None:
    assert snapshot.cached() is None
    assert running.reads == 0
    snapshot.get()
    assert snapshot.cached() == (run,)
    clock.now = NOW + 1.0
    assert snapshot.cached() is None
    assert running.reads == 1


def test_a_glance_while_another_thread_reads_is_what_is_known(
    running: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock
) -> None:
    snapshot.get()
    clock.now = NOW + 1.5
    with snapshot._reading:
        assert snapshot.cached() == (run,)
        clock.now = NOW + 3.0
        assert snapshot.cached() == ()


def test_the_intervals_are_those_that_the_settings_say(store: FakeRunStore, run: Run, clock: Clock) -> None:
    snapshot = Snapshot(store.latest, clock, refresh_seconds=0.5, idle_refresh_seconds=2, max_staleness_seconds=1)
    times = []
    for after in (0, 1.75, 2, 2.25, 2.5, 2.75, 3):
        clock.now = NOW + after
        snapshot.get()
        store.runs = {"latency_injection": run}
        times.append(store.reads)
    assert times == [1, 1, 2, 2, 3, 3, 4]
    store.broken = True
    clock.now = NOW + 3.75
    assert snapshot.get() == (run,)
    clock.now = NOW + 4
    assert snapshot.get() == ()


# How often the table is read


def test_there_is_no_read_and_no_thread_without_traffic(clock: Clock, store: FakeRunStore) -> None:
    before = threading.active_count()
    Snapshot(store.latest, clock)
    clock.now += 3600
    assert (store.reads, threading.active_count()) == (0, before)


@pytest.mark.parametrize(("runs", "reads"), [(1, 11), (0, 3)])
def test_there_is_one_read_an_interval_whatever_the_load(
    store: FakeRunStore, snapshot: Snapshot, clock: Clock, *, runs: int, reads: int
) -> None:
    store.runs = {str(number): a_run(duration_seconds=600) for number in range(runs)}
    for quarter in range(41):
        clock.now = NOW + quarter / 4
        for _ in range(25):
            snapshot.get()
    assert store.reads == reads


def test_there_is_one_read_an_interval_whatever_the_number_of_threads(
    running: FakeRunStore, snapshot: Snapshot, run: Run, pool: ThreadPoolExecutor
) -> None:
    together = threading.Barrier(16)

    def serve() -> tuple[Run, ...]:
        together.wait(HUNG)
        return [snapshot.get() for _ in range(100)][-1]

    served = [pool.submit(serve) for _ in range(16)]
    assert {one.result(HUNG) for one in served} == {(run,)}
    assert running.reads == 1


def test_the_others_do_not_queue_behind_the_reading_but_go_on_with_what_is_known(
    running: FakeRunStore, run: Run, clock: Clock, pool: ThreadPoolExecutor
) -> None:
    blocked = BlockedRead(running.latest)
    reads = iter([running.latest, blocked])

    def read() -> Sequence[Run]:
        return next(reads)()

    snapshot = Snapshot(read, clock)
    assert snapshot.get() == (run,)
    clock.now = NOW + 1
    stop(running, run, clock)
    refresher = pool.submit(snapshot.get)
    try:
        assert blocked.begun.wait(HUNG)
        others = [pool.submit(snapshot.get) for _ in range(10)]
        assert [other.result(HUNG) for other in others] == [(run,)] * 10
        assert not refresher.done()
    finally:
        blocked.let_go.set()
    assert refresher.result(HUNG) == ()
    assert snapshot.get() == ()
    assert blocked.count == 1


def test_before_the_first_read_has_answered_the_others_go_on_untouched(
    running: FakeRunStore, run: Run, clock: Clock, pool: ThreadPoolExecutor
) -> None:
    blocked = BlockedRead(running.latest)
    snapshot = Snapshot(blocked, clock)
    refresher = pool.submit(snapshot.get)
    try:
        assert blocked.begun.wait(HUNG)
        assert pool.submit(snapshot.get).result(HUNG) == ()
    finally:
        blocked.let_go.set()
    assert refresher.result(HUNG) == snapshot.get() == (run,)
    assert blocked.count == 1


# The table does not answer


def test_a_first_read_that_fails_is_logged_and_nothing_is_active(
    running: FakeRunStore, snapshot: Snapshot, caplog: pytest.LogCaptureFixture
) -> None:
    running.broken = True
    assert snapshot.get() == ()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "Could not read which experiments are active (failure 1 in a row, next attempt in 1.0 s): " in caplog.text
    assert "The table does not answer." in caplog.text


def test_known_runs_go_on_for_three_seconds_from_the_last_good_read_then_nothing_is_injected(
    running: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock
) -> None:
    assert snapshot.get() == (run,)
    running.broken = True
    for after, expected in ((1, (run,)), (1.5, (run,)), (2.999, (run,)), (3, ()), (60, ())):
        clock.now = NOW + after
        assert snapshot.get() == expected, after


def test_a_known_run_still_expires_by_the_clock_while_the_table_is_silent(
    store: FakeRunStore, snapshot: Snapshot, clock: Clock
) -> None:
    store.start([a_run(duration_seconds=2)], now=NOW)
    assert snapshot.get()
    store.broken = True
    clock.now = NOW + 1.999
    assert snapshot.get()
    clock.now = NOW + 2
    assert snapshot.get() == ()


def attempts(snapshot: Snapshot, store: FakeRunStore, clock: Clock, *, quarters: int) -> list[float]:
    """When the table was asked, in seconds from the beginning, with a request every quarter of a second."""
    times = []
    for quarter in range(quarters):
        clock.now = NOW + quarter / 4
        before = store.reads
        snapshot.get()
        times += [quarter / 4] * (store.reads - before)
    return times


def test_failing_reads_back_off_up_to_the_idle_interval(store: FakeRunStore, snapshot: Snapshot, clock: Clock) -> None:
    store.broken = True
    assert attempts(snapshot, store, clock, quarters=23 * 4) == [0, 1, 3, 7, 12, 17, 22]


def test_the_pause_begins_when_the_failing_read_has_ended(store: FakeRunStore, clock: Clock) -> None:
    def slow() -> Sequence[Run]:
        clock.sleep(0.25)
        return store.latest()

    store.broken = True
    snapshot = Snapshot(slow, clock)
    snapshot.get()
    clock.now = NOW + 1.249
    snapshot.get()
    assert store.reads == 1
    clock.now = NOW + 1.25
    snapshot.get()
    assert store.reads == 2


def test_no_two_requests_pay_for_one_silence(running: FakeRunStore, clock: Clock, pool: ThreadPoolExecutor) -> None:
    running.broken = True
    begun, let_go = threading.Event(), threading.Event()

    def read() -> Sequence[Run]:
        begun.set()
        assert let_go.wait(HUNG)
        return running.latest()

    snapshot = Snapshot(read, clock)
    first = pool.submit(snapshot.get)
    assert begun.wait(HUNG)
    tests = [pool.submit(snapshot.get_fresh) for _ in range(5)]  # these queue, but do not pay again
    let_go.set()
    assert [each.result(HUNG) for each in (first, *tests)] == [()] * 6
    assert running.reads == 1


def test_years_of_failures_do_no_harm(store: FakeRunStore, snapshot: Snapshot, clock: Clock) -> None:
    store.broken = True
    for _ in range(2000):
        clock.now += 5
        assert snapshot.get() == ()
    assert store.reads == 2000


def test_once_the_table_answers_again_its_runs_are_injected_and_the_pauses_begin_anew(
    running: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock
) -> None:
    running.broken = True
    attempts(snapshot, running, clock, quarters=4 * 4)  # fails at 0, 1 and 3: to be tried again at 7
    running.broken = False
    clock.now = NOW + 6.999
    assert snapshot.get() == ()
    clock.now = NOW + 7
    assert snapshot.get() == (run,)
    running.broken, running.reads = True, 0
    for after in (8, 8.999, 9, 10.999, 11):
        clock.now = NOW + after
        snapshot.get()
    assert running.reads == 3


def test_whatever_a_read_raises_goes_no_further(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    def defective() -> Sequence[Run]:
        raise ZeroDivisionError("a defect")

    snapshot = Snapshot(defective, clock)
    assert snapshot.get() == snapshot.get_fresh() == ()
    assert "a defect" in caplog.text


# The clock


def test_a_clock_that_steps_back_is_followed_by_one_read_and_the_usual_interval(
    running: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock
) -> None:
    assert snapshot.get() == (run,)
    clock.now = NOW - 3600
    assert [snapshot.get() for _ in range(3)] == [(run,)] * 3
    assert running.reads == 2
    clock.now = NOW - 3599
    stop(running, run, clock)
    assert snapshot.get() == ()
    assert running.reads == 3


def test_a_clock_that_steps_back_while_nothing_runs_does_not_put_a_start_off(
    store: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock
) -> None:
    assert snapshot.get() == ()
    clock.now = NOW - 3600
    assert snapshot.get() == ()
    store.start([run], now=NOW - 3600)
    clock.now = NOW - 3595
    assert snapshot.get() == (run,)


def test_a_clock_that_steps_back_while_the_table_is_silent_does_not_put_the_next_attempt_off(
    running: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock
) -> None:
    running.broken = True
    assert snapshot.get() == ()
    running.broken = False
    clock.now = NOW - 3600
    assert snapshot.get() == (run,)


def test_what_was_read_in_a_future_that_the_clock_took_back_is_not_trusted_while_the_table_is_silent(
    running: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock
) -> None:
    assert snapshot.get() == (run,)
    running.broken = True
    clock.now = NOW - 60
    assert snapshot.get() == ()


@pytest.mark.parametrize("frozen_seconds", [1, 60, 599])
def test_the_first_request_after_a_freeze_reads_before_anything_is_injected(
    running: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock, frozen_seconds: float
) -> None:
    assert snapshot.get() == (run,)
    stop(running, run, clock)
    clock.now = NOW + frozen_seconds
    assert snapshot.get() == ()
    assert running.reads == 2


def test_after_a_freeze_a_table_that_does_not_answer_means_that_nothing_is_injected(
    running: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock
) -> None:
    assert snapshot.get() == (run,)
    running.broken = True
    clock.now = NOW + 60
    assert snapshot.get() == ()


@pytest.mark.parametrize("ask", [Snapshot.get, Snapshot.get_fresh])
def test_an_answer_whose_question_was_asked_before_a_freeze_is_not_trusted_but_asked_for_anew(
    running: FakeRunStore, run: Run, clock: Clock, ask: Callable[[Snapshot], tuple[Run, ...]]
) -> None:
    freezes = iter([60.0])

    def read() -> Sequence[Run]:
        found = running.latest()
        if seconds := next(freezes, 0):
            clock.now += seconds
            stop(running, run, clock)
        return found

    snapshot = Snapshot(read, clock)
    assert ask(snapshot) == ()
    assert running.reads == 2


@pytest.mark.parametrize("ask", [Snapshot.get, Snapshot.get_fresh])
def test_a_first_read_that_took_longer_than_it_is_trusted_is_made_again_for_the_same_request(
    running: FakeRunStore, run: Run, clock: Clock, ask: Callable[[Snapshot], tuple[Run, ...]]
) -> None:
    """In a cold environment, which imports meanwhile."""
    seconds = iter([3.5])

    def read() -> Sequence[Run]:
        clock.now += next(seconds, 0.1)
        return running.latest()

    snapshot = Snapshot(read, clock)
    assert ask(snapshot) == (run,)
    assert running.reads == 2
    assert snapshot.get() == (run,)
    assert running.reads == 2


def test_a_table_that_always_takes_longer_is_asked_twice_and_then_once(running: FakeRunStore, clock: Clock) -> None:
    def read() -> Sequence[Run]:
        clock.now += 3.5
        return running.latest()

    snapshot = Snapshot(read, clock)
    assert snapshot.get() == ()
    assert running.reads == 2
    assert snapshot.get() == ()
    assert running.reads == 3


# Reading afresh


def test_refresh_sees_a_start_at_once(store: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock) -> None:
    assert snapshot.get() == ()
    store.start([run], now=NOW)
    assert snapshot.get() == ()
    assert snapshot.get_fresh() == (run,)
    assert snapshot.get() == (run,)
    assert store.reads == 2


def test_refresh_reads_each_time_it_is_called(store: FakeRunStore, snapshot: Snapshot) -> None:
    for _ in range(3):
        snapshot.get_fresh()
    assert store.reads == 3


def test_refresh_does_not_ask_a_table_that_is_known_to_be_silent(
    running: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock
) -> None:
    assert snapshot.get() == (run,)
    running.broken = True
    clock.now = NOW + 1
    assert snapshot.get_fresh() == snapshot.get_fresh() == (run,)
    assert running.reads == 2
    clock.now = NOW + 2
    running.broken = False
    assert snapshot.get_fresh() == (run,)
    assert running.reads == 3


def test_callers_that_refresh_together_share_one_read_that_began_after_they_asked(
    store: FakeRunStore, run: Run, pool: ThreadPoolExecutor
) -> None:
    asked, moments = threading.Semaphore(0), count()

    def clock() -> float:
        moment = next(moments)  # never the same twice
        asked.release()
        return NOW + moment / 1024

    blocked = BlockedRead(store.latest)
    snapshot = Snapshot(blocked, clock)
    first = pool.submit(snapshot.get_fresh)
    assert blocked.begun.wait(HUNG)
    while asked.acquire(blocking=False):
        pass
    store.start([run], now=NOW)
    others: list[Future[tuple[Run, ...]]] = [pool.submit(snapshot.get_fresh) for _ in range(8)]
    for _ in others:
        assert asked.acquire(timeout=HUNG)  # all eight have asked; the read under way began before that
    blocked.let_go.set()
    first.result(HUNG)
    assert {other.result(HUNG) for other in others} == {(run,)}
    assert blocked.count == 2


def test_after_a_change_by_this_process_the_next_request_reads(
    running: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock
) -> None:
    assert snapshot.get() == (run,)
    stop(running, run, clock)
    snapshot.invalidate()
    assert running.reads == 1
    assert [snapshot.get() for _ in range(2)] == [(), ()]
    assert running.reads == 2


def test_a_change_by_this_process_does_not_cut_a_back_off_short(
    running: FakeRunStore, snapshot: Snapshot, run: Run, clock: Clock
) -> None:
    assert snapshot.get() == (run,)
    running.broken = True
    clock.now = NOW + 1
    snapshot.get()
    snapshot.invalidate()
    assert snapshot.get() == (run,)
    assert running.reads == 2


def test_a_read_that_began_before_a_change_by_this_process_does_not_hide_it(
    store: FakeRunStore, run: Run, clock: Clock, pool: ThreadPoolExecutor
) -> None:
    blocked = BlockedRead(store.latest)
    snapshot = Snapshot(blocked, clock)
    refresher = pool.submit(snapshot.get)
    assert blocked.begun.wait(HUNG)
    store.start([run], now=NOW)
    changer = pool.submit(snapshot.invalidate)
    blocked.let_go.set()
    changer.result(HUNG)
    refresher.result(HUNG)
    assert snapshot.get() == (run,)


# What a fault in one of the promises above once looked like


def test_a_clock_that_steps_back_during_a_read_does_not_blind_the_process(store: FakeRunStore, clock: Clock) -> None:
    steps = iter([3600.0])

    def read() -> Sequence[Run]:
        found = store.latest()
        clock.now -= next(steps, 0)
        return found

    snapshot = Snapshot(read, clock)
    snapshot.get()
    run = a_run(now=clock.now, duration_seconds=600)
    store.start([run], now=clock.now)
    clock.now += 5
    assert snapshot.get() == (run,)


def test_a_thread_that_is_late_does_not_hide_what_has_been_read_since(
    store: FakeRunStore, clock: Clock, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(duration_seconds=600)
    read = BlockedRead(store.latest)
    read.let_go.set()
    store.start([run], now=NOW)
    snapshot = Snapshot(read, clock)
    snapshot.get()
    clock.now += 1
    store.runs.clear()
    read.begun.clear()
    read.let_go.clear()
    refresher = pool.submit(snapshot.get)
    assert read.begun.wait(HUNG)
    late, go_on = threading.Event(), threading.Event()
    is_active = Run.is_active

    def slowly(self: Run, now: float) -> bool:
        late.set()
        assert go_on.wait(HUNG)
        return is_active(self, now)

    monkeypatch.setattr(Run, "is_active", slowly)
    other = pool.submit(snapshot.get)
    assert late.wait(HUNG)
    read.let_go.set()
    assert refresher.result(HUNG) == ()
    go_on.set()
    assert other.result(HUNG) == (run,)  # it asked before the stop was known
    assert snapshot.get() == ()


def test_how_long_it_stays_fresh_is_at_least_a_moment(snapshot: Snapshot, clock: Clock) -> None:
    assert snapshot.seconds_until_stale() == 0.05
    snapshot.get()
    assert snapshot.seconds_until_stale() == 5.0
    clock.now += 4
    assert snapshot.seconds_until_stale() == 1.0
