"""One suite for the port, run on every store."""

from dataclasses import replace
from typing import Any

import pytest

from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.errors import Halted, TooManyRuns
from chalicelib.runs.event import Event
from chalicelib.runs.observation import Observation
from chalicelib.runs.run import Run
from chalicelib.runs.store import Current, RunStore
from chalicelib.settings import Settings
from tests.support import NOW, FakeRunStore, a_run, an_event, latest


@pytest.fixture(params=["fake", "dynamodb"])
def store(request: pytest.FixtureRequest) -> RunStore:
    if request.param == "fake":
        return FakeRunStore()
    settings: Settings = request.getfixturevalue("settings")
    return DynamoDBRunStore(settings)


def test_an_empty_store_knows_of_nothing(store: RunStore) -> None:
    assert latest(store) == []


def test_a_started_run_comes_back_as_it_was(store: RunStore) -> None:
    run = a_run(delay_seconds=1.25, duration_seconds=0.125)
    assert store.start([run], now=NOW) is None
    assert latest(store) == [run]


def test_a_second_start_gives_the_run_that_is_running_and_changes_nothing(store: RunStore) -> None:
    run = a_run()
    store.start([run], now=NOW)
    assert store.start([a_run(token="2")], now=NOW + 29.999) == run
    assert latest(store) == [run]


def test_what_is_active_is_what_has_neither_ended_nor_run_out(store: RunStore) -> None:
    stopped, short, long = a_run("error_injection"), a_run(duration_seconds=1.5), a_run("resource_exhaustion")
    for run in (stopped, short, long):
        store.start([run], now=NOW)
    assert sorted(store.active(NOW), key=lambda run: run.experiment) == [stopped, short, long]
    store.stop(stopped.ended(now=NOW + 1, by="bob", reason=None))
    assert sorted(store.active(NOW + 1.499), key=lambda run: run.experiment) == [short, long]
    assert store.active(NOW + 1.5) == [long]
    assert store.active(NOW + 30) == []


def test_experiments_do_not_stand_in_each_others_way(store: RunStore) -> None:
    runs = [a_run(name) for name in ("error_injection", "latency_injection", "resource_exhaustion")]
    assert [store.start([run], now=NOW) for run in runs] == [None] * 3
    assert sorted(latest(store), key=lambda run: run.experiment) == runs


def test_an_experiment_can_start_again_when_its_time_was_up(store: RunStore) -> None:
    store.start([a_run()], now=NOW)
    again = a_run(now=NOW + 30, token="2")
    assert store.start([again], now=NOW + 30) is None
    assert latest(store) == [again]


def test_an_experiment_can_start_again_when_it_was_stopped(store: RunStore) -> None:
    run = a_run()
    store.start([run], now=NOW)
    store.stop(run.ended(now=NOW + 1, by="bob", reason=None))
    again = a_run(now=NOW + 1, token="2")
    assert store.start([again], now=NOW + 1) is None
    assert latest(store) == [again]


def test_a_stop_works_once_and_is_remembered(store: RunStore) -> None:
    run = a_run()
    store.start([run], now=NOW)
    ended = run.ended(now=NOW + 1, by="bob", reason="enough")
    assert store.stop(ended)
    assert not store.stop(run.ended(now=NOW + 2, by="eve", reason=None))
    assert latest(store) == [ended]


def test_a_stop_that_was_answered_does_not_win_again(store: RunStore) -> None:
    run = a_run()
    store.start([run], now=NOW)
    ended = run.ended(now=NOW + 1, by="bob", reason=None)
    assert [store.stop(ended), store.stop(ended)] == [True, False]


def test_a_restart_of_what_was_replaced_meanwhile_gives_the_run_that_is_running(store: RunStore) -> None:
    run, first = a_run(), a_run(token="2")
    store.start([run], now=NOW)
    ended = run.ended(now=NOW + 1, by="bob", reason=None)
    store.start([first], now=NOW + 1, replaced=[ended])
    assert store.start([a_run(token="3")], now=NOW + 1, replaced=[ended]) == first


