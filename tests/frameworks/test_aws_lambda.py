"""A plain handler: its events are hit as requests are; what is a request gets an answer, everything else fails."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.bootstrap import bootstrap
from chalicelib.errors import InjectedError
from chalicelib.frameworks.aws_lambda import inject_chaos
from chalicelib.settings import Settings
from tests.frameworks.events import (
    Invocation,
    authorizer_event,
    body_of,
    bridge_event,
    dynamodb_event,
    http_event,
    kinesis_event,
    load_balancer_event,
    s3_event,
    schedule_event,
    sns_event,
    sqs_event,
    websocket_event,
)
from tests.frameworks.gateway import rest_event
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

REQUESTS = {
    "REST API": rest_event(),
    "HTTP API": http_event(),
    "HTTP API with a stage": http_event(stage="prod"),
    "HTTP API of format 1.0": rest_event() | {"version": "1.0"},
    "load balancer": load_balancer_event(),
    "load balancer with many values": load_balancer_event(multi_value=True),
}
EVENTS = {
    "SQS": sqs_event("a", "b"),
    "SNS": sns_event(),
    "S3": s3_event(),
    "schedule": schedule_event(),
    "EventBridge": bridge_event("order placed", {"type": "order.placed"}),
    "Kinesis": kinesis_event("aGVsbG8="),
    "DynamoDB": dynamodb_event(),
    "websocket": websocket_event(),
    "authorizer": authorizer_event(),
    "a request without a path": {"httpMethod": "GET", "path": None, "requestContext": {}},
    "anything": "hello",
    "nothing": None,
}
of_each_request = pytest.mark.parametrize("event", REQUESTS.values(), ids=REQUESTS)
of_each_event = pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)


@dataclass
class Function:
    """A function with the module in it, on fakes."""

    clock: Clock
    in_lambda: bool = False
    runs: FakeRunStore = field(default_factory=FakeRunStore)
    results: FakeResultStore = field(default_factory=FakeResultStore)
    served: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.invoke = inject_chaos(wire=self.wire)(self.handler)

    def wire(self, **options: Any) -> Any:
        settings = Settings(stage="dev", dev_token="dev-token", in_lambda=self.in_lambda, max_wait_seconds=29.0)
        return bootstrap(
            settings,
            runs=self.runs,
            results=self.results,
            tokens=FakeTokenStore(),
            clock=self.clock,
            sleep=self.clock.sleep,
            chance=lambda: 0.0,
            **options,
        )

    def handler(self, event: Any, context: Any) -> Any:
        self.served.append(event)
        return {"statusCode": 201, "headers": {"X-Own": "1"}, "body": "made"}

    def run(self, name: str, options: Any = None, **parameters: Any) -> str:
        run = a_run(name, now=self.clock.now, options=options, **parameters)
        self.runs.runs[name] = run
        return run.run_id

    def fail(self) -> str:
        return self.run("error_injection", error_rate=1.0, status_code=503)

    def counts(self, run_id: str) -> dict[str, int]:
        return dict(self.results.tallies[run_id].counts)


@pytest.fixture
def function(clock: Clock) -> Function:
    return Function(clock)


@of_each_request
def test_a_request_is_answered_in_the_format_of_its_event(function: Function, event: Any) -> None:
    run_id = function.fail()

    answer = function.invoke(event, Invocation())

    headers = answer.get("headers") or {name: each for name, (each,) in answer["multiValueHeaders"].items()}
    assert (answer["statusCode"], body_of(answer)["code"]) == (503, "injected_error")
    assert (headers["X-Chaos-Experiment"], headers["X-Chaos-Run"]) == ("error_injection", run_id)
    assert not function.served


def test_a_load_balancer_gets_what_it_asks_for(function: Function) -> None:
    function.fail()

    one, many = (function.invoke(load_balancer_event(multi_value=each), None) for each in (False, True))

    assert one["statusDescription"] == "503 Service Unavailable"
    assert "headers" in one
    assert "headers" not in many
    assert many["multiValueHeaders"]["Content-Type"] == ["application/json"]


@of_each_request
def test_a_request_that_is_delayed_is_answered_by_the_handler(function: Function, event: Any) -> None:
    function.run("latency_injection", delay_seconds=2.0)

    answer = function.invoke(event, Invocation())

    assert sum(function.clock.slept) == 2.0
    assert (answer["statusCode"], answer["body"]) == (201, "made")
    assert (answer["headers"]["X-Own"], answer["headers"]["X-Chaos-Experiment"]) == ("1", "latency_injection")
    assert function.served == [event]


@of_each_event
def test_every_other_event_fails_as_a_defect_would_let_it(function: Function, event: Any) -> None:
    function.fail()

    with pytest.raises(InjectedError, match="injected error"):
        function.invoke(event, Invocation())

    assert not function.served


@of_each_event
def test_an_event_that_is_delayed_is_handled_once(function: Function, event: Any) -> None:
    function.run("latency_injection", delay_seconds=2.0)

    answer = function.invoke(event, Invocation())

    assert sum(function.clock.slept) == 2.0
    assert answer == {"statusCode": 201, "headers": {"X-Own": "1"}, "body": "made"}
    assert function.served == [event]


def test_a_delay_leaves_an_invocation_its_time(function: Function) -> None:
    function.run("latency_injection", delay_seconds=30.0)

    function.invoke(sns_event(), Invocation(left_seconds=4.0))

    assert sum(function.clock.slept) == 3.5


def test_no_gateway_waits_for_an_event(clock: Clock) -> None:
    """Which gives up after 29 s, unlike a queue."""
    function = Function(clock)
    function.run("latency_injection", delay_seconds=50.0, duration_seconds=200.0)
    for event, seconds in ((sqs_event("a"), 50.0), (http_event(), 28.5)):
        clock.slept.clear()
        function.invoke(event, Invocation(left_seconds=900.0))
        assert round(sum(clock.slept), 1) == seconds


CONTROL_PLANE = "/chaos_experiments/list"
AUTHORIZED = {
    "headers": {"Authorization": "Bearer dev-token", "content-type": "application/json"},
    "multiValueHeaders": None,
}


@pytest.mark.parametrize(
    "event",
    [
        rest_event() | {"path": CONTROL_PLANE},
        http_event(CONTROL_PLANE),
        http_event(CONTROL_PLANE, stage="prod"),
        load_balancer_event(path=CONTROL_PLANE),
    ],
)
def test_the_control_plane_is_reachable_while_everything_fails(function: Function, event: Any) -> None:
    function.fail()

    assert function.invoke({**event, "headers": {}}, None)["statusCode"] == 401
    listed = function.invoke({**event, **AUTHORIZED}, None)

    assert listed["statusCode"] == 200
    assert "error_injection" in listed["body"]
    assert not function.served


def test_a_run_is_started_and_tested_through_the_function(function: Function) -> None:
    body = '{"experiment_name": "error_injection", "error_rate": 1.0}'

    started = function.invoke(http_event("/chaos_experiments/start", "POST", body=body, **AUTHORIZED), None)
    tested = function.invoke(http_event("/chaos_experiments/test"), None)

    assert body_of(started)["error"] is False
    assert (tested["statusCode"], body_of(tested)["code"]) == (500, "injected_error")


def test_an_undecodable_body_is_refused_in_the_envelope(function: Function) -> None:
    start = http_event("/chaos_experiments/start", "POST", body="abc", isBase64Encoded=True) | AUTHORIZED

    assert body_of(function.invoke(start, None))["code"] == "invalid_json"


def test_an_alarm_is_never_hit(function: Function) -> None:
    function.fail()
    function.invoke(sns_event('{"AlarmName": "orders-5xx", "NewStateValue": "ALARM"}'), Invocation())
    assert len(function.served) == 1


def test_an_invocation_is_counted_and_its_counts_are_flushed_by_invocations(clock: Clock) -> None:
    function = Function(clock, in_lambda=True)
    run_id = function.run("latency_injection", delay_seconds=1.0)
    for _ in range(3):
        function.invoke(sqs_event("a"), Invocation())
        clock.now += 1.1

    counts = function.counts(run_id)
    assert sum(number for name, number in counts.items() if name.startswith("hit.")) > 0
    assert function.results.writes


def test_a_handler_that_answers_in_parts_does_so(function: Function) -> None:
    function.run("latency_injection", delay_seconds=1.0)
    asked = []

    @inject_chaos(wire=function.wire)
    def handler(event: Any, context: Any) -> Iterator[bytes]:
        for part in (b"a", b"b"):
            asked.append(part)
            yield part

    parts = handler(http_event(), Invocation())

    assert not asked
    assert next(parts) == b"a"
    assert asked == [b"a"]
    assert list(parts) == [b"b"]


def test_a_handler_that_nobody_would_await_is_refused() -> None:
    async def handler(event: Any, context: Any) -> None: ...

    with pytest.raises(TypeError, match=r"awaits nothing, so .*handler would never run"):
        inject_chaos(handler)


def test_an_import_takes_no_framework_with_it() -> None:
    """A cold start counts."""
    heavy = {"chalice", "flask", "fastapi", "werkzeug", "starlette", "pydantic", "psutil", "pynamodb", "botocore"}
    check = (
        "import sys, chalicelib.frameworks.aws_lambda; "
        f"print(sorted({heavy | {'asyncio', 'anyio'}} & {{each.partition('.')[0] for each in sys.modules}}))"
    )
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
