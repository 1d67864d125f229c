"""Inputs that nobody would think of: not one is a defect, and not one starts what the document does not allow.

`make fuzz` tries as many as one likes.
"""

import json
from functools import partial
from typing import Any

import flask
import pytest
import schemathesis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from chalicelib.api.handlers import NO_KEY_TO_SHARE
from chalicelib.api.http import Response
from chalicelib.api.openapi import document
from chalicelib.api.requests import ONE_NAME, TAKEN_LABEL
from chalicelib.api.vacuity import NEVER_HIT, NO_HITS, NO_TIME, NO_UNTOUCHED
from chalicelib.bootstrap import bootstrap
from chalicelib.experiments.base import REFUSED
from chalicelib.experiments.catalogue import installed
from chalicelib.frameworks.flask import ChaosExperiments
from chalicelib.runs.target import CREDENTIAL, TOO_LONG, TWICE
from chalicelib.settings import Settings
from tests.api.conftest import Control
from tests.support import Clock, FakeAlarms, FakeResultStore, FakeRunStore, FakeSeenStore, FakeTokenStore

PREFIX = "/chaos_experiments"
BAD_REQUEST = 400
LIMITS = {"duration_seconds": 3600.0, "memory_mb": 500.0}
DOCUMENT = document(PREFIX, LIMITS, installed())
START = Draft202012Validator(
    DOCUMENT["paths"][f"{PREFIX}/start"]["post"]["requestBody"]["content"]["application/json"]["schema"]
)


@pytest.fixture
def many(pytestconfig: pytest.Config) -> Any:
    """Tries a property with as many inputs as were asked for."""
    cases = int(pytestconfig.getoption("--cases"))
    return settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))


NAMES = sorted({name for each in installed().values() for name in each.Parameters.model_fields})
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
ODD = st.sampled_from([0, 1, -1, 100, 101, 3600, 3601, 60, 60.001, 0.5, "2", True, 10**400, 1e308, "", [], {}])
VALUES = SCALARS | ODD | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=5), SCALARS, max_size=2)
FIELDS = st.sampled_from([*NAMES, "reason", "restart", "alarms", "experiment_name"]) | st.text(max_size=10)
DEPENDENCY_FAILURE = {"experiment_name": "dependency_failure"}
OF_DEPENDENCIES = {*installed()["dependency_failure"].Parameters.model_fields} - {"dependency"}
BODIES = st.builds(
    lambda name, more: {"experiment_name": name, **more},
    st.sampled_from([*installed(), "nothing"]) | VALUES,
    st.dictionaries(FIELDS, VALUES, max_size=4),
) | st.builds(
    lambda dependency, fault, more: {**DEPENDENCY_FAILURE, "dependency": dependency, **fault, **more},
    st.sampled_from(["dynamodb", "sqs:SendMessage", "https://a.example/v1/*", "localhost:5432", "*.example.com"])
    | VALUES,
    st.sampled_from(["error", "latency", "slow", "dns", "nothing"]).map(lambda fault: {"fault": fault}) | st.just({}),
    st.dictionaries(st.sampled_from(sorted(OF_DEPENDENCIES)), VALUES | st.just("Throttled") | st.just(503), max_size=2),
)


def test_a_start_starts_what_the_document_allows_and_nothing_else(many: Any) -> None:
    @many
    @given(BODIES)
    @example({"experiment_name": "latency_injection", "delay_seconds": 60, "percentage": 0.001})
    @example({"experiment_name": "latency_injection", "restart": 1})
    def check(body: dict[str, Any]) -> None:
        control = Control(Clock())
        control.alarms.states = dict.fromkeys(body["alarms"]) if _names(body.get("alarms")) else {}
        answer = control.post("/start", json.dumps(body))
        _is_an_answer(answer)
        allowed = START.is_valid(body)
        assert (answer.status == 200, bool(control.store.runs)) == (allowed, allowed), (body, answer.content)

    check()


def test_a_preview_refuses_what_a_start_refuses_and_nothing_else(many: Any) -> None:
    @many
    @given(BODIES, st.dictionaries(st.sampled_from(["method", "headers", "query"]), VALUES, max_size=1))
    def check(body: dict[str, Any], described: dict[str, Any]) -> None:
        control = Control(Clock())
        control.alarms.states = dict.fromkeys(body["alarms"]) if _names(body.get("alarms")) else {}
        _is_an_answer(control.post("/preview", json.dumps({**body, "request": {"path": "/", **described}})))
        previewed = control.post("/preview", json.dumps({**body, "request": {"path": "/"}})).content
        started = control.post("/start", json.dumps(body)).content
        refused = previewed["resultset"].get("refused", [])
        first = next(({"code": each["code"], "error_message": each["message"]} for each in refused), previewed)
        names = ("code", "error_message")
        assert [first.get(name) for name in names] == [started.get(name) for name in names], (body, previewed)

    check()


def _names(alarms: Any) -> bool:
    return isinstance(alarms, list) and all(isinstance(name, str) for name in alarms)


