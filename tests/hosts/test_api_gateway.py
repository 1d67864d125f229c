"""Behind API Gateway Chalice gets an event: an excluded path in it is what the client asked for, without the stage."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from chalice.app import Chalice

from chalicelib.frameworks.chalice import ChaosExperiments
from tests.contract.servers import TOKEN, variables

EXCLUDED = ["/orders/7", "/names/café", "/health"]
Asked = Callable[..., Mapping[str, Any]]


def event(resource: str, path: str, parameters: Mapping[str, str], method: str = "GET", body: Any = None) -> Any:
    """What API Gateway sends for a REST API in the stage `api`."""
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        "multiValueHeaders": {"Content-Type": ["application/json"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": dict(parameters) or None,
        "stageVariables": None,
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
        "requestContext": {
            "resourcePath": resource,
            "httpMethod": method,
            "path": f"/api{path}",
            "stage": "api",
            "requestId": "a-request",
            "identity": {"sourceIp": "192.0.2.1"},
        },
    }


@pytest.fixture
def ask(table: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """An application on the table; a run hits whatever is not excluded."""
    for name, value in variables(**table, CHAOS_APPLICATION="gateway").items():
        monkeypatch.setenv(name, value)
    app = Chalice(app_name="host")
    ChaosExperiments(app, excluded_paths=EXCLUDED)
    for path in ("/orders/{number}", "/names/{number}"):
        app.route(path)(lambda number: {"number": number})
    app.route("/health")(lambda: {"health": "good"})

    def ask(resource: str, path: str, *arguments: Any, **parameters: str) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = app(event(resource, path, parameters, *arguments), None)
        assert answer["statusCode"] == 200, answer
        return answer

    start, stop = "/chaos_experiments/start", "/chaos_experiments/stop"
    ask(start, start, "POST", {"experiment_name": "latency_injection", "delay_seconds": 0.0})
    yield ask
    ask(stop, stop, "POST", {"experiment_name": "latency_injection"})


@pytest.mark.parametrize(
    ("resource", "path", "parameters", "is_excluded"),
    [
        ("/orders/{number}", "/orders/7", {"number": "7"}, True),
        ("/orders/{number}", "/orders/8", {"number": "8"}, False),
        ("/names/{number}", "/names/café", {"number": "café"}, True),
        ("/names/{number}", "/names/caf%C3%A9", {"number": "caf%C3%A9"}, True),
        ("/health", "/health", {}, True),
    ],
)
def test_it_is_excluded_or_hit(
    ask: Asked, resource: str, path: str, parameters: dict[str, str], *, is_excluded: bool
) -> None:
    headers = ask(resource, path, **parameters)["headers"]
    assert ("X-Chaos-Run" in headers) is not is_excluded
