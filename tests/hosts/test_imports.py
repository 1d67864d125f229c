"""What an application imports by taking the module in: nothing that a worker has to patch first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
UNASKED = ["boto3", "botocore", "urllib3", "ssl", "pynamodb", "requests"]
APPLICATIONS = {"flask": "flask.Flask('host')", "fastapi": "fastapi.FastAPI()"}
TAKEN_IN = """
import sys
import {framework}
app = {application}
before = set(sys.modules)
from chalicelib.frameworks.{framework} import ChaosExperiments
ChaosExperiments(app, excluded_paths=["/health"])
{then}
print(*sorted(set({unasked}) & set(sys.modules) - before))
"""
REQUEST = {
    "flask": "app.test_client().get('/orders')",
    "fastapi": """
import asyncio
async def receive(): return {'type': 'http.request', 'body': b''}
async def send(message): pass
scope = {'type': 'http', 'method': 'GET', 'path': '/orders', 'raw_path': b'/orders', 'query_string': b'', 'headers': []}
asyncio.run(app({**scope, 'root_path': '', 'scheme': 'http', 'server': ('localhost', 80)}, receive, send))
""",
}
"""Without the clients for tests, which import ssl."""


def imported(framework: str, then: str = "", **variables: str) -> list[str]:
    """Of what nobody asked for."""
    script = TAKEN_IN.format(framework=framework, application=APPLICATIONS[framework], then=then, unasked=UNASKED)
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(PROJECT), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()[-1].split()


@pytest.mark.parametrize("framework", APPLICATIONS)
@pytest.mark.parametrize("stage", ["", "qa", "dev"])
def test_taking_the_module_in_imports_no_client_library(framework: str, stage: str) -> None:
    assert imported(framework, CHAOS_STAGE=stage, CHAOS_DEV_TOKEN="a-token") == []


@pytest.mark.parametrize("framework", APPLICATIONS)
def test_where_it_is_off_requests_import_none_either(framework: str) -> None:
    assert imported(framework, REQUEST[framework], CHAOS_STAGE="") == []
