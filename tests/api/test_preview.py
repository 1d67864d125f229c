"""What a start or a run would do to one request, without starting anything."""

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from chalicelib.access import Caller, Role
from chalicelib.api.http import Response
from chalicelib.injection.propagation import Seal, inherited
from chalicelib.results.tally import Tally
from chalicelib.settings import Settings
from tests.api.conftest import Control
from tests.support import NOW, Clock, a_run, an_event, with_hypothesis, with_options

LATENCY = {"experiment_name": "latency_injection"}
REQUEST = {"path": "/orders/1"}
Result = dict[str, Any]


def ask(control: Control, body: Any, **options: Any) -> Response:
    return control.post("/preview", json.dumps(body), **options)


def preview(control: Control, request: Any = None, start: Any = None, **more: Any) -> Result:
    answer = ask(control, {**(LATENCY if start is None else start), "request": request or REQUEST, **more})
    assert answer.status == 200, answer.content
    content: Result = answer.content["resultset"]
    json.loads(answer.body)
    return content


def preview_of(control: Control, run: Any, request: Any = None) -> Result:
    control.store.past[run.run_id] = run
    return preview(control, request, {"run_id": run.run_id})


def criteria(previewed: Result) -> dict[str, tuple[Any, Any]]:
    return {each["name"]: (each["passes"], each["probability"]) for each in previewed["criteria"]}


def seen(previewed: Result, name: str) -> tuple[Any, Any]:
    (found,) = [each for each in previewed["criteria"] if each["name"] == name]
    return found["allowed"], found["seen"]


# What is certain, and what is not


def test_a_start_without_options_hits_every_request(control: Control) -> None:
    assert preview(control) == {
        "would_hit": True,
        "criteria": [
            {
                "name": "excluded",
                "allowed": {"not": ["/health", "/internal/*", "/chaos_experiments/*"]},
                "seen": "/orders/1",
                "passes": True,
                "probability": 1.0,
            },
            {"name": "percentage", "allowed": 100.0, "seen": None, "passes": True, "probability": 1.0},
        ],
        "faults": [{"kind": "wait", "share": 1.0, "delay_seconds": 2.0, "allow_timeout": False}],
        "refused": [],
        "dry_run": False,
        "applies_to": "request",
    }


@pytest.mark.parametrize(
    ("more", "likely"),
    [
        ({"percentage": 20}, 0.2),
        ({"percentage": 0.0001, "every": 100_000}, 1e-11),
        ({"every": 4}, 0.25),
        ({"every": 1}, True),
        ({"target": {"environments_percentage": 50}}, 0.5),
        ({"target": {"environments_percentage": 50, "paths": ["/orders/*"]}, "percentage": 50, "every": 2}, 0.125),
        ({"target": {"environments_percentage": 50, "paths": ["/carts/*"]}}, False),
        ({"experiment_name": "error_injection", "error_rate": 0.9}, 0.9),
        ({"experiment_name": "error_injection", "error_rate": 0.5, "percentage": 50}, 0.25),
        ({"experiment_name": "error_injection", "error_rate": 0}, False),
        ({"seed": "x", "percentage": 50}, 0.5),
        ({"ramp_seconds": 30, "percentage": 50}, 0.5),
        ({"ramp_seconds": 30}, True),
        ({"max_requests": 1}, True),
        ({"first": {"requests": 1}}, True),
        ({"first": {"requests": 1, "key": {"header": "x-order"}}}, False),
        ({"sticky": {"query": "user"}, "percentage": 50}, False),
    ],
)
def test_it_is_true_or_false_where_that_is_certain_and_otherwise_the_product(
    control: Control, more: Result, likely: Any
) -> None:
    previewed = preview(control, **more)
    assert (previewed["would_hit"], type(previewed["would_hit"])) == (likely, type(likely))
    assert control.store.runs == control.store.past == {}


OF_CALLS = {"experiment_name": "dependency_failure", "dependency": "dynamodb:PutItem", "fault": "dns"}


