"""What other versions wrote is read, and what this one writes is read by the version before."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chalicelib.access import Role, Token
from chalicelib.dynamodb.items import FORMAT, OPTION_TYPES, SINCE_FORMAT_4, read_run
from chalicelib.dynamodb.results import DynamoDBResultStore
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.dynamodb.tokens import DynamoDBTokenStore
from chalicelib.experiments.catalogue import installed
from chalicelib.runs.event import Event
from chalicelib.runs.options import Hypothesis, StartOptions
from chalicelib.runs.run import Run
from chalicelib.settings import Settings
from tests.support import NOW, a_run, an_event, with_hypothesis, with_options

FORMAT_1 = json.loads(Path(__file__).with_name("items_of_format_1.json").read_text())
"""Items as the version before format 2 wrote them, of the application `shop` in the stage `dev`."""

RUNNING = Run(
    run_id="20270115T080000.000Z-full",
    experiment="latency_injection",
    parameters={"duration_seconds": 600.0, "percentage": 100.0, "delay_seconds": 0.5, "allow_timeout": False},
    started_at=NOW,
    expires_at=NOW + 600,
    started_by="ada",
    started_from="10.0.0.1",
    options={
        "reason": "Game day",
        "alarms": ["orders-5xx"],
        "hypothesis": {"max_error_rate": 0.01, "p95_seconds": None, "min_requests": 50, "abort": True},
    },
    defect="TypeError: no",
)
HALT = an_event(now=NOW + 3, token="h", reason="orders are lost", source="10.0.0.1")


@pytest.fixture
def store(settings: Settings) -> DynamoDBRunStore:
    """On a table with the items of format 1."""
    store = DynamoDBRunStore(replace(settings, application="shop"))
    put(store, settings, *FORMAT_1["running"])
    return store


def put(store: DynamoDBRunStore, settings: Settings, *items: dict[str, Any]) -> None:
    for item in items:
        store._connection.client.put_item(TableName=settings.table, Item=item)


def kept(store: DynamoDBRunStore) -> list[str]:
    return [item.sk for item in store._item.query("shop#dev")]


def test_what_runs_is_read_with_its_options(store: DynamoDBRunStore) -> None:
    assert list(store.active(NOW + 2)) == list(store.running(NOW + 2)) == [RUNNING]
    assert RUNNING.hypothesis == Hypothesis(max_error_rate=0.01, abort=True)
    assert (RUNNING.alarms, RUNNING.aborts_itself, RUNNING.slow_after_seconds) == (("orders-5xx",), True, None)


def test_what_runs_is_stopped_and_leaves_the_partition(store: DynamoDBRunStore) -> None:
    ended = RUNNING.ended(now=NOW + 2, by="eve", reason="enough")
    assert [store.stop(ended), store.stop(ended)] == [True, False]
    assert (store.running(NOW + 2), store.last("latency_injection")) == ([], ended)
    assert kept(store) == ["run#error_injection", "run#resource_exhaustion"]


def test_what_runs_is_replaced_and_halted(store: DynamoDBRunStore) -> None:
    again = a_run(now=NOW + 2, token="again")
    assert store.start([a_run(now=NOW + 2, token="2")], now=NOW + 2) == RUNNING
    assert store.start([again], now=NOW + 2, replaced=[RUNNING.ended(now=NOW + 2, by="eve", reason="replaced")]) is None
    replaced = store.find(RUNNING.run_id)
    assert replaced is not None
    assert replaced.end_reason == "replaced"
    assert store.halt(HALT)
    assert (store.active(NOW + 2), store.running(NOW + 2)) == ([], [again])


def test_what_is_over_is_the_last_run_before_and_after_it_was_removed(store: DynamoDBRunStore) -> None:
    stopped, expired = store.last("error_injection"), store.last("resource_exhaustion")
    assert stopped is not None
    assert stopped.status(NOW + 2) == "stopped"
    assert expired is not None
    assert expired.status(NOW + 2) == "completed"
    other = a_run(now=NOW + 1000, token="again")
    assert store.start([other], now=NOW + 1000) is None
    assert kept(store) == ["run#latency_injection"]
    assert [store.last("error_injection"), store.last("resource_exhaustion")] == [stopped, expired]


def test_the_history_is_read(store: DynamoDBRunStore) -> None:
    entries = store.history(since=NOW, until=NOW + 9, experiment=None, before=None, limit=9).entries
    assert [entry.event_id if isinstance(entry, Event) else entry.run_id for entry in entries] == [
        "20270115T080002.000Z-r",
        "20270115T080000.000Z-stopped",
        "20270115T080000.000Z-full",
        "20270115T080000.000Z-expired",
    ]
    refusal, _, running, _ = entries
    assert isinstance(refusal, Event)
    assert refusal.details == {"code": "forbidden"}
    assert running == RUNNING


def test_a_halt_is_in_effect_until_it_was_resumed_from(store: DynamoDBRunStore, settings: Settings) -> None:
    put(store, settings, FORMAT_1["halt"])
    assert (store.halted(), store.active(NOW + 3)) == (HALT, [])
    assert not store.halt(an_event(token="2"))
    assert store.resume(an_event("resume", token="3", now=NOW + 4))
    put(store, settings, FORMAT_1["resumed"])
    assert store.halted() is None
    assert not store.resume(an_event("resume", token="4", now=NOW + 5))
    assert store.start([a_run("error_injection", now=NOW + 5, token="5")], now=NOW + 5) is None
    assert store.halt(an_event(token="6", now=NOW + 6))


def test_results_and_tokens_are_read(store: DynamoDBRunStore, settings: Settings) -> None:
    of_shop = replace(settings, application="shop")
    (tally,) = DynamoDBResultStore(of_shop).results([RUNNING]).values()
    assert (tally.counts, tally.environments) == ({"requests": 3, "untouched.2xx": 3}, 1)
    token = Token(hash="a" * 64, name="ada", role=Role.OPERATOR, created_at=NOW, expires_at=NOW + 60)
    assert DynamoDBTokenStore(of_shop).all() == [token]


def test_the_version_before_reads_what_this_one_writes(store: DynamoDBRunStore) -> None:
    """It asks for these attributes, of these types, and takes no others for a run's; unknown ones it leaves alone."""
    run = with_hypothesis(with_options(a_run(), reason="why", alarms=["a"]), p95_seconds=1.0)
    item = store._current(run).serialize()
    assert {name: next(iter(value)) for name, value in item.items()} == {
        "pk": "S", "sk": "S", "ttl": "N", "format": "N", "run_id": "S", "experiment": "S", "parameters": "S",
        "started_at": "N", "expires_at": "N", "started_by": "S", "options": "S",
    }  # fmt: skip
    assert (item["pk"]["S"], item["sk"]["S"], item["format"]["N"]) == ("shop#dev", "run#latency_injection", "2")
    assert installed()[run.experiment].Parameters.model_validate_json(item["parameters"]["S"])
    assert read_run(item) == run


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 2),
        ({"reason": "why", "hypothesis": {"max_error_rate": 0.01, "baseline_seconds": 0.0}}, 2),
        ({"target": {"environments_percentage": 50.0}}, 3),
        ({"target": {"environments_percentage": 50.0, "paths": ["/orders"]}}, 4),
        ({"target": {"methods": ["GET"]}}, 4),
        ({"max_requests": 100}, 4),
        ({"first": {"requests": 2}}, 4),
        ({"every": 3}, 4),
        ({"sticky": {"header": "x-user-id"}}, 4),
        ({"seed": "2026-11-25"}, 4),
        ({"ramp_seconds": 30.0}, 4),
        ({"dry_run": True}, 4),
        ({"propagate": True}, 4),
        ({"hypothesis": {"max_error_rate": 0.01, "baseline_seconds": 10.0}}, 3),
    ],
)
def test_only_a_run_of_which_older_versions_would_hit_too_much_is_of_a_format_that_they_cannot_read(
    settings: Settings, options: dict[str, Any], expected: int
) -> None:
    store = DynamoDBRunStore(settings)
    run = a_run(now=NOW, duration_seconds=600, options=options)
    assert store.start([run], now=NOW) is None
    labelled = a_run(now=NOW, token="2", duration_seconds=600, options=options, label="b")
    assert store.start([labelled], now=NOW) is None
    items = store._connection.client.scan(TableName=settings.table)["Items"]
    assert {item["format"]["N"] for item in items if "parameters" in item} == {str(expected)}
    assert list(store.active(NOW)) == [labelled, run]
    assert FORMAT == 4


def test_every_option_is_one_that_older_versions_may_leave_out_or_that_they_cannot_read() -> None:
    """A new option of a start goes to one of both, or older versions hit calls that the run must spare."""
    may_be_left_out = {"reason", "alarms", "hypothesis", "label"}
    decided_by_its_content = {"target"}
    assert StartOptions.model_fields.keys() == may_be_left_out | decided_by_its_content | SINCE_FORMAT_4
    assert OPTION_TYPES.keys() == StartOptions.model_fields.keys() - {"label"}
