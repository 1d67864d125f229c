"""What one look at a target costs, by itself: at what fails at once, and at what fails last."""

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from werkzeug.test import EnvironBuilder

from chalicelib.frameworks.asgi import ASGICall
from chalicelib.frameworks.wsgi import WSGICall
from chalicelib.injection.call import Call
from chalicelib.runs.target import Target

HEADERS = {
    "accept": "*/*",
    "accept-encoding": "gzip, deflate",
    "connection": "keep-alive",
    "host": "shop.example",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64)",
    "x-tenant": "beta",
    "x-forwarded-for": "192.0.2.1",
    "x-forwarded-proto": "https",
}
PATH, QUERY = "/orders/7/items", "page=2&sort=date&region=eu-west-1"
TARGETS: dict[str, dict[str, Any]] = {
    "1 methods": {"methods": ["POST"]},
    "2 paths": {"paths": ["/cart", "/carts/*"]},
    "3 paths with a segment that may be any": {"paths": ["/orders/*/parts", "/carts/*/items/*"]},
    "4 a header that is another": {"headers": {"x-tenant": "acme"}},
    "5 a header that is not there": {"headers": {"x-beta": {"exists": True}}},
    "6 a header with a glob": {"headers": {"user-agent": {"glob": "*Windows*Chrome*"}}},
    "7 a name that the query does not have": {"query": {"debug": "1"}},
    "8 a value that the query does not have": {"query": {"region": ["us", {"prefix": "us-"}]}},
    "9 all, of which the last fails": {
        "methods": ["GET"],
        "paths": ["/orders/*/items"],
        "headers": {"x-tenant": ["beta", "acme"], "user-agent": {"prefix": "Mozilla/"}},
        "query": {"region": "us"},
    },
}


def wsgi_call() -> Call:
    environ = EnvironBuilder(path=PATH, query_string=QUERY, headers=HEADERS).get_environ()
    return WSGICall(environ, PATH)


def asgi_call() -> Call:
    headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    scope = {"type": "http", "method": "GET", "headers": headers, "query_string": QUERY.encode()}
    return ASGICall(scope, PATH, send, None)


async def send(_message: Any) -> None:
    """Nothing is answered."""


@pytest.mark.parametrize("call", [wsgi_call(), asgi_call()], ids=["WSGI", "ASGI"])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_target_that_does_not_match(benchmark: BenchmarkFixture, target: dict[str, Any], call: Call) -> None:
    matcher = Target.model_validate(target).matcher()
    assert matcher
    assert not matcher.matches(call)
    benchmark.pedantic(matcher.matches, args=(call,), rounds=500, iterations=100, warmup_rounds=10)
