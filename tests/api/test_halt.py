"""Halt and resume, the lock of production, alarms, limits, and what the history has of it all."""

import json
from typing import Any

import pytest

from chalicelib.access import Caller, Role
from chalicelib.api.http import Response
from chalicelib.errors import StoreUnavailable
from chalicelib.runs.run import Run
from chalicelib.settings import Settings
from tests.api.conftest import Control
from tests.support import NOW, Clock, a_run

VIEWER = Caller("vic", Role.VIEWER)
LATENCY = '{"experiment_name": "latency_injection", "duration_seconds": 600}'
HALT = '{"reason": "orders are lost"}'


def result(response: Response) -> Any:
    assert response.status == 200, response.content
    return response.content["resultset"]


def refusal(response: Response) -> tuple[int, str]:
    return response.status, response.content["code"]


def entries(control: Control, **query: str) -> list[Any]:
    asked = {name: [value] for name, value in query.items()}
    return list(result(control.ask("GET", "/history", query=asked))["entries"])


# Halt


def test_a_halt_ends_everything_and_names_who_and_why(control: Control) -> None:
    run = result(control.post("/start", LATENCY))
    control.clock.now += 20
    halted = result(control.post("/halt", HALT, caller=VIEWER, source="192.0.2.7"))
    assert halted == {
        "halted_at": "2027-01-15T08:00:20.000Z",
        "halted_by": "vic",
        "reason": "orders are lost",
        "ended_runs": [run["run_id"]],
        "effective_everywhere_by": "2027-01-15T08:00:21.000Z",
    }
    ended = result(control.ask("GET", "/status", query={"experiment_name": ["latency_injection"]}))
    assert (ended["status"], ended["ended_by"], ended["end_reason"]) == ("stopped", "vic", "halted: orders are lost")
    assert ended["ended_from"] == "192.0.2.7"
    assert control.changes == 2


def test_while_halted_every_start_is_refused_with_who_and_why(control: Control) -> None:
    control.post("/halt", HALT, caller=VIEWER)
    for body in (LATENCY, '{"experiment_name": "error_injection", "restart": true}'):
        refused = control.post("/start", body)
        assert refusal(refused) == (423, "halted")
        assert "vic at 2027-01-15T08:00:00.000Z: orders are lost" in refused.content["error_message"]
        assert refused.content["resultset"]["halted_by"] == "vic"
    listed = result(control.ask("GET", "/list"))
    assert (listed["halt"]["reason"], listed["active_experiments"]) == ("orders are lost", [])


def test_a_resume_lets_start_again_and_brings_nothing_back(control: Control) -> None:
    control.post("/start", LATENCY)
    control.post("/halt", HALT)
    control.clock.now += 60
    resumed = result(control.post("/resume", '{"reason": "mended"}'))
    assert (resumed["resumed_by"], resumed["halt"]["reason"]) == ("ada", "orders are lost")
    listed = result(control.ask("GET", "/list"))
    assert (listed["halt"], listed["active_experiments"]) == (None, [])
    assert result(control.post("/start", LATENCY))["status"] == "running"


def test_a_second_halt_changes_nothing_and_a_second_resume_says_so(control: Control) -> None:
    control.post("/halt", HALT)
    assert result(control.post("/halt", '{"reason": "me too"}', caller=VIEWER))["reason"] == "orders are lost"
    assert result(control.post("/resume", ""))["resumed_by"] == "ada"
    assert refusal(control.post("/resume", "{}")) == (409, "not_halted")


def test_a_viewer_may_halt_but_not_resume(control: Control) -> None:
    assert control.post("/halt", HALT, caller=VIEWER).status == 200
    assert refusal(control.post("/resume", "{}", caller=VIEWER)) == (403, "forbidden")
    assert refusal(control.post("/halt", HALT, caller=None)) == (401, "unauthenticated")


@pytest.mark.parametrize(
    "body", ["{}", '{"reason": ""}', '{"reason": 1}', '{"reason": "%s"}' % ("r" * 101), '{"reason": "\\u001b[2J"}']
)
def test_a_halt_needs_a_reason(control: Control, body: str) -> None:
    refused = control.post("/halt", body)
    assert refusal(refused) == (400, "invalid_parameters")
    assert (
        "must be a string of 1 to 100 characters in one line, without control characters"
        in refused.content["error_message"]
    )
    assert ("is missing" in refused.content["error_message"]) == (body == "{}")
    assert control.store.halt_event is None


