"""Items with anything in any attribute: whatever it is, every endpoint answers, and the other runs go on."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.access import Caller, Role
from chalicelib.api.http import Request, Response
from chalicelib.bootstrap import Chaos, bootstrap
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.dynamodb.table import Item, bind, create_table
from chalicelib.errors import StoreUnavailable
from chalicelib.settings import Settings
from tests.support import NOW, Clock, a_run, an_event

DAMAGED, HEALTHY = "latency_injection", "error_injection"
CALLER = Caller("ada", Role.OPERATOR)
DEEP = '{"a":' * 30 + "1" + "}" * 30

ANYTHING: dict[str, dict[str, Any] | None] = {
    "missing": None,
    "text": {"S": "soon"},
    "empty": {"S": ""},
    "long": {"S": "x" * 3000},
    "control": {"S": "\x1b[2J\u2028é"},
    "zero": {"N": "0"},
    "negative": {"N": "-5"},
    "huge": {"N": "1E+100"},
    "binary": {"B": b"\x00\xff"},
    "null": {"NULL": True},
    "true": {"BOOL": True},
    "list": {"L": [{"S": "a"}]},
    "map": {"M": {"N": {"N": "1"}}},
    "texts": {"SS": ["a"]},
    "json null": {"S": "null"},
    "json list": {"S": "[1]"},
    "json text": {"S": '"a"'},
    "json NaN": {"S": '{"delay_seconds": NaN, "reason": NaN, "hypothesis": {"p95_seconds": Infinity}}'},
    "json 1e400": {"S": '{"delay_seconds": 1e400, "reason": 1e400}'},
    "json digits": {"S": '{"delay_seconds": 1' + "0" * 400 + "}"},
    "json deep": {"S": DEEP},
    "json deeper": {"S": "[" * 100_000},
    "json half a character": {"S": '{"reason": "\\ud800"}'},
    "json types": {"S": '{"reason": [1], "alarms": {"a": 1}, "hypothesis": {"abort": 1, "p95_seconds": "x"}}'},
}
"""What an attribute may have become, by name."""

KINDS = ("missing", "text", "negative", "huge", "null", "map")
"""The ones that are tried with every attribute of the envelope; the last one with the others, too."""

ENVELOPE = ("format", "run_id", "experiment", "started_at", "expires_at", "ended_at", "event_id", "at")
MORE = [("run_id", how) for how in ("empty", "long", "control", "binary")]

RUN = (
    "format", "run_id", "experiment", "label", "scenario", "started_at", "expires_at", "started_by", "started_from",
    "ended_at", "ended_by", "ended_from", "end_reason", "aborted", "is_spent", "defect", "parameters", "options", "ttl",
)  # fmt: skip
EVENT = ("event_id", "action", "at", "by", "source", "reason", "experiment", "details", "resumed_at", "ttl")


@pytest.fixture(scope="module")
def wired(dynamodb_url: str) -> Iterator[Chaos]:
    """One table for all of them: it is emptied after each."""
    settings = Settings(
        stage="dev", table="damaged-items", endpoint_url=dynamodb_url, table_timeout_seconds=5.0, dev_token="dev-token"
    )
    create_table(settings)
    yield bootstrap(settings, clock=Clock(), sleep=lambda _: None, schedule=lambda _, __: None)
    bind(Item, settings).delete_table()


@pytest.fixture
def table(wired: Chaos) -> Iterator["Table"]:
    table = Table(wired)
    table.start(HEALTHY)
    table.start(DAMAGED, reason="why", hypothesis={"max_error_rate": 0.1, "of": "hit"})
    yield table
    table.clear()


class Table:
    """The endpoints on a table, and a pen that writes anything into it."""

    def __init__(self, chaos: Chaos) -> None:
        self.chaos = chaos
        assert isinstance(chaos.runs, DynamoDBRunStore)
        self.client = chaos.runs._connection.client
        self.name, self.scope = chaos.settings.table, chaos.settings.scope

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, **query: str) -> Response:
        asked = Request(
            method=method,
            path=path,
            headers={"content-type": "application/json"},
            body=json.dumps(body).encode() if body is not None else b"",
            query={name: [value] for name, value in query.items()},
            caller=CALLER,
        )
        answer = self.chaos.api().handle(asked)
        json.loads(answer.body)
        return answer

    def start(self, name: str, **more: Any) -> Response:
        return self.call("POST", "/start", {"experiment_name": name, "duration_seconds": 600, **more})

    def runs(self) -> list[dict[str, Any]]:
        answer = self.call("GET", "/list")
        assert answer.status == 200
        found: list[dict[str, Any]] = answer.content["resultset"]["active_experiments"]
        return found

    def listed(self) -> dict[str, Any]:
        return {run["name"]: run for run in self.runs()}

    def item(self, pk: str, sk: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get_item(TableName=self.name, Key={"pk": {"S": pk}, "sk": {"S": sk}})
        return found.get("Item", {"pk": {"S": pk}, "sk": {"S": sk}})

    def damage(self, pk: str, sk: str, name: str, value: dict[str, Any] | None) -> None:
        item = {each: kept for each, kept in self.item(pk, sk).items() if each != name}
        self.client.put_item(TableName=self.name, Item={**item, name: value} if value else item)

    def clear(self) -> None:
        for item in self.client.scan(TableName=self.name)["Items"]:
            self.client.delete_item(TableName=self.name, Key={key: item[key] for key in ("pk", "sk")})
        self.chaos.engine.snapshot.get_fresh()

    def injected(self) -> set[str]:
        """The experiments of which a request meets the faults."""
        return {plan.run.experiment for plan in self.chaos.engine.snapshot.get_fresh()}

    def every_read_answers(self) -> None:
        for name in (DAMAGED, HEALTHY):
            assert self.call("GET", "/status", experiment_name=name).status == 200
        page = self.call("GET", "/history")
        assert page.status == 200
        for entry in page.content["resultset"]["entries"]:
            if entry["run"]:
                assert self.call("GET", "/report", run_id=entry["id"]).status == 200
        assert self.call("GET", "/test").status == 200


def damages(attributes: Sequence[str], texts: Sequence[str]) -> list[tuple[str, str]]:
    """Each attribute with anything; `test_any_item.py` has all of it, without a table."""
    envelope = [(name, how) for name in attributes for how in (KINDS if name in ENVELOPE else KINDS[-1:])]
    return [*envelope, *((name, how) for name in texts for how in ("json null", "json NaN", "json deeper"))]


def test_damaged_runs_are_listed_stopped_replaced_and_halted_and_spoil_nothing_else(table: Table) -> None:
    """All of them at once, each the run of an experiment of its own."""
    original = table.item(table.scope, f"run#{DAMAGED}")
    tried = [*damages(RUN, ("parameters", "options")), *MORE]
    broken = {f"{attribute}: {how}": (attribute, how) for attribute, how in tried}
    for name, (attribute, how) in broken.items():
        item = {**original, "sk": {"S": f"run#{name}"}, "experiment": {"S": name}, attribute: ANYTHING[how]}
        kept = {each: value for each, value in item.items() if value}
        table.client.put_item(TableName=table.name, Item=kept)

    listed = table.listed()
    over = {name for name in broken if name not in listed}
    assert over == {f"{attribute}: {how}" for attribute in ("expires_at", "ended_at") for how in ("negative",)}
    assert table.injected() == {DAMAGED, HEALTHY}
    table.every_read_answers()

    first, second, third = (sorted(broken.keys() - over)[number::3] for number in range(3))
    third += second[8:]
    del second[8:]
    for name in first:
        assert table.call("POST", "/stop", {"experiment_name": name}).status == 200, name
    runs = {run.experiment: run for run in table.chaos.runs.running(table.chaos.clock())}
    for name in second:
        again, ended = a_run(name, token="again"), runs[name].ended(now=NOW, by="bob", reason=None)
        assert table.chaos.runs.start([again], now=NOW) == runs[name], name
        assert table.chaos.runs.start([again], now=NOW, replaced=[ended]) is None, name
    assert table.listed().keys() == {DAMAGED, HEALTHY, *second, *third}
    assert table.injected() == {DAMAGED, HEALTHY}

    halted = table.call("POST", "/halt", {"reason": "enough"})
    assert (halted.status, len(halted.content["resultset"]["ended_runs"])) == (200, 2 + len(second) + len(third))
    assert table.call("POST", "/resume", {}).status == 200
    assert table.listed() == {}
    assert table.start(HEALTHY).status == 200
    assert table.injected() == {HEALTHY}
    table.every_read_answers()


@pytest.mark.parametrize("name", ["expires_at", "parameters", "run_id"])
def test_a_start_over_a_damaged_run_says_so_and_a_restart_replaces_it(table: Table, name: str) -> None:
    table.damage(table.scope, f"run#{DAMAGED}", name, {"S": "\x1b"})
    refused = table.start(DAMAGED)
    assert (refused.status, refused.content["code"]) == (409, "already_running")
    cause = "this version of the module cannot read" if name == "parameters" else "is damaged in the table"
    assert cause in refused.content["error_message"]
    assert table.start(DAMAGED, restart=True).status == 200
    assert table.injected() == {DAMAGED, HEALTHY}


def test_a_run_under_the_key_of_another_one_is_of_the_experiment_that_the_key_names(table: Table) -> None:
    run = table.item(table.scope, f"run#{HEALTHY}")
    table.call("POST", "/stop", {"experiment_name": DAMAGED})
    for key in (DAMAGED, "of_another_version", "latency_injection#2", "", "x" * 900, "\x1b[2J"):
        table.client.put_item(TableName=table.name, Item={**run, "sk": {"S": f"run#{key}"}})
        assert key in table.listed()
        assert table.injected() == {HEALTHY}
        assert table.call("POST", "/stop", {"experiment_name": key}).status == 200
        assert set(table.listed()) >= {HEALTHY}
    assert table.injected() == {HEALTHY}


@pytest.mark.parametrize("attribute", ["event_id", "at", "by", "reason", "details", "resumed_at", None])
def test_a_damaged_halt_is_a_halt_until_somebody_resumes(table: Table, attribute: str | None) -> None:
    for how in ("missing", "text", "null", "map", "huge") if attribute != "resumed_at" else ("text", "null", "map"):
        assert table.call("POST", "/halt", {"reason": "enough"}).status == 200, how
        if attribute:
            table.damage(table.scope, "halt", attribute, ANYTHING[how])
        else:
            table.client.put_item(TableName=table.name, Item={"pk": {"S": table.scope}, "sk": {"S": "halt"}})
        assert table.injected() == set(), how
        assert table.call("GET", "/list").content["resultset"]["halt"]["halted_at"], how
        assert table.start(HEALTHY).status == 423, how
        assert table.call("POST", "/halt", {"reason": "again"}).status == 200, how
        assert table.call("POST", "/resume", {}).status == 200, how
        assert table.call("POST", "/resume", {}).status == 409, how
    assert table.start(HEALTHY).status == 200
    assert table.injected() == {HEALTHY}


def test_damaged_entries_of_the_history_spoil_no_other_one(table: Table) -> None:
    history = f"history#{table.scope}"
    table.chaos.runs.record(an_event("refusal", details={"a": 1}))
    event = table.item(history, an_event("refusal").event_id)
    run = table.item(table.scope, f"run#{DAMAGED}")
    for number, (attribute, how) in enumerate(damages(sorted({*RUN, *EVENT}), ("parameters", "options", "details"))):
        for name, kept, own in (("run", run, "run_id"), ("event", event, "event_id")):
            key = {"S": f"20270115T080000.{number:03d}Z-{name}"}
            item = {**kept, "pk": {"S": history}, "sk": key, own: key, attribute: ANYTHING[how]}
            table.client.put_item(TableName=table.name, Item={each: value for each, value in item.items() if value})
    entries, before = [], {}
    while True:
        page = table.call("GET", "/history", limit="100", **before)
        assert page.status == 200
        entries += page.content["resultset"]["entries"]
        if not page.content["resultset"]["next"]:
            break
        before = {"before": page.content["resultset"]["next"]}
    assert len({entry["id"] for entry in entries}) == len(entries) > 70
    assert HEALTHY in [entry["experiment"] for entry in entries]
    shown = {entry["id"] for entry in entries}
    for run_id in sorted(shown)[::25]:
        assert table.call("GET", "/report", run_id=run_id).status in (200, 404)


def test_a_damaged_pointer_to_the_last_run_spoils_nothing_else(table: Table) -> None:
    table.call("POST", "/stop", {"experiment_name": DAMAGED})
    for how in ("missing", "text", "empty", "long", "control", "binary", "null", "huge"):
        table.damage(f"last#{table.scope}", DAMAGED, "run_id", ANYTHING[how])
        status = table.call("GET", "/status", experiment_name=DAMAGED)
        assert (status.status, status.content["resultset"]["status"]) == (200, "inactive"), how


def test_damaged_counts_spoil_no_other_ones(table: Table) -> None:
    run_id = table.listed()[HEALTHY]["run_id"]
    key = {"pk": {"S": f"results#{table.scope}#7"}, "sk": {"S": run_id}}
    for how, value in ANYTHING.items():
        if how == "json deeper":
            continue  # six of them are no item
        item = {name: value for name in ("c.requests", "c.untouched.2xx", "c.delay", "c.", "e.here", "ttl") if value}
        table.client.put_item(TableName=table.name, Item={**item, **key, "c.untouched.5xx": {"N": "3"}})
        status = table.call("GET", "/status", experiment_name=HEALTHY)
        assert (status.status, status.content["resultset"]["results"]["untouched"]["statuses"]["5xx"]) == (200, 3), how


def test_a_damaged_token_lets_nobody_in_and_spoils_no_other_one(table: Table) -> None:
    pk = f"tokens#{table.scope}"
    whole = {"pk": {"S": pk}, "name": {"S": "ada"}, "role": {"S": "operator"}, "created_at": {"N": "1"}}
    table.client.put_item(TableName=table.name, Item={**whole, "sk": {"S": "whole"}})
    for name, how in damages(("name", "role", "created_at", "expires_at"), ()):
        if ANYTHING[how] is None or how in ("zero", "negative", "huge"):
            continue
        item = {**whole, "sk": {"S": "damaged"}, name: ANYTHING[how]}
        table.client.put_item(TableName=table.name, Item=item)
        found = table.chaos.tokens.find("damaged")
        assert found is None or name == "name", (name, how)
        assert "whole" in [token.hash for token in table.chaos.tokens.all()], (name, how)


def test_the_other_runs_of_a_halt_end_where_one_cannot_be(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    store, stop = table.chaos.runs, table.chaos.runs.stop
    table.start("resource_exhaustion")

    def refusing(run: Any) -> bool:
        if run.experiment == DAMAGED:
            raise StoreUnavailable("The table does not answer.")
        return stop(run)

    monkeypatch.setattr(store, "stop", refusing)
    assert table.call("POST", "/halt", {"reason": "enough"}).status == 200
    assert [run.experiment for run in store.running(table.chaos.clock())] == [DAMAGED]
    assert table.call("POST", "/resume", {}).status == 503
    monkeypatch.undo()
    assert table.call("POST", "/resume", {}).status == 200
    assert table.injected() == set()


def test_a_run_that_is_damaged_after_it_was_compiled_hits_nothing_any_more(table: Table) -> None:
    assert table.injected() == {DAMAGED, HEALTHY}
    table.damage(table.scope, f"run#{DAMAGED}", "parameters", {"S": "{"})
    assert table.injected() == {HEALTHY}
    assert replace(a_run(), damaged=True).is_active(a_run().started_at)


def test_a_damaged_run_with_a_label_is_listed_stopped_and_replaced_by_it(table: Table) -> None:
    """It stays one of its experiment where its item says that; nothing else is told of it."""
    table.call("POST", "/stop", {"experiment_name": DAMAGED})
    of_label = [("label", how) for how in ("missing", "text", "map")]
    for attribute, how in (*of_label, ("scenario", "map"), ("run_id", "missing"), ("run_id", "map")):
        assert table.start(DAMAGED, label="slow-orders").status == 200, attribute
        assert table.injected() == {DAMAGED, HEALTHY}
        table.damage(table.scope, "run#slow-orders", attribute, ANYTHING[how])
        (shown,) = [run for run in table.runs() if run["label"] == "slow-orders"]
        assert (shown["name"], shown["defect"] is None) == (
            "slow-orders" if attribute == "label" else DAMAGED,
            False,
        )
        assert table.injected() == {HEALTHY}, (attribute, how)
        refused = table.start(DAMAGED, label="slow-orders")
        assert (refused.status, refused.content["code"]) == (409, "already_running")
        assert table.start(DAMAGED, label="slow-orders", restart=True).status == 200
        assert table.injected() == {DAMAGED, HEALTHY}
        table.damage(table.scope, "run#slow-orders", "expires_at", {"S": "soon"})
        stopped = table.call("POST", "/stop", {"experiment_name": DAMAGED})
        assert [run["label"] for run in stopped.content["resultset"]["stopped_runs"]] == ["slow-orders"]
        assert table.call("GET", "/status", label="slow-orders").content["resultset"]["status"] == "stopped"
    assert table.injected() == {HEALTHY}


def test_the_item_of_a_label_under_another_one_is_not_injected_twice(table: Table) -> None:
    assert table.start(HEALTHY, label="a").status == 200
    item = table.item(table.scope, "run#a")
    for key in ("b", DAMAGED):
        table.client.put_item(TableName=table.name, Item={**item, "sk": {"S": f"run#{key}"}})
        found = [plan.run.label for plan in table.chaos.engine.snapshot.get_fresh()]
        assert key not in found
        assert found.count("a") == 1
        assert table.call("POST", "/stop", {"label": key}).status == 200
