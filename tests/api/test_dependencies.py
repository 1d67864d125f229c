"""What `GET /dependencies` shows, and whom it makes observe."""

from typing import Any

import pytest

from chalicelib.access import Caller, Role
from chalicelib.api.endpoints import PREFIX
from chalicelib.results.seen import OTHER, SeenCalls, SeenKey
from chalicelib.runs.observation import Observation
from chalicelib.settings import Settings
from tests.api.conftest import Control
from tests.support import NOW, Clock, an_event

VIEWER = Caller("bob", Role.VIEWER)


def ask(control: Control) -> dict[str, Any]:
    answer = control.ask("GET", "/dependencies", caller=VIEWER)
    assert answer.status == 200, answer.content
    content: dict[str, Any] = answer.content["resultset"]
    return content


def see(control: Control, client: str, dependency: str, calls: SeenCalls, at: float = NOW) -> None:
    control.seen.add(SeenKey(at, client, dependency), calls, addition="")


def test_the_first_question_makes_all_processes_observe_and_says_so(control: Control) -> None:
    answer = ask(control)
    assert (answer["observing"], answer["dependencies"]) == (False, [])
    assert (answer["observing_since"], answer["observed_until"]) == (
        "2027-01-15T08:00:00.000Z",
        "2027-01-15T08:01:00.000Z",
    )
    assert "Ask again in a few seconds" in answer["message"]
    assert control.store.observation == Observation.asked(NOW)
    assert control.changes == 1  # this process reads it at once


def test_the_next_question_lets_them_go_on(control: Control) -> None:
    ask(control)
    control.clock.now += 50
    answer = ask(control)
    assert (answer["observing"], answer["observing_since"]) == (True, "2027-01-15T08:00:00.000Z")
    assert answer["observed_until"] == "2027-01-15T08:01:50.000Z"
    assert "Send requests" in answer["message"]
    assert control.changes == 1


def test_calls_are_added_up_and_sorted_by_their_number(control: Control) -> None:
    see(control, "urllib3", "a.example:443", SeenCalls(2, 1, {40: 2}, frozenset({"tls", "dns"})))
    see(control, "urllib3", "a.example:443", SeenCalls(2, 0, {44: 2}, frozenset({"dns"})), at=NOW - 3599)
    see(control, "urllib3", "a.example:443", SeenCalls(9, 9, {44: 9}), at=NOW - 3601)
    see(control, "botocore", "dynamodb:PutItem", SeenCalls(5, 0, {40: 5}, frozenset({"latency", "throttle"})))
    ask(control)
    answer = ask(control)
    first, second = answer["dependencies"]
    assert (first["client"], first["dependency"], first["calls"], first["faults"]) == (
        "botocore",
        "dynamodb:PutItem",
        5,
        ["latency", "throttle"],
    )
    assert (second["calls"], second["errors"], second["faults"]) == (4, 1, ["dns", "tls"])
    assert second["p50_seconds"] == pytest.approx(0.1024)
    assert second["p50_seconds"] < second["p95_seconds"] < 0.21
    assert (first["note"], second["note"]) == (None, None)
    assert "go on observing" in answer["message"]


def test_what_no_fault_reaches_says_why(control: Control) -> None:
    see(control, "grpc", "", SeenCalls())
    see(control, "psycopg2", "", SeenCalls())
    see(control, OTHER, OTHER, SeenCalls(7, 0, {40: 7}))
    rows = {row["client"]: row for row in ask(control)["dependencies"]}
    assert all(row["faults"] == [] for row in rows.values())
    assert (rows["grpc"]["calls"], rows["grpc"]["p95_seconds"]) == (0, None)
    assert "outside of Python" in rows["grpc"]["note"]
    assert "libpq" in rows["psycopg2"]["note"]
    assert "100" in rows[OTHER]["note"]


def test_it_is_reading_so_a_halt_and_a_locked_stage_allow_it(clock: Clock) -> None:
    control = Control(clock, Settings(stage="prod"))
    control.store.halt(an_event("halt"))
    ask(control)
    assert control.store.observation


def test_without_a_token_nobody_observes(control: Control) -> None:
    assert control.ask("GET", "/dependencies", caller=None).status == 401
    assert control.store.observation is None


def test_a_table_that_does_not_answer_is_said(control: Control) -> None:
    control.store.broken = True
    assert control.ask("GET", "/dependencies").content["code"] == "store_unavailable"


def test_it_is_published(control: Control) -> None:
    document = control.ask("GET", "/openapi.json").content
    operation = document["paths"][f"{PREFIX}/dependencies"]["get"]
    assert "Requires the role viewer" in operation["description"]
    assert set(document["components"]["schemas"]) >= {"ChaosDependencies", "ChaosShownDependency"}
