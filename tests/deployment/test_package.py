"""The package that is deployed: small, compiled, and what Chalice would deploy."""

import importlib.util
import io
import json
import marshal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from chalicelib.api.endpoints import ENDPOINTS, PREFIX
from chalicelib.dynamodb.table import create_table
from chalicelib.settings import read_settings
from deployment.concurrency import RESERVED, reserve
from deployment.errors import DeploymentError
from deployment.package import NOT_FOR_LAMBDA, Package, build, chalice_package, slim
from deployment.project import open_stage
from tests.deployment.project import copy_project

UNCHECKED = 0b01  # PEP 552: hash-based, and never compared with the source
LIMIT_MB = 10  # two of them Powertools, which is imported where there is something to measure
OF_LAMBDA = {"AWS_DEFAULT_REGION": "eu-west-1", "CHAOS_HANDLER": "app.app", "PYTHONDONTWRITEBYTECODE": "1"}


def archive(**files: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as package:
        for name, content in files.items():
            package.writestr(name, content)
    return made.getvalue()


def entries(package: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(package)) as opened:
        return {info.filename: opened.read(info) for info in opened.infolist()}


def test_modules_are_compiled_never_to_be_looked_at_again_and_named_as_in_lambda() -> None:
    found = entries(slim(archive(**{"app.py": "def f(): pass\n", "lib/__init__.py": ""}), []))
    assert set(found) == {
        "app.py",
        "lib/__init__.py",
        importlib.util.cache_from_source("app.py"),
        importlib.util.cache_from_source("lib/__init__.py"),
    }
    compiled = found[importlib.util.cache_from_source("app.py")]
    assert compiled[:4] == importlib.util.MAGIC_NUMBER
    assert int.from_bytes(compiled[4:8], "little") == UNCHECKED
    assert marshal.loads(compiled[16:]).co_filename == "/var/task/app.py"  # noqa: S302 - made above


def test_what_a_checkout_has_compiled_is_made_anew() -> None:
    compiled = importlib.util.cache_from_source("app.py")
    found = entries(slim(archive(**{"app.py": "", compiled: "of another day"}), []))
    assert set(found) == {"app.py", compiled}
    assert found[compiled][:4] == importlib.util.MAGIC_NUMBER


def test_a_file_that_is_no_python_is_left_as_it_is() -> None:
    assert set(entries(slim(archive(**{"template.py": "print 'two'"}), []))) == {"template.py"}


def test_of_aws_services_only_those_named_keep_their_data() -> None:
    given = archive(
        **{
            "botocore/data/endpoints.json": "{}",
            "botocore/data/dynamodb/2012-08-10/service-2.json.gz": "",
            "botocore/data/ec2/2016-11-15/service-2.json.gz": "",
            "boto3/data/ec2/2016-11-15/resources-1.json": "",
            "other/data/ec2/file": "",
        }
    )
    assert set(entries(slim(given, ["dynamodb"]))) == {
        "botocore/data/endpoints.json",
        "botocore/data/dynamodb/2012-08-10/service-2.json.gz",
        "other/data/ec2/file",
    }


def test_the_same_content_is_the_same_package() -> None:
    given = archive(**{"b.py": "x = 1", "a.txt": "a"})
    assert slim(given, []) == slim(given, [])


def test_chalices_own_words_are_told_where_it_cannot_package(tmp_path: Path) -> None:
    (tmp_path / ".chalice").mkdir()
    (tmp_path / ".chalice/config.json").write_text('{"version": "2.0", "app_name": "a"}')
    (tmp_path / "app.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(DeploymentError, match="nothing_of_that_name"):
        chalice_package(tmp_path, "dev", "eu-west-1")


# The real one


@pytest.fixture(scope="module")
def built(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Package, bytes]]:
    """The package of the stage staging, and Chalice's."""
    with pytest.MonkeyPatch.context() as shell:
        for name, value in {"URL": moto_url, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}.items():
            shell.setenv(f"AWS_{'ENDPOINT_' if name == 'URL' else ''}{name}", value)
        root = copy_project(tmp_path_factory.mktemp("package"))
        package = build(open_stage(root, "staging", boto3.Session(region_name="eu-west-1")))
        yield package, chalice_package(root, "staging", "eu-west-1")[1]


def test_it_is_small(built: tuple[Package, bytes], tell: Callable[[str], None]) -> None:
    tell(f"{len(built[0].archive) / 1e6:.2f} MB; as chalice packages it {len(built[1]) / 1e6:.2f} MB")
    assert len(built[0].archive) < LIMIT_MB * 1e6


def test_it_is_chalices_but_for_compiled_modules_the_command_line_and_other_services(
    built: tuple[Package, bytes],
) -> None:
    ours, chalices = entries(built[0].archive), entries(built[1])
    sources = {name: content for name, content in ours.items() if not name.endswith(".pyc")}
    assert sources == {name: chalices[name] for name in sources}
    left_out = {name for name in chalices.keys() - ours.keys() if not name.endswith("/")}
    not_needed = {name for name in chalices if NOT_FOR_LAMBDA.match(name) and not name.endswith("/")}
    assert not_needed <= left_out
    left_out -= not_needed
    assert {name.split("/data/")[0] for name in left_out} == {"botocore", "boto3"}
    assert not any("/dynamodb/" in name for name in left_out if name.startswith("botocore"))
    uncompiled = {name for name in ours if name.endswith(".py") and importlib.util.cache_from_source(name) not in ours}
    assert uncompiled == set()


@pytest.mark.parametrize(
    "name",
    [
        "chalicelib/cli/start.py",
        "chalicelib/__main__.py",
        "chaos_experiments/cli/start.py",
        "aws_lambda_powertools/event_handler/openapi/swagger_ui/swagger-ui-bundle.min.js",
        "aws_lambda_powertools/utilities/kafka/kafka_consumer.py",
        "chalicelib/README.md",
        "pydantic/v1/main.py",
        "pydantic/mypy.py",
        "psutil/_pswindows.py",
        "pydantic_core/_pydantic_core.pyi",
        "boto3-1.44.5.dist-info/RECORD",
    ],
)
def test_what_no_function_runs_is_left_out(name: str) -> None:
    assert NOT_FOR_LAMBDA.match(name)


@pytest.mark.parametrize(
    "name",
    [
        "chalicelib/api/console/page.js",
        "chalicelib/server.py",
        "chalicelib/development/banner.py",
        "aws_lambda_powertools/event_handler/openapi/swagger_ui/html.py",
        "pydantic/main.py",
        "psutil/_pslinux.py",
        "boto3-1.44.5.dist-info/METADATA",
        "mypy/of_the_applications.py",
    ],
)
def test_what_a_function_may_run_stays(name: str) -> None:
    assert not NOT_FOR_LAMBDA.match(name)


def test_it_runs_without_what_was_left_out(built: tuple[Package, bytes], tmp_path: Path) -> None:
    """Everything that the module and its libraries import, control plane and experiments included."""
    with zipfile.ZipFile(io.BytesIO(built[0].archive)) as package:
        package.extractall(tmp_path)
    modules = [
        ".".join(Path(name).with_suffix("").parts).removesuffix(".__init__")
        for name in entries(built[0].archive)
        if name.startswith("chalicelib/") and name.endswith(".py")
    ]
    script = (
        "import importlib, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "absent = set()\n"
        "for name in sys.argv[2:]:\n"
        "    try: importlib.import_module(name)\n"
        "    except ModuleNotFoundError as error: absent.add(error.name)\n"
        "import psutil, pydantic.plugin, aws_lambda_powertools.metrics, boto3\n"
        "print(*absent)\n"
    )
    python = [str(Path(sys.base_prefix) / "bin/python3"), "-S", "-P", "-c", script, str(tmp_path)]
    told = subprocess.run([*python, "app", *modules], capture_output=True, text=True, check=True, env=OF_LAMBDA)
    packaged = {name.partition("/")[0] for name in entries(built[0].archive)}
    absent = set(told.stdout.split())
    assert {name for name in absent if name.partition(".")[0] in packaged} == set()
    assert "flask" in absent  # a host that this is not


def test_all_functions_come_from_it_and_run_on_the_python_that_compiled_it(built: tuple[Package, bytes]) -> None:
    functions = [
        each["Properties"]
        for each in built[0].template["Resources"].values()
        if each["Type"] == "AWS::Serverless::Function"
    ]
    assert len(functions) == 4
    assert {each["Handler"] for each in functions} == {"app.app", "app.bearer_token", "app.alarm_handler"}
    assert {each["CodeUri"] for each in functions} == {"./deployment.zip"}
    assert {each["Runtime"] for each in functions} == {f"python3.{sys.version_info.minor}"}


def test_the_control_plane_is_a_function_of_its_own_and_test_is_the_applications(built: tuple[Package, bytes]) -> None:
    resources = built[0].template["Resources"]
    uris = {
        path: {each["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"] for each in operations.values()}
        for path, operations in resources["RestAPI"]["Properties"]["DefinitionBody"]["paths"].items()
    }
    served = {path: {uri.partition("functions/")[2] for uri in found} for path, found in uris.items()}
    application, own = {"${APIHandler.Arn}/invocations"}, {"${ControlPlane.Arn}/invocations"}
    others = {path for path, found in served.items() if found != own}
    assert others == {"/", f"{PREFIX}/test"}
    assert all(served[path] == application for path in others)
    assert {path.removeprefix(PREFIX) for path in served} - {"/"} == {each.path for each in ENDPOINTS}
    permission = resources["ControlPlaneInvokePermission"]["Properties"]
    assert permission == {
        **resources["APIHandlerInvokePermission"]["Properties"],
        "FunctionName": {"Ref": "ControlPlane"},
    }


def test_it_is_like_the_applications_but_for_its_name_and_its_role(built: tuple[Package, bytes]) -> None:
    resources = built[0].template["Resources"]
    own, application = (resources[name]["Properties"] for name in ("ControlPlane", "APIHandler"))
    differs = {name for name in own.keys() | application.keys() if own.get(name) != application.get(name)}
    assert differs == {"FunctionName", "Role"}
    assert own["FunctionName"] == "chaos-experiments-staging-control_plane"
    (policy,) = resources["ControlPlaneRole"]["Properties"]["Policies"]
    assert "log-group:/aws/lambda/chaos-experiments-staging-control_plane:*" in json.dumps(policy)


class Account:
    """AWS Lambda of an account: its quota, and what functions have reserved."""

    def __init__(self, quota: int, reserved: dict[str, int] | None = None, error: str = "") -> None:
        self._quota, self._reserved, self._error = quota, reserved or {}, error

    def get_account_settings(self) -> dict[str, Any]:
        if self._error:
            raise ClientError({"Error": {"Code": self._error, "Message": "no"}}, "GetAccountSettings")
        free = self._quota - sum(self._reserved.values())
        return {"AccountLimit": {"ConcurrentExecutions": self._quota, "UnreservedConcurrentExecutions": free}}

    def get_function_concurrency(self, FunctionName: str) -> dict[str, int]:  # noqa: N803 - as boto3 has it
        if FunctionName not in self._reserved:
            raise ClientError(
                {"Error": {"Code": "ResourceNotFoundException", "Message": "x"}}, "GetFunctionConcurrency"
            )
        return {"ReservedConcurrentExecutions": self._reserved[FunctionName]}


def reserved_in(template: dict[str, Any]) -> dict[str, int]:
    return {
        name: each["Properties"]["ReservedConcurrentExecutions"]
        for name, each in template["Resources"].items()
        if "ReservedConcurrentExecutions" in each["Properties"]
    }


OURS = {
    "chaos-experiments-staging-control_plane": 10,
    "chaos-experiments-staging-bearer_token": 10,
    "chaos-experiments-staging-alarm_handler": 2,
}


@pytest.mark.parametrize("account", [Account(1000), Account(122), Account(122, OURS), Account(140, {**OURS, "x": 18})])
def test_concurrency_is_reserved_for_what_can_stop_a_run(built: tuple[Package, bytes], account: Account) -> None:
    template, why_not = reserve(built[0].template, account)
    assert (reserved_in(template), why_not) == (RESERVED, "")
    assert reserved_in(built[0].template) == {}


@pytest.mark.parametrize(
    ("account", "why"),
    [
        (Account(10), "AWS keeps 100 unreserved, and this account has 10 of its 10 to reserve from. A quota of 122"),
        (Account(1000, {"x": 880}), "this account has 120 of its 1000 to reserve from. A quota of 1002 would do"),
        (Account(1000, error="AccessDeniedException"), "AWS did not say how much this account has (An error occurred"),
    ],
)
def test_where_the_account_has_too_little_it_is_said_and_nothing_is_reserved(
    built: tuple[Package, bytes], account: Account, why: str
) -> None:
    template, why_not = reserve(built[0].template, account)
    assert template == built[0].template
    assert why_not.startswith("No concurrency is reserved for the control plane, which needs 22. ")
    assert why in why_not
    assert why_not.endswith("Then halt in the table: halt --stage.")


def test_the_template_has_no_mistake_that_cfn_lint_knows(built: tuple[Package, bytes], tmp_path: Path) -> None:
    template = tmp_path / "template.json"
    template.write_text(json.dumps(reserve(built[0].template, Account(1000))[0]))
    lint = [str(Path(sys.executable).with_name("cfn-lint")), "--region", "eu-west-1", "--template", str(template)]
    checked = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_the_table_of_the_template_is_the_one_that_make_table_makes(
    built: tuple[Package, bytes], shell: pytest.MonkeyPatch, moto_url: str
) -> None:
    variables = {"AWS_ENDPOINT_URL": moto_url, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "test"}
    settings = read_settings({"CHAOS_STAGE": "staging", **variables})
    assert create_table(settings)
    client = boto3.client("dynamodb", region_name="eu-west-1")
    table = client.describe_table(TableName=settings.table)["Table"]
    ttl = client.describe_time_to_live(TableName=settings.table)["TimeToLiveDescription"]
    backups = client.describe_continuous_backups(TableName=settings.table)["ContinuousBackupsDescription"]
    recovery = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    resource = built[0].template["Resources"]["Table"]
    assert ordered(resource["Properties"]) == ordered(
        {
            "TableName": table["TableName"],
            "BillingMode": table["BillingModeSummary"]["BillingMode"],
            "AttributeDefinitions": table["AttributeDefinitions"],
            "KeySchema": table["KeySchema"],
            "TimeToLiveSpecification": {
                "AttributeName": ttl["AttributeName"],
                "Enabled": ttl["TimeToLiveStatus"] == "ENABLED",
            },
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": recovery},
            "SSESpecification": {
                "SSEEnabled": table["SSEDescription"]["Status"] == "ENABLED",
                "SSEType": table["SSEDescription"]["SSEType"],
            },
        }
    )
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")


def ordered(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: sorted(value, key=str) if isinstance(value, list) else value for name, value in properties.items()}


def test_what_exists_can_be_adopted_for_it_is_named_plainly_and_retained(built: tuple[Package, bytes]) -> None:
    resources = built[0].template["Resources"]
    logs = ("APIHandlerLogs", "BearerTokenLogs", "AlarmHandlerLogs")
    named = {"Table": "TableName", **dict.fromkeys(logs, "LogGroupName")}
    for name, key in named.items():
        assert isinstance(resources[name]["Properties"][key], str)
        assert resources[name]["DeletionPolicy"] in {"Retain", "RetainExceptOnCreate"}


def test_all_functions_are_called_as_chalice_deploy_calls_them(built: tuple[Package, bytes]) -> None:
    resources = built[0].template["Resources"]
    assert resources["APIHandler"]["Properties"]["FunctionName"] == "chaos-experiments-staging"
    assert resources["BearerToken"]["Properties"]["FunctionName"] == "chaos-experiments-staging-bearer_token"
    assert resources["AlarmHandler"]["Properties"]["FunctionName"] == "chaos-experiments-staging-alarm_handler"
    subscription = resources["AlarmHandler"]["Properties"]["Events"]["AlarmHandlerSnsSubscription"]
    assert subscription["Properties"]["Topic"] == {"Fn::Sub": "${Alarms}"}