@pytest.mark.parametrize(
    ("more", "likely"),
    [
        ({}, 1.0),
        ({"percentage": 20}, 0.2),
        ({"every": 4}, 0.25),
        ({"dry_run": True}, 1.0),
        ({"scope_of_calls": "process"}, 1.0),
        ({"target": {"paths": ["/orders/*"]}}, 1.0),
        ({"target": {"paths": ["/carts/*"]}}, False),
        ({"sticky": {"header": "x-user"}, "percentage": 50}, False),
        ({"first": {"requests": 2}}, 1.0),
    ],
)
def test_of_outgoing_calls_it_says_how_likely_each_is_hit_and_never_that_the_request_is(
    control: Control, more: Result, likely: Any
) -> None:
    """Nobody knows whether the request makes any."""
    previewed = preview(control, **{**OF_CALLS, **more})
    assert (previewed["would_hit"], type(previewed["would_hit"])) == (likely, type(likely))
    assert previewed["applies_to"] == "dependency"
    assert criteria(previewed)["dependency"] == (None, None)
    assert seen(previewed, "dependency") == ("dynamodb:PutItem", None)
    (fault,) = previewed["faults"]
    assert (fault["kind"], fault["fault"], fault["share"]) == ("dependency", "dns", 1.0)


def test_it_shows_each_criterion_that_matches_and_each_that_does_not(control: Control) -> None:
    target = {
        "methods": ["POST"],
        "paths": ["/orders/*"],
        "headers": {"x-tenant": "acme", "x-beta": {"exists": True}},
        "query": {"debug": "1"},
    }
    request = {"method": "POST", "path": "/orders/1", "headers": {"X-Tenant": "acme "}, "query": {"debug": ["2", "1"]}}
    previewed = preview(control, request, target=target)
    assert previewed["would_hit"] is False
    assert criteria(previewed) == {
        "excluded": (True, 1.0),
        "target.methods": (True, 1.0),
        "target.paths": (True, 1.0),
        "target.headers.x-tenant": (True, 1.0),
        "target.headers.x-beta": (False, 0.0),
        "target.query.debug": (True, 1.0),
        "percentage": (True, 1.0),
    }
    assert seen(previewed, "target.headers.x-tenant") == ("acme", "acme")
    assert seen(previewed, "target.headers.x-beta") == ({"exists": True}, None)
    assert seen(previewed, "target.query.debug") == ("1", ["2", "1"])
    assert seen(previewed, "target.paths") == (["/orders/*"], "/orders/1")
    request["headers"] = {"x-tenant": "acme", "X-Beta": ""}
    assert preview(control, request, target=target)["would_hit"] is True


@pytest.mark.parametrize(
    "path", ["/health", "/health/", "/internal/a/b", "/chaos_experiments", "/chaos_experiments/list"]
)
def test_what_is_excluded_and_the_control_plane_are_never_hit(control: Control, path: str) -> None:
    previewed = preview(control, {"path": path})
    assert previewed["would_hit"] is False
    assert criteria(previewed)["excluded"] == (False, 0.0)


def test_the_test_endpoint_is_hit(control: Control) -> None:
    assert preview(control, {"path": "/chaos_experiments/test"})["would_hit"] is True


@pytest.mark.parametrize(
    ("experiment", "parameters"),
    [
        ("response_corruption", {}),
        ("slow_response", {}),
        ("connection_drop", {"after_bytes": 1}),
        ("error_injection", {"record_percentage": 50.0}),
    ],
)
def test_a_fault_that_is_not_about_such_a_call_does_not_hit_it(
    control: Control, experiment: str, parameters: dict[str, Any]
) -> None:
    start = {"experiment_name": experiment, **parameters}
    batch = {"event": {"Records": [{"eventSource": "aws:sqs", "eventSourceARN": "a", "messageId": "1"}]}}
    about_batches = experiment == "error_injection"
    concerned, other = (batch, REQUEST) if about_batches else (REQUEST, batch)
    hit, not_hit = preview(control, concerned, start), preview(control, other, start)
    assert (bool(hit["would_hit"]), not_hit["would_hit"]) == (True, False)
    assert "concerned" not in criteria(hit)
    assert seen(not_hit, "concerned") == ([hit["faults"][0]["kind"]], [])


