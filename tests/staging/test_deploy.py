"""The life of a stack, from the first deployment to the last: each test goes on where the one before ended."""

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from deployment import concurrency
from deployment.__main__ import main
from tests.deployment.project import copy_project
from tests.staging.account import REGION, Account
from tests.staging.fleet import Stage

pytestmark = pytest.mark.timeout(900)

NAME = "chaos-experiments-qa"
BUCKET = f"{NAME}-000000000000-{REGION}"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a second stage, as the message about unknown stages tells to make one."""
    root = copy_project(tmp_path_factory.mktemp("qa"))
    config = root / ".chalice/config.json"
    content = json.loads(config.read_text())
    content["stages"]["qa"] = json.loads(json.dumps(content["stages"]["staging"]).replace("staging", "qa"))
    config.write_text(json.dumps(content))
    return root


class Shell:
    """A shell in the project, with the account's credentials."""

    def __init__(self, root: Path, account: Account, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.account = account
        self._capsys = capsys

    def run(self, *arguments: str, fails: bool = False) -> str:
        """What `python -m deployment` prints; the other stream is empty."""
        self._capsys.readouterr()
        with self.account.shell():
            code = main([*arguments, "--stage", "qa"], self.root)
        printed = self._capsys.readouterr()
        assert code == int(fails), printed
        assert bool(printed.err) == fails
        return printed.err if fails else printed.out

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        content = path.read_text()
        assert old in content
        path.write_text(content.replace(old, new))

    def stage(self) -> Stage:
        apis = self.account.client("apigateway").get_rest_apis()["items"]
        (api,) = [each["id"] for each in apis if each["name"] == NAME]
        return Stage(self.account.port, api)

    def uploads(self) -> list[str]:
        return [each["Key"] for each in self.account.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]


@pytest.fixture
def shell(root: Path, account: Account, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(root, account, capsys)


def test_a_first_deployment_tells_its_progress_and_what_to_do_next(shell: Shell) -> None:
    printed = shell.run("deploy", "--alarm-email", "ada@example.org")
    assert "No concurrency is reserved" not in printed
    assert "CREATE_COMPLETE              AWS::DynamoDB::Table               Table" in printed
    assert "make token STAGE=qa" in printed
    assert shell.stage().call("GET", "/")[:2] == (200, {"message": "The application answers."})
    client = shell.account.client
    (stage,) = client("apigateway").get_stages(restApiId=shell.stage().api)["item"]
    assert (stage["stageName"], stage["tracingEnabled"]) == ("api", True)
    assert stage["methodSettings"]["*/*"]["throttlingRateLimit"] == 500
    groups = client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{NAME}")["logGroups"]
    assert {each["logGroupName"].removeprefix("/aws/lambda/"): each["retentionInDays"] for each in groups} == {
        NAME: 30,
        f"{NAME}-bearer_token": 30,
        f"{NAME}-alarm_handler": 30,
        f"{NAME}-control_plane": 30,
    }
    alarms = client("cloudwatch").describe_alarms(AlarmNamePrefix=NAME)["MetricAlarms"]
    assert {each["AlarmName"].removeprefix(f"{NAME}-") for each in alarms} == {
        "api-5xx",
        "api-handler-errors",
        "bearer-token-errors",
        "control-plane-errors",
        "table-read-throttling",
        "table-write-throttling",
    }
    (topic,) = {action for each in alarms for action in each["AlarmActions"]}
    assert client("sns").get_topic_attributes(TopicArn=topic)


def test_deployed_again_it_says_that_there_is_nothing_to_change(shell: Shell) -> None:
    printed = shell.run("deploy")
    assert "Nothing has changed." in printed
    assert "Uploading" not in printed
    assert len(shell.uploads()) == 1


def test_a_change_is_uploaded_and_becomes_an_update(shell: Shell) -> None:
    shell.edit("app.py", "The application answers.", "The application answers, changed.")
    printed = shell.run("deploy")
    assert "UPDATE_COMPLETE" in printed
    assert shell.stage().call("GET", "/")[1] == {"message": "The application answers, changed."}
    assert len(shell.uploads()) == 2  # a rollback needs the first


def test_a_deployment_that_fails_says_why_and_leaves_the_stage_as_it_was(shell: Shell) -> None:
    shell.edit("app.py", "changed.", "broken.")
    shell.edit(".chalice/stack.yaml", "MetricName: 5XXError", "Metrics: [{Id: sums, Expression: nothing}]")
    told = shell.run("deploy", fails=True)
    assert "The deployment failed (UPDATE_ROLLBACK_COMPLETE)." in told
    assert "CloudFormation rolled the stage back to its previous version." in told
    assert "APIErrorsAlarm (AWS::CloudWatch::Alarm): " in told
    assert shell.stage().call("GET", "/")[1] == {"message": "The application answers, changed."}
    shell.edit(".chalice/stack.yaml", "Metrics: [{Id: sums, Expression: nothing}]", "MetricName: 5XXError")


def test_a_template_that_is_none_is_refused_before_anything_changes(shell: Shell) -> None:
    shell.edit(".chalice/stack.yaml", "Parameters:", "Parameters:\n  Needed: {Type: String}")
    assert "Needed" in shell.run("deploy", fails=True)
    shell.edit(".chalice/stack.yaml", "Parameters:\n  Needed: {Type: String}", "Parameters:")


def test_undeployed_all_is_gone_but_the_table(shell: Shell) -> None:
    client = shell.account.client
    client("dynamodb").put_item(TableName=NAME, Item={"pk": {"S": "a"}, "sk": {"S": "b"}})
    assert f"Kept the table {NAME}, with its history and tokens." in shell.run("undeploy")
    with pytest.raises(ClientError, match="does not exist"):
        client("cloudformation").describe_stacks(StackName=NAME)
    with pytest.raises(ClientError, match="404"):
        client("s3").head_bucket(Bucket=BUCKET)
    assert client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{NAME}")["logGroups"] == []
    assert client("dynamodb").scan(TableName=NAME)["Count"] == 1
    assert f"Kept the table {NAME}" in shell.run("undeploy")  # twice is no error


def test_deployed_once_more_it_takes_the_table_that_is_there(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "LEFT", 10_000)  # as if the account had no concurrency to reserve
    printed = shell.run("deploy")
    assert "IMPORT_COMPLETE" in printed
    assert "No concurrency is reserved for the control plane, which needs 22. AWS keeps 10000 unreserved" in printed
    assert shell.account.client("dynamodb").scan(TableName=NAME)["Count"] == 1
    shell.run("undeploy")


def test_a_first_deployment_that_failed_is_no_obstacle_to_the_next(shell: Shell) -> None:
    shell.edit(".chalice/stack.yaml", "MetricName: 5XXError", "Metrics: [{Id: sums, Expression: nothing}]")
    assert "Nothing is deployed. The next deployment creates the stack." in shell.run("deploy", fails=True)
    shell.edit(".chalice/stack.yaml", "Metrics: [{Id: sums, Expression: nothing}]", "MetricName: 5XXError")
    assert "The stack was never created (ROLLBACK_COMPLETE). It is removed first." in shell.run("deploy")
    shell.run("undeploy")
