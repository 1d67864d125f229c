"""What the package weighs, and what a cold start of it takes beside a bare application's."""

import io
import os
import statistics
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import boto3
import pytest

from deployment.package import build, chalice_package, slim
from deployment.project import open_stage
from tests.deployment.project import PROJECT, copy_project
from tests.staging import cold_start
from tests.staging.account import PATIENT, REGION, Account
from tests.staging.conftest import NAME
from tests.staging.fleet import Stage, Tell

pytestmark = pytest.mark.timeout(900)

PAIRS = 15
MOST = 1.3
"""Times as long as the bare one: with `--exact`. What libraries and the interpreter take differs by machine."""
MOST_ANYWHERE = 1.5
"""Of the least that each took, which other load on the machine moves least."""

ASIDE = 3
"""Of the packages that are not compared."""

OURS, BARE_ALIKE = "ours", "bare, by the same packaging"
BARE = """
import boto3
from chalice import Chalice

app = Chalice(app_name="bare")
dynamodb = boto3.client("dynamodb")


@app.route("/")
def index():
    dynamodb.query(
        TableName="chaos-experiments-staging",
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "app#staging"}},
        ConsistentRead=True,
    )
    return {"message": "The application answers."}
"""


def test_a_cold_start_is_no_longer_than_that_of_a_bare_application_with_one_query(
    stage: Stage, account: Account, tmp_path: Path, tell: Tell, pytestconfig: pytest.Config
) -> None:
    with account.shell():
        root = copy_project(tmp_path)
        ours = build(open_stage(root, "staging", boto3.Session(region_name=REGION))).archive
        chalices = chalice_package(root, "staging", REGION)[1]
        given = chalice_package(bare_project(tmp_path / "bare"), "dev", REGION)[1]
    packages = {
        OURS: unpacked(ours, tmp_path / "unpacked-ours"),
        "ours, as chalice packages it": unpacked(chalices, tmp_path / "unpacked-chalices"),
        BARE_ALIKE: unpacked(slim(given, ["dynamodb"]), tmp_path / "unpacked-bare"),
        "bare, as chalice packages it": unpacked(given, tmp_path / "unpacked-given"),
    }
    variables = {**account.environment, "CHAOS_STAGE": "staging", "AWS_LAMBDA_FUNCTION_NAME": NAME, **PATIENT}
    times: dict[str, list[float]] = {name: [] for name in packages}
    for number in range(PAIRS):
        for name, folder in packages.items():
            if number < ASIDE or name in (OURS, BARE_ALIKE):
                times[name].append(started_cold(folder, variables))
    for name, milliseconds in times.items():
        tell(f"{name:28} minimum {min(milliseconds):4.0f} ms, median {statistics.median(milliseconds):4.0f} ms")
    ours_times, bare_times = times[OURS], times[BARE_ALIKE]
    ratio = statistics.median(one / other for one, other in zip(ours_times, bare_times, strict=True))
    tell(f"median of {PAIRS} ratios, ours to bare by the same packaging: {ratio:.2f}")
    if pytestconfig.getoption("--exact"):
        assert ratio <= MOST
    assert min(ours_times) / min(bare_times) <= MOST_ANYWHERE


def started_cold(folder: Path, variables: dict[str, str]) -> float:
    """Milliseconds from the process's start to its first answer. Nothing is compiled, nothing is kept."""
    python = str(Path(sys.base_prefix) / "bin/python3")
    script = [python, "-S", "-P", cold_start.__file__, str(folder), str(time.time())]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_DEFAULT_REGION": REGION,
        **variables,
    }
    told = subprocess.run(script, env=environment, capture_output=True, text=True, check=True)
    assert "Could not read" not in told.stderr
    return float(told.stdout)


def bare_project(root: Path) -> Path:
    (root / ".chalice").mkdir(parents=True)
    (root / ".chalice/config.json").write_text('{"version": "2.0", "app_name": "bare", "stages": {"dev": {}}}')
    (root / "app.py").write_text(BARE)
    locked = (PROJECT / "requirements.txt").read_text().splitlines()
    (root / "requirements.txt").write_text("\n".join(line for line in locked if line.startswith("boto3==")))
    return root


def unpacked(archive: bytes, folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(archive)) as package:
        package.extractall(folder)
    return folder
