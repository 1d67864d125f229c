"""The functions of a Chalice application that are no routes: each kind of event is hit, once, within its middleware."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from chalice import Chalice
from chalice.app import Rate
from chalice.test import Client

from chalicelib.bootstrap import bootstrap
from chalicelib.errors import InjectedError
from chalicelib.frameworks.chalice import ChaosExperiments
from chalicelib.settings import Settings
from tests.frameworks.events import (
    Invocation,
    bridge_event,
    dynamodb_event,
    kinesis_event,
    s3_event,
    schedule_event,
    sns_event,
    sqs_event,
)
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

Register = Callable[[Chalice], Callable[[Callable[..., Any]], Any]]

TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
KINDS: dict[str, tuple[Register, dict[str, Any]]] = {
    "on_sqs_message": (lambda app: app.on_sqs_message(queue="orders"), sqs_event("a", "b")),
    "on_sns_message": (lambda app: app.on_sns_message(topic="orders"), sns_event()),
    "on_s3_event": (lambda app: app.on_s3_event(bucket="uploads"), s3_event()),
    "on_cw_event": (lambda app: app.on_cw_event({"source": ["shop.orders"]}), bridge_event("placed", {})),
    "schedule": (lambda app: app.schedule(Rate(1, unit=Rate.HOURS)), schedule_event()),
    "on_kinesis_record": (lambda app: app.on_kinesis_record(stream="orders"), kinesis_event("aGVsbG8=")),
    "on_dynamodb_record": (lambda app: app.on_dynamodb_record(stream_arn=TABLE), dynamodb_event()),
    "lambda_function": (lambda app: app.lambda_function(), {"order": 1}),
}
of_each_kind = pytest.mark.parametrize(("register", "event"), KINDS.values(), ids=KINDS)


class App:
    """A Chalice application with the module in it, on fakes, and one function."""

    def __init__(self, clock: Clock, register: Register = lambda app: app.lambda_function()) -> None:
        self.clock = clock
        self.runs = FakeRunStore()
        self.handled: list[Any] = []
        self.app = Chalice("tested", configure_logs=False)
        self.chaos = ChaosExperiments(self.app, wire=self._wire)
        self.function = register(self.app)(self.work)

    def _wire(self, **options: Any) -> Any:
        return bootstrap(
            Settings(stage="dev"),
            runs=self.runs,
            results=FakeResultStore(),
            tokens=FakeTokenStore(),
            clock=self.clock,
            sleep=self.clock.sleep,
            chance=lambda: 0.0,
            **options,
        )

    def work(self, event: Any, context: Any = None) -> str:
        self.handled.append(event)
        return "done"

    def run(self, name: str, **parameters: Any) -> None:
        self.runs.runs[name] = a_run(name, now=self.clock.now, **parameters)


@of_each_kind
def test_each_kind_of_event_fails(clock: Clock, register: Register, event: dict[str, Any]) -> None:
    app = App(clock, register)
    app.run("error_injection", error_rate=1.0)

    with pytest.raises(InjectedError):
        app.function(event, Invocation())

    assert not app.handled


@of_each_kind
def test_each_kind_of_event_is_delayed_and_handled_once(
    clock: Clock, register: Register, event: dict[str, Any]
) -> None:
    app = App(clock, register)
    app.run("latency_injection", delay_seconds=30.0)

    assert app.function(event, Invocation(left_seconds=3.0)) == "done"

    assert sum(clock.slept) == 2.5
    assert len(app.handled) == 1


def test_middleware_sees_the_failure_as_one_of_the_function(clock: Clock) -> None:
    app = App(clock, lambda app: app.on_sqs_message(queue="orders"))
    seen = []

    @app.app.middleware("sqs")
    def first(event: Any, get_response: Any) -> Any:
        try:
            return get_response(event)
        except InjectedError as error:
            seen.append(error)
            raise

    @app.app.middleware("all")
    def second(event: Any, get_response: Any) -> Any:
        seen.append(event)
        return get_response(event)

    app.run("error_injection", error_rate=1.0)
    with pytest.raises(InjectedError):
        app.function(sqs_event("a"), Invocation())

    assert [type(each).__name__ for each in seen] == ["SQSEvent", "InjectedError"]
    app.runs.runs.clear()
    clock.now += 1.1
    assert app.function(sqs_event("a"), Invocation()) == "done"


def test_chalice_s_test_client_invokes_what_is_hit(clock: Clock) -> None:
    app = App(clock, lambda app: app.on_sns_message(topic="orders", name="orders"))
    app.run("error_injection", error_rate=1.0)
    with Client(app.app) as client, pytest.raises(InjectedError):
        client.lambda_.invoke("orders", client.events.generate_sns_event(message="hello"))


@pytest.mark.parametrize("name", ["worker", "work"])
def test_a_function_is_hit_by_the_name_of_its_code(clock: Clock, name: str) -> None:
    app = App(clock)
    app.runs.runs["error_injection"] = a_run(
        "error_injection", now=clock.now, options={"target": {"functions": [name]}}, error_rate=1.0
    )
    if name == "work":
        with pytest.raises(InjectedError):
            app.function({}, Invocation())
    else:
        assert app.function({}, Invocation()) == "done"


def test_an_alarm_reaches_the_function_that_ends_runs(clock: Clock) -> None:
    """The control plane is reachable, by whichever way it is asked to stop."""
    app = App(clock, lambda app: app.on_sns_message(topic="alarms"))
    app.run("error_injection", error_rate=1.0)
    message = json.dumps({"AlarmName": "orders-5xx", "NewStateValue": "ALARM", "NewStateReason": "5 errors"})

    assert app.function(sns_event(message), Invocation()) == "done"


def test_a_websocket_is_not_hit(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    app = App(clock)
    app.app.experimental_feature_flags.add("WEBSOCKETS")
    message = app.app.on_ws_message()(app.work)
    app.run("error_injection", error_rate=1.0)
    context = {"domainName": "x", "stage": "test", "connectionId": "1", "apiId": "a"}

    message({"requestContext": context, "body": "hello"}, Invocation())

    assert len(app.handled) == 1
