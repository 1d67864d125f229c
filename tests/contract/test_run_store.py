"""One suite for the port, run on every store."""

import pytest

from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.runs.store import RunStore
from chalicelib.settings import Settings
from tests.support import NOW, FakeRunStore, a_run


@pytest.fixture(params=["fake", "dynamodb"])
def store(request: pytest.FixtureRequest) -> RunStore:
    if request.param == "fake":
        return FakeRunStore()
    settings: Settings = request.getfixturevalue("settings")
    return DynamoDBRunStore(settings)


def test_an_empty_store_knows_of_nothing(store: RunStore) -> None:
    assert store.latest() == []


def test_a_started_run_comes_back_as_it_was(store: RunStore) -> None:
    run = a_run(delay_seconds=1.25, duration_seconds=0.125)
    assert store.start(run, now=NOW) is None
    assert store.latest() == [run]


def test_a_second_start_gives_the_run_that_is_running_and_changes_nothing(store: RunStore) -> None:
    run = a_run()
    store.start(run, now=NOW)
    assert store.start(a_run(token="2"), now=NOW + 29.999) == run
    assert store.latest() == [run]


def test_what_is_active_is_what_has_neither_ended_nor_run_out(store: RunStore) -> None:
    stopped, short, long = a_run("error_injection"), a_run(duration_seconds=1.5), a_run("resource_exhaustion")
    for run in (stopped, short, long):
        store.start(run, now=NOW)
    assert sorted(store.active(NOW), key=lambda run: run.experiment.name) == [stopped, short, long]
    store.stop(stopped.ended(now=NOW + 1, by="bob", reason=None))
    assert sorted(store.active(NOW + 1.499), key=lambda run: run.experiment.name) == [short, long]
    assert store.active(NOW + 1.5) == [long]
    assert store.active(NOW + 30) == []


def test_experiments_do_not_stand_in_each_others_way(store: RunStore) -> None:
    runs = [a_run(name) for name in ("error_injection", "latency_injection", "resource_exhaustion")]
    assert [store.start(run, now=NOW) for run in runs] == [None] * 3
    assert sorted(store.latest(), key=lambda run: run.experiment.name) == runs


def test_an_experiment_can_start_again_when_its_time_was_up(store: RunStore) -> None:
    store.start(a_run(), now=NOW)
    again = a_run(now=NOW + 30, token="2")
    assert store.start(again, now=NOW + 30) is None
    assert store.latest() == [again]


def test_an_experiment_can_start_again_when_it_was_stopped(store: RunStore) -> None:
    run = a_run()
    store.start(run, now=NOW)
    store.stop(run.ended(now=NOW + 1, by="bob", reason=None))
    again = a_run(now=NOW + 1, token="2")
    assert store.start(again, now=NOW + 1) is None
    assert store.latest() == [again]


def test_a_stop_works_once_and_is_remembered(store: RunStore) -> None:
    run = a_run()
    store.start(run, now=NOW)
    ended = run.ended(now=NOW + 1, by="bob", reason="enough")
    assert store.stop(ended)
    assert not store.stop(run.ended(now=NOW + 2, by="eve", reason=None))
    assert store.latest() == [ended]


def test_a_stop_that_was_answered_does_not_win_again(store: RunStore) -> None:
    run = a_run()
    store.start(run, now=NOW)
    ended = run.ended(now=NOW + 1, by="bob", reason=None)
    assert [store.stop(ended), store.stop(ended)] == [True, False]


def test_a_restart_of_what_was_replaced_meanwhile_gives_the_run_that_is_running(store: RunStore) -> None:
    run, first = a_run(), a_run(token="2")
    store.start(run, now=NOW)
    ended = run.ended(now=NOW + 1, by="bob", reason=None)
    store.start(first, now=NOW + 1, replaced=ended)
    assert store.start(a_run(token="3"), now=NOW + 1, replaced=ended) == first


def test_a_stop_does_not_hit_another_run_of_the_experiment(store: RunStore) -> None:
    store.start(a_run(), now=NOW)
    assert not store.stop(a_run(token="2").ended(now=NOW + 1, by="bob", reason=None))
    assert store.latest() == [a_run()]


def test_a_run_whose_time_was_up_cannot_be_stopped(store: RunStore) -> None:
    run = a_run()
    store.start(run, now=NOW)
    assert not store.stop(run.ended(now=NOW + 30, by="bob", reason=None))
    assert store.latest() == [run]


def test_a_run_that_never_was_cannot_be_stopped(store: RunStore) -> None:
    assert not store.stop(a_run().ended(now=NOW + 1, by="bob", reason=None))
    assert store.latest() == []


def test_a_restart_replaces_the_run_that_is_running(store: RunStore) -> None:
    run = a_run()
    store.start(run, now=NOW)
    again = a_run(now=NOW + 1, token="2")
    assert store.start(again, now=NOW + 1, replaced=run.ended(now=NOW + 1, by="bob", reason="replaced")) is None
    assert store.latest() == [again]
