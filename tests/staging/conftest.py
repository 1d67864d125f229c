import json
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployment.__main__ import main
from deployment.layer import THIS_PYTHON, build_layer, target
from tests.deployment.project import PROJECT, copy_project
from tests.staging.account import PATIENT, Account, aws_account
from tests.staging.fleet import SIZE, Fleet, Stage, environments
from tests.staging.runtime import Runtime

NAME = "chaos-experiments-staging"

ROUTES = """

from chalice.app import Response


@app.route("/where")
def where():
    return {"environment": os.environ["AWS_LAMBDA_LOG_STREAM_NAME"][-8:]}


@app.route("/unreliable")
def unreliable():
    with open(os.environ["HANDLED"] + ".fails") as share:
        failed = random.random() < float(share.read())
    return Response(where(), status_code=500 if failed else 200)


@app.route("/orders/{number}")
def order(number: str) -> Response:
    with open(os.environ["HANDLED"], "ab", buffering=0) as handled:
        handled.write(b".")
    return Response({"order": number}, headers={"X-Own": "1"}, status_code=201)


@app.route("/health")
def health():
    return {"health": "good"}


@functools.cache
def dynamodb():
    import boto3
    from botocore.config import Config

    once = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20)
    return boto3.client("dynamodb", region_name=os.environ["AWS_REGION"], config=once)


@app.route("/stock")
def stock():
    from botocore.exceptions import EndpointConnectionError

    try:
        item = dynamodb().get_item(TableName="stock", Key={"item": {"S": "tea"}})["Item"]
    except EndpointConnectionError as error:
        return Response({**where(), "error": str(error)}, status_code=503)
    return {**where(), "number": int(item["number"]["N"])}
"""
"""The contract suite's, and three that tell which environment answers: one of them fails as often as a test writes in a
file, and one asks a table of the application."""

STOCK_STATEMENT = {
    "Sid": "ReadStock",
    "Effect": "Allow",
    "Action": ["dynamodb:GetItem"],
    "Resource": "arn:${partition}:dynamodb:${region}:${account}:table/stock",
}


@pytest.fixture(scope="session")
def rounds(pytestconfig: pytest.Config) -> int:
    """How often each promise is measured."""
    return int(pytestconfig.getoption("--rounds"))


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with aws_account(tmp_path_factory.mktemp("account")) as account:
        yield account


@pytest.fixture(scope="session")
def layer() -> bytes:
    architecture = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return build_layer(PROJECT, target(f"python{THIS_PYTHON}", architecture))


@pytest.fixture(scope="session")
def runtime(layer: bytes, tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """With the layer in it."""
    return Runtime(tmp_path_factory.mktemp("runtime"), layer)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As its user would have it: with routes of their own. The table is patient, for a machine that is busy."""
    folder = tmp_path_factory.mktemp("staging")
    handled = folder / "handled"
    handled.touch()
    (folder / "handled.fails").write_text("0.0")
    root = copy_project(folder, CHAOS_EXCLUDED_PATHS="/health", HANDLED=str(handled), **PATIENT)
    policies = root / ".chalice/policies.json"
    content = json.loads(policies.read_text())
    content["api_handler"]["Statement"].append(STOCK_STATEMENT)
    policies.write_text(json.dumps(content))
    app = root / "app.py"
    docstring, imports, rest = app.read_text().partition("\n\nfrom chalice")
    app.write_text(f"{docstring}\n\nimport functools\nimport os\nimport random{imports}{rest}{ROUTES}")
    return root


@pytest.fixture(scope="session")
def deployed(account: Account, project: Path) -> Stage:
    """Deployed, with the emulator's one omission mended: its CloudFormation leaves the TTL off."""
    with account.shell():
        assert main(["deploy", "--stage", "staging"], project) == 0
    account.client("dynamodb").update_time_to_live(
        TableName=NAME, TimeToLiveSpecification={"AttributeName": "ttl", "Enabled": True}
    )
    api = account.client("apigateway").get_rest_apis()["items"][0]["id"]
    return Stage(account.port, api, account.make_token("ada", "operator"))


@pytest.fixture
def stage(deployed: Stage) -> Iterator[Stage]:
    """Nothing runs in it and nothing is halted afterwards, whatever became of the test."""
    yield deployed
    deployed.call("POST", "/chaos_experiments/resume", reason="the end of a test")
    active = deployed.call("GET", "/chaos_experiments/list")[1]["resultset"]["active_experiments"]
    for name in {run["name"] for run in active}:
        deployed.stop(name)


@pytest.fixture
def fleet(stage: Stage) -> Iterator[Fleet]:
    """Busy, on environments that all answer."""
    with Fleet(stage) as fleet:
        fleet.wait_until(lambda answers: len(environments(answers)) >= SIZE, since=0, seconds=90)
        yield fleet
