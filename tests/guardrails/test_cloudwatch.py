from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from chalicelib.errors import AlarmsUnavailable, UnknownAlarm
from chalicelib.guardrails.cloudwatch import CloudWatchAlarms
from chalicelib.settings import Settings
from tests.loopback import free_port

SETTINGS = Settings(stage="qa", region="eu-west-1", table_timeout_seconds=2.0)


@pytest.fixture
def cloudwatch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An account's CloudWatch, over real HTTP."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    yield boto3.client("cloudwatch", region_name="eu-west-1")
    server.stop()


def put(cloudwatch: Any, name: str, state: str) -> None:
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="Orders",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason=f"{name} says {state}")


def test_the_alarms_that_fire_and_why(cloudwatch: Any) -> None:
    for name, state in (("fires", "ALARM"), ("is-well", "OK"), ("knows-nothing", "INSUFFICIENT_DATA")):
        put(cloudwatch, name, state)
    alarms = CloudWatchAlarms(SETTINGS)
    assert alarms.firing(["fires", "is-well", "knows-nothing"]) == {"fires": "fires says ALARM"}


def test_more_than_one_call_can_ask_for(cloudwatch: Any) -> None:
    names = [f"alarm-{number:03}" for number in range(101)]
    for name in names:
        put(cloudwatch, name, "OK")
    put(cloudwatch, names[-1], "ALARM")
    assert list(CloudWatchAlarms(SETTINGS).firing(names)) == [names[-1]]


def test_an_alarm_that_is_not_there_is_named(cloudwatch: Any) -> None:
    put(cloudwatch, "is-well", "OK")
    with pytest.raises(UnknownAlarm, match="no alarm named never-made in"):
        CloudWatchAlarms(SETTINGS).firing(["is-well", "never-made"])


def test_silence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with pytest.raises(AlarmsUnavailable, match="EndpointConnectionError"):
        CloudWatchAlarms(SETTINGS).firing(["orders-5xx"])