def test_a_stop_does_not_hit_another_run_of_the_experiment(store: RunStore) -> None:
    store.start([a_run()], now=NOW)
    assert not store.stop(a_run(token="2").ended(now=NOW + 1, by="bob", reason=None))
    assert latest(store) == [a_run()]


def test_a_run_whose_time_was_up_cannot_be_stopped(store: RunStore) -> None:
    run = a_run()
    store.start([run], now=NOW)
    assert not store.stop(run.ended(now=NOW + 30, by="bob", reason=None))
    assert latest(store) == [run]


def test_a_run_that_never_was_cannot_be_stopped(store: RunStore) -> None:
    assert not store.stop(a_run().ended(now=NOW + 1, by="bob", reason=None))
    assert latest(store) == []


def test_a_restart_replaces_the_run_that_is_running(store: RunStore) -> None:
    run = a_run()
    store.start([run], now=NOW)
    again = a_run(now=NOW + 1, token="2")
    assert store.start([again], now=NOW + 1, replaced=[run.ended(now=NOW + 1, by="bob", reason="replaced")]) is None
    assert latest(store) == [again]


def test_a_halt_is_seen_by_the_read_of_what_is_active_and_a_resume_too(store: RunStore) -> None:
    run = a_run(duration_seconds=60)
    store.start([run], now=NOW)
    assert store.halted() is None
    halt = an_event(reason="orders are lost", source="10.0.0.1")
    assert store.halt(halt)
    assert (store.halted(), store.active(NOW + 1)) == (halt, [])
    store.stop(run.ended(now=NOW + 1, by="ada", reason="halted"))
    assert store.resume(an_event("resume", token="r", now=NOW + 2))
    assert (store.halted(), store.active(NOW + 2)) == (None, [])


def test_while_halted_nothing_starts_not_even_in_the_place_of_what_runs(store: RunStore) -> None:
    run = a_run(duration_seconds=60)
    store.start([run], now=NOW)
    store.halt(an_event())
    with pytest.raises(Halted):
        store.start([a_run("error_injection")], now=NOW + 1)
    with pytest.raises(Halted):
        store.start([a_run(token="2")], now=NOW + 1, replaced=[run.ended(now=NOW + 1, by="bob", reason="replaced")])
    with pytest.raises(Halted):
        store.start([a_run(token="2")], now=NOW + 100)
    store.resume(an_event("resume", token="r", now=NOW + 100))
    assert store.start([a_run(token="3", now=NOW + 100)], now=NOW + 100) is None


def test_of_two_halts_the_first_stays_and_of_two_resumes_the_second_does_nothing(store: RunStore) -> None:
    assert not store.resume(an_event("resume"))
    first = an_event(reason="first")
    assert [store.halt(first), store.halt(an_event(token="2", reason="second"))] == [True, False]
    assert store.halted() == first
    assert [store.resume(an_event("resume", token=each)) for each in "ab"] == [True, False]
    again = an_event(token="3", reason="again")
    assert store.halt(again)
    assert store.halted() == again


def test_an_aborted_run_says_so_and_a_defect_is_marked_once(store: RunStore) -> None:
    run = replace(a_run(options={"alarms": ["orders-5xx", "orders-slow"]}), started_from="10.0.0.1")
    store.start([run], now=NOW)
    store.record_defect(run, "TypeError: no")
    store.record_defect(run, "another one")
    store.record_defect(a_run(token="2"), "of a run that is not the current one")
    aborted = run.ended(now=NOW + 1, by="alarm", reason="orders-5xx", source="10.0.0.2", aborted=True)
    assert store.stop(aborted)
    (known,) = latest(store)
    assert known == replace(aborted, defect="TypeError: no")
    assert known.status(NOW + 100) == "aborted"


