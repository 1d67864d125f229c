"""Processes that are forked while a run counts its hits: no reserved hit is used by a parent and its child."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chalicelib.dynamodb.budgets import DynamoDBBudgetStore
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.runs.run import Run
from chalicelib.runs.store import Exchange, Lease
from chalicelib.settings import Settings
from tests.contract.servers import PROJECT, serving
from tests.loopback import until
from tests.processes.test_life_cycles import CHILDREN, HOSTS, SERVERS, ask
from tests.support import a_run

MOST = 60
WARM = 5
CLIENTS = 8
PRELOADED = ("gunicorn, preloaded", "gunicorn, threads", "uWSGI, threads")
"""In the master of uWSGI each hit is reserved by itself, so that nothing is left when it forks."""


@pytest.fixture
def run(settings: Settings) -> Run:
    run = a_run(now=time.time(), delay_seconds=0.0, duration_seconds=600.0, options={"max_requests": MOST})
    assert DynamoDBRunStore(settings).start([run], now=time.time()) is None
    return run


def variables(settings: Settings) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL_DYNAMODB": settings.endpoint_url or "", "CHAOS_TABLE": settings.table}


def counted(settings: Settings, run: Run) -> Lease:
    """What the table has, by somebody who wants nothing."""
    asked = Exchange(environment="", number=1, wanted=0, used=0)
    return DynamoDBBudgetStore(settings).lease(run, MOST, asked)


@pytest.mark.parametrize("name", PRELOADED)
def test_what_a_process_has_reserved_before_it_forks_is_used_by_none_of_its_children(
    name: str, settings: Settings, run: Run, tmp_path: Path
) -> None:
    """The application serves itself requests when it is loaded, which is before the fork."""
    with (
        serving(SERVERS[name], tmp_path, WARM=str(WARM), **variables(settings)) as server,
        ThreadPoolExecutor(CLIENTS) as clients,
    ):
        hit = server.handled()
        assert hit == WARM

        def serve() -> bool:
            nonlocal hit
            hit += sum(bool(answer.run) for answer in clients.map(lambda _: ask(server), range(40)))
            return hit >= MOST

        until(serve)
        serve()
    assert hit <= MOST


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_uses_none_of_its_parents_and_gives_back_its_own(
    method: str, settings: Settings, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "children.py").write_text(CHILDREN)
    shutil.copy(HOSTS / "flask_host.py", tmp_path / "app.py")
    environment = {**os.environ, "CHAOS_STAGE": "dev", "CHAOS_DEV_TOKEN": "a-token-for-tests", **variables(settings)}
    done = subprocess.run(
        [sys.executable, "children.py", method],
        cwd=tmp_path,
        env={**environment, "CHAOS_TABLE_TIMEOUT_SECONDS": "5", "PYTHONPATH": f"{tmp_path}{os.pathsep}{PROJECT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Traceback" not in done.stderr
    hits = len(done.stdout.split())
    assert MOST // 2 <= hits <= MOST
    lease = counted(settings, run)
    assert (lease.taken, lease.used) == (hits, hits)
