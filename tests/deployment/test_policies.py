"""Least privilege, both ways: the functions may do what they do, and they do what they may."""

import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from botocore.client import BaseClient
from chalice.test import Client

from chalicelib import cli
from chalicelib.api.http import Request
from chalicelib.dynamodb.table import create_table
from chalicelib.runs.observation import Observation
from chalicelib.settings import read_settings
from deployment.__main__ import main
from deployment.project import open_stage
from tests.deployment.project import PROJECT, copy_project
from tests.support import a_run

ACCOUNT = "123456789012"
TABLE = f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/chaos-experiments-staging"
FUNCTIONS = ("api_handler", "bearer_token", "alarm_handler")
ALL = (*FUNCTIONS, "control_plane")
"""With the one that `make deploy` adds. Deployed by Chalice, the application's does what that does, too."""

Grant = tuple[str, str, str]
"""An action, a resource, and the partition key that it touches."""

ANY: dict[str, dict[str, list[str]]] = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [""]}}
ALARM = "orders-5xx"
WRITES = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}


class Recorder:
    """Notes what is called, and by which function: what no other runs, the API's does, in its own time.

    A call of the table is made on a thread of its own, with the context of who waits for it.
    """

    def __init__(self) -> None:
        self._function = ContextVar("function", default="api_handler")
        self.calls: dict[str, set[Grant]] = {function: set() for function in ALL}

    def note(self, operation: str, parameters: dict[str, Any]) -> None:
        if operation == "TransactWriteItems":
            for item in parameters["TransactItems"]:
                ((kind, write),) = item.items()
                self._note(WRITES[kind], write, (write.get("Key") or write["Item"])["pk"])
        elif operation == "Query":
            assert "= :0" in parameters["KeyConditionExpression"]
            self._note(operation, parameters, parameters["ExpressionAttributeValues"][":0"])
        elif operation == "PutItem":
            self._note(operation, parameters, parameters["Item"]["pk"])
        elif operation == "DescribeAlarms":
            self._add(("cloudwatch:DescribeAlarms", "*", ""))  # CloudWatch knows no narrower scope
        elif operation == "BatchGetItem":
            ((table, asked),) = parameters["RequestItems"].items()
            for key in asked["Keys"]:
                self._note(operation, {"TableName": table}, key["pk"])
        else:
            self._note(operation, parameters, parameters["Key"]["pk"])

    def _note(self, action: str, called: dict[str, Any], key: dict[str, str]) -> None:
        arn = f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/{called['TableName']}"
        spread = key["S"].startswith(
            ("results#", "budget#")
        )  # which of its items an environment adds to is by its name
        touched = f"{key['S'][:-1]}?" if spread else key["S"]
        self._add((f"dynamodb:{action}", arn, touched))

    def _add(self, grant: Grant) -> None:
        self.calls[self.function].add(grant)
        if self.function == "control_plane":
            self.calls["api_handler"].add(grant)

    @contextmanager
    def running(self, function: str) -> Iterator[None]:
        token = self._function.set(function)
        yield
        self._function.reset(token)

    @property
    def function(self) -> str:
        return self._function.get()