def test_runs_that_a_halt_could_not_end_do_not_come_back(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    control.post("/start", LATENCY)

    def fails(_run: Run) -> bool:
        raise StoreUnavailable("The table does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(control.store, "stop", fails)
        assert result(control.post("/halt", HALT))["ended_runs"] == []
        status = result(control.ask("GET", "/status", query={"experiment_name": ["latency_injection"]}))
        assert (status["status"], status["end_reason"]) == ("stopped", "halted: orders are lost")
        assert refusal(control.post("/resume", "{}")) == (503, "store_unavailable")
        assert control.store.halt_event
    control.clock.now += 5
    control.post("/resume", "{}")
    assert control.store.active(control.clock.now) == []
    assert control.store.runs["latency_injection"].ended_at == NOW


# Production


def test_nothing_starts_on_a_stage_that_is_named_like_production_but_it_can_be_stopped(clock: Clock) -> None:
    control = Control(clock, Settings(stage="prod-eu"))
    refused = control.post("/start", LATENCY)
    assert refusal(refused) == (403, "production_locked")
    assert "CHAOS_ALLOW_PRODUCTION=prod-eu" in refused.content["error_message"]
    control.store.start([a_run(duration_seconds=600)], now=NOW)
    assert control.post("/stop", '{"experiment_name": "latency_injection"}').status == 200
    assert control.post("/halt", HALT).status == 200


def test_it_starts_there_when_the_deployment_names_the_stage(clock: Clock) -> None:
    control = Control(clock, Settings(stage="prod-eu", allow_production="prod-eu"))
    assert control.post("/start", LATENCY).status == 200


# Limits


def test_the_limits_of_the_stage_hold_and_show(clock: Clock) -> None:
    limits = {"duration_seconds": 60.0, "delay_seconds": 1.5, "percentage": 10.0, "memory_mb": 64.0, "error_rate": 0.2}
    control = Control(clock, Settings(stage="qa", limits=limits))
    shown = {
        name: part["maximum"]
        for each in result(control.ask("GET", "/list"))["available_experiments"]
        for name, part in each["parameters"]["properties"].items()
        if name in limits
    }
    assert shown == limits
    asked = {"experiment_name": "latency_injection", "duration_seconds": 61, "delay_seconds": 2, "percentage": 11}
    refused = control.post("/start", json.dumps(asked))
    assert {each["field"] for each in refused.content["details"]} == {"duration_seconds", "delay_seconds", "percentage"}
    assert control.post("/start", json.dumps({**asked, **limits, "memory_mb": None})).status == 400
    body = '{"experiment_name": "latency_injection", "duration_seconds": 60, "delay_seconds": 1.5, "percentage": 10}'
    assert control.post("/start", body).status == 200


def test_the_smaller_limit_holds_where_the_environment_has_one_too(clock: Clock) -> None:
    control = Control(clock, Settings(stage="qa", limits={"memory_mb": 9000.0}))  # 500 MB can be spared
    body = '{"experiment_name": "resource_exhaustion", "memory_mb": 501}'
    assert refusal(control.post("/start", body)) == (400, "invalid_parameters")


# Alarms


GUARDED = '{"experiment_name": "latency_injection", "alarms": ["orders-5xx", "orders-slow"]}'


def test_a_run_keeps_the_alarms_that_may_end_it(control: Control) -> None:
    control.alarms.states = {"orders-5xx": None, "orders-slow": None}
    assert result(control.post("/start", GUARDED))["alarms"] == ["orders-5xx", "orders-slow"]
    assert control.store.runs["latency_injection"].alarms == ("orders-5xx", "orders-slow")


def test_nothing_starts_while_one_is_in_alarm_or_nobody_can_tell(control: Control) -> None:
    assert refusal(control.post("/start", GUARDED)) == (404, "unknown_alarm")
    control.alarms.states = {"orders-5xx": None, "orders-slow": "p99 is 4 s"}
    refused = control.post("/start", GUARDED)
    assert refusal(refused) == (409, "alarm_active")
    assert "orders-slow is in ALARM: p99 is 4 s" in refused.content["error_message"]
    control.alarms.broken = True
    assert refusal(control.post("/start", GUARDED)) == (503, "alarms_unavailable")
    assert control.store.runs == {}


def test_without_alarms_nobody_asks_for_any(control: Control) -> None:
    control.post("/start", LATENCY)
    assert control.alarms.asked == 0


@pytest.mark.parametrize("alarms", ['"one"', "[1]", '[""]', '["%s"]' % ("a" * 101), '["a", "b", "c", "d", "e", "f"]'])
def test_alarms_are_a_short_list_of_names(control: Control, alarms: str) -> None:
    refused = control.post("/start", f'{{"experiment_name": "latency_injection", "alarms": {alarms}}}')
    assert refusal(refused) == (400, "invalid_parameters")
    assert (
        "alarms must be a list of at most 5, each a string of 1 to 100 characters in one line"
        in refused.content["error_message"]
    )


# History


def test_the_history_has_every_start_stop_halt_and_resume(control: Control) -> None:
    control.post("/start", '{"experiment_name": "latency_injection", "reason": "game day"}', source="192.0.2.7")
    control.clock.now += 1
    control.post("/stop", '{"experiment_name": "latency_injection", "reason": "seen"}', source="192.0.2.8", caller=None)
    control.post("/stop", '{"experiment_name": "latency_injection", "reason": "seen"}', source="192.0.2.8")
    control.post("/halt", HALT, caller=VIEWER, source="192.0.2.9")
    control.clock.now += 1
    control.post("/resume", '{"reason": "mended"}')
    resume, halt, run = entries(control)
    assert [each["action"] for each in (run, halt, resume)] == ["run", "halt", "resume"]
    assert (run["by"], run["source"], run["reason"], run["at"]) == (
        "ada",
        "192.0.2.7",
        "game day",
        "2027-01-15T08:00:00.000Z",
    )
    assert (run["run"]["status"], run["run"]["ended_from"], run["run"]["end_reason"]) == (
        "stopped",
        "192.0.2.8",
        "seen",
    )
    assert (halt["by"], halt["source"], halt["reason"]) == ("vic", "192.0.2.9", "orders are lost")
    assert (resume["by"], resume["reason"]) == ("ada", "mended")


def test_the_history_has_what_somebody_tried_and_was_not_let(control: Control) -> None:
    control.post("/start", LATENCY, caller=VIEWER, source="192.0.2.7")
    control.clock.now += 1
    control.post("/halt", HALT)
    control.clock.now += 1
    control.post("/start", LATENCY)
    second, _, first = entries(control)
    assert (first["action"], first["by"], first["source"], first["details"]["code"]) == (
        "refusal",
        "vic",
        "192.0.2.7",
        "forbidden",
    )
    assert (second["details"]["endpoint"], second["details"]["code"]) == ("/start", "halted")
    assert second["details"]["body"] == LATENCY


def test_nobody_fills_the_history_without_a_token_nor_with_what_is_not_understood(control: Control) -> None:
    control.post("/start", LATENCY, caller=None)
    control.post("/start", LATENCY, caller=None, headers={"authorization": "Bearer wrong"})
    control.post("/start", "{")
    assert entries(control) == []


def test_a_refusal_that_cannot_be_recorded_is_a_refusal_all_the_same(control: Control) -> None:
    control.store.broken = True
    assert refusal(control.post("/start", LATENCY, caller=VIEWER)) == (403, "forbidden")


def test_the_history_comes_in_pages_by_experiment_and_by_time(control: Control) -> None:
    for number in range(5):
        control.clock.now = NOW + number
        name = "error_injection" if number == 2 else "latency_injection"
        control.post("/start", json.dumps({"experiment_name": name, "restart": True}))
    page = result(control.ask("GET", "/history", query={"limit": ["2"]}))
    assert [entry["at"][17:19] for entry in page["entries"]] == ["04", "03"]
    rest = result(control.ask("GET", "/history", query={"before": [page["next"]]}))
    assert [entry["at"][17:19] for entry in rest["entries"]] == ["02", "01", "00"]
    assert rest["next"] is None
    assert [entry["at"][17:19] for entry in entries(control, experiment_name="error_injection")] == ["02"]
    times = {"since": "2027-01-15T08:00:01Z", "until": "2027-01-15T09:00:03+01:00"}
    assert [entry["at"][17:19] for entry in entries(control, **times)] == ["02", "01"]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("limit", "0", "invalid_parameters"),
        ("limit", "101", "invalid_parameters"),
        ("limit", "ten", "invalid_parameters"),
        ("limit", "1.0", "invalid_parameters"),
        ("since", "yesterday", "invalid_parameters"),
        ("until", "2027-13-01", "invalid_parameters"),
        ("before", "x" * 65, "invalid_parameters"),
        ("before", "\n", "invalid_parameters"),
        ("limt", "5", "invalid_parameters"),
        ("experiment_name", "nothing", "unknown_experiment"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(control: Control, name: str, value: str, code: str) -> None:
    assert control.ask("GET", "/history", query={name: [value]}).content["code"] == code
