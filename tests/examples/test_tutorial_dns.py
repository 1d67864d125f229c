"""docs/tutorial-dns.md, followed: its commands, in order, on the service that it starts."""

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.contract.servers import PROJECT, TOKEN, Server, serving, settle
from tests.examples.test_shops import COMMANDS, EXAMPLES

pytestmark = pytest.mark.timeout(300)

PAGE = (PROJECT / "docs/tutorial-dns.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module", params=[False, True], ids=["as it is", "mended"])
def shop(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Server, bool]:
    where, command = COMMANDS["flask"]
    variables = {
        "PYTHONPATH": f"{EXAMPLES}:{wheel}",
        "CHAOS_APPLICATION": uuid.uuid4().hex[:8],
        "STORE_FIRST": str(request.param).lower(),
    }
    with serving(command, tmp_path_factory.mktemp("shop"), cwd=where, **variables) as server:
        yield server, request.param
        settle(server)


def run(block: str, server: Server, home: Path) -> str:
    """What the commands print, typed in a terminal."""
    typed = block.replace("http://localhost:8000", server.url).replace("let-me-in", TOKEN)
    typed = typed.replace(".venv/bin/python", sys.executable)
    environment = {**os.environ, "HOME": str(home), "COLUMNS": "200"}
    done = subprocess.run(
        ["bash", "-e", "-c", typed],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tutorial(shop: tuple[Server, bool], tmp_path: Path) -> None:
    server, is_mended = shop
    setting, *steps = BLOCKS[0].splitlines(keepends=True)
    placed, seen, failed, shown, stopped = (
        run(setting + block, server, tmp_path) for block in ("".join(steps), *BLOCKS[1:])
    )
    assert '"status":201' in placed.replace(" ", "")
    assert '"charged":1' in placed.replace(" ", "")
    for dependency in ("dynamodb:PutItem", "urllib3", "redis"):
        assert dependency in seen
    problem = "not stored: EndpointConnectionError" if is_mended else "paid, and not stored: EndpointConnectionError"
    assert f'"problem":"{problem}"' in failed.replace('": "', '":"')
    assert f'"charged":{6 if is_mended else 7}' in failed.replace(" ", "")
    assert "dynamodb:PutItem" in shown
    assert '"status":201' in stopped.replace(" ", "")
