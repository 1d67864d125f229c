"""What the documents promise is what there is."""

import json
import os
import re
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import boto3
import pytest
import urllib3
import yaml
from botocore.client import BaseClient

from chalicelib import __version__, cli
from chalicelib import settings as settings_module
from chalicelib.access import Caller, Role
from chalicelib.api import responses, shapes
from chalicelib.api.endpoints import ENDPOINTS, PREFIX
from chalicelib.api.http import Request, failure
from chalicelib.api.requests import start_parameters
from chalicelib.bootstrap import Chaos, bootstrap
from chalicelib.cli.stages import settings_of
from chalicelib.development.banner import banner
from chalicelib.errors import ChaosError
from chalicelib.experiments.catalogue import installed
from chalicelib.injection.drivers import SyncInjection
from chalicelib.runs.observation import Observation
from chalicelib.settings import Settings
from tests.injection.support import FakeCall
from tests.support import NOW, a_run

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text()
API = (PROJECT / "docs/api.md").read_text()
CONFIGURATION = (PROJECT / "docs/configuration.md").read_text()
AWS = (PROJECT / "docs/aws.md").read_text()
DOCUMENTS = sorted(
    [
        *PROJECT.glob("*.md"),
        *PROJECT.glob("chalicelib/**/*.md"),
        *PROJECT.glob("docs/**/*.md"),
        *PROJECT.glob("examples/*.md"),
    ]
)
INSIDE = (PROJECT / "chalicelib/README.md").read_text()
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
CLI_ONLY = {"UnknownToken"}
COMMAND_LINE = {"CHAOS_URL", "CHAOS_TOKEN", "CHAOS_PROFILE"}
LIMITS = {
    f"CHAOS_MAX_{name.upper()}"
    for experiment in installed().values()
    for name, parameter in experiment.Parameters.model_fields.items()
    if parameter.annotation in {int, float}
}
"""The limits of the built-in experiments' parameters, which are all documented by name."""

LONGEST_README = 1150
"""In words: a third of what it once had."""

MAKEFILE = (PROJECT / "Makefile").read_text()
FORMATTING = ("ruff check --fix .", "ruff format .")
DATA_PLANE = (
    "ReadRuns",
    "EndRuns",
    "RemoveEndedRuns",
    "AddAndReadResults",
    "AddWhatIsCalled",
    "ReserveHits",
    "ReadAlarms",
)
CONTROL_PLANE = ("ReadHistory", "WriteRunsAndHistory", "StartUnlessHalted", "ReadTokens")
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/chaos-experiments-qa"
NO_KEY = {"dynamodb:LeadingKeys": [""]}
Grant = tuple[str, str, str]
"""An action, a resource, and the partition key that it is allowed for."""


def named(document: Path) -> str:
    return str(document.relative_to(PROJECT))


def variables_in(source: Path) -> set[str]:
    return set(re.findall(r'"(CHAOS_[A-Z_]+)"', source.read_text()))


def test_the_quick_start_is_what_make_run_prints() -> None:
    printed = banner(Settings(stage="dev", dev_token="let-me-in"), "http://localhost:8000", PREFIX)
    lines = [line.strip() for line in printed.splitlines() if line.strip().startswith("curl")]
    assert "\n".join(lines) in README


def test_the_readme_is_short_shows_what_it_looks_like_and_names_the_test_command() -> None:
    assert len(README.split()) <= LONGEST_README
    (picture,) = re.findall(r"!\[.+\]\((.+)\)", README)
    assert (PROJECT / picture).stat().st_size > 5000
    assert "`make test`" in README