def test_which_function_gets_the_request_is_unknown_unless_it_is_said(control: Control) -> None:
    target = {"functions": ["billing-*"]}
    unknown = preview(control, target=target)
    assert (unknown["would_hit"], criteria(unknown)["target.functions"]) == (1.0, (None, None))
    assert unknown["would_hit"] is not True
    for function, hit in (("billing-prod", True), ("orders-prod", False), ("", False)):
        previewed = preview(control, {**REQUEST, "function": function}, target=target)
        assert previewed["would_hit"] is hit
        assert seen(previewed, "target.functions") == (["billing-*"], function)


def test_an_event_is_previewed_without_a_path_and_with_one(control: Control) -> None:
    target = {"event": {"Records.0.eventSource": "aws:sqs"}}
    event = {"Records": [{"eventSource": "aws:sqs"}]}
    previewed = preview(control, {"event": event}, target=target)
    assert previewed["would_hit"] is True
    assert seen(previewed, "target.event.Records.0.eventSource") == ("aws:sqs", "aws:sqs")
    assert preview(control, {"event": {}}, target=target)["would_hit"] is False
    assert preview(control, {"event": event}, target={"paths": ["/orders/*"]})["would_hit"] is False
    both = preview(control, {"event": event, "path": "/orders/1"}, target={**target, "paths": ["/orders/*"]})
    assert both["would_hit"] is True


# Keys


def keyed(number: int) -> Result:
    return {"path": "/", "headers": {"X-User": f"user-{number}"}}


STICKY = {"sticky": {"header": "x-user"}, "percentage": 50.0}


def test_the_verdict_on_a_key_is_certain_with_a_seed_and_of_a_run(control: Control) -> None:
    seeded = [preview(control, keyed(number), seed="x", **STICKY)["would_hit"] for number in range(40)]
    assert {*seeded} == {True, False}
    started = a_run(percentage=50.0, options={"sticky": {"header": "x-user"}})
    other = replace(started, run_id="20270115T080000.000Z-00000000")
    verdicts = [
        [preview_of(control, each, keyed(number))["would_hit"] for number in range(40)] for each in (started, other)
    ]
    assert {*verdicts[0]} == {*verdicts[1]} == {True, False}
    assert verdicts[0] != verdicts[1]
    assert seeded == [
        preview_of(control, with_options(each, seed="x"), keyed(number))["would_hit"]
        for each in (started,)
        for number in range(40)
    ]


def test_of_a_start_whose_id_decides_only_the_share_is_known(control: Control) -> None:
    previewed = preview(control, keyed(1), **STICKY)
    assert previewed["would_hit"] == 0.5
    assert criteria(previewed)["sticky"] == (True, 1.0)
    assert criteria(previewed)["percentage"] == (None, 0.5)
    assert seen(previewed, "sticky") == ({"header": "x-user"}, "user-1")
    assert preview(control, {"path": "/"}, **STICKY)["would_hit"] is False
    assert preview(control, keyed(1), sticky={"header": "x-user"})["would_hit"] is True


def test_a_key_decides_which_faults_are_met_too(control: Control) -> None:
    start = {"experiment_name": "error_injection", "error_rate": 0.5, "sticky": {"header": "x-user"}}
    verdicts = [preview(control, keyed(number), start, seed="x") for number in range(40)]
    assert {each["would_hit"] for each in verdicts} == {True, False}
    assert {criteria(each)["sticky"] for each in verdicts} == {(True, 1.0)}
    assert {criteria(each)["faults"] for each in verdicts} == {(True, 1.0), (False, 0.0)}
    assert criteria(preview(control, keyed(1), start))["faults"] == (None, 0.5)


# A run


def test_of_a_run_it_is_what_holds_at_this_moment(control: Control, clock: Clock) -> None:
    run = a_run(duration_seconds=60.0, percentage=80.0, options={"ramp_seconds": 20.0})
    for passed, likely in ((0, False), (5, 0.2), (10, 0.4), (30, 0.8), (60, False)):
        clock.now = NOW + passed
        assert preview_of(control, run)["would_hit"] == likely


