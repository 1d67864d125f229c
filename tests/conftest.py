import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chalicelib.dynamodb.table import Item, bind, create_table
from chalicelib.development.server import EmbeddedDynamoDB
from chalicelib.settings import Settings
from tests.dynamodb_local import dynamodb_local
from tests.support import Clock

for name in [name for name in os.environ if name.startswith(("CHAOS_", "AWS_"))]:
    del os.environ[name]  # a test says itself what its environment is

MEASURED = pytest.StashKey[list[tuple[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--dynamodb-local", metavar="FOLDER", help="use the DynamoDB Local in this folder, not moto")
    parser.addoption("--cases", type=int, default=200, help="how many inputs each fuzzed property is tried with")
    parser.addoption("--minutes", type=float, default=0.15, help="how long the soak lasts in each framework")
    parser.addoption("--pictures", metavar="FOLDER", help="keep there what the browser shows")
    parser.addoption("--rounds", type=int, default=3, help="how often the rehearsal measures each promise")


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a line of what was measured; they are printed below the results."""
    lines = request.config.stash.setdefault(MEASURED, [])
    name = request.node.name
    return lambda line: lines.append((name, line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    last = ""
    for name, line in config.stash.get(MEASURED, []):
        if not last:
            terminalreporter.section("measured")
        if name != last:
            terminalreporter.line(name)
        terminalreporter.line(f"    {line}")
        last = name


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def dynamodb_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """A DynamoDB over real HTTP, for the whole session; each test takes a table of its own.

    Moto's, or Amazon's own, where `--dynamodb-local` names the folder that it is in: `make conformance`.
    """
    folder = pytestconfig.getoption("--dynamodb-local")
    if folder:
        with dynamodb_local(Path(folder)) as url:
            yield url
        return
    server = EmbeddedDynamoDB().start()
    yield server.url
    server.stop()


@pytest.fixture
def settings(dynamodb_url: str) -> Iterator[Settings]:
    """Of a stage with an empty table of its own. Patient, for a machine that is busy with other tests.

    It is gone afterwards: moto copies all tables that there are in each transaction.
    """
    made = Settings(
        stage="dev",
        table=f"chaos-experiments-{uuid.uuid4().hex[:8]}",
        endpoint_url=dynamodb_url,
        table_timeout_seconds=5.0,
        dev_token="dev-token",
    )
    create_table(made)
    yield made
    bind(Item, made).delete_table()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make package-wheel` makes."""
    folder = tmp_path_factory.mktemp("wheel")
    project = Path(__file__).parents[1]
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(project)]
    subprocess.run(build, check=True, cwd=folder, env=None)
    (made,) = folder.glob("*.whl")
    return made