def test_every_variable_that_is_read_is_in_the_configuration_table() -> None:
    read = variables_in(Path(settings_module.__file__)) | variables_in(PROJECT / "app.py") | COMMAND_LINE
    rows = re.findall(r"^\| (`CHAOS_[^|]*)\|", CONFIGURATION, flags=re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`(CHAOS_[A-Z_]+)`", row)}
    assert read <= documented <= read | LIMITS
    assert "| `CHAOS_MAX_<PARAMETER>` |" in CONFIGURATION


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_no_document_names_a_variable_that_nobody_reads(document: Path) -> None:
    known = set(re.findall(r"`(CHAOS_[A-Z_]+)`", CONFIGURATION))
    assert set(re.findall(r"\bCHAOS_[A-Z_]*[A-Z]\b", document.read_text())) <= known


def test_every_endpoint_every_experiment_and_every_code_is_documented() -> None:
    for endpoint in ENDPOINTS:
        assert f"`{endpoint.method} {endpoint.path}" in API
    for name, experiment in installed().items():
        assert f"| `{name}` |" in API
        for parameter in experiment.Parameters.model_fields:
            assert f"`{parameter}`" in API
    for error in ChaosError.__subclasses__():
        if error.__name__ not in CLI_ONLY:
            (row,) = [line for line in API.splitlines() if re.match(rf"\| \d+ \|.*`{error.code}`", line)]
            assert row.startswith(f"| {error.status} |")


def test_every_example_answer_is_json_in_the_envelope() -> None:
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", API, flags=re.DOTALL)]
    assert len(examples) >= 6
    for example in examples:
        assert {"error", "error_message", "resultset"} <= set(example)


def test_the_example_of_a_run_has_the_fields_of_a_run() -> None:
    assert set(example_of("POST /start")) == set(responses.run(a_run(), NOW))


def test_the_example_of_an_experiment_is_what_is_listed() -> None:
    (example,) = example_of("GET /list")["available_experiments"]
    listed = responses.experiment(installed()[example["name"]], Settings().limits)
    assert example["description"] == listed["description"]
    for name, shown in example["parameters"]["properties"].items():
        assert shown.items() <= listed["parameters"]["properties"][name].items()


def test_the_example_of_a_refusal_is_what_is_answered() -> None:
    (example,) = re.findall(r"## Errors\n.*?```json\n(.*?)```", API, flags=re.DOTALL)
    with pytest.raises(ChaosError) as refused:
        start_parameters(
            {"experiment_name": "latency_injection", "delay_seconds": 99}, installed()["latency_injection"], {}
        )
    assert json.loads(example) == failure(refused.value).content


@pytest.mark.parametrize(
    ("endpoint", "shape"),
    [
        ("GET /list", shapes.Listed),
        ("POST /preview", shapes.Preview),
        ("POST /halt", shapes.Halted),
        ("POST /resume", shapes.Resumed),
        ("GET /history", shapes.History),
        ("GET /test", shapes.Tested),
    ],
)
def test_the_other_examples_have_the_fields_of_the_answers(endpoint: str, shape: Any) -> None:
    assert set(example_of(endpoint)) == set(shape.__annotations__)


def example_of(endpoint: str) -> dict[str, Any]:
    text = re.search(rf"### `{endpoint}\b.*?```json\n(.*?)```", API, flags=re.DOTALL)
    assert text
    content: dict[str, Any] = json.loads(text[1])["resultset"]
    return content


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_lead_somewhere(document: Path) -> None:
    for target, _, anchor in re.findall(r"\]\((?!http)([^)#]*)(#([^)]+))?\)", document.read_text()):
        linked = document.parent / target if target else document
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"


def anchors(document: Path) -> set[str]:
    """Those of its headings, as GitHub and mkdocs make them."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_navigation_and_in_the_index() -> None:
    pages = {page.name for page in (PROJECT / "docs").glob("*.md")}
    assert set(re.findall(r"[\w-]+\.md", (PROJECT / "mkdocs.yml").read_text())) == pages
    index = (PROJECT / "docs/index.md").read_text()
    assert pages - {"index.md"} <= set(re.findall(r"\(([\w-]+\.md)\)", index))


def test_the_examples_tour_is_of_commands_and_bodies_that_there_are() -> None:
    tour = (PROJECT / "examples/README.md").read_text()
    for framework in ("flask", "fastapi", "chalice"):
        assert f"example-{framework}:" in MAKEFILE
        assert f"example-{framework}" in tour
    for path, body in re.findall(r"/chaos_experiments(/\w+) .*-d '(.*?)'", tour):
        content = json.loads(body)
        assert path in {endpoint.path for endpoint in ENDPOINTS}
        if path == "/start":
            experiment = installed()[content.pop("experiment_name")]
            assert experiment.Parameters.model_validate(content)


def test_every_room_is_in_the_table_and_stands_where_the_import_rules_have_it() -> None:
    layers = PYPROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    assert "\n".join(f"    {layer}" for layer in layers if layer != "__main__") in INSIDE
    named_rooms = set(re.findall(r"^\| `([\w.]+)/?` \|", INSIDE, flags=re.MULTILINE))
    rooms = {path.name for path in (PROJECT / "chalicelib").iterdir() if not path.name.startswith("__")}
    assert rooms - {"README.md", "py.typed"} <= named_rooms
    for folder, row in re.findall(r"^\| `(\w+)/` \|(.*)", INSIDE, flags=re.MULTILINE):
        for name in re.findall(r"`(\w+\.py)`", row):
            assert (PROJECT / "chalicelib" / folder / name).exists(), f"{folder}/{name}"


def test_pre_commit_runs_what_make_runs() -> None:
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    recipe = re.findall(r"^\t\$\(BIN\)/((?:ruff|mypy|lint-imports).*)$", MAKEFILE, flags=re.MULTILINE)
    checks = [line for line in recipe if line not in FORMATTING]
    assert [hook["entry"].removeprefix(".venv/bin/") for hook in hooks] == checks
    assert not any(hook["pass_filenames"] for hook in hooks)


@pytest.mark.parametrize("workflow", sorted((PROJECT / ".github/workflows").glob("*.yml")), ids=named)
def test_a_workflow_runs_make_targets_that_there_are_and_may_write_nothing(workflow: Path) -> None:
    content = yaml.safe_load(workflow.read_text())
    assert content["permissions"] == {"contents": "read"}
    for job in content["jobs"].values():
        assert set(job.get("permissions", {})) <= {"id-token"}
        for step in job["steps"]:
            assert re.search(r"@(release/)?v\d+$", step.get("uses", "@v1"))  # pinned to a major version
            for target in re.findall(r"make ([\w-]+)", step.get("run", "")):
                assert re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE), target


def test_every_python_that_is_promised_is_tested() -> None:
    metadata = PYPROJECT["project"]
    promised = [each.rpartition(" ")[2] for each in metadata["classifiers"] if re.search(r":: 3\.\d+$", each)]
    workflow = yaml.safe_load((PROJECT / ".github/workflows/test.yml").read_text())
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == promised
    assert metadata["requires-python"] == f">={promised[0]}"


def test_every_wheel_that_a_document_installs_is_the_one_that_is_built() -> None:
    wheel = f"chaos_experiments-{__version__}-py3-none-any.whl"
    extras = set(PYPROJECT["project"]["optional-dependencies"])
    for document in DOCUMENTS:
        text = document.read_text()
        assert set(re.findall(r"chaos_experiments-[\w.]+-py3-none-any\.whl", text)) <= {wheel}
        assert not re.search(r"pip install '?chaos", text), document
        for group in re.findall(r"py3-none-any\.whl\[([^\]]+)\]", text):
            assert set(group.split(",")) <= extras


def policies() -> dict[str, set[Grant]]:
    """What the statements of the AWS page allow, by their names."""
    found = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", AWS, flags=re.DOTALL)]
    statements = [statement for each in found for statement in each.get("Statement", ())]
    return {statement["Sid"]: granted(statement) for statement in statements}


def granted(statement: Any) -> set[Grant]:
    keys = [key for each in statement.get("Condition", {"": NO_KEY}).values() for key in each["dynamodb:LeadingKeys"]]
    return {(action, statement["Resource"], key) for action in statement["Action"] for key in keys}


def test_both_policies_for_an_application_are_together_the_one_of_this_application() -> None:
    names = {"partition": "aws", "region": "eu-west-1", "account": "123456789012", "name": ""}
    text = Template((PROJECT / ".chalice/policies.json").read_text())
    own = json.loads(text.substitute(names, table="chaos-experiments-qa", scope="shop#qa"))["api_handler"]["Statement"]
    needed = set().union(*(granted(statement) for statement in own if statement["Sid"] != "WriteLogs"))
    documented = policies()
    assert set().union(*(documented[name] for name in (*DATA_PLANE, *CONTROL_PLANE))) == needed


class Calls(set[Grant]):
    """What is called, as a policy has to allow it."""

    def note(self, operation: str, parameters: Any) -> None:
        match operation:
            case "TransactWriteItems":
                for item in parameters["TransactItems"]:
                    for kind, write in item.items():
                        self._add(f"{kind}Item", write.get("Key") or write["Item"])
            case "Query":
                self._add(operation, {"pk": parameters["ExpressionAttributeValues"][":0"]})
            case "BatchGetItem":
                for key in parameters["RequestItems"]["chaos-experiments-qa"]["Keys"]:
                    self._add(operation, key)
            case _:
                self._add(operation, parameters.get("Key") or parameters.get("Item") or {"pk": {"S": ""}})

    def _add(self, operation: str, key: Any) -> None:
        self.add((f"dynamodb:{operation}", TABLE, re.sub(r"^((?:results|budget)#.*#)\d$", r"\1?", key["pk"]["S"])))


@pytest.fixture
def called(dynamodb_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """In a shell as on the AWS page, with its table."""
    for name, value in {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "CHAOS_APPLICATION": "shop",
    }.items():
        monkeypatch.setenv(name, value)
    calls = Calls()
    real = BaseClient._make_api_call

    def noted(client: BaseClient, operation: str, parameters: Any) -> Any:
        calls.note(operation, parameters)
        return real(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
    assert cli.main(["table", "create", "--stage", "qa"]) == 0
    yield calls
    boto3.client("dynamodb").delete_table(TableName="chaos-experiments-qa")


def start(module: Chaos, **options: Any) -> None:
    body = json.dumps({"experiment_name": "latency_injection", "delay_seconds": 0, **options}).encode()
    headers = {"content-type": "application/json"}
    asked = Request(method="POST", path="/start", headers=headers, body=body, caller=Caller("ada", Role.OPERATOR))
    assert module.api().handle(asked).status == 200


def test_who_creates_the_table_may_call_what_that_calls(called: Calls) -> None:
    assert called == policies()["CreateTheTable"]


def test_who_manages_tokens_may_call_what_that_calls(called: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    called.clear()
    assert cli.main(["token", "create", "--stage", "qa", "--name", "ada", "--role", "operator"]) == 0
    assert cli.main(["token", "list", "--stage", "qa"]) == 0
    beginning = capsys.readouterr().out.splitlines()[-1].split()[0]
    assert cli.main(["token", "revoke", "--stage", "qa", beginning]) == 0
    assert called == policies()["ManageTokens"] | policies()["RecordInTheHistory"]


def test_who_halts_from_the_shell_may_call_what_that_calls(called: Calls) -> None:
    start(bootstrap(settings_of("qa")))
    called.clear()
    assert cli.main(["halt", "--stage", "qa", "--reason", "orders are lost"]) == 0
    assert cli.main(["resume", "--stage", "qa"]) == 0
    where_an_answer_is_lost = {("dynamodb:Query", TABLE, "history#shop#qa")}
    needed = set().union(*(policies()[name] for name in ("HaltAndResume", "RecordEndsOfRuns", "RemoveEndedRuns")))
    assert called | where_an_answer_is_lost == needed


def test_a_process_that_serves_may_call_what_that_calls(called: Calls) -> None:
    start(
        bootstrap(settings_of("qa")),
        percentage=50,
        hypothesis={"max_error_rate": 0, "abort": True},
        max_requests=1_000,
    )
    module = bootstrap(
        settings_of("qa"), schedule=lambda _seconds, _call: None, sleep=lambda _seconds: time.sleep(0.01)
    )
    injection = SyncInjection(module.engine)
    module.runs.observe(Observation.asked(module.clock()))
    called.clear()
    module.engine.snapshot.get_fresh()
    urllib3.PoolManager().request("GET", os.environ["AWS_ENDPOINT_URL_DYNAMODB"])
    for _ in range(200):
        result = injection.arrive(FakeCall("/"))
        assert result
        injection.apply(result)
        injection.finish(result, 500)
    module.engine.recorder.flush()
    module.runs.record_defect(a_run(), "it broke")
    needed = set(called)
    module.runs.observe(Observation(0.0, 0.0))
    module.engine.snapshot.get_fresh()
    for thread in [each for each in threading.enumerate() if each.name == "chaos-patches"]:
        thread.join(10)
    documented = policies()
    assert needed == set().union(*(documented[name] for name in DATA_PLANE if name != "ReadAlarms"))
