"""Alarms that end runs on a deployed stage: asked by the environments, and told by the topic."""

import json
import time
from typing import Any

import pytest

from tests.loopback import until
from tests.staging.account import Account
from tests.staging.conftest import NAME
from tests.staging.fleet import Fleet, Stage, Tell, everywhere, feels, spared
from tests.staging.test_agreement import last

pytestmark = pytest.mark.timeout(300)

ALARM = "orders-5xx"
GUARDRAIL_SECONDS = 10.0
REFRESH_SECONDS = 1.0
MARGIN_SECONDS = 4.0
"""To come to the next request that looks, to ask CloudWatch, and to write the end."""


@pytest.fixture
def alarm(account: Account) -> Any:
    """CloudWatch, with an alarm that is well."""
    cloudwatch = account.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=ALARM,
        Namespace="Orders",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    cloudwatch.set_alarm_state(AlarmName=ALARM, StateValue="OK", StateReason="no errors")
    return cloudwatch


def status(stage: Stage) -> Any:
    return stage.call("GET", "/chaos_experiments/status?experiment_name=latency_injection")[1]["resultset"]


def wait_until_aborted(stage: Stage) -> float:
    """When it was known to everybody who reads the table, in epoch seconds."""
    until(lambda: status(stage)["status"] == "aborted")
    return time.time()


def test_environments_look_and_one_ends_the_run_for_all(alarm: Any, stage: Stage, fleet: Fleet, tell: Tell) -> None:
    stage.start("latency_injection", delay_seconds=0.02, duration_seconds=600, alarms=[ALARM])
    fleet.wait_until(everywhere(feels("latency_injection")), since=time.time())
    alarm.set_alarm_state(AlarmName=ALARM, StateValue="ALARM", StateReason="5 errors a minute")
    fired = time.time()
    aborted = wait_until_aborted(stage)
    fleet.wait_until(everywhere(spared("latency_injection")), since=aborted)
    longest = max(last(fleet.answers(aborted), feels("latency_injection"), since=aborted))
    tell(f"looked at: ended {aborted - fired:.1f} s after the alarm, the last one felt it {longest:.1f} s later")
    assert aborted - fired <= GUARDRAIL_SECONDS + MARGIN_SECONDS
    assert longest <= REFRESH_SECONDS
    ended = status(stage)
    assert (ended["status"], ended["ended_by"]) == ("aborted", "guardrail")
    assert "orders-5xx is in ALARM: 5 errors a minute" in ended["end_reason"]
    body = {"experiment_name": "latency_injection", "alarms": [ALARM]}
    refused, content, _ = stage.call("POST", "/chaos_experiments/start", **body)
    assert (refused, content["code"]) == (409, "alarm_active")


def test_the_topic_tells_and_the_run_ends_within_seconds(
    alarm: Any, stage: Stage, account: Account, fleet: Fleet, tell: Tell
) -> None:
    stage.start("latency_injection", delay_seconds=0.02, duration_seconds=600, alarms=[ALARM])
    fleet.wait_until(everywhere(feels("latency_injection")), since=time.time())
    sns = account.client("sns")
    (topic,) = [each["TopicArn"] for each in sns.list_topics()["Topics"] if each["TopicArn"].endswith(f"{NAME}-alarms")]
    fired = time.time()
    message = {"AlarmName": ALARM, "NewStateValue": "ALARM", "NewStateReason": "5 errors a minute"}
    some = {"from": {"DataType": "String", "StringValue": "a test"}}  # or the emulator leaves the field out
    sns.publish(TopicArn=topic, Message=json.dumps(message), Subject="ALARM", MessageAttributes=some)
    aborted = wait_until_aborted(stage)
    fleet.wait_until(everywhere(spared("latency_injection")), since=aborted)
    ended = status(stage)
    assert (ended["status"], ended["ended_from"]) == ("aborted", "CloudWatch, by its topic")
    longest = max(last(fleet.answers(aborted), feels("latency_injection"), since=aborted))
    tell(f"told: ended {aborted - fired:.1f} s after the message, the last one felt it {longest:.1f} s later")
    assert longest <= REFRESH_SECONDS
