import json
import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from pynamodb.exceptions import CancellationReason, TransactWriteError, VerboseClientError

from chalicelib.dynamodb.runs import CLOCK_SKEW_SECONDS, DynamoDBRunStore
from chalicelib.errors import StoreUnavailable, TooManyRuns
from chalicelib.runs.run import Run
from chalicelib.settings import Settings
from tests.support import NOW, a_run, an_event, latest, with_options

DAY = 24 * 3600


@pytest.fixture
def store(settings: Settings) -> DynamoDBRunStore:
    return DynamoDBRunStore(settings)


@pytest.fixture
def patient(settings: Settings) -> DynamoDBRunStore:
    """For a table that many ask at once."""
    return DynamoDBRunStore(replace(settings, table_timeout_seconds=30.0))


@pytest.fixture
def calls(store: DynamoDBRunStore) -> list[str]:
    """The calls that are made to the table from now on, by name; answers are kept in `store.answers`."""
    made: list[str] = []
    client = store._item._get_connection().connection.client
    client.meta.events.register("before-call.dynamodb.*", lambda model, **_: made.append(model.name), unique_id="calls")
    return made


def history(store: DynamoDBRunStore, settings: Settings) -> list[dict[str, object]]:
    return [dict(item.attribute_values) for item in store._item.query(f"history#{settings.scope}")]


def kept(store: DynamoDBRunStore, settings: Settings) -> list[str]:
    """What there is in the scope's partition."""
    return [item.sk for item in store._item.query(settings.scope)]


def alter(store: DynamoDBRunStore, settings: Settings, run: Run, changed: dict[str, Any]) -> None:
    """Write the run's item as another version would; a key of it may be among the changes."""
    plain = {name: each for name, each in store._current(run).serialize().items() if name not in changed}
    store._connection.client.put_item(TableName=settings.table, Item={**plain, **changed})


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_a_read_is_one_query_and_a_start_and_a_stop_one_transaction(store: DynamoDBRunStore, calls: list[str]) -> None:
    run = a_run()
    store.running(NOW)
    store.active(NOW)
    store.start([run], now=NOW)
    # Of a start the first two are for the last start and what runs.
    assert calls == ["Query", "Query", "Query", "Query", "TransactWriteItems"]
    del calls[:]
    store.start([a_run(token="2")], now=NOW)
    store.stop(run.ended(now=NOW + 1, by="bob", reason=None))
    assert calls == ["Query", "Query", "TransactWriteItems", "TransactWriteItems"]


def test_the_read_is_strongly_consistent_and_its_answer_small(store: DynamoDBRunStore) -> None:
    for name in ("latency_injection", "error_injection", "resource_exhaustion"):
        experiment = a_run(name)
        most = with_options(experiment, reason="r" * 100, alarms=["a" * 100] * 5)
        store.start([replace(most, started_by="o" * 64, started_from="f" * 39)], now=NOW)
    sent, sizes = [], []
    events = store._item._get_connection().connection.client.meta.events
    events.register("before-call.dynamodb.Query", lambda params, **_: sent.append(params["body"]))
    events.register("after-call.dynamodb.Query", lambda http_response, **_: sizes.append(len(http_response.content)))
    assert len(store.running(NOW)) == len(store.active(NOW)) == 3
    assert all(json.loads(body)["ConsistentRead"] for body in sent)
    assert max(sizes) < 4096


def test_the_history_says_who_when_why_and_how_it_ended(store: DynamoDBRunStore, settings: Settings) -> None:
    run = with_options(a_run(), reason="why not")
    store.start([run], now=NOW)
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
        "options": '{"reason": "why not"}',
        "format": 2,
        "ended_at": NOW + 1,
        "ended_by": "bob",
        "end_reason": "enough",
    }
    assert ttl.timestamp() == NOW + 30 + 90 * DAY


def test_a_replaced_run_ends_in_the_history(store: DynamoDBRunStore, settings: Settings) -> None:
    run = a_run()
    store.start([run], now=NOW)
    again = a_run(now=NOW + 1, token="2")
    store.start([again], now=NOW + 1, replaced=[run.ended(now=NOW + 1, by="bob", reason="replaced")])
    assert [(kept["run_id"], kept.get("end_reason")) for kept in history(store, settings)] == [
        (run.run_id, "replaced"),
        (again.run_id, None),
    ]


def test_an_end_that_is_recorded_stays_as_it_is(store: DynamoDBRunStore, settings: Settings) -> None:
    run = a_run()
    store.start([run], now=NOW)
    store.stop(run.ended(now=NOW + 1, by="bob", reason="enough"))
    store.start([a_run(token="2")], now=NOW + 2, replaced=[run.ended(now=NOW + 2, by="eve", reason="replaced")])
    assert history(store, settings)[0]["ended_by"] == "bob"


