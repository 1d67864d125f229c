"""Each promise of the snapshot, by a scripted clock and a store that counts."""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from chalicelib.runs.run import Run
from chalicelib.runs.snapshot import Snapshot
from tests.support import NOW, Clock, FakeRunStore, a_run


@pytest.fixture
def store() -> FakeRunStore:
    return FakeRunStore()


@pytest.fixture
def snapshot(store: FakeRunStore, clock: Clock) -> Snapshot:
    return Snapshot(store.latest, clock)


@pytest.fixture
def run(store: FakeRunStore) -> Run:
    """A run of an hour, in the store from the beginning."""
    started = a_run(duration_seconds=3600.0)
    store.start(started, now=NOW)
    return started


def test_nothing_is_read_before_somebody_asks(snapshot: Snapshot, store: FakeRunStore) -> None:
    assert snapshot
    assert store.reads == 0


def test_a_stop_is_obeyed_within_a_second(snapshot: Snapshot, store: FakeRunStore, clock: Clock, run: Run) -> None:
    assert snapshot.active() == (run,)
    store.stop(run.ended(now=clock.now + 0.001, by="ada", reason=None))
    clock.now += 0.999
    assert snapshot.active() == (run,)
    clock.now += 0.001
    assert snapshot.active() == ()


def test_a_start_is_felt_within_five_seconds_when_nothing_ran(
    snapshot: Snapshot, store: FakeRunStore, clock: Clock
) -> None:
    assert snapshot.active() == ()
    run = a_run(duration_seconds=3600.0)
    store.start(run, now=NOW)
    clock.now += 4.999
    assert snapshot.active() == ()
    clock.now += 0.001
    assert snapshot.active() == (run,)


def test_a_start_is_felt_within_a_second_when_something_ran(
    snapshot: Snapshot, store: FakeRunStore, clock: Clock, run: Run
) -> None:
    snapshot.active()
    second = a_run("error_injection", duration_seconds=3600.0)
    store.start(second, now=NOW)
    clock.now += 1
    assert snapshot.active() == (run, second)


def test_an_expiry_is_obeyed_at_once_without_asking_anybody(
    snapshot: Snapshot, store: FakeRunStore, clock: Clock
) -> None:
    run = a_run(duration_seconds=0.5)
    store.start(run, now=NOW)
    assert snapshot.active() == (run,)
    clock.now = run.expires_at
    assert snapshot.active() == ()
    assert store.reads == 1


@pytest.mark.parametrize(("running", "interval"), [(True, 1), (False, 5)])
def test_one_read_an_interval_whatever_the_load(
    snapshot: Snapshot, store: FakeRunStore, clock: Clock, *, running: bool, interval: int
) -> None:
    if running:
        store.start(a_run(duration_seconds=3600.0), now=NOW)
    for _ in range(10_000):
        snapshot.active()
        clock.now += 0.01  # 100 seconds in all
    assert store.reads <= 100 / interval + 1


def test_one_thread_reads_and_the_others_do_not_wait_for_it(clock: Clock, run: Run) -> None:
    reading, answer = threading.Event(), threading.Event()
    reads = []

    def slow() -> Sequence[Run]:
        reads.append(threading.get_ident())
        if len(reads) > 1:
            reading.set()
            assert answer.wait(30)
        return [run]

    snapshot = Snapshot(slow, clock)
    snapshot.active()
    clock.now += 1
    with ThreadPoolExecutor(9) as pool:
        refresher = pool.submit(snapshot.active)
        assert reading.wait(30)
        others = [pool.submit(snapshot.active) for _ in range(8)]
        assert [other.result(30) for other in others] == [(run,)] * 8  # while the read is under way
        assert not refresher.done()
        answer.set()
        assert refresher.result(30) == (run,)
    assert len(reads) == 2


def test_many_threads_at_once_read_once(clock: Clock, store: FakeRunStore) -> None:
    snapshot = Snapshot(store.latest, clock)
    together = threading.Barrier(16)

    def ask() -> None:
        together.wait(30)
        snapshot.active()

    with ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(ask) for _ in range(16)]:
            future.result(30)
    assert store.reads == 1


def test_known_runs_go_on_for_three_seconds_when_the_table_is_silent(
    snapshot: Snapshot, store: FakeRunStore, clock: Clock, run: Run
) -> None:
    snapshot.active()
    store.broken = True
    clock.now = NOW + 2.999
    assert snapshot.active() == (run,)
    clock.now = NOW + 3
    assert snapshot.active() == ()


