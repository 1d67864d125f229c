"""What the documents promise is what there is."""

import json
import re
from pathlib import Path

import pytest

from chalicelib import settings as settings_module
from chalicelib.api import present
from chalicelib.api.endpoints import ENDPOINTS, PREFIX
from chalicelib.development.banner import banner
from chalicelib.errors import ChaosError
from chalicelib.experiments import EXPERIMENTS
from chalicelib.settings import Settings
from tests.support import NOW, a_run

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text()
DOCUMENTS = sorted(
    [
        *PROJECT.glob("*.md"),
        *PROJECT.glob("chalicelib/**/*.md"),
        *PROJECT.glob("docs/**/*.md"),
        *PROJECT.glob("examples/*.md"),
    ]
)
CLI_ONLY = {"UnknownToken"}


def test_the_quick_start_is_what_make_run_prints() -> None:
    printed = banner(Settings(stage="dev", dev_token="let-me-in"), "http://localhost:8000", PREFIX)
    lines = [line.strip() for line in printed.splitlines() if line.strip().startswith("curl")]
    assert "\n".join(lines) in README


def test_every_variable_that_is_read_is_in_the_configuration_table() -> None:
    read = set(re.findall(r'"(CHAOS_[A-Z_]+)"', Path(settings_module.__file__).read_text()))
    rows = re.findall(r"^\| (`CHAOS_[^|]*)\|", README, flags=re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(CHAOS_[A-Z_]+)`", row)}
    assert told == read


def test_every_endpoint_every_experiment_and_every_code_is_told() -> None:
    for endpoint in ENDPOINTS:
        assert f"`{endpoint.method} {endpoint.path}" in README
    for name, experiment in EXPERIMENTS.items():
        assert f"| `{name}` |" in README
        for parameter in experiment.Parameters.model_fields:
            assert f"`{parameter}`" in README
    for error in ChaosError.__subclasses__():
        if error.__name__ not in CLI_ONLY and error.status != 500:
            assert f"`{error.code}`" in README


def test_every_example_answer_is_json_in_the_envelope() -> None:
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", README, flags=re.DOTALL)]
    assert len(examples) >= 6
    for example in examples:
        assert {"error", "error_message", "resultset"} <= set(example)


def test_the_example_of_a_run_has_the_fields_of_a_run() -> None:
    text = re.search(r"### `POST /start`.*?```json\n(.*?)```", README, flags=re.DOTALL)
    assert text
    assert set(json.loads(text[1])["resultset"]) == set(present.run(a_run(), NOW))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_examples_tour_is_of_commands_and_bodies_that_there_are() -> None:
    tour = (PROJECT / "examples/README.md").read_text()
    for framework in ("flask", "fastapi", "chalice"):
        assert f"example-{framework}:" in (PROJECT / "Makefile").read_text()
        assert f"example-{framework}" in tour
    for path, body in re.findall(r"/chaos_experiments(/\w+) .*-d '(.*?)'", tour):
        content = json.loads(body)
        assert path in {endpoint.path for endpoint in ENDPOINTS}
        if path == "/start":
            experiment = EXPERIMENTS[content.pop("experiment_name")]
            assert experiment.Parameters.model_validate(content)
