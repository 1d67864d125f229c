"""Disk space, descriptors and a shifted clock on real servers: felt, bounded, and given back however the run ends.

What a process holds is seen from outside, so that no request of the test gives it back.
"""

import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.effects.descriptors import RESERVED
from chalicelib.settings import Settings
from tests.contract.servers import BIN, TOKEN, Command, Server, chalice_local, serving
from tests.fault_proxy import FaultProxy
from tests.loopback import until
from tests.support import a_run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descriptors of another process are shown by Linux")

HOSTS = Path(__file__).parent / "hosts"
API = "/chaos_experiments"
MB = 1024 * 1024
LIMIT = 256
LEFT = 20
NOISE = 6
"""How many descriptors a server opens and closes by itself: connections to it and to the table."""

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
OFFSET_SECONDS = 300
ALL = [
    {"experiment_name": "disk_exhaustion", "disk_mb": 40},
    {"experiment_name": "file_descriptor_exhaustion", "descriptors_left": LEFT},
    {"experiment_name": "clock_skew", "offset_seconds": OFFSET_SECONDS},
]


def gunicorn(folder: Path, port: int) -> list[str]:
    return [str(BIN / "gunicorn"), "--threads", "4", "--bind", f"127.0.0.1:{port}", "looking_flask:app"]


def uvicorn(folder: Path, port: int) -> list[str]:
    return [str(BIN / "uvicorn"), "--port", str(port), "--log-level", "warning", "looking_fastapi:app"]


SERVERS: Mapping[str, Command] = {
    "chalice local": partial(chalice_local, host=HOSTS / "looking_chalice.py"),
    "flask, gunicorn": gunicorn,
    "fastapi, uvicorn": uvicorn,
}


def with_few_descriptors(command: Command) -> Command:
    """The same with a soft limit of 256."""

    def limited(folder: Path, port: int) -> list[str]:
        return ["sh", "-c", f'ulimit -S -n {LIMIT} && exec "$@"', "sh", *command(folder, port)]

    return limited


def on_the_table(url: str, name: str, folder: Path, **more: str) -> Any:
    where = {"AWS_ENDPOINT_URL_DYNAMODB": url, "CHAOS_TABLE": f"held-{uuid.uuid4().hex[:8]}", **more}
    found = {"PYTHONPATH": os.pathsep.join(map(str, (folder, HOSTS, Path(__file__).parents[2])))}
    return serving(with_few_descriptors(SERVERS[name]), folder, **where, **found)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, dynamodb_url: str, tmp_path: Path) -> Iterator[Server]:
    with on_the_table(dynamodb_url, request.param, tmp_path) as server:
        yield server


def look(server: Server) -> dict[str, Any]:
    return server.call("GET", "/look").json()


def descriptors(process: int) -> list[str]:
    return [each.name for each in Path(f"/proc/{process}/fd").iterdir()]


def unnamed_mb(process: int) -> float:
    """How much a process has in files without a name."""
    found = 0
    for number in descriptors(process):
        try:
            file = Path(f"/proc/{process}/fd/{number}").stat()
        except FileNotFoundError:
            continue
        found += file.st_blocks * 512 if file.st_nlink == 0 else 0
    return found / MB


def ahead(server: Server) -> list[float]:
    seen = look(server)
    return [seen["time"] - time.time(), seen["now"] - time.time()]


def start(server: Server, body: Mapping[str, Any], **more: Any) -> None:
    answer = server.call("POST", f"{API}/start", json={"duration_seconds": 300, **body, **more})
    assert answer.status_code == 200, answer.text


def hit(server: Server) -> None:
    assert server.call("GET", "/use-up").status_code == 200


def holds_all(server: Server, process: int) -> bool:
    """As soon as the process knows of the runs, which its requests take part in."""
    hit(server)
    is_shifted = all(OFFSET_SECONDS - 30 < each < OFFSET_SECONDS + 30 for each in ahead(server))
    return unnamed_mb(process) >= 40 and len(descriptors(process)) >= LIMIT - LEFT - NOISE and is_shifted


def holds_nothing(server: Server, process: int, before: int) -> bool:
    is_right = all(abs(each) < 30 for each in ahead(server))
    return unnamed_mb(process) == 0 and len(descriptors(process)) <= before + NOISE and is_right


def stop(server: Server) -> None:
    for each in ALL:
        assert server.call("POST", f"{API}/stop", json={"experiment_name": each["experiment_name"]}).status_code == 200


