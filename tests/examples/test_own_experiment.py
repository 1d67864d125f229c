"""The package of examples/own_experiment/, installed beside the module, and used."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.servers import BIN, IDLE_SECONDS, PROJECT, Server, serving, settle

PACKAGE = PROJECT / "examples/own_experiment"
EXAMPLES = PROJECT / "examples"
API = "/chaos_experiments"


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel and the package are installed, as in an environment of their own."""
    folder = tmp_path_factory.mktemp("installed")
    copy = folder / "own_experiment"  # or pip would leave its build folder in the checkout
    subprocess.run(["cp", "-r", str(PACKAGE), str(copy)], check=True)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*install, str(folder / "site"), str(wheel), str(copy)], check=True)
    return folder / "site"


@pytest.fixture(scope="module")
def shop(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    def flask(_folder: Path, port: int) -> list[str]:
        return [str(BIN / "flask"), "--app", "flask_shop", "run", "--port", str(port)]

    folder = tmp_path_factory.mktemp("shop")
    variables = {"PYTHONPATH": f"{EXAMPLES}:{site}", "CHAOS_APPLICATION": uuid.uuid4().hex[:8]}
    with serving(flask, folder, cwd=EXAMPLES, **variables) as server:
        yield server
        settle(server)


def test_its_own_tests_pass_in_the_environment_that_it_is_installed_in(site: Path, tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", "tests"],
        cwd=PACKAGE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "6 passed" in told.stdout


def test_it_is_listed_started_felt_and_counted_as_any_other(shop: Server) -> None:
    listed = shop.call("GET", f"{API}/list").json()["resultset"]["available_experiments"]
    (own,) = [each for each in listed if each["name"] == "maintenance_window"]
    assert own["description"].startswith("Answer as while the shop is closed")
    assert own["parameters"]["properties"]["opens_after_seconds"]["maximum"] == 86_400
    body = {"experiment_name": "maintenance_window", "opens_after_seconds": 60}
    started = shop.call("POST", f"{API}/start", json=body)
    assert started.status_code == 200, started.text
    time.sleep(IDLE_SECONDS)
    answer = shop.call("GET", "/stock/tea")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert answer.json()["error_message"] == "The shop is closed for maintenance"
    assert answer.headers["X-Chaos-Experiment"] == "maintenance_window"
    stopped = shop.call("POST", f"{API}/stop", json={"experiment_name": "maintenance_window"})
    assert stopped.status_code == 200
    refused = shop.call("POST", f"{API}/start", json={**body, "opens_after_seconds": 0})
    assert (refused.status_code, refused.json()["details"][0]["field"]) == (400, "opens_after_seconds")
