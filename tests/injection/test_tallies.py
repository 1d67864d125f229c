import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from chalicelib.injection.tallies import KEPT_SECONDS, in_a_thread
from chalicelib.runs.run import Run
from tests.support import Clock, FakeResultStore, a_run, tallies

RUN = a_run(duration_seconds=60.0)
OTHER = a_run("error_injection", token="2", duration_seconds=60.0)


def hit(run: Run = RUN, **more: Any) -> dict[str, Any]:
    return {"experiment": run.experiment.name, "run_id": run.run_id, "fault": "wait", "seconds": 2.0, **more}


@pytest.fixture
def store() -> FakeResultStore:
    return FakeResultStore()


def test_a_request_tells_at_once_where_nothing_was_told_for_an_interval(clock: Clock, store: FakeResultStore) -> None:
    counted = tallies(clock, store)
    counted.count([RUN], [], 200, 0.01)
    counted.tell_if_due()
    assert store.tallies[RUN.run_id].get("requests") == 1
    assert store.writes == 1


def test_there_is_one_write_an_interval_and_none_where_nothing_is_new(clock: Clock, store: FakeResultStore) -> None:
    counted = tallies(clock, store)
    for _ in range(100):
        counted.count([RUN], [], 200, 0.01)
        counted.tell_if_due()
        clock.now += 0.01
    assert store.writes == 1
    clock.now += 1.0
    for _ in range(3):
        counted.tell_if_due()
    assert store.writes == 2
    assert store.tallies[RUN.run_id].get("requests") == 100
    assert not counted.waiting
    clock.now += 1.0
    counted.tell_if_due()
    assert store.writes == 2


def test_what_a_run_did_is_told_of_that_run_alone(clock: Clock, store: FakeResultStore) -> None:
    counted = tallies(clock, store)
    counted.count([RUN, OTHER], [hit(OTHER, fault="answer", status=500, seconds=0.0)], 500, 0.01)
    counted.count([RUN, OTHER], [hit()], 200, 2.01)
    counted.count([RUN, OTHER], [], 200, 0.01)
    counted.tell()
    first, second = store.tallies[RUN.run_id], store.tallies[OTHER.run_id]
    assert (first.get("requests"), first.requests("hit"), first.requests("untouched")) == (3, 1, 1)
    assert first.delay_seconds == 2.0
    assert first.get("injected_errors") == 0
    assert (second.requests("hit"), second.get("injected_errors")) == (1, 1)


def test_memory_is_told_once_however_many_requests_are_served_with_it(clock: Clock, store: FakeResultStore) -> None:
    counted = tallies(clock, store)
    for held in (40, 64, 64):
        counted.count([RUN], [{**hit(fault="hold"), "memory_mb": held}], 200, 0.01)
        counted.tell()
    assert store.tallies[RUN.run_id].get("memory_mb") == 64


def test_an_answer_that_is_lost_is_counted_once(clock: Clock, store: FakeResultStore) -> None:
    counted = tallies(clock, store)
    store.loses_answers = True
    for _ in range(3):
        counted.count([RUN], [], 200, 0.01)
        counted.tell()
    store.loses_answers = False
    counted.tell()
    counted.tell()
    assert store.tallies[RUN.run_id].get("requests") == 3


def test_a_silent_table_is_asked_more_and_more_seldom_and_told_everything_in_the_end(
    clock: Clock, store: FakeResultStore, caplog: pytest.LogCaptureFixture
) -> None:
    counted = tallies(clock, store)
    store.broken = True
    for _ in range(200):
        counted.count([RUN, OTHER], [], 200, 0.01)
        counted.tell_if_due()
        clock.now += 0.1
    assert store.writes < 6  # and one of the two runs at a time
    assert "is not told yet" in caplog.text
    store.broken = False
    clock.now += 8.0
    counted.tell_if_due()
    clock.now += 1.0
    counted.tell_if_due()
    assert {tally.get("requests") for tally in store.tallies.values()} == {200}


def test_a_request_that_has_waited_for_a_silent_table_does_not_wait_again(clock: Clock, store: FakeResultStore) -> None:
    counted = tallies(clock, store)
    counted._is_silent = lambda: True
    counted.count([RUN], [], 200, 0.01)
    counted.tell_if_due()
    assert store.writes == 0
    counted._is_silent = lambda: False
    counted.tell_if_due()
    assert store.tallies[RUN.run_id].get("requests") == 1


def test_what_nobody_wants_to_know_any_more_is_forgotten(clock: Clock, store: FakeResultStore) -> None:
    counted = tallies(clock, store)
    store.broken = True
    counted.count([RUN], [], 200, 0.01)
    clock.now = RUN.expires_at + KEPT_SECONDS + 1
    counted.tell()
    assert not counted.waiting


def test_a_request_that_was_under_way_at_the_end_is_counted_all_the_same(clock: Clock, store: FakeResultStore) -> None:
    counted = tallies(clock, store)
    counted.count([RUN], [], 200, 0.01)
    counted.tell()
    clock.now = RUN.expires_at + 30
    counted.count([RUN], [], 200, 40.0)
    counted.tell()
    assert store.tallies[RUN.run_id].get("requests") == 2


def test_a_process_that_lives_on_tells_by_a_timer_and_no_request_does(clock: Clock, store: FakeResultStore) -> None:
    timers: list[tuple[float, Callable[[], None]]] = []
    counted = tallies(clock, store, later=lambda seconds, call: timers.append((seconds, call)))
    for _ in range(5):
        counted.count([RUN], [], 200, 0.01)
        counted.tell_if_due()
    assert store.writes == 0
    ((seconds, call),) = timers
    assert seconds == 1.0
    call()
    assert store.tallies[RUN.run_id].get("requests") == 5
    assert len(timers) == 1  # nothing is left to tell, so nobody looks
    counted.count([RUN], [], 200, 0.01)
    assert len(timers) == 2


def test_the_timer_goes_on_while_the_table_is_silent(clock: Clock, store: FakeResultStore) -> None:
    timers: list[tuple[float, Callable[[], None]]] = []
    counted = tallies(clock, store, later=lambda seconds, call: timers.append((seconds, call)))
    store.broken = True
    counted.count([RUN], [], 200, 0.01)
    for _ in range(5):
        timers[-1][1]()
    assert [seconds for seconds, _ in timers] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_a_defect_in_what_is_told_besides_is_logged(
    clock: Clock, store: FakeResultStore, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(_run: Run, _counts: Mapping[str, int]) -> None:
        raise ZeroDivisionError

    counted = tallies(clock, store)
    counted._told = [defect]
    counted.count([RUN], [], 200, 0.01)
    counted.tell()
    assert "has a defect" in caplog.text
    assert store.tallies[RUN.run_id].get("requests") == 1


def test_only_one_tells_at_a_time(clock: Clock, store: FakeResultStore) -> None:
    counted = tallies(clock, store)
    counted._told = [lambda _run, _counts: counted.tell()]
    counted.count([RUN], [], 200, 0.01)
    counted.tell()
    assert store.writes == 1


def test_later_is_in_a_thread_that_does_not_keep_the_process() -> None:
    done = threading.Event()
    in_a_thread(0.0, done.set)
    assert done.wait(5)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "chaos-tallies")
