import json
import subprocess
import sys
from pathlib import Path

from app import app
from chalicelib.access import Role
from chalicelib.api.api import ENDPOINTS, PREFIX

PROJECT = Path(__file__).parents[1]


def test_the_explicit_routes_are_the_table_of_endpoints() -> None:
    routes = {
        (method, path): bool(route.authorizer)
        for path, methods in app.routes.items()
        for method, route in methods.items()
        if path.startswith(PREFIX)
    }
    assert routes == {
        (endpoint.method, PREFIX + endpoint.path): endpoint.role is not Role.ANYONE for endpoint in ENDPOINTS
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