def test_a_restart_that_comes_second_changes_nothing(store: DynamoDBRunStore) -> None:
    run, first = a_run(), a_run(token="2")
    store.start([run], now=NOW)
    ended = run.ended(now=NOW + 1, by="bob", reason=None)
    store.start([first], now=NOW + 1, replaced=[ended])
    assert store.start([a_run(token="3")], now=NOW + 1, replaced=[ended]) == first
    assert latest(store) == [first]


def test_a_restart_starts_where_nothing_runs_any_more(store: DynamoDBRunStore) -> None:
    run, first, second = a_run(), a_run(token="2"), a_run(token="3", now=NOW + 2)
    store.start([run], now=NOW)
    store.start([first], now=NOW, replaced=[run.ended(now=NOW, by="bob", reason=None)])
    store.stop(first.ended(now=NOW + 1, by="bob", reason=None))
    assert store.start([second], now=NOW + 2, replaced=[run.ended(now=NOW + 2, by="bob", reason=None)]) is None
    assert [store.last("latency_injection"), store.running(NOW + 2)] == [second, [second]]


def test_the_scopes_partition_has_only_what_runs(store: DynamoDBRunStore, settings: Settings) -> None:
    replaced, again = a_run("error_injection", token="1"), a_run("error_injection", token="2")
    stopped, expired = a_run(token="3"), a_run("resource_exhaustion", token="4", duration_seconds=1.0)
    for run in (replaced, stopped, expired):
        store.start([run], now=NOW)
    store.start([again], now=NOW + 1, replaced=[replaced.ended(now=NOW + 1, by="bob", reason=None)])
    store.stop(stopped.ended(now=NOW + 1, by="bob", reason=None))
    assert kept(store, settings) == ["run#error_injection", "run#resource_exhaustion"]
    later = a_run(token="5", now=NOW + 30 + CLOCK_SKEW_SECONDS)
    store.start([later], now=later.started_at)
    assert kept(store, settings) == ["run#latency_injection"]
    lasts = [store.last(name) for name in ("error_injection", "latency_injection", "resource_exhaustion")]
    assert lasts == [again, later, expired]


def test_what_is_over_is_left_to_a_later_start_where_it_cannot_be_removed(
    store: DynamoDBRunStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.start([a_run()], now=NOW)
    later = a_run("error_injection", now=NOW + 1000)
    with monkeypatch.context() as patched:
        patched.setattr(store, "_remove", raising(StoreUnavailable("The table does not answer.")))
        assert store.start([later], now=NOW + 1000) is None
    assert kept(store, settings) == ["run#error_injection", "run#latency_injection"]


def test_a_resume_leaves_nothing_of_the_halt(store: DynamoDBRunStore, settings: Settings) -> None:
    store.halt(an_event())
    assert kept(store, settings) == ["halt"]
    store.resume(an_event("resume", token="r"))
    assert kept(store, settings) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"parameters": {"S": "not JSON"}},
        {"parameters": {"S": "[]"}},
        {"parameters": {"M": {}}},
        {"options": {"N": "1"}},
        {"format": {"N": "3"}, "parameters": {"S": "encrypted"}},
    ],
)
def test_a_run_of_which_only_the_envelope_can_be_read_is_listed_stopped_and_replaced(
    store: DynamoDBRunStore, settings: Settings, changed: dict[str, dict[str, object]]
) -> None:
    run, other = a_run(), a_run("error_injection")
    store.start([other], now=NOW)
    store.start([run], now=NOW)
    alter(store, settings, run, changed)
    envelope = replace(run, parameters={}, options={}, unreadable=True)
    assert list(store.active(NOW)) == list(store.running(NOW)) == [other, envelope]
    assert store.start([a_run(token="2")], now=NOW) == envelope
    ended = envelope.ended(now=NOW + 1, by="bob", reason=None)
    again = a_run(token="3", now=NOW + 1)
    assert store.start([again], now=NOW + 1, replaced=[ended]) is None
    alter(store, settings, again, changed)
    assert store.stop(again.ended(now=NOW + 2, by="bob", reason=None))
    assert store.running(NOW + 2) == [other]


def test_an_experiment_that_this_version_does_not_have_is_a_run_like_any_other(store: DynamoDBRunStore) -> None:
    unknown = replace(a_run(), experiment="of_another_version", options={"reason": "why", "of_a_newer_version": [1]})
    store.start([unknown], now=NOW)
    assert (store.active(NOW), store.last("of_another_version")) == ([unknown], unknown)
    assert store.stop(unknown.ended(now=NOW + 1, by="bob", reason=None))