def _is_an_answer(answer: Response) -> None:
    assert answer.status != 500, answer.content
    json.loads(answer.body)


@pytest.mark.parametrize("path", ["/start", "/preview", "/stop", "/halt", "/resume"])
def test_bytes_are_no_body(many: Any, path: str) -> None:
    braces = st.lists(st.sampled_from([b"{", b"}", b"[", b'"', b":", b",", b"1", b"null", b"\\u0000", b"e9", b"\xff"]))

    @many
    @given(st.binary(max_size=200) | braces.map(b"".join), st.text(max_size=30))
    def check(body: bytes, content_type: str) -> None:
        control = Control(Clock())
        _is_an_answer(control.post(path, body))
        _is_an_answer(control.post(path, body, headers={"content-type": content_type}))
        assert control.store.runs == {}
        assert control.store.halt_event is None

    check()


def test_a_query_is_an_answer(many: Any) -> None:
    names = st.sampled_from(
        ["experiment_name", "label", "run_id", "scenario", "since", "until", "before", "limit"]
    ) | st.text(max_size=5)
    moments = st.datetimes().map(str) | st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat())

    @many
    @given(st.dictionaries(names, st.lists(st.text(max_size=80) | moments, max_size=2)))
    def check(query: dict[str, list[str]]) -> None:
        control = Control(Clock())
        for path in ("/history", "/status"):
            _is_an_answer(control.ask("GET", path, query=query))

    check()


REFUSALS = {
    "The request has no bearer token. Send the header 'Authorization: Bearer <token>'.",
    "The bearer token is unknown to this stage, revoked or expired. Send a valid token of this stage.",
}


def test_no_header_but_a_tokens_opens_the_door(many: Any) -> None:
    @many
    @given(st.text() | st.builds("{} {}".format, st.sampled_from(["Bearer", "bearer", "Basic", "Bearer "]), st.text()))
    def check(header: str) -> None:
        answer = Control(Clock()).ask("GET", "/list", caller=None, headers={"authorization": header})
        assert answer.status == 401
        assert answer.content["error_message"] in REFUSALS  # which say nothing of what was sent

    check()


@pytest.fixture(scope="module")
def application() -> flask.Flask:
    """The module on fakes, in a Flask application: real requests, no effects."""
    app = flask.Flask("fuzzed")
    clock = Clock()
    wire = partial(
        bootstrap,
        Settings(stage="dev", dev_token="let-me-in", limits={"duration_seconds": 3600.0, "memory_mb": 1.0}),
        runs=FakeRunStore(),
        tokens=FakeTokenStore(),
        results=FakeResultStore(),
        seen=FakeSeenStore(),
        alarms=FakeAlarms(),
        clock=clock,
        sleep=clock.sleep,
        chance=lambda: 1.0,
    )
    ChaosExperiments(app, wire=wire)
    return app


@pytest.fixture(scope="module")
def operations(application: flask.Flask) -> dict[str, Any]:
    """What the published document offers, by method and path."""
    schema = schemathesis.openapi.from_wsgi(f"{PREFIX}/openapi.json", application)
    found = [each.ok() for each in schema.get_all_operations()]
    return {f"{operation.method.upper()} {operation.path}": operation for operation in found}


BEYOND_THE_SCHEMA = {
    NO_UNTOUCHED,
    NO_HITS,
    NO_TIME,
    NEVER_HIT,
    ONE_NAME,
    TAKEN_LABEL,
    NO_KEY_TO_SHARE,
    TOO_LONG,
    TWICE,
    CREDENTIAL,
    REFUSED,
}
"""Kinds of problems that no JSON Schema expresses: of fields together, and of names in other capitals."""


def _is_of_several_fields(answer: Any) -> bool:
    """Whether each value is allowed and all of them together are not, which no JSON Schema says."""
    details = answer.json().get("details", []) if answer.status_code == BAD_REQUEST else []
    return bool(details) and all(each.get("kind") in BEYOND_THE_SCHEMA for each in details)


ITSELF = f"GET {PREFIX}/openapi.json"
OPERATIONS = [f"{method.upper()} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods]
OPERATIONS.remove(ITSELF)


def test_the_published_document_is_the_one_that_is_made(operations: dict[str, Any]) -> None:
    assert sorted({*operations} - {ITSELF}) == sorted(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_published_document_is_kept(operations: dict[str, Any], many: Any, name: str) -> None:
    """Schemathesis asks every endpoint what the document allows and what it does not."""
    operation = operations[name]
    refused = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)

    @many
    @given(case=operation.as_strategy() | refused)
    def check(case: Any) -> None:
        # What it must not accept is what the properties above are about; further names in a query are no harm.
        headers = {"Authorization": "Bearer let-me-in"}
        answer = case.call(headers=headers)
        excluded = [negative_data_rejection]
        if _is_of_several_fields(answer) or {"since", "until"} <= {*(case.query or ())}:  # which no schema can ask for
            excluded.append(positive_data_acceptance)
        case.validate_response(answer, headers=headers, excluded_checks=excluded)

    check()