def halt(server: Server) -> None:
    assert server.call("POST", f"{API}/halt", json={"reason": "enough"}).status_code == 200


def wait(server: Server) -> None:
    """For the runs' own end."""


ENDS: Mapping[str, tuple[Callable[[Server], None], int]] = {"stop": (stop, 300), "halt": (halt, 300), "end": (wait, 20)}


@pytest.mark.parametrize("end", ENDS)
def test_what_is_held_is_felt_and_given_back(end: str, server: Server) -> None:
    make_an_end, seconds = ENDS[end]
    process = int(look(server)["process"])
    hit(server)
    before = len(descriptors(process))
    for each in ALL:
        start(server, each, duration_seconds=seconds)
    until(lambda: holds_all(server, process))
    assert server.call("GET", "/use-up").json()["opened"] <= LEFT + RESERVED  # which the module may be about to use
    assert server.call("GET", f"{API}/list").status_code == 200
    make_an_end(server)
    until(lambda: holds_nothing(server, process, before))
    assert server.call("GET", "/use-up").json()["opened"] > LIMIT / 2
    assert int(look(server)["process"]) == process


def test_what_is_not_to_be_had_is_said(server: Server) -> None:
    start(server, {"experiment_name": "disk_exhaustion", "path": "/nowhere"})
    start(server, {"experiment_name": "clock_skew", "modules": ["nobody.*"]})
    told = server.call("GET", f"{API}/test").text
    assert "no folder /nowhere in this environment" in told
    assert "no module that is imported here has a clock to shift" in told


@pytest.mark.parametrize("name", ["flask, gunicorn", "fastapi, uvicorn"])
def test_a_process_without_any_descriptor_left_asks_the_table_all_the_same(
    name: str, settings: Settings, tmp_path: Path
) -> None:
    """Its connections to the table are closed besides, so that it needs new ones."""
    store, proxy = DynamoDBRunStore(settings), FaultProxy(settings.endpoint_url or "")
    run = a_run("file_descriptor_exhaustion", now=time.time(), descriptors_left=LEFT, duration_seconds=300.0)
    known = {"CHAOS_TABLE": settings.table, "CHAOS_MAX_STALENESS_SECONDS": "120"}
    try:
        with on_the_table(proxy.url, name, tmp_path, **known) as server, requests.Session() as session:
            process = int(session.get(f"{server.url}/look", headers=AUTHORIZED).json()["process"])
            before = len(descriptors(process))
            assert store.start([run], now=time.time()) is None
            until(lambda: session.get(f"{server.url}/leak").json()["opened"] <= LEFT)
            proxy.fail("refused")
            proxy.heal()
            answer = session.get(f"{server.url}{API}/list", headers=AUTHORIZED)
            assert answer.json()["resultset"]["active_experiments"], answer.text
            assert store.stop(run.ended(now=time.time(), by="ada", reason=None))
            until(lambda: len(descriptors(process)) <= before + LEFT + NOISE)
    finally:
        proxy.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_disk_has_its_space_again_however_the_process_ends(
    number: signal.Signals, dynamodb_url: str, tmp_path: Path
) -> None:
    """In a file system that hardly anybody else uses."""
    folder, size_mb = Path("/dev/shm"), 200  # noqa: S108 - nothing there gets a name
    if not os.access(folder, os.W_OK):
        pytest.skip(f"{folder} is not there")
    present, free_before = sorted(folder.iterdir()), free_mb(folder)
    if free_before < 2 * size_mb:
        pytest.skip(f"{folder} has {free_before:.0f} MB of space only: a container's needs --shm-size=1g")
    with on_the_table(dynamodb_url, "fastapi, uvicorn", tmp_path) as server:
        process = int(look(server)["process"])
        start(server, {"experiment_name": "disk_exhaustion", "disk_mb": size_mb, "path": str(folder)})
        until(lambda: hit(server) is None and unnamed_mb(process) >= size_mb)
        assert free_mb(folder) < free_before - size_mb / 2
        os.kill(process, number)
        until(lambda: free_mb(folder) > free_before - size_mb / 2)
    assert [each for each in folder.iterdir() if each not in present and "chaos" in each.name] == []


def free_mb(folder: Path) -> float:
    system = os.statvfs(folder)
    return system.f_bavail * system.f_frsize / MB