@pytest.mark.parametrize("name", ["run_id", "experiment", "started_at", "started_by"])
def test_an_item_without_an_envelope_is_listed_stopped_and_replaced(
    store: DynamoDBRunStore, settings: Settings, name: str
) -> None:
    run, other = a_run(), a_run("error_injection")
    store.start([run], now=NOW)
    store.start([other], now=NOW)
    alter(store, settings, run, {name: {"M": {}}})
    listed, damaged = store.running(NOW)
    assert (listed, damaged.experiment, damaged.damaged, damaged.unreadable) == (other, run.experiment, True, True)
    assert damaged.run_id == ("run#latency_injection" if name == "run_id" else run.run_id)
    assert list(store.active(NOW)) == [other, damaged]
    assert store.last("latency_injection") == damaged
    again = a_run(token="2", now=NOW + 1)
    assert store.start([again], now=NOW + 1) == damaged
    assert store.start([again], now=NOW + 1, replaced=[damaged.ended(now=NOW + 1, by="bob", reason=None)]) is None
    assert store.running(NOW + 1) == [other, again]
    alter(store, settings, again, {name: {"M": {}}})
    (_, damaged) = store.running(NOW + 1)
    ended = damaged.ended(now=NOW + 2, by="bob", reason=None)
    assert [store.stop(ended), store.stop(ended)] == [True, False]
    assert store.running(NOW + 2) == [other]


def test_a_stop_of_a_damaged_run_does_not_hit_the_one_that_replaced_it(
    store: DynamoDBRunStore, settings: Settings
) -> None:
    alter(store, settings, a_run(), {"run_id": {"NULL": True}})
    (damaged,) = store.running(NOW)
    again = a_run(token="2")
    assert store.start([again], now=NOW, replaced=[damaged.ended(now=NOW, by="bob", reason=None)]) is None
    assert not store.stop(damaged.ended(now=NOW, by="eve", reason=None))
    assert store.running(NOW) == [again]


def test_scopes_do_not_see_each_other(store: DynamoDBRunStore, settings: Settings) -> None:
    other = DynamoDBRunStore(replace(settings, application="other"))
    store.start([a_run()], now=NOW)
    assert latest(other) == []
    assert other.start([a_run(token="2")], now=NOW) is None


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
        store.start([a_run()], now=NOW)


def race(attempt: Callable[[int], bool], count: int = 50) -> int:
    """How many of so many attempts that begin together win."""
    together = threading.Barrier(count)

    def one(number: int) -> bool:
        together.wait(60)
        return attempt(number)

    with ThreadPoolExecutor(count) as pool:
        return sum(pool.map(one, range(count)))


def begins(store: DynamoDBRunStore, run: Run) -> bool:
    """Whether it starts. DynamoDB Local waits for locks, and gives up where the machine is busy."""
    while True:
        with suppress(StoreUnavailable):
            return store.start([run], now=NOW) in (None, run)


def test_of_fifty_concurrent_starts_one_wins(patient: DynamoDBRunStore, settings: Settings) -> None:
    assert race(lambda number: begins(patient, a_run(token=str(number)))) == 1
    assert len(history(patient, settings)) == 1


def test_of_thirty_concurrent_starts_with_labels_of_their_own_twenty_run(
    patient: DynamoDBRunStore, settings: Settings, pytestconfig: pytest.Config
) -> None:
    if not pytestconfig.getoption("--dynamodb-local"):
        pytest.skip("moto's transactions are not atomic: make conformance")

    def attempt(number: int) -> bool:
        try:
            return begins(patient, a_run(token=str(number), label=f"r-{number}"))
        except TooManyRuns:
            return False

    assert race(attempt, 30) == len(patient.active(NOW)) == len(history(patient, settings)) == 20


def test_of_a_scenario_that_meets_a_running_label_nothing_is_left(store: DynamoDBRunStore, settings: Settings) -> None:
    running = a_run(token="w", label="r-3")
    store.start([running], now=NOW)
    before = store._connection.client.scan(TableName=settings.table)["Items"]
    scenario = [a_run(token=str(number), label=f"r-{number}", scenario="s") for number in range(5)]
    assert store.start(scenario, now=NOW) == running
    assert store._connection.client.scan(TableName=settings.table)["Items"] == before


