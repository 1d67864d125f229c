"""`chalice deploy --stage staging`, for those who prefer it: `make table` before, the same names, the same policies."""

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Request

from chalicelib.access import Role
from chalicelib.api.endpoints import ENDPOINTS, PREFIX
from deployment.__main__ import main
from tests.deployment.project import copy_project
from tests.staging.account import REGION

pytestmark = pytest.mark.timeout(900)

NAME = "chaos-experiments-staging"


class Importer:
    """Moto's ImportRestApi takes OpenAPI 3 with a description; AWS takes the Swagger 2 that Chalice writes."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.imported: dict[str, Any] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        if request.path == "/restapis" and request.args.get("mode") == "import":
            self.imported = json.loads(request.get_data())
            told = {**self.imported, "openapi": "3.0.1", "info": {**self.imported["info"], "description": ""}}
            del told["swagger"]
            body = json.dumps(told).encode()
            environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        return self._moto(environ, start_response)


@pytest.fixture(scope="module")
def importer() -> Importer:
    return Importer()


@pytest.fixture(scope="module")
def url(importer: Importer) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, importer, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def deployed(url: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What Chalice has noted of its deployment."""
    root = copy_project(tmp_path_factory.mktemp("chalice-deploy"))
    variables = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }
    with pytest.MonkeyPatch.context() as shell:
        for name, value in variables.items():
            shell.setenv(name, value)
        assert main(["policies", "--stage", "staging"], root) == 0
    chalice = [str(Path(sys.executable).with_name("chalice")), "deploy", "--stage", "staging"]
    told = subprocess.run(
        chalice, cwd=root, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
    resources = json.loads((root / ".chalice/deployed/staging.json").read_text())["resources"]
    return {each["name"]: each for each in resources}


@pytest.fixture
def client(url: str) -> Any:
    def client(service: str) -> Any:
        return boto3.client(
            service, region_name=REGION, endpoint_url=url, aws_access_key_id="test", aws_secret_access_key="test"
        )

    return client


@pytest.mark.parametrize(("resource", "name"), [("api_handler", NAME), ("bearer_token", f"{NAME}-bearer_token")])
def test_a_function_is_called_configured_and_allowed_as_in_the_stack(
    deployed: Any, client: Any, resource: str, name: str
) -> None:
    function = client("lambda").get_function(FunctionName=deployed[resource]["lambda_arn"])["Configuration"]
    assert function["FunctionName"] == name
    assert function["Environment"]["Variables"] == {"CHAOS_STAGE": "staging"}
    assert (function["MemorySize"], function["Timeout"]) == (512, 30)
    role = function["Role"].rpartition("/")[2]
    (policy,) = client("iam").list_role_policies(RoleName=role)["PolicyNames"]
    document = client("iam").get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    resources = {statement["Resource"] for statement in document["Statement"]}
    account = f"{REGION}:123456789012"
    assert resources - {"*"} == {  # which is for alarms; CloudWatch knows no narrower scope
        f"arn:aws:dynamodb:{account}:table/{NAME}",
        f"arn:aws:logs:{account}:log-group:/aws/lambda/{name}:*",
    }


def test_the_api_asks_the_authorizer_for_all_but_the_test_endpoint(
    deployed: Any, client: Any, importer: Importer
) -> None:
    api = deployed["rest_api"]["rest_api_id"]
    assert [stage["stageName"] for stage in client("apigateway").get_stages(restApiId=api)["item"]] == ["api"]
    paths = {each["path"] for each in client("apigateway").get_resources(restApiId=api)["items"]}
    assert {PREFIX + endpoint.path for endpoint in ENDPOINTS} < paths
    authorizer = importer.imported["securityDefinitions"]["bearer_token"]["x-amazon-apigateway-authorizer"]
    assert deployed["bearer_token"]["lambda_arn"] in authorizer["authorizerUri"]
    assert authorizer["authorizerResultTtlInSeconds"] == 60
    asked = {
        (method.upper(), path)
        for path, methods in importer.imported["paths"].items()
        for method, details in methods.items()
        if details.get("security") == [{"bearer_token": []}]
    }
    assert asked == {
        (method, PREFIX + endpoint.path)
        for endpoint in ENDPOINTS
        for method in (("GET", "HEAD") if endpoint.method == "GET" else (endpoint.method,))
        if endpoint.role is not Role.ANYONE
    }
    for name in ("api_handler", "bearer_token"):
        policy = client("lambda").get_policy(FunctionName=deployed[name]["lambda_arn"])["Policy"]
        (statement,) = json.loads(policy)["Statement"]
        assert (statement["Principal"], statement["Action"]) == (
            {"Service": "apigateway.amazonaws.com"},
            "lambda:InvokeFunction",
        )