def test_the_history_has_runs_and_events_the_newest_first_in_pages_by_experiment_and_by_time(store: RunStore) -> None:
    runs = [a_run(now=NOW + number, token=str(number), duration_seconds=0.5) for number in range(3)]
    other = a_run("error_injection", now=NOW + 3)
    for run in (*runs, other):
        assert store.start([run], now=run.started_at) is None
    halt, refusal = (
        an_event(now=NOW + 4),
        an_event("refusal", now=NOW + 5, experiment="error_injection", details={"a": 1}),
    )
    store.halt(halt)
    store.record(refusal)
    everything: list[Run | Event] = [refusal, halt, other, *reversed(runs)]

    def history(**asked: Any) -> list[Run | Event]:
        return list(
            store.history(
                **{"since": NOW, "until": NOW + 60, "experiment": None, "before": None, "limit": 50, **asked}
            ).entries
        )

    assert history() == everything
    assert history(limit=2) == everything[:2]
    assert history(limit=2, before=halt.event_id) == everything[2:4]
    assert history(experiment="error_injection") == [refusal, other]
    assert history(since=NOW + 1, until=NOW + 4) == everything[2:5]


# Labels


def test_runs_of_one_experiment_with_labels_of_their_own_run_at_once(store: RunStore) -> None:
    plain, slow, slower = a_run(), a_run(token="2", label="slow"), a_run(token="3", label="slower", now=NOW + 1)
    for run in (plain, slow, slower):
        assert store.start([run], now=run.started_at) is None
    assert sorted(store.active(NOW + 1), key=lambda run: run.run_id) == [plain, slow, slower]
    assert store.start([a_run(token="4", label="slow")], now=NOW + 1) == slow
    assert store.start([a_run("error_injection", token="5", label="slow")], now=NOW + 1) == slow
    assert store.stop(slow.ended(now=NOW + 2, by="bob", reason=None))
    assert sorted(store.active(NOW + 2), key=lambda run: run.run_id) == [plain, slower]


def test_the_last_run_of_an_experiment_is_the_one_that_started_last_and_each_label_has_its_own(store: RunStore) -> None:
    plain, first = a_run(), a_run(now=NOW + 1, token="2", label="slow")
    second = a_run(now=NOW + 3, token="3", label="slow")
    for run in (plain, first):
        store.start([run], now=run.started_at)
    ended = first.ended(now=NOW + 2, by="bob", reason=None)
    store.stop(ended)
    assert (store.last("latency_injection"), store.last_labelled("slow")) == (ended, ended)
    assert store.last_labelled("latency_injection") == plain
    store.start([second], now=NOW + 3)
    gone = plain.ended(now=NOW + 4, by="bob", reason=None)
    store.stop(gone)
    assert (store.last("latency_injection"), store.last_labelled("slow")) == (second, second)
    assert store.last_labelled("latency_injection") == gone
    store.stop(second.ended(now=NOW + 5, by="bob", reason=None))
    assert store.last("latency_injection") == second.ended(now=NOW + 5, by="bob", reason=None)
    assert (store.last_labelled("nothing"), store.last("slow")) == (None, None)


def five(token: str, now: float = NOW) -> list[Run]:
    """A scenario: runs of two experiments."""
    return [
        a_run(name, now=now, token=f"{token}{number}", label=f"of-five-{number}", scenario=f"s-{token}")
        for number, name in enumerate(["latency_injection"] * 3 + ["error_injection"] * 2)
    ]


def test_of_a_scenario_all_start_or_none(store: RunStore) -> None:
    in_the_way = a_run(token="w", label="of-five-3")
    assert store.start([in_the_way], now=NOW) is None
    assert store.start(five("a"), now=NOW) == in_the_way
    assert list(store.active(NOW)) == [in_the_way]
    assert store.last_labelled("of-five-0") is None
    ended = in_the_way.ended(now=NOW + 1, by="bob", reason="replaced")
    runs = five("b", NOW + 1)
    assert store.start(runs, now=NOW + 1, replaced=[ended]) is None
    assert sorted(store.active(NOW + 1), key=lambda run: run.run_id) == runs
    assert store.find(in_the_way.run_id) == ended
    assert (store.last("latency_injection"), store.last("error_injection")) == (runs[2], runs[4])
    assert {run.scenario for run in store.active(NOW + 1)} == {"s-b"}


