import json
from pathlib import Path

import boto3
import pytest

from deployment.__main__ import main, open_session
from deployment.errors import DeploymentError
from deployment.project import open_stage
from tests.deployment.project import copy_project


@pytest.fixture
def session(shell: pytest.MonkeyPatch) -> boto3.Session:
    return boto3.Session(region_name="eu-west-1")


def test_a_stage_is_called_alike_everywhere(session: boto3.Session, tmp_path: Path) -> None:
    stage = open_stage(copy_project(tmp_path), "staging", session)
    assert stage.name == stage.settings.table == "chaos-experiments-staging"
    assert stage.bucket == "chaos-experiments-staging-123456789012-eu-west-1"
    assert stage.render("${name} ${table} ${scope}") == f"{stage.name} {stage.name} app#staging"
    assert stage.render("${partition} ${region} ${account}") == "aws eu-west-1 123456789012"


def test_a_table_and_an_application_of_ones_own_are_in_the_policies_too(session: boto3.Session, tmp_path: Path) -> None:
    root = copy_project(tmp_path, CHAOS_TABLE="faults", CHAOS_APPLICATION="shop")
    policies = [path.read_text() for path in open_stage(root, "staging", session).write_policies()]
    assert all("table/faults" in policy and "shop#staging" in policy for policy in policies)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("dev", "Start it with: make run"),
        ("production", "config.json: staging.\nTo add a stage"),
        ("", "There is no stage ''"),
    ],
)
def test_what_cannot_be_deployed_is_refused(session: boto3.Session, tmp_path: Path, stage: str, message: str) -> None:
    with pytest.raises(DeploymentError, match=message):
        open_stage(copy_project(tmp_path), stage, session)


def test_a_name_that_aws_would_refuse_is_refused_first(session: boto3.Session, tmp_path: Path) -> None:
    root = copy_project(tmp_path)
    config = root / ".chalice/config.json"
    content = json.loads(config.read_text())
    content["stages"]["Pre_Production"] = content["stages"]["staging"]
    config.write_text(json.dumps(content))
    with pytest.raises(DeploymentError, match="at most 16 characters of a-z, 0-9 and -"):
        open_stage(root, "Pre_Production", session)


def test_without_credentials_the_command_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"AWS_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    assert main(["deploy", "--stage", "staging"], copy_project(tmp_path)) == 1
    assert "Set credentials and a region as for any AWS tool" in capsys.readouterr().err


def test_without_a_region_too(tmp_path: Path, shell: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shell.delenv("AWS_REGION")
    assert main(["policies", "--stage", "staging"], copy_project(tmp_path)) == 1
    assert "region" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"AWS_DEFAULT_REGION": "eu-west-2", "AWS_REGION": "eu-west-1", "AWS_PROFILE": "ours"}, "eu-west-2"),
        ({"AWS_REGION": "eu-west-1", "AWS_PROFILE": "ours"}, "eu-west-3"),
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ({}, None),
    ],
)
def test_the_region_is_the_one_that_the_application_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str | None
) -> None:
    (tmp_path / "config").write_text("[profile ours]\nregion = eu-west-3\n")
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"AWS_CONFIG_FILE": str(tmp_path / "config"), **variables}.items():
        monkeypatch.setenv(name, value)
    assert open_session().region_name == expected
