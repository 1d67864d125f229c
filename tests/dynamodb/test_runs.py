import json
import logging
import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from pynamodb.exceptions import CancellationReason, TransactWriteError, VerboseClientError

from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.errors import StoreUnavailable
from chalicelib.runs.run import Run
from chalicelib.settings import Settings
from tests.support import NOW, a_run, with_options

DAY = 24 * 3600


@pytest.fixture
def store(settings: Settings) -> DynamoDBRunStore:
    return DynamoDBRunStore(settings)


@pytest.fixture
def calls(store: DynamoDBRunStore) -> list[str]:
    """The calls that are made to the table from now on, by name; answers are kept in `store.answers`."""
    made: list[str] = []
    client = store._item._get_connection().connection.client
    client.meta.events.register("before-call.dynamodb.*", lambda model, **_: made.append(model.name), unique_id="calls")
    return made


def history(store: DynamoDBRunStore, settings: Settings) -> list[dict[str, object]]:
    return [dict(item.attribute_values) for item in store._item.query(f"history#{settings.scope}")]


def test_a_read_is_one_query_and_a_start_and_a_stop_one_transaction(store: DynamoDBRunStore, calls: list[str]) -> None:
    run = a_run()
    store.latest()
    store.active(NOW)
    store.start(run, now=NOW)
    store.start(a_run(token="2"), now=NOW)
    store.stop(run.ended(now=NOW + 1, by="bob", reason=None))
    assert calls == ["Query", "Query", *["TransactWriteItems"] * 3]


def test_the_read_is_strongly_consistent_and_its_answer_small(store: DynamoDBRunStore) -> None:
    for name in ("latency_injection", "error_injection", "resource_exhaustion"):
        experiment = a_run(name)
        most = with_options(experiment, reason="r" * 100, alarms=["a" * 100] * 5)
        store.start(replace(most, started_by="o" * 64, started_from="f" * 39), now=NOW)
    sent, sizes = [], []
    events = store._item._get_connection().connection.client.meta.events
    events.register("before-call.dynamodb.Query", lambda params, **_: sent.append(params["body"]))
    events.register("after-call.dynamodb.Query", lambda http_response, **_: sizes.append(len(http_response.content)))
    assert len(store.latest()) == len(store.active(NOW)) == 3
    assert all(json.loads(body)["ConsistentRead"] for body in sent)
    assert max(sizes) < 4096


def test_the_history_says_who_when_why_and_how_it_ended(store: DynamoDBRunStore, settings: Settings) -> None:
    run = with_options(a_run(), reason="why not")
    store.start(run, now=NOW)
    store.stop(run.ended(now=NOW + 1, by="bob", reason="enough"))
    (kept,) = history(store, settings)
    ttl = kept.pop("ttl")
    assert kept == {
        "pk": f"history#{settings.scope}",
        "sk": run.run_id,
        "run_id": run.run_id,
        "experiment": "latency_injection",
        "parameters": json.dumps(run.parameters),
        "started_at": NOW,
        "expires_at": NOW + 30,
        "started_by": "ada",
        "reason": "why not",
        "ended_at": NOW + 1,
        "ended_by": "bob",
        "end_reason": "enough",
    }
    assert ttl.timestamp() == NOW + 30 + 90 * DAY


def test_a_replaced_run_ends_in_the_history(store: DynamoDBRunStore, settings: Settings) -> None:
    run = a_run()
    store.start(run, now=NOW)
    again = a_run(now=NOW + 1, token="2")
    store.start(again, now=NOW + 1, replaced=run.ended(now=NOW + 1, by="bob", reason="replaced"))
    assert [(kept["run_id"], kept.get("end_reason")) for kept in history(store, settings)] == [
        (run.run_id, "replaced"),
        (again.run_id, None),
    ]


def test_an_end_that_is_recorded_stays_as_it_is(store: DynamoDBRunStore, settings: Settings) -> None:
    run = a_run()
    store.start(run, now=NOW)
    store.stop(run.ended(now=NOW + 1, by="bob", reason="enough"))
    store.start(a_run(token="2"), now=NOW + 2, replaced=run.ended(now=NOW + 2, by="eve", reason="replaced"))
    assert history(store, settings)[0]["ended_by"] == "bob"


def test_a_restart_that_comes_second_changes_nothing(store: DynamoDBRunStore) -> None:
    run, first = a_run(), a_run(token="2")
    store.start(run, now=NOW)
    ended = run.ended(now=NOW + 1, by="bob", reason=None)
    store.start(first, now=NOW + 1, replaced=ended)
    assert store.start(a_run(token="3"), now=NOW + 1, replaced=ended) == first
    assert store.latest() == [first]