def test_a_run_with_a_label_comes_back_as_it_was_also_once_it_is_spent(store: RunStore) -> None:
    run = a_run(label="slow", scenario="20270115T080000.000Z-s")
    store.start([run], now=NOW)
    assert list(store.active(NOW)) == [run]
    spent = run.spent(now=NOW + 1, by="max_requests", reason="hit 100 requests")
    assert store.stop(spent)
    assert (store.find(run.run_id), store.last_labelled("slow")) == (spent, spent)
    assert spent.status(NOW + 2) == "completed"


def test_twenty_run_at_once_and_no_more(store: RunStore) -> None:
    twenty = [a_run(token=f"{number:02d}", label=f"r-{number:02d}", scenario="s") for number in range(20)]
    assert store.start(twenty, now=NOW) is None
    assert sorted(store.active(NOW), key=lambda run: run.run_id) == twenty
    with pytest.raises(TooManyRuns):
        store.start([a_run(token="more")], now=NOW)
    assert store.start([a_run(token="same", label="r-07")], now=NOW) == twenty[7]
    ends = [run.ended(now=NOW + 1, by="bob", reason="replaced") for run in twenty]
    again = [a_run(now=NOW + 1, token=f"n{number:02d}", label=f"r-{number:02d}") for number in range(20)]
    assert store.start(again, now=NOW + 1, replaced=ends) is None
    assert sorted(store.active(NOW + 1), key=lambda run: run.run_id) == again
    assert store.stop(again[3].ended(now=NOW + 2, by="bob", reason=None))
    assert store.start([a_run(now=NOW + 2, token="more")], now=NOW + 2) is None
    with pytest.raises(TooManyRuns):
        store.start(five("z"), now=NOW + 2)
    assert len(store.active(NOW + 2)) == 20
    assert len(store.active(NOW + 31.5)) == 1


def test_the_history_of_a_label_has_its_runs_alone(store: RunStore) -> None:
    plain, slow = a_run(), a_run(now=NOW + 1, token="2", label="slow")
    for run in (plain, slow):
        store.start([run], now=run.started_at)
    store.record(an_event("refusal", now=NOW + 2, experiment="latency_injection"))

    def history(label: str, experiment: str | None = None) -> list[Run | Event]:
        asked = {"since": NOW, "until": NOW + 9, "experiment": experiment, "before": None, "limit": 9}
        return list(store.history(**asked, label=label).entries)

    assert history("slow") == history("slow", "latency_injection") == [slow]
    assert history("latency_injection") == [plain]
    assert history("slow", "error_injection") == history("nothing") == []


def test_an_observation_is_read_with_what_runs_until_it_is_over(store: RunStore) -> None:
    run = a_run()
    store.start([run], now=NOW)
    assert store.current(NOW) == Current([run], None)
    asked = Observation.asked(NOW)
    store.observe(asked)
    assert store.current(NOW + 59) == Current([], asked)  # the run's 30 seconds are over
    assert store.current(NOW + 60).observation is None
    store.observe(Observation.asked(NOW + 30, asked))
    assert store.current(NOW + 60).observation == Observation(asked.began, NOW + 90)
    assert store.current(NOW - 60).observation is None  # of a clock that is far ahead


def test_a_halt_ends_no_observation(store: RunStore) -> None:
    store.observe(Observation.asked(NOW))
    store.start([a_run()], now=NOW)
    store.halt(an_event("halt"))
    assert store.current(NOW + 1) == Current([], Observation.asked(NOW))
