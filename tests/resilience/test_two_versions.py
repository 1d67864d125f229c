"""Two versions of the module on one table, as during a rolling deploy: each a real server, each lists, stops and halts
what the other one started.

The newer version is this one with a format and an experiment of its own. The older one is the code of a commit before
format 2, and the one before labels that of a commit before format 4, where the history has them.
"""

import io
import subprocess
import tarfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.contract.servers import HOSTS, PROJECT, Server, gunicorn, serving, stop_all

API = "/chaos_experiments"
SOON_SECONDS = 8.0
OLDER, WITHOUT_LABELS = "9879b09", "6eb3fd3"
NEWER = """
from chalicelib.dynamodb import items

items.FORMAT = items.FORMAT_OF_ALL_REQUESTS = 5

"""
JITTER = '''
from chalicelib.experiments.latency_injection import LatencyInjection


class Jitter(LatencyInjection):
    """An experiment that this version does not have."""

    name = "jitter_injection"
    description = "Delays, in a way that only a newer version knows."
'''
ENTRY_POINT = "[chaos_experiments.experiments]\njitter = jitter:Jitter\n"


class Version:
    """A server of one version."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def post(self, path: str, **body: Any) -> requests.Response:
        return self.server.call("POST", f"{API}/{path}", json=body)

    def start(self, name: str = "latency_injection", **more: Any) -> requests.Response:
        delay = {} if name == "error_injection" else {"delay_seconds": 0.0}
        return self.post("start", experiment_name=name, duration_seconds=600, **delay, **more)

    def stop(self, name: str = "latency_injection") -> requests.Response:
        return self.post("stop", experiment_name=name)

    def status(self, **asked: str) -> dict[str, Any]:
        answer = self.server.call("GET", f"{API}/status", params=asked)
        assert answer.status_code == 200
        shown: dict[str, Any] = answer.json()["resultset"]
        return shown

    def listed(self) -> dict[str, Any]:
        answer = self.server.call("GET", f"{API}/list")
        assert answer.status_code == 200
        return {run["name"]: run for run in answer.json()["resultset"]["active_experiments"]}

    def injects(self, *names: str) -> None:
        """Wait until a request meets these experiments and no other ones, whichever process answers."""
        began = time.monotonic()
        in_a_row = 0
        while in_a_row < 5:
            answer = self.server.call("GET", "/orders/7")
            met = answer.headers.get("X-Chaos-Experiment", "")
            assert answer.status_code in (201, 500)
            in_a_row = in_a_row + 1 if met == ", ".join(names) else 0
            assert time.monotonic() - began < SOON_SECONDS, f"{met!r}, not {names}"

    def every_read_answers(self) -> None:
        for path in ("/list", "/history", "/status?experiment_name=latency_injection", "/test"):
            assert self.server.call("GET", API + path).status_code == 200


@contextmanager
def version(folder: Path, table: dict[str, str], preamble: str = "") -> Iterator[Version]:
    folder.mkdir(exist_ok=True)
    host = folder / "host.py"
    host.write_text(preamble + (HOSTS / "flask_host.py").read_text())
    with serving(lambda where, port: gunicorn(where, port, host=host), folder, **table) as server:
        yield Version(server)


@pytest.fixture(scope="module")
def table(dynamodb_url: str) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url, "CHAOS_TABLE": f"versions-{uuid.uuid4().hex[:8]}"}


@pytest.fixture(scope="module")
def this(table: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Version]:
    with version(tmp_path_factory.mktemp("this"), table) as server:
        yield server


@pytest.fixture(scope="module")
def newer(table: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Version]:
    folder = tmp_path_factory.mktemp("newer")
    (folder / "jitter.py").write_text(JITTER)
    (folder / "jitter-1.dist-info").mkdir()
    (folder / "jitter-1.dist-info/entry_points.txt").write_text(ENTRY_POINT)
    (folder / "jitter-1.dist-info/METADATA").write_text("Name: jitter\nVersion: 1\n")
    with version(folder, table, NEWER) as server:
        yield server


@pytest.fixture(autouse=True)
def _nothing_runs(this: Version) -> Iterator[None]:
    yield
    stop_all(this.server)


def code_of(commit: str, folder: Path) -> Path:
    """The folder, with the code of the commit. Skipped where that is missing, as in a shallow clone."""
    archive = subprocess.run(["git", "archive", commit, "chalicelib"], cwd=PROJECT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"this clone has no commit {commit}: git fetch --unshallow")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def older(table: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Version]:
    with version(code_of(OLDER, tmp_path_factory.mktemp("older")), table) as server:
        yield server


@pytest.fixture(scope="module")
def without_labels(table: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Version]:
    with version(code_of(WITHOUT_LABELS, tmp_path_factory.mktemp("without-labels")), table) as server:
        yield server


def test_a_newer_run_is_listed_and_stopped_and_not_injected(this: Version, newer: Version) -> None:
    assert newer.start(reason="of the newer one").status_code == 200
    newer.injects("latency_injection")
    this.injects()
    (listed,) = this.listed().values()
    assert (listed["status"], listed["started_by"]) == ("running", "developer")
    assert "Another version of the module wrote this run" in listed["defect"]
    refused = this.start()
    assert refused.status_code == 409
    assert "which this version of the module cannot read" in refused.json()["error_message"]
    assert this.stop().status_code == 200
    newer.injects()
    assert newer.listed() == this.listed() == {}
    this.every_read_answers()
    newer.every_read_answers()


def test_an_experiment_that_this_version_does_not_have_is_listed_and_stopped(this: Version, newer: Version) -> None:
    assert newer.start("jitter_injection").status_code == 200
    newer.injects("jitter_injection")
    this.injects()
    assert this.listed()["jitter_injection"]["status"] == "running"
    assert this.stop("jitter_injection").status_code == 200
    newer.injects()
    assert this.stop("jitter_injection").status_code == 404


def test_a_restart_replaces_a_newer_run_in_both(this: Version, newer: Version) -> None:
    assert newer.start().status_code == 200
    newer.injects("latency_injection")
    assert this.start(restart=True).status_code == 200
    this.injects("latency_injection")
    newer.injects("latency_injection")
    assert "defect" not in {name for name, value in this.listed()["latency_injection"].items() if value}
    assert newer.stop().status_code == 200
    this.injects()


def test_a_newer_run_does_not_survive_halt_and_resume(this: Version, newer: Version) -> None:
    assert newer.start().status_code == 200
    assert newer.start("jitter_injection").status_code == 200
    assert this.start("error_injection", error_rate=1.0).status_code == 200
    this.injects("error_injection")
    halted = this.post("halt", reason="enough").json()["resultset"]
    assert len(halted["ended_runs"]) == 3
    newer.injects()
    this.injects()
    assert newer.start().status_code == 423
    assert this.post("resume").status_code == 200
    assert newer.listed() == this.listed() == {}
    newer.injects()
    this.injects()
    this.every_read_answers()
    newer.every_read_answers()


def test_an_older_version_injects_stops_and_halts_runs_of_this_one(this: Version, older: Version) -> None:
    assert this.start(reason="of this one").status_code == 200
    this.injects("latency_injection")
    older.injects("latency_injection")
    assert older.listed()["latency_injection"]["status"] == "running"
    assert older.stop().status_code == 200
    this.injects()
    older.injects()
    assert this.listed() == {}

    assert this.start().status_code == 200
    older.injects("latency_injection")
    assert older.post("halt", reason="enough").status_code == 200
    this.injects()
    assert this.start().status_code == 423
    assert older.post("resume").status_code == 200
    assert this.listed() == older.listed() == {}
    this.injects()
    this.every_read_answers()
    older.every_read_answers()


def test_a_version_that_cannot_make_outgoing_calls_fail_lists_and_stops_a_run_that_does(
    this: Version, without_labels: Version
) -> None:
    before = without_labels
    body = {"experiment_name": "dependency_failure", "dependency": "dynamodb", "fault": "dns", "duration_seconds": 600}
    assert this.post("start", **body).status_code == 200
    this.injects()  # no request itself is hit, and its host calls nothing
    before.injects()
    assert before.listed()["dependency_failure"]["status"] == "running"
    before.every_read_answers()
    assert before.stop("dependency_failure").status_code == 200
    assert this.listed() == before.listed() == {}
    assert this.status(experiment_name="dependency_failure")["status"] == "stopped"


def test_this_version_injects_stops_and_halts_runs_of_an_older_one(this: Version, older: Version) -> None:
    assert older.start().status_code == 200
    this.injects("latency_injection")
    assert this.stop().status_code == 200
    older.injects()
    assert older.start().status_code == 200
    this.injects("latency_injection")
    assert this.post("halt", reason="enough").status_code == 200
    older.injects()
    assert this.post("resume").status_code == 200
    assert this.listed() == {}
    older.injects()


def test_a_version_before_labels_lists_stops_and_halts_what_it_does_not_inject(
    this: Version, without_labels: Version
) -> None:
    """A run with a label it takes for a damaged one, and one of format 4 for another version's."""
    before = without_labels
    for more in ({"label": "slow-orders"}, {"every": 1}):
        name = more.get("label", "latency_injection")
        assert this.start(**more).status_code == 200
        this.injects("latency_injection")
        before.injects()
        assert before.listed()[name]["status"] == "running"
        assert before.listed()[name]["defect"]
        assert before.stop(name).status_code == 200
        this.injects()
        assert this.listed() == before.listed() == {}
        assert this.status(label=name)["status"] == "stopped"

    assert this.start(label="a").status_code == 200
    assert this.start(label="b", max_requests=1000).status_code == 200
    assert before.start("error_injection", error_rate=1.0).status_code == 200
    this.injects("latency_injection", "error_injection")
    before.injects("error_injection")
    assert len(before.post("halt", reason="enough").json()["resultset"]["ended_runs"]) == 3
    this.injects()
    assert before.post("resume").status_code == 200
    assert this.listed() == before.listed() == {}
    this.every_read_answers()
    before.every_read_answers()


def test_ordinary_runs_are_the_same_before_and_after_labels(this: Version, without_labels: Version) -> None:
    for one, other in ((this, without_labels), (without_labels, this)):
        assert one.start(reason="ordinary").status_code == 200
        one.injects("latency_injection")
        other.injects("latency_injection")
        assert other.start().status_code == 409
        assert other.start(restart=True).status_code == 200
        assert one.stop().status_code == 200
        this.injects()
        without_labels.injects()
        assert this.status(experiment_name="latency_injection")["status"] == "stopped"


def test_a_newer_run_with_a_label_is_listed_and_stopped_by_its_label(this: Version, newer: Version) -> None:
    assert newer.start(label="slow-orders").status_code == 200
    newer.injects("latency_injection")
    this.injects()
    assert "Another version of the module wrote this run" in this.status(label="slow-orders")["defect"]
    assert this.post("stop", label="slow-orders").json()["resultset"]["name"] == "latency_injection"
    newer.injects()
