"""In processes whose threads are greenlets: a delayed call lets the others go on, and the host's deadlines end it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HUNG = 60

SERVED = """
import gevent.monkey
gevent.monkey.patch_all()
import threading
import time

import gevent
import requests
from gevent.pywsgi import WSGIServer

from chalicelib.outgoing.installation import INSTALLATION
from tests.dependencies.harness import failing


def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


server = WSGIServer(("127.0.0.1", 0), application, log=None)
server.start()
ADDRESS = f"http://127.0.0.1:{server.server_port}"
HOST = f"127.0.0.1:{server.server_port}"


def watchers():
    return [each for each in threading.enumerate() if each.name == "chaos-patches"]
"""

OTHERS_GO_ON = """
with failing(HOST, "latency", delay_seconds=0.5) as chaos:
    chaos.clock.sleep = lambda seconds: time.sleep(seconds)
    turns = []

    def others():
        while True:
            turns.append(1)
            gevent.sleep(0.01)

    other = gevent.spawn(others)
    began = time.monotonic()
    calls = [gevent.spawn(requests.get, ADDRESS, timeout=5) for _ in range(20)]
    gevent.joinall(calls, raise_error=True)
    seconds = time.monotonic() - began
    other.kill()
    assert [call.value.status_code for call in calls] == [200] * 20
    assert 0.5 <= seconds < 5, seconds  # one after the other they would take 10 s
    assert len(turns) >= 20, turns
"""

DEADLINES = """
with failing(HOST, "latency", delay_seconds=50.0) as chaos:
    chaos.clock.sleep = lambda seconds: time.sleep(seconds)
    began = time.monotonic()
    try:
        with gevent.Timeout(0.1):
            requests.get(ADDRESS, timeout=60)
    except gevent.Timeout:
        pass
    else:
        raise AssertionError("no time-out")
    with gevent.Timeout(0.1, ValueError("of the host")):
        try:
            requests.get(ADDRESS, timeout=60)
        except ValueError as error:
            assert str(error) == "of the host"
        else:
            raise AssertionError("no time-out")
    killed = gevent.spawn(requests.get, ADDRESS, timeout=60)
    gevent.sleep(0.1)
    killed.kill(timeout=5)
    assert killed.dead
    assert time.monotonic() - began < 20
assert requests.get(ADDRESS, timeout=5).text == "ok"
"""

WATCHED = """
with failing(HOST, "refused") as chaos:
    assert len(watchers()) == 1
    chaos.store.runs.clear()
    chaos.clock.now += 1.0
    while watchers():
        time.sleep(0.01)
    assert not INSTALLATION.gates
"""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(OTHERS_GO_ON, id="others go on"),
        pytest.param(DEADLINES, id="deadlines"),
        pytest.param(WATCHED, id="a stop without requests"),
    ],
)
def test_under_gevent(code: str) -> None:
    pytest.importorskip("gevent")
    done = subprocess.run(
        [sys.executable, "-c", SERVED + code + "\nprint('done')"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=HUNG,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr
