"""Several runs of one experiment, told apart by their labels, and runs that were started together."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from chalicelib.api.http import Response
from chalicelib.errors import StoreUnavailable
from chalicelib.experiments.catalogue import installed
from chalicelib.runs.run import Run
from tests.api.conftest import PUBLISHED, Control
from tests.support import NOW, a_run, an_event

LATENCY, ERRORS = "latency_injection", "error_injection"
DOCUMENT = PUBLISHED()


def post(control: Control, path: str, **body: Any) -> Response:
    answer = control.post(path, json.dumps(body))
    is_as_published(answer, "post", path)
    return answer


def get(control: Control, path: str, **query: str) -> Response:
    answer = control.ask("GET", path, query={name: [value] for name, value in query.items()})
    is_as_published(answer, "get", path)
    return answer


def is_as_published(answer: Response, method: str, path: str) -> None:
    shown = DOCUMENT["paths"][f"/chaos_experiments{path}"][method]["responses"][str(answer.status)]
    schema = {**shown["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}
    assert [each.message for each in Draft202012Validator(schema).iter_errors(json.loads(answer.body))] == []


def result(answer: Response) -> Any:
    assert answer.status == 200, answer.content
    return answer.content["resultset"]


def refusal(answer: Response) -> tuple[int, str]:
    return answer.status, answer.content["code"]


def start(control: Control, name: str = LATENCY, **more: Any) -> Any:
    control.clock.now += 1
    return result(post(control, "/start", experiment_name=name, duration_seconds=600, **more))


def test_a_run_has_the_name_of_its_experiment_for_a_label_unless_it_has_one_of_its_own(control: Control) -> None:
    plain, slow = start(control), start(control, label="slow-orders", delay_seconds=5)
    assert (plain["name"], plain["label"], plain["scenario"]) == (LATENCY, LATENCY, None)
    assert (slow["name"], slow["label"]) == (LATENCY, "slow-orders")
    listed = result(get(control, "/list"))["active_experiments"]
    assert [(run["name"], run["label"]) for run in listed] == [(LATENCY, LATENCY), (LATENCY, "slow-orders")]


def test_a_label_is_taken_while_a_run_with_it_is_active_whatever_its_experiment(control: Control) -> None:
    slow = start(control, label="slow-orders")
    refused = post(control, "/start", experiment_name=ERRORS, label="slow-orders")
    assert refusal(refused) == (409, "already_running")
    assert refused.content["resultset"]["run_id"] == slow["run_id"]
    assert refused.content["error_message"] == (
        f"slow-orders (latency_injection) is already running: run {slow['run_id']}, started by ada, ends in 600 s. "
        'Stop it first, send "restart": true to replace it, or start another run with a label of its own.'
    )
    start(control)
    again = start(control, ERRORS, label="slow-orders", restart=True)
    old = result(get(control, "/status", run_id=slow["run_id"]))
    assert (old["status"], old["end_reason"], old["runs"]) == ("stopped", f"replaced by {again['run_id']}", [])
    assert {run.label for run in control.store.active(control.clock.now)} == {LATENCY, "slow-orders"}


@pytest.mark.parametrize(
    ("label", "allowed"),
    [
        (ERRORS, "must be a label that is not the name of another experiment than latency_injection"),
        ("", "must be letters, digits, dots, hyphens and underscores"),
        ("x" * 65, "must be letters, digits, dots, hyphens and underscores"),
        ("#alarms", "must be letters, digits, dots, hyphens and underscores"),
        ("a b", "must be letters, digits, dots, hyphens and underscores"),
        (7, "must be letters, digits, dots, hyphens and underscores"),
    ],
)
def test_a_label_that_cannot_be_is_refused(control: Control, label: Any, allowed: str) -> None:
    refused = post(control, "/start", experiment_name=LATENCY, label=label)
    assert refusal(refused) == (400, "invalid_parameters")
    assert refused.content["error_message"].startswith(f"label {allowed}")
    assert not control.store.runs


def test_more_than_twenty_runs_are_refused(control: Control) -> None:
    for number in range(20):
        start(control, label=f"r-{number}")
    assert refusal(post(control, "/start", experiment_name=LATENCY)) == (409, "too_many_runs")
    start(control, label="r-7", restart=True)
    several = [{"experiment_name": ERRORS}, {"experiment_name": LATENCY, "label": "r-7", "restart": True}]
    assert refusal(post(control, "/start", experiments=several)) == (409, "too_many_runs")


# Scenarios


def test_a_list_starts_all_as_one_scenario(control: Control) -> None:
    several = [
        {"experiment_name": LATENCY, "label": "slow-orders", "delay_seconds": 5, "reason": "game day"},
        {"experiment_name": LATENCY},
        {"experiment_name": ERRORS, "error_rate": 0.5},
    ]
    started = result(post(control, "/start", experiments=several))
    assert [(run["label"], run["scenario"]) for run in started["runs"]] == [
        ("slow-orders", started["scenario"]),
        (LATENCY, started["scenario"]),
        (ERRORS, started["scenario"]),
    ]
    assert [run["status"] for run in started["runs"]] == ["running"] * 3
    assert control.changes == 1
    status = result(get(control, "/status", scenario=started["scenario"]))
    assert {run["run_id"] for run in status["runs"]} == {run["run_id"] for run in started["runs"]}
    start(control, label="another")
    stopped = result(post(control, "/stop", scenario=started["scenario"], reason="enough"))
    assert {run["label"] for run in stopped["stopped_runs"]} == {"slow-orders", LATENCY, ERRORS}
    assert {run["end_reason"] for run in stopped["stopped_runs"]} == {"enough"}
    assert [run.label for run in control.store.active(control.clock.now)] == ["another"]
    over = result(get(control, "/status", scenario=started["scenario"]))
    assert (over["scenario"], over["status"], over["runs"]) == (started["scenario"], "stopped", [])


def test_every_problem_of_a_list_is_named_by_its_place_and_nothing_starts(control: Control) -> None:
    several = [
        {"experiment_name": LATENCY, "delay_seconds": 99},
        {"label": "x"},
        7,
        {"experiment_name": ERRORS, "label": LATENCY},
        {"experiment_name": LATENCY, "hypothesis": {"max_error_rate": 2}},
    ]
    refused = post(control, "/start", experiments=several, reason="x")
    assert refusal(refused) == (400, "invalid_parameters")
    assert [problem["field"] for problem in refused.content["details"]] == [
        "reason",
        "experiments.0.delay_seconds",
        "experiments.1.experiment_name",
        "experiments.2",
        "experiments.3.label",
        "experiments.4.hypothesis.max_error_rate",
    ]
    assert "experiments.0.delay_seconds must be a number from 0 to 60" in refused.content["error_message"]
    assert not control.store.runs


@pytest.mark.parametrize("given", [[], None, 7, "x", {}, [{"experiment_name": LATENCY}] * 21])
def test_a_list_has_one_to_twenty_starts(control: Control, given: Any) -> None:
    refused = post(control, "/start", experiments=given)
    assert refusal(refused) == (400, "invalid_parameters")
    assert refused.content["error_message"].startswith("experiments must be a list of 1 to 20 starts; got ")


def test_two_of_a_list_cannot_have_one_label(control: Control) -> None:
    refused = post(control, "/start", experiments=[{"experiment_name": LATENCY}] * 2)
    assert refused.content["error_message"] == (
        "experiments.1.label must be a label of its own; without one it is the name of the experiment; "
        'got "latency_injection", as experiments.0 has.'
    )


def test_an_unknown_experiment_in_a_list_is_told_what_there_is(control: Control) -> None:
    refused = post(control, "/start", experiments=[{"experiment_name": LATENCY}, {"experiment_name": "x"}])
    assert refusal(refused) == (404, "unknown_experiment")


def test_of_a_list_that_meets_a_running_label_nothing_starts_unless_that_one_is_replaced(control: Control) -> None:
    slow = start(control, label="slow-orders")
    several: list[dict[str, Any]] = [{"experiment_name": ERRORS}, {"experiment_name": LATENCY, "label": "slow-orders"}]
    refused = post(control, "/start", experiments=several)
    assert refusal(refused) == (409, "already_running")
    assert "None of the 2 experiments was started." in refused.content["error_message"]
    assert [run.run_id for run in control.store.active(control.clock.now)] == [slow["run_id"]]
    several[1]["restart"] = True
    started = result(post(control, "/start", experiments=several))
    assert len(control.store.active(control.clock.now)) == len(started["runs"]) == 2


def test_an_alarm_of_one_of_a_list_stops_all(control: Control) -> None:
    control.alarms.states = {"fine": None, "broken": "too many errors"}
    several = [{"experiment_name": LATENCY, "alarms": ["fine"]}, {"experiment_name": ERRORS, "alarms": ["broken"]}]
    assert refusal(post(control, "/start", experiments=several)) == (409, "alarm_active")
    control.store.halt(an_event())
    assert refusal(post(control, "/start", experiments=several[:1])) == (423, "halted")
    assert not control.store.runs


# Stop and status


def test_a_stop_by_name_ends_all_runs_of_the_experiment_and_answers_with_the_newest(control: Control) -> None:
    runs = [start(control), start(control, label="b"), start(control, label="a"), start(control, ERRORS)]
    stopped = result(post(control, "/stop", experiment_name=LATENCY))
    assert stopped["run_id"] == runs[2]["run_id"]
    assert [run["run_id"] for run in stopped["stopped_runs"]] == [runs[number]["run_id"] for number in (2, 1, 0)]
    assert [run.experiment for run in control.store.active(control.clock.now)] == [ERRORS]
    again = post(control, "/stop", experiment_name=LATENCY)
    assert again.content["error_message"] == (
        "latency_injection is not running, so nothing was stopped. Running now: error_injection."
    )


@pytest.mark.parametrize("way", ["label", "run_id"])
def test_a_stop_by_label_or_id_ends_that_run_alone(control: Control, way: str) -> None:
    start(control)
    slow = start(control, label="slow-orders")
    stopped = result(post(control, "/stop", **{way: slow[way]}))
    assert [run["run_id"] for run in stopped["stopped_runs"]] == [slow["run_id"]] == [stopped["run_id"]]
    assert [run.label for run in control.store.active(control.clock.now)] == [LATENCY]
    again = post(control, "/stop", **{way: slow[way]})
    assert refusal(again) == (404, "not_running")
    assert again.content["error_message"] == (
        f"No run with the {way} '{slow[way]}' is active, so nothing was stopped. Running now: latency_injection."
    )


@pytest.mark.parametrize("path", ["/stop", "/status"])
def test_runs_are_named_in_exactly_one_way(control: Control, path: str) -> None:
    ask = post if path == "/stop" else get
    several = ask(control, path, label="a", run_id="b", scenario="c")
    assert refusal(several) == (400, "invalid_parameters")
    assert [(each["field"], each["kind"]) for each in several.content["details"]] == [
        ("run_id", "one_name"),
        ("scenario", "one_name"),
    ]
    assert several.content["error_message"].startswith(
        "run_id cannot be sent together with label; send exactly one of experiment_name, label, run_id, scenario."
    )
    none = ask(control, path)
    assert refusal(none) == (400, "missing_parameter")
    assert none.content["error_message"].endswith("Or send one of label, run_id, scenario instead.")


def test_a_stop_of_several_ends_the_others_where_one_cannot_be(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in ("a", "b", "c"):
        start(control, label=label)
    stop = control.store.stop

    def refusing(run: Run) -> bool:
        if run.label == "b":
            raise StoreUnavailable("The table does not answer.")
        return stop(run)

    monkeypatch.setattr(control.store, "stop", refusing)
    changes = control.changes
    assert refusal(post(control, "/stop", experiment_name=LATENCY)) == (503, "store_unavailable")
    assert [run.label for run in control.store.active(control.clock.now)] == ["b"]
    assert control.changes == changes + 1


def test_a_status_by_name_is_the_newest_active_run_else_the_last_one(control: Control) -> None:
    assert result(get(control, "/status", experiment_name=LATENCY))["runs"] == []
    plain, slow, short = start(control), start(control, label="slow"), start(control, label="short")
    post(control, "/stop", label="short")
    status = result(get(control, "/status", experiment_name=LATENCY))
    assert status["run_id"] == slow["run_id"]
    assert [run["run_id"] for run in status["runs"]] == [slow["run_id"], plain["run_id"]]
    for way in ("label", "run_id"):
        (one,) = result(get(control, "/status", **{way: plain[way]}))["runs"]
        assert one["run_id"] == plain["run_id"]
    post(control, "/stop", experiment_name=LATENCY)
    over = result(get(control, "/status", experiment_name=LATENCY))
    assert (over["run_id"], over["status"], over["runs"]) == (short["run_id"], "stopped", [])
    assert result(get(control, "/status", label="slow"))["status"] == "stopped"


@pytest.mark.parametrize("way", ["label", "run_id", "scenario"])
@pytest.mark.parametrize("value", ["nothing", "x" * 500, "\x1b[2J", "20270115T080000.000Z-0"])
def test_a_status_of_what_never_was_says_so(control: Control, way: str, value: str) -> None:
    assert refusal(get(control, "/status", **{way: value})) == (404, "unknown_run")


def test_while_halted_no_run_is_active_in_a_status(control: Control) -> None:
    start(control, label="slow")
    control.store.halt(an_event(now=control.clock.now))
    status = result(get(control, "/status", label="slow"))
    assert (status["status"], status["runs"]) == ("stopped", [])


def test_a_halt_ends_twenty_runs(control: Control) -> None:
    for number in range(20):
        start(control, label=f"r-{number}")
    halted = result(post(control, "/halt", reason="enough"))
    assert len(halted["ended_runs"]) == 20
    assert list(control.store.running(control.clock.now)) == []


def test_the_history_is_filtered_by_label_and_the_report_names_it(control: Control) -> None:
    start(control)
    slow = start(control, label="slow-orders")
    post(control, "/stop", experiment_name=LATENCY)
    entries = result(get(control, "/history", label="slow-orders"))["entries"]
    assert [entry["id"] for entry in entries] == [slow["run_id"]]
    assert entries[0]["run"]["label"] == "slow-orders"
    (entry,) = result(get(control, "/history", label=LATENCY))["entries"]
    assert entry["run"]["label"] == LATENCY
    assert result(get(control, "/report", run_id=slow["run_id"]))["run"]["label"] == "slow-orders"


def test_a_spent_run_is_completed_and_says_why(control: Control) -> None:
    run = a_run(duration_seconds=600, now=NOW)
    control.store.runs[LATENCY] = run.spent(now=NOW + 5, by="max_requests", reason="100 requests were hit")
    control.store.past[run.run_id] = control.store.runs[LATENCY]
    control.clock.now = NOW + 6
    shown = result(get(control, "/status", experiment_name=LATENCY))
    assert (shown["status"], shown["ended_by"], shown["end_reason"], shown["end_time"]) == (
        "completed",
        "max_requests",
        "100 requests were hit",
        "2027-01-15T08:00:05.000Z",
    )


def test_parameters_that_are_not_set_are_not_stored(control: Control) -> None:
    started = start(control)["parameters"]
    assert "jitter_seconds" in installed()[LATENCY].Parameters.model_fields
    assert "jitter_seconds" not in started
    assert None not in started.values()