def test_a_run_hits_nothing_before_its_baseline_is_over_nor_when_it_has_ended(control: Control, clock: Clock) -> None:
    run = with_hypothesis(a_run(duration_seconds=60.0), p95_seconds=1.0, baseline_seconds=10.0)
    assert criteria(preview_of(control, run))["active"] == (False, 0.0)
    clock.now = NOW + 10
    assert preview_of(control, run)["would_hit"] is True
    ended = run.ended(now=NOW + 10, by="ada", reason=None)
    previewed = preview_of(control, ended)
    assert previewed["would_hit"] is False
    assert seen(previewed, "active") == (
        {"from": "2027-01-15T08:00:10.000Z", "until": "2027-01-15T08:00:10.000Z"},
        "2027-01-15T08:00:10.000Z",
    )
    control.store.halt_event = an_event(now=NOW + 10)
    halted = preview_of(control, run)
    assert halted["would_hit"] is False
    assert [each["code"] for each in halted["refused"]] == ["halted"]


def test_what_a_run_has_left_to_hit_is_not_read(control: Control) -> None:
    options = {"max_requests": 5, "first": {"requests": 2, "key": {"header": "x-user"}}}
    previewed = preview_of(control, a_run(options=options), keyed(1))
    assert previewed["would_hit"] == 1.0
    assert previewed["would_hit"] is not True
    assert criteria(previewed)["max_requests"] == criteria(previewed)["first.requests"] == (None, None)
    assert criteria(previewed)["first.key"] == (True, 1.0)
    assert preview_of(control, a_run(options=options))["would_hit"] is False


def test_a_run_that_the_stage_does_not_permit_hits_nothing(clock: Clock) -> None:
    control = Control(clock, Settings(stage="qa", limits={"delay_seconds": 1.0}))
    previewed = preview_of(control, a_run(delay_seconds=2.0))
    assert previewed["would_hit"] is False
    assert seen(previewed, "permitted") == (True, "delay_seconds 2 is above this stage's limit 1")


@pytest.mark.parametrize(
    "run",
    [
        replace(a_run(), unreadable=True),
        replace(a_run(), parameters={"delay_seconds": "long"}),
        with_options(a_run(), target={"moon": "full"}),
        with_options(a_run(), sticky={"moon": "full"}),
    ],
    ids=["unreadable", "parameters", "target", "sticky"],
)
def test_a_run_that_this_version_cannot_read_is_refused(control: Control, run: Any) -> None:
    control.store.past[run.run_id] = run
    answer = ask(control, {"run_id": run.run_id, "request": REQUEST})
    assert (answer.status, answer.content["error_message"]) == (
        400,
        f'run_id must be the id of a run that this version of the module can read; got "{run.run_id}".',
    )


def test_a_run_that_there_is_not_is_unknown(control: Control) -> None:
    for run_id in ("20270115T080000.000Z-00000000", "", "no id\n"):
        answer = ask(control, {"run_id": run_id, "request": REQUEST})
        assert (answer.status, answer.content["code"]) == (404, "unknown_run")


# What a start would be refused for


def codes(previewed: Result) -> list[str]:
    return [each["code"] for each in previewed["refused"]]


def test_it_says_everything_that_a_start_would_be_refused_for_in_its_words(clock: Clock) -> None:
    control = Control(clock, Settings(stage="production", limits={"delay_seconds": 1.0}))
    control.alarms.states = {"slow": "p99 is 3 s"}
    control.store.runs["latency_injection"] = a_run()
    previewed = preview(control, delay_seconds=2, alarms=["slow"])
    assert previewed["would_hit"] is True
    assert codes(previewed) == ["invalid_parameters", "production_locked", "alarm_active", "already_running"]
    assert previewed["refused"][0]["message"] == (
        "delay_seconds must be a number from 0 to 1 (seconds) in this stage and environment; got 2."
    )
    assert previewed["refused"][0]["details"][0]["field"] == "delay_seconds"
    control.store.halt_event = an_event()
    assert codes(preview(control, alarms=["slow"])) == ["production_locked", "alarm_active", "halted"]
    assert codes(preview(control, alarms=["other"])) == ["production_locked", "unknown_alarm", "halted"]
    control.store.broken = True
    assert codes(preview(control)) == ["production_locked", "store_unavailable", "store_unavailable"]


def test_each_refusal_is_the_one_of_the_start(control: Control) -> None:
    control.store.runs["latency_injection"] = a_run()
    refused = control.post("/start", json.dumps(LATENCY)).content
    assert preview(control)["refused"] == [
        {"code": refused["code"], "message": refused["error_message"], "details": refused["details"]}
    ]
    assert preview(control, restart=True)["refused"] == []
    assert preview(control, label="another")["refused"] == []