def test_most_items_of_a_start_are_what_a_transaction_can_have(store: DynamoDBRunStore, settings: Settings) -> None:
    """Twenty runs of as many experiments, each with a label, each in the place of another one."""

    def runs(token: str) -> list[Run]:
        return [a_run(f"e-{number}", token=f"{token}{number}", label=f"r-{number}") for number in range(20)]

    first, second = runs("a"), runs("b")
    assert store.start(first, now=NOW) is None
    replaced = [run.ended(now=NOW + 1, by="bob", reason=None) for run in first]
    assert store.start(second, now=NOW + 1, replaced=replaced) is None
    assert [store.last_labelled(run.label) for run in second] == second


def test_an_attempt_that_met_another_start_counts_anew(
    store: DynamoDBRunStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if nineteen started between the count and the write, and then one more."""
    other, transact = DynamoDBRunStore(settings), store._transact
    more = [a_run(token=f"{number:02d}", label=f"r-{number:02d}") for number in range(20)]
    batches = [more[:19], more[19:]]

    def overtaken(*asked: Any, **how: Any) -> None:
        if batches:
            assert other.start(batches.pop(0), now=NOW) is None
        transact(*asked, **how)

    monkeypatch.setattr(store, "_transact", overtaken)
    with pytest.raises(TooManyRuns, match="At most 20 runs can be active at once, and 20 are: r-00, "):
        store.start([a_run()], now=NOW)
    assert len(store.active(NOW)) == 20


def test_what_is_remembered_of_the_last_start_may_be_damaged(store: DynamoDBRunStore, settings: Settings) -> None:
    key = {"pk": {"S": f"last#{settings.scope}"}, "sk": {"S": "#starts"}}
    for number, value in enumerate(({"N": "1"}, {"S": ""}, {"NULL": True}, {"M": {}}, None)):
        item = {**key, "run_id": value} if value else key
        store._connection.client.put_item(TableName=settings.table, Item=item)
        assert store.start([a_run(token=str(number), label=str(number))], now=NOW) is None


def test_five_ordinary_runs_fit_4_kb_and_twenty_12_kb(store: DynamoDBRunStore, settings: Settings) -> None:
    """In the table's units, which are what a read costs."""
    for number in range(20):
        run = with_options(a_run(token=f"abcdef{number:02d}", label=f"slow-orders-{number:02d}"), reason="Game day")
        store.start([replace(run, scenario=run.run_id, started_from="192.0.2.7")], now=NOW)
    items = store._read(settings.scope)
    sizes = [sum(len(name) + len(str(next(iter(value.values())))) for name, value in raw.items()) for raw in items]
    assert sum(sizes[:5]) < 4096
    assert sum(sizes) < 12 * 1024


def test_of_fifty_concurrent_stops_one_wins(store: DynamoDBRunStore) -> None:
    run = a_run()
    store.start([run], now=NOW)
    assert race(lambda number: store.stop(run.ended(now=NOW + 1, by=str(number), reason=None))) == 1


def attempts(settings: Settings, process: int, results: "multiprocessing.Queue[int]") -> None:
    store = DynamoDBRunStore(settings)
    run = [a_run(token=f"{process}-{number}") for number in range(10)]
    results.put(sum(store.start([each], now=NOW) is None for each in run))


def test_of_four_processes_one_wins(store: DynamoDBRunStore, settings: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[int] = context.Queue()
    processes = [context.Process(target=attempts, args=(settings, number, results)) for number in range(4)]
    for process in processes:
        process.start()
    assert sum(results.get(timeout=60) for _ in processes) == 1
    for process in processes:
        process.join(60)
    (run,) = latest(store)
    assert isinstance(run, Run)


def test_what_cannot_be_read_takes_nobodys_place_in_a_page_of_the_history(
    store: DynamoDBRunStore, settings: Settings
) -> None:
    runs = [a_run(now=NOW + number, token=str(number)) for number in range(6)]
    for run in runs:
        store.start([run], now=run.started_at)
        store.stop(run.ended(now=run.started_at + 0.5, by="ada", reason=None))
    past = {"pk": {"S": f"history#{settings.scope}"}}
    alter(store, settings, runs[4], {**past, "sk": {"S": runs[4].run_id}, "started_at": {"S": "soon"}})
    event = {"action": {"S": "halt"}, "at": {"S": "soon"}}
    alter(store, settings, runs[3], {**past, "sk": {"S": runs[3].run_id}, **event})
    page = store.history(since=0, until=NOW + 100, experiment=None, before=None, limit=3)
    assert [run.run_id for run in page.entries if isinstance(run, Run)] == [
        runs[5].run_id,
        runs[2].run_id,
        runs[1].run_id,
    ]