@pytest.fixture
def recorded(shell: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, set[Grant]]:
    """What the functions call while all that they can do is done."""
    shell.setenv("CHAOS_STAGE", "staging")
    shell.setenv("CHAOS_ALARM_TOPIC", "chaos-experiments-staging-alarms")
    shell.setenv("CHAOS_TABLE_TIMEOUT_SECONDS", "5")
    create_table(read_settings(os.environ))
    assert cli.main(["token", "create", "--stage", "staging", "--name", "ada", "--role", "operator"]) == 0
    token = capsys.readouterr().out.splitlines()[-1]

    boto3.client("cloudwatch", region_name="eu-west-1").put_metric_alarm(
        AlarmName=ALARM,
        Namespace="Orders",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    recorder = Recorder()
    real = BaseClient._make_api_call

    def noted(client: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        recorder.note(operation, parameters)
        return real(client, operation, parameters)

    module: Any = fresh_application()
    authorize = module.chaos.authorize

    def authorized(request: Any) -> Any:
        with recorder.running("bearer_token"):
            return authorize(request)

    module.chaos.authorize = authorized
    with shell.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", noted)
        exercise(module, token, recorder)
        with recorder.running("alarm_handler"), Client(module.app, stage_name="staging") as client:
            fired = json.dumps({"AlarmName": ALARM, "NewStateValue": "ALARM", "NewStateReason": "5 errors"})
            client.lambda_.invoke("alarm_handler", client.events.generate_sns_event(fired, "ALARM"))
    return recorder.calls


def fresh_application() -> Any:
    spec = importlib.util.spec_from_file_location("deployed_app", PROJECT / "app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def exercise(module: Any, token: str, recorder: Recorder) -> None:
    def control(call: Callable[..., Any], path: str, **options: Any) -> Any:
        with recorder.running("control_plane"):
            return call(prefix + path, headers=headers, **options)

    prefix = "/chaos_experiments"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    start = json.dumps({"experiment_name": "latency_injection", "delay_seconds": 0, "max_requests": 1_000})
    again = json.dumps({"experiment_name": "latency_injection", "delay_seconds": 0, "restart": True})
    stop = json.dumps({"experiment_name": "latency_injection"})
    of_path = {"request": {"path": "/orders"}}
    with Client(module.app, stage_name="staging") as client:
        for path, body in [("/start", start), ("/start", start), ("/start", again), ("/stop", stop), ("/stop", stop)]:
            control(client.http.post, path, body=body)
            for read in ("/", f"{prefix}/test"):
                client.http.get(read)
        guarded = json.dumps({"experiment_name": "error_injection", "error_rate": 0, "alarms": [ALARM]})
        for path, body in [
            ("/start", guarded),
            ("/halt", json.dumps({"reason": "a test"})),
            ("/start", start),
            ("/resume", "{}"),
        ]:
            control(client.http.post, path, body=body)
            client.http.get(f"{prefix}/test")
        started = control(client.http.post, "/start", body=guarded).json_body["resultset"]["run_id"]
        client.http.get(f"{prefix}/test")
        module.chaos._module.get().engine.recorder.flush()
        module.chaos._module.get().runs.record_defect(a_run(), "it broke")
        assert control(client.http.get, "/dependencies").status_code == 200
        module.chaos._module.get().engine.snapshot.get_fresh()
        urllib3.PoolManager().request("GET", os.environ["AWS_ENDPOINT_URL"])  # the application calls something
        module.chaos._module.get().engine.recorder.flush()
        for path in ("/history", "/list", f"/report?run_id={started}", "/status?experiment_name=latency_injection"):
            assert control(client.http.get, path).status_code == 200
        for previewed in ({"run_id": started}, json.loads(guarded)):
            answer = control(client.http.post, "/preview", body=json.dumps({**previewed, **of_path}))
            assert answer.status_code == 200
        module.chaos._module.get().runs.observe(Observation(0.0, 0.0))  # so that nothing of it goes on
        module.chaos._module.get().engine.snapshot.get_fresh()
        module.chaos._module.get().engine.recorder.flush_last()
    # Where the authorizer could not tell, the endpoint authenticates.
    api = module.chaos._module.get().api()
    lowered = {name.lower(): value for name, value in headers.items()}
    with recorder.running("control_plane"):
        assert api.handle(Request(method="GET", path="/list", headers=lowered)).status == 200


@pytest.fixture
def policies(shell: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """As they are written for the functions."""
    root = copy_project(tmp_path)
    stage = open_stage(root, "staging", boto3.Session(region_name="eu-west-1"))
    written = {path.stem.rpartition("-")[2]: json.loads(path.read_text()) for path in stage.write_policies()}
    policies = stage.policies()
    assert {function: policies[function] for function in FUNCTIONS} == written
    return policies


def granted(policy: Any) -> set[Grant]:
    return {
        (action, statement["Resource"], key)
        for statement in policy["Statement"]
        if statement["Sid"] != "WriteLogs"
        for action in statement["Action"]
        for condition in statement.get("Condition", ANY).values()
        for key in condition["dynamodb:LeadingKeys"]
    }


@pytest.mark.parametrize("function", ALL)
def test_a_function_may_do_what_it_does_and_nothing_else(
    function: str, recorded: dict[str, set[Grant]], policies: dict[str, Any]
) -> None:
    assert recorded[function] == granted(policies[function])


def test_the_authorizer_reads_tokens_only(policies: dict[str, Any]) -> None:
    assert granted(policies["bearer_token"]) == {("dynamodb:GetItem", TABLE, "tokens#app#staging")}


@pytest.mark.parametrize(("function", "suffix"), [("api_handler", ""), *((each, f"-{each}") for each in ALL[1:])])
def test_a_function_writes_its_own_logs(function: str, suffix: str, policies: dict[str, Any]) -> None:
    (logs,) = [each for each in policies[function]["Statement"] if each["Sid"] == "WriteLogs"]
    assert logs["Action"] == ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
    group = f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/aws/lambda/chaos-experiments-staging{suffix}"
    assert logs["Resource"] == f"{group}:*"  # its streams, whose names Lambda makes up


def test_no_action_is_a_wildcard_and_no_resource_but_where_aws_knows_no_narrower_one(policies: dict[str, Any]) -> None:
    for policy in policies.values():
        for statement in policy["Statement"]:
            assert statement["Effect"] == "Allow"
            assert not any("*" in action for action in statement["Action"])
            assert statement["Sid"] == "ReadAlarms" or "*" not in statement["Resource"].removesuffix(":*")


def test_the_command_writes_them_where_chalice_looks(
    shell: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copy_project(tmp_path)
    assert main(["policies", "--stage", "staging"], root) == 0
    told = capsys.readouterr().out
    configured = json.loads((root / ".chalice/config.json").read_text())["stages"]["staging"]["lambda_functions"]
    assert set(configured) == set(FUNCTIONS)
    for function in configured.values():
        assert (root / ".chalice" / function["iam_policy_file"]).exists()
        assert function["iam_policy_file"] in told
