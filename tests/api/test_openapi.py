import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from pydantic import BaseModel

from chalicelib.access import Role
from chalicelib.api.endpoints import ENDPOINTS
from chalicelib.api.http import Response
from chalicelib.api.openapi import document
from chalicelib.errors import Unauthenticated
from chalicelib.experiments.catalogue import installed
from tests.api.conftest import Control
from tests.support import Clock

PREFIX = "/v1/chaos_experiments"
DOCUMENT = document(PREFIX, {"duration_seconds": 600.0}, installed())


def test_it_is_built_once_for_all_who_ask(clock: Clock) -> None:
    built = []

    def build() -> dict[str, Any]:
        built.append(1)
        return {"openapi": "3.1.0"}

    control = Control(clock, document=build)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: control.ask("GET", "/openapi.json").body, range(100)))
    assert {*answers} == {'{"openapi": "3.1.0"}'}
    assert built == [1]


def test_what_is_published_of_a_model_is_made_once_and_nobodys_change_is_seen_by_others(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = control.ask("GET", "/list").body
    made = []
    monkeypatch.setattr(BaseModel, "model_json_schema", classmethod(lambda cls: made.append(cls) or {}))
    assert control.ask("GET", "/list").body == first
    assert control.post("/start", '{"experiment_name": "latency_injection"}').status == 200
    assert made == []


def test_it_is_an_openapi_document() -> None:
    validate(DOCUMENT)


def test_it_has_every_endpoint_and_who_may_ask_it() -> None:
    for endpoint in ENDPOINTS:
        operation = DOCUMENT["paths"][PREFIX + endpoint.path][endpoint.method.lower()]
        assert operation["summary"]
        assert ("security" in operation) is (endpoint.role is not Role.ANYONE)


def test_every_part_of_it_is_described_in_a_sentence() -> None:
    described = []
    for path in DOCUMENT["paths"].values():
        for operation in path.values():
            described += [operation, *operation["responses"].values(), *operation.get("parameters", ())]
            body = operation.get("requestBody", {"content": {"application/json": {"schema": {}}}})
            schema = body["content"]["application/json"]["schema"]
            variants = [each for each in schema.get("oneOf", ()) if "properties" in each]
            for each in variants or [schema] if schema else []:
                described += [each, *each["properties"].values()]
    described += DOCUMENT["components"]["schemas"].values()
    assert len(described) > 100
    for each in described:
        assert each.get("description", "").strip().endswith((".", "%.")), each


def test_it_says_of_each_refusal_when_it_comes() -> None:
    answers = DOCUMENT["paths"][f"{PREFIX}/stop"]["post"]["responses"]
    assert answers["404"]["description"] == (
        "Not Found. `not_running`: No run that the request names is active, so nothing was stopped. "
        "`unknown_experiment`: There is no experiment of this name. `resultset.available_experiments` lists the names."
    )


def test_a_start_is_one_of_the_experiments_with_the_limits_that_hold_here() -> None:
    bodies = DOCUMENT["paths"][f"{PREFIX}/start"]["post"]["requestBody"]["content"]["application/json"]["schema"][
        "oneOf"
    ]
    *bodies, scenario = bodies
    assert [body["title"] for body in bodies] == list(installed())
    listed = scenario["properties"]["experiments"]
    assert (listed["maxItems"], listed["items"]["oneOf"], scenario["additionalProperties"]) == (20, bodies, False)
    for body in bodies:
        assert body["additionalProperties"] is False
        assert body["properties"]["duration_seconds"]["maximum"] == 600.0
        needed = ["dependency"] if body["title"] == "dependency_failure" else []
        assert body["required"] == ["experiment_name", *needed]


def problems(method: str, path: str, response: Response) -> list[str]:
    """Where an answer is not as the document says."""
    shown = DOCUMENT["paths"][PREFIX + path][method.lower()]["responses"][str(response.status)]
    schema = {**shown["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}
    return [problem.message for problem in Draft202012Validator(schema).iter_errors(json.loads(response.body))]


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/list", {}),
        ("GET", "/status", {"query": {"experiment_name": ["latency_injection"]}}),
        ("GET", "/status", {"query": {"experiment_name": ["error_injection"]}}),
        ("GET", "/status", {}),
        ("GET", "/status", {"query": {"experiment_name": ["nothing"]}}),
        ("POST", "/start", {"body": b'{"experiment_name": "error_injection"}'}),
        ("POST", "/start", {"body": b'{"experiment_name": "latency_injection"}'}),
        ("POST", "/start", {"body": b'{"experiment_name": "error_injection", "error_rate": 2}'}),
        ("POST", "/start", {"body": b"{"}),
        ("POST", "/start", {"body": b" " * 20_000}),
        ("POST", "/start", {"body": b"{}", "headers": {"content-type": "text/plain"}}),
        ("POST", "/preview", {"body": b'{"experiment_name": "latency_injection", "request": {"path": "/"}}'}),
        ("POST", "/preview", {"body": b'{"experiment_name": "error_injection", "every": 3, "request": {"path": "/"}}'}),
        ("POST", "/preview", {"body": b'{"run_id": "no", "request": {"path": "/"}}'}),
        ("POST", "/preview", {"body": b'{"experiment_name": "latency_injection", "request": {}}'}),
        ("POST", "/stop", {"body": b'{"experiment_name": "latency_injection"}'}),
        ("POST", "/stop", {"body": b'{"experiment_name": "error_injection"}'}),
        ("GET", "/list", {"caller": None}),
        ("GET", "/test", {"active": ["latency_injection"], "injected": [{"fault": "wait"}]}),
        ("POST", "/test", {}),
        ("GET", "/test", {"problem": "store_unavailable"}),
        ("GET", "/openapi.json", {}),
    ],
)
def test_every_answer_is_as_it_says(control: Control, method: str, path: str, options: dict[str, Any]) -> None:
    control.post("/start", '{"experiment_name": "latency_injection"}')
    assert problems(method, path, control.ask(method, path, **options)) == []


def test_an_answer_that_is_not_as_it_says_would_be_noticed() -> None:
    wrong = Response(200, {"error": False, "error_message": None, "resultset": {"active_experiments": [{}]}})
    assert problems("GET", "/list", wrong)
    assert problems("GET", "/list", Response(Unauthenticated.status, {"error": True}))