def test_a_start_for_which_there_is_no_place_is_refused_unless_it_takes_the_place_of_another(control: Control) -> None:
    for number in range(20):
        run = replace(a_run(token=str(number)), label=f"run-{number}")
        control.store.runs[run.label] = run
    refused = control.post("/start", json.dumps(LATENCY)).content
    assert refused["code"] == "too_many_runs"
    assert [(each["code"], each["message"]) for each in preview(control)["refused"]] == [
        ("too_many_runs", refused["error_message"])
    ]
    assert codes(preview(control, label="run-1")) == ["already_running"]
    assert codes(preview(control, label="run-1", restart=True)) == []


def test_a_preview_starts_nothing_and_records_nothing(clock: Clock) -> None:
    control = Control(clock, Settings(stage="production"))
    control.store.halt_event = an_event()
    answer = ask(control, {**LATENCY, "request": REQUEST}, caller=Caller("vic", Role.VIEWER))
    assert answer.status == 200
    assert codes(answer.content["resultset"]) == ["production_locked", "halted"]
    assert answer.all_headers["Cache-Control"] == "no-store"
    assert control.store.runs == control.store.past == {}
    assert control.results.writes == control.changes == 0
    assert control.results.tallies == dict[str, Tally]()


def test_a_dry_run_says_so(control: Control) -> None:
    previewed = preview(control, dry_run=True)
    assert (previewed["would_hit"], previewed["dry_run"]) == (True, True)


# Nonsense


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([], "request must be an object with event, method, path, headers, query, function; got a list of 0."),
        (None, "request must be an object with event, method, path, headers, query, function; got null."),
        ({}, "request.path is missing; it must be a decoded path such as /orders/1."),
        ({"path": 7}, "request.path must be a decoded path such as /orders/1; got 7."),
        (
            {"path": "orders"},
            '; got "orders": it does not begin with a slash; send the path alone, without scheme and ',
        ),
        ({"path": ""}, "request.path is missing; it must be a decoded path such as /orders/1."),
        ({"event": None}, "request.event must be"),
        ({"event": [1]}, "request.event must be"),
        ({"path": "/orders?debug=1"}, "it has a query or a fragment; send that as query, or leave it out."),
        ({"path": "/a%20b"}, "it is percent-encoded; send it decoded."),
        ({"path": "/a\n"}, "it has control characters; leave them out."),
        (
            {"path": "/", "method": "get"},
            'an HTTP method in upper case, such as GET; got "get": methods are in upper case; send it so.',
        ),
        ({"path": "/", "method": "GET\n"}, "request.method must be an HTTP method in upper case, such as GET; got "),
        (
            {"path": "/", "verb": "GET"},
            "request.verb is not a known field; use one of event, method, path, headers, query, function.",
        ),
        (
            {"path": "/", "headers": ["a"]},
            "request.headers must be an object of names of headers, each with its value; got a list of 1.",
        ),
        ({"path": "/", "headers": {"a": 1}}, "request.headers.a must be a text in one line; got 1."),
        ({"path": "/", "headers": {"a b": "1"}}, 'got "a b": no header has such a name; look for blanks '),
        ({"path": "/", "headers": {"a": "1\r\nb: 2"}}, "request.headers.a must be a text in one line; got "),
        ({"path": "/", "headers": {"a": "€"}}, "no header has such characters; leave line ends and what is not in ISO"),
        (
            {"path": "/", "headers": {"a": "1", "A": "2"}},
            "it has a name twice, since capitals make no difference; keep ",
        ),
        (
            {"path": "/", "query": "debug=1"},
            "request.query must be an object of names, each with a text, or a list of ",
        ),
        ({"path": "/", "query": {"debug": 1}}, "request.query.debug must be a text, or a list of texts; got 1."),
        ({"path": "/", "query": {"debug": ["1", 2]}}, "request.query.debug must be a text, or a list of texts; got 2 "),
        ({"path": "/", "function": 1}, "request.function must be a string; got 1."),
    ],
)
def test_a_request_that_no_application_gets_is_refused_in_words(control: Control, asked: Any, message: str) -> None:
    answer = ask(control, {**LATENCY, "request": asked})
    assert (answer.status, answer.content["code"]) == (400, "invalid_parameters")
    assert message in answer.content["error_message"]


