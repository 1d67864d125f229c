"""What one request pays, on a Chalice application that is called directly. Read the medians side by side."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from chalice import Chalice
from pytest_benchmark.fixture import BenchmarkFixture

from chalicelib.bootstrap import bootstrap
from chalicelib.frameworks.chalice import ChaosExperiments
from chalicelib.settings import Settings
from tests.support import FakeRunStore, FakeTokenStore, a_run

EVENT: dict[str, Any] = {
    "requestContext": {"httpMethod": "GET", "resourcePath": "/", "path": "/", "identity": {"sourceIp": "127.0.0.1"}},
    "headers": {},
    "pathParameters": {},
    "multiValueQueryStringParameters": None,
    "stageVariables": {},
    "body": None,
}
ZERO_EFFECT = {
    "latency_injection": {"delay_seconds": 0.0},
    "error_injection": {"error_rate": 0.0},
    "resource_exhaustion": {"memory_mb": 1},
}


def plain() -> Chalice:
    app = Chalice("bench", configure_logs=False)
    app.route("/")(lambda: {"message": "The application answers."})
    return app


def with_noop() -> Chalice:
    app = plain()
    app.register_middleware(lambda event, get_response: get_response(event), "http")
    return app


def with_chaos(*names: str) -> Chalice:
    app = plain()
    runs = {name: a_run(name, now=time.time(), duration_seconds=3600.0, **ZERO_EFFECT[name]) for name in names}
    store = FakeRunStore(runs)
    ChaosExperiments(app, wire=partial(bootstrap, Settings(stage="bench"), runs=store, tokens=FakeTokenStore()))
    return app


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(plain, id="1 plain"),
        pytest.param(with_noop, id="2 no-op middleware"),
        pytest.param(with_chaos, id="3 nothing running"),
        *(
            pytest.param(partial(with_chaos, name), id=f"{number} {name} at zero effect")
            for number, name in enumerate(ZERO_EFFECT, start=4)
        ),
        pytest.param(partial(with_chaos, *ZERO_EFFECT), id="7 all three at zero effect"),
    ],
)
def test_a_request(benchmark: BenchmarkFixture, make: Callable[[], Chalice]) -> None:
    app = make()
    assert app(EVENT, None)["statusCode"] == 200
    benchmark.pedantic(app, args=(EVENT, None), rounds=2000, iterations=20, warmup_rounds=100)
