import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from app import app
from chalicelib.access import Role
from chalicelib.api.endpoints import ENDPOINTS, PREFIX
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.runs.observation import Observation
from chalicelib.settings import Settings
from tests.support import a_run

PROJECT = Path(__file__).parents[1]
LONG_AGO = 1_700_000_000.0


def test_the_mounted_routes_are_the_table_of_endpoints() -> None:
    routes = {
        (method, path): bool(route.authorizer)
        for path, methods in app.routes.items()
        for method, route in methods.items()
        if path.startswith(PREFIX)
    }
    assert routes == {
        (method, PREFIX + endpoint.path): endpoint.role is not Role.ANYONE
        for endpoint in ENDPOINTS
        for method in (("GET", "HEAD") if endpoint.method == "GET" else (endpoint.method,))
    }


def test_only_the_stage_dev_trusts_the_machine() -> None:
    stages = json.loads((PROJECT / ".chalice/config.json").read_text())["stages"]
    for name, stage in stages.items():
        assert stage["environment_variables"]["CHAOS_STAGE"] == name
        assert "CHAOS_DEV_TOKEN" not in stage["environment_variables"]


def test_importing_the_application_opens_nothing_and_starts_nothing() -> None:
    check = "import threading, app; assert threading.active_count() == 1; assert app.chaos._module._chaos is None"
    environment = {"PATH": "", "CHAOS_STAGE": "dev", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", check], cwd=PROJECT, env=environment, check=True)


@pytest.mark.parametrize("is_observed", [False, True])
def test_an_environment_where_nothing_runs_never_loads_the_control_plane(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, *, is_observed: bool
) -> None:
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)
    store = DynamoDBRunStore(replace(settings, stage="staging", region="us-east-1"))
    store.start([a_run(now=LONG_AGO)], now=LONG_AGO)
    if is_observed:
        store.observe(Observation.asked(time.time()))
    check = """
import json, sys, app
assert "asyncio" not in sys.modules, "the test client has it, and a function in Lambda does without it"
from chalice.test import Client
with Client(app.app, stage_name="staging") as client:
    assert client.http.get("/").status_code == 200
assert app.chaos._module._chaos, "the module is not wired"
from chalicelib.outgoing.effect import Patches
patches = app.chaos._module._chaos.engine.effect(Patches)
unneeded = ("pydantic", "psutil", "boto3", "chalicelib.api.handlers", "chalicelib.results.judgement")
print(json.dumps([patches.is_holding, [name for name in unneeded if name in sys.modules]]))
"""
    environment = {
        "PATH": "",
        "PYTHONDONTWRITEBYTECODE": "1",
        "CHAOS_TABLE": settings.table,
        "CHAOS_TABLE_TIMEOUT_SECONDS": "5",
        "AWS_ENDPOINT_URL": settings.endpoint_url or "",
        "AWS_REGION": "us-east-1",
        **credentials,
    }
    loaded = subprocess.run(
        [sys.executable, "-c", check], cwd=PROJECT, env=environment, check=True, capture_output=True, text=True
    )
    assert json.loads(loaded.stdout) == [is_observed, []]
    assert "Could not read" not in loaded.stderr