def test_attempts_at_a_silent_table_become_rarer(snapshot: Snapshot, store: FakeRunStore, clock: Clock) -> None:
    store.broken = True
    attempts = []
    for _ in range(2_300):
        before = store.reads
        snapshot.active()
        if store.reads > before:
            attempts.append(round(clock.now - NOW, 2))
        clock.now = round(clock.now + 0.01, 2)
    pauses = [round(after - before, 1) for before, after in pairwise(attempts)]
    assert pauses == [1, 2, 4, 5, 5, 5]


def test_the_pause_counts_from_the_end_of_a_failed_attempt(clock: Clock) -> None:
    reads = []

    def hang() -> Sequence[Run]:
        reads.append(clock.now)
        clock.now += 0.5
        raise TimeoutError

    snapshot = Snapshot(hang, clock)
    snapshot.active()
    clock.now += 0.99
    snapshot.active()
    assert len(reads) == 1


def test_a_recovered_table_is_believed_at_once(snapshot: Snapshot, store: FakeRunStore, clock: Clock, run: Run) -> None:
    store.broken = True
    assert snapshot.active() == ()
    store.broken = False
    clock.now += 1
    assert snapshot.active() == (run,)
    clock.now += 1
    snapshot.active()
    assert store.reads == 3


def test_whatever_the_read_raises_is_logged_and_nothing_else(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    def defect() -> Sequence[Run]:
        raise ZeroDivisionError("a defect")

    with caplog.at_level(logging.WARNING):
        assert Snapshot(defect, clock).active() == ()
    assert "a defect" in caplog.text


def test_after_a_freeze_the_first_request_reads(
    snapshot: Snapshot, store: FakeRunStore, clock: Clock, run: Run
) -> None:
    snapshot.active()
    store.stop(run.ended(now=NOW + 1, by="ada", reason=None))
    clock.now += 600
    assert snapshot.active() == ()


def test_a_read_that_was_frozen_in_the_middle_is_not_trusted(clock: Clock, run: Run) -> None:
    reads = []

    def frozen() -> Sequence[Run]:
        reads.append(1)
        if len(reads) == 1:
            clock.now += 600
            return [run]
        return []

    snapshot = Snapshot(frozen, clock)
    assert snapshot.active() == ()
    assert snapshot.active() == ()
    assert len(reads) == 2


def test_a_clock_that_steps_back_causes_a_read_instead_of_faults_that_go_on(
    snapshot: Snapshot, store: FakeRunStore, clock: Clock, run: Run
) -> None:
    snapshot.active()
    store.stop(run.ended(now=NOW + 0.1, by="ada", reason=None))
    clock.now -= 100
    assert snapshot.active() == ()
    assert store.reads == 2


def test_a_clock_that_steps_back_while_the_table_is_silent_stops_the_faults(
    snapshot: Snapshot, store: FakeRunStore, clock: Clock, run: Run
) -> None:
    assert snapshot.active() == (run,)
    store.broken = True
    clock.now -= 100
    assert snapshot.active() == ()


def test_a_refresh_reads_afresh(snapshot: Snapshot, store: FakeRunStore, run: Run) -> None:
    assert snapshot.active() == (run,)
    store.stop(run.ended(now=NOW + 0.1, by="ada", reason=None))
    assert snapshot.refresh() == ()


def test_a_refresh_does_not_bother_a_silent_table(snapshot: Snapshot, store: FakeRunStore) -> None:
    store.broken = True
    for _ in range(5):
        assert snapshot.refresh() == ()
    assert store.reads == 1


def test_concurrent_refreshes_share_a_read_that_began_after_they_asked(clock: Clock) -> None:
    reading, answer = threading.Event(), threading.Event()
    reads = []

    def slow() -> Sequence[Run]:
        reads.append(clock.now)
        reading.set()
        assert answer.wait(30)
        clock.now += 0.001
        return []

    snapshot = Snapshot(slow, clock)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(snapshot.refresh)
        assert reading.wait(30)
        others = [pool.submit(snapshot.refresh) for _ in range(8)]
        answer.set()
        for future in (first, *others):
            future.result(30)
    assert len(reads) <= 3


def test_who_changed_what_runs_reads_at_the_next_request(snapshot: Snapshot, store: FakeRunStore, clock: Clock) -> None:
    snapshot.active()
    run = a_run(now=clock.now)
    store.start(run, now=NOW)
    snapshot.outdate()
    assert snapshot.active() == (run,)


def test_a_change_does_not_make_a_silent_table_be_asked_more_often(snapshot: Snapshot, store: FakeRunStore) -> None:
    store.broken = True
    snapshot.active()
    snapshot.outdate()
    snapshot.active()
    assert store.reads == 1


def test_it_tells_whether_a_certain_run_goes_on(snapshot: Snapshot, run: Run) -> None:
    assert snapshot.is_active(run)
    assert not snapshot.is_active(a_run(token="other"))