def test_a_restart_that_meets_a_run_that_is_over_says_that_nothing_was_changed(store: DynamoDBRunStore) -> None:
    run, first = a_run(), a_run(token="2")
    store.start(run, now=NOW)
    store.start(first, now=NOW, replaced=run.ended(now=NOW, by="bob", reason=None))
    store.stop(first.ended(now=NOW + 1, by="bob", reason=None))
    with pytest.raises(StoreUnavailable, match="nothing was changed"):
        store.start(a_run(token="3"), now=NOW + 2, replaced=run.ended(now=NOW + 2, by="bob", reason=None))


@pytest.mark.parametrize("changed", [{"parameters": "not JSON"}, {"alarms": "{"}])
def test_an_item_of_another_version_is_left_out(
    store: DynamoDBRunStore, changed: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    store.start(a_run("error_injection"), now=NOW)
    item = store._current(a_run())
    for name, value in changed.items():
        setattr(item, name, value)
    item.save()
    with caplog.at_level(logging.WARNING):
        assert store.latest() == [a_run("error_injection")]
    assert "run#latency_injection" in caplog.text


def test_an_item_that_cannot_be_read_is_told_to_who_starts_the_experiment(store: DynamoDBRunStore) -> None:
    item = store._current(a_run())
    item.parameters = "not JSON"
    item.save()
    with pytest.raises(
        StoreUnavailable, match="written by another version of the module, and cannot be read; nothing was changed"
    ):
        store.start(a_run(), now=NOW)


def test_scopes_do_not_see_each_other(store: DynamoDBRunStore, settings: Settings) -> None:
    other = DynamoDBRunStore(replace(settings, application="other"))
    store.start(a_run(), now=NOW)
    assert other.latest() == []
    assert other.start(a_run(token="2"), now=NOW) is None


@pytest.mark.parametrize("code", ["TransactionConflict", "ThrottlingError"])
def test_a_transaction_that_was_cancelled_for_another_reason_changed_nothing(
    store: DynamoDBRunStore, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancelled(*_: object, **__: object) -> None:
        error = {"Error": {"Code": "TransactionCanceledException"}}
        reasons = (reason for reason in (CancellationReason(code=code), None))
        cause = VerboseClientError(error, "TransactWriteItems", {}, cancellation_reasons=reasons)
        raise TransactWriteError("cancelled", cause)

    monkeypatch.setattr(store._item._get_connection().connection, "transact_write_items", cancelled)
    with pytest.raises(StoreUnavailable, match=rf"nothing was changed.*{code}"):
        store.start(a_run(), now=NOW)


def race(attempt: Callable[[int], bool]) -> int:
    """How many of fifty attempts that begin together win."""
    together = threading.Barrier(50)

    def one(number: int) -> bool:
        together.wait(60)
        return attempt(number)

    with ThreadPoolExecutor(50) as pool:
        return sum(pool.map(one, range(50)))


def test_of_fifty_concurrent_starts_one_wins(store: DynamoDBRunStore, settings: Settings) -> None:
    assert race(lambda number: store.start(a_run(token=str(number)), now=NOW) is None) == 1
    assert len(history(store, settings)) == 1


def test_of_fifty_concurrent_stops_one_wins(store: DynamoDBRunStore) -> None:
    run = a_run()
    store.start(run, now=NOW)
    assert race(lambda number: store.stop(run.ended(now=NOW + 1, by=str(number), reason=None))) == 1


def attempts(settings: Settings, process: int, results: "multiprocessing.Queue[int]") -> None:
    store = DynamoDBRunStore(settings)
    run = [a_run(token=f"{process}-{number}") for number in range(10)]
    results.put(sum(store.start(each, now=NOW) is None for each in run))


def test_of_four_processes_one_wins(store: DynamoDBRunStore, settings: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[int] = context.Queue()
    processes = [context.Process(target=attempts, args=(settings, number, results)) for number in range(4)]
    for process in processes:
        process.start()
    assert sum(results.get(timeout=60) for _ in processes) == 1
    for process in processes:
        process.join(60)
    (run,) = store.latest()
    assert isinstance(run, Run)


def test_what_cannot_be_read_takes_nobodys_place_in_a_page_of_the_history(settings: Settings) -> None:
    store = DynamoDBRunStore(settings)
    runs = [a_run(now=NOW + number, token=str(number)) for number in range(5)]
    for run in runs:
        store.start(run, now=run.started_at)
        store.stop(run.ended(now=run.started_at + 0.5, by="ada", reason=None))
    item = store._history_item(f"history#{settings.scope}", runs[3].run_id)
    item.update(actions=[store._history_item.parameters.set("not JSON")])
    page = store.history(since=0, until=NOW + 100, experiment=None, before=None, limit=3)
    assert [run.run_id for run in page if isinstance(run, Run)] == [runs[4].run_id, runs[2].run_id, runs[1].run_id]