def test_all_problems_of_the_request_are_in_one_answer(control: Control) -> None:
    answer = ask(control, {**LATENCY, "request": {"method": "get", "headers": {"a b": "\n"}, "more": 1}})
    assert [each["field"] for each in answer.content["details"]] == [
        "request.method",
        "request.path",
        "request.headers",
        "request.headers.a b",
        "request.more",
    ]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (LATENCY, 400, "invalid_parameters"),
        ({"request": REQUEST}, 400, "missing_parameter"),
        ({"experiment_name": "nothing", "request": REQUEST}, 404, "unknown_experiment"),
        ({**LATENCY, "request": REQUEST, "delay_seconds": 61}, 400, "invalid_parameters"),
        ({**LATENCY, "request": REQUEST, "target": {}}, 400, "invalid_parameters"),
        ({**LATENCY, "request": REQUEST, "run_id": "x"}, 400, "invalid_parameters"),
        ({"run_id": 7, "request": REQUEST}, 400, "invalid_parameters"),
        ({"run_id": "x"}, 400, "invalid_parameters"),
    ],
)
def test_a_start_that_is_none_is_refused_as_a_start_refuses_it(
    control: Control, body: Result, status: int, code: str
) -> None:
    answer = ask(control, body)
    assert (answer.status, answer.content["code"]) == (status, code), answer.content


# What another service has decided

KEY = "sixteen bytes or more"


def travelling(clock: Clock) -> tuple[Control, Result]:
    """The control plane of a service with a key, and a start that travels."""
    seal = Seal(KEY, clock)
    control = Control(clock, settings=Settings(stage="qa", propagation_key=KEY), inherited=partial(inherited, seal))
    return control, {**LATENCY, "label": "slow", "propagate": True, "percentage": 20, "target": {"paths": ["/carts"]}}


@pytest.mark.parametrize("is_hit", [True, False])
def test_a_verdict_of_another_service_takes_the_place_of_target_and_percentage(clock: Clock, *, is_hit: bool) -> None:
    control, start = travelling(clock)
    sealed = Seal(KEY, clock).propagation(a_run(label="slow", options={"propagate": True}))
    assert sealed
    request = {**REQUEST, "headers": {"Baggage": sealed.own(is_hit=is_hit, until=NOW + 60)}}
    previewed = preview(control, request, start)
    assert (previewed["would_hit"], previewed["refused"]) == (is_hit, [])
    assert seen(previewed, "propagate") == (True, is_hit)
    assert set(criteria(previewed)) == {"excluded", "propagate"}


@pytest.mark.parametrize(("is_hit", "likely"), [(True, 0.2), (False, False)])
def test_of_outgoing_calls_it_takes_the_place_of_the_target_alone(
    clock: Clock, *, is_hit: bool, likely: float | bool
) -> None:
    control, start = travelling(clock)
    sealed = Seal(KEY, clock).propagation(a_run(label="slow", options={"propagate": True}))
    assert sealed
    request = {**REQUEST, "headers": {"Baggage": sealed.own(is_hit=is_hit, until=NOW + 60)}}
    about_calls = {**{name: each for name, each in start.items() if name != "delay_seconds"}, **OF_CALLS}
    previewed = preview(control, request, about_calls)
    assert (previewed["would_hit"], previewed["refused"]) == (likely, [])
    assert set(criteria(previewed)) == {"excluded", "dependency", "propagate", "percentage"}


def test_a_baggage_without_a_genuine_one_changes_nothing(clock: Clock) -> None:
    control, start = travelling(clock)
    request = {**REQUEST, "headers": {"baggage": "chaos.slow=1.1.x.y"}}
    assert set(criteria(preview(control, request, start))) == {"excluded", "target.paths", "percentage"}


def test_without_a_key_a_start_that_travels_is_refused(control: Control) -> None:
    (refused,) = preview(control, propagate=True)["refused"]
    assert refused["code"] == "invalid_parameters"
    assert "CHAOS_PROPAGATION_KEY" in refused["message"]
