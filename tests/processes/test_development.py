"""The stage dev as developers have it: no endpoint is named, and the machine has settings of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from chalicelib.development.embedded import Shared
from chalicelib.settings import Settings
from tests.contract.servers import BIN, PROJECT, SERVERS, TOKEN, Server, serving
from tests.loopback import free_port, until
from tests.processes.servers import chalice_local

API = "/chaos_experiments"
START = {"experiment_name": "latency_injection", "delay_seconds": 0.0, "duration_seconds": 600.0}
STOP = {"experiment_name": "latency_injection"}
GONE_SECONDS = 15.0


def shared_in(folder: Path) -> Shared:
    """What processes share that work in the folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chalicelib.development.embedded._here", lambda: os.path.realpath(folder))
        return Shared.by(Settings(stage="dev"))


def embedded(folder: Path) -> list[psutil.Process]:
    """The processes of the embedded DynamoDB of what works in the folder."""
    key = shared_in(folder).key
    return [each for each in psutil.process_iter(["cmdline"]) if key in (each.info["cmdline"] or ())]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A working directory; the embedded DynamoDB of what worked there is gone afterwards, and so are its files."""
    yield tmp_path
    for each in embedded(tmp_path):
        each.kill()
        each.wait(60)
    shared = shared_in(tmp_path)
    for path in shared.folder.glob(f"{shared.key}.*"):
        path.unlink()


def environments(server: Server, *, hit: bool, enough: int = 40, least: int = 1) -> set[str]:
    """Which of its processes answer, at least so many, when all of many answers in a row have been hit, or none."""
    seen: set[str] = set()

    def agree() -> bool:
        seen.clear()
        for _ in range(enough):
            if ("X-Chaos-Experiment" in server.call("GET", "/orders/1").headers) is not hit:
                return False
            seen.add(server.call("GET", f"{API}/test").json()["resultset"]["environment"])
        return len(seen) >= least

    until(agree)
    return set(seen)


@pytest.mark.parametrize("name", ["flask, gunicorn", "fastapi, uvicorn"])
def test_two_workers_agree_as_on_one_table_and_kill_leaves_nothing(folder: Path, name: str) -> None:
    with serving(SERVERS[name], folder) as server:
        started = server.call("POST", f"{API}/start", json=START)
        assert started.json()["resultset"]["status"] == "running"
        assert len(environments(server, hit=True, least=2)) == 2
        assert server.call("POST", f"{API}/stop", json=STOP).json()["resultset"]["status"] == "stopped"
        environments(server, hit=False)
        (process,) = embedded(folder)
        workers = [each for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(folder)]
        assert len(workers) >= 3
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        psutil.wait_procs([process], timeout=60)
        assert not process.is_running()
        assert time.monotonic() - killed < GONE_SECONDS
        assert not [each for each in workers if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_the_control_plane_on_a_port_of_its_own_shares_the_table_of_the_application_beside(folder: Path) -> None:
    def serve(_folder: Path, port: int) -> list[str]:
        return [sys.executable, "-m", "chalicelib", "serve", "--port", str(port)]

    beside = folder / "beside"
    beside.mkdir()
    with serving(SERVERS["flask, gunicorn"], folder) as server, serving(serve, beside, cwd=folder) as control:
        assert control.call("POST", f"{API}/start", json=START).json()["resultset"]["status"] == "running"
        assert len(environments(server, hit=True, least=2)) == 2
        assert control.call("POST", f"{API}/halt", json={"reason": "enough"}).status_code == 200
        environments(server, hit=False)
        assert len(embedded(folder)) == 1


@pytest.fixture
def project(folder: Path) -> Path:
    """A clone, without bytecode."""
    made = folder / "project"
    for name in ("chalicelib", ".chalice"):
        ignored = shutil.ignore_patterns("__pycache__", "deploy*")
        shutil.copytree(PROJECT / name, made / name, ignore=ignored)
    shutil.copy(PROJECT / "app.py", made / "app.py")
    return made


RESTARTS = "Restarting local dev server"
CHALICES_WATCHER = re.compile(
    r"Exception in thread \S+ \(poll_for_changes_until_shutdown\):\nTraceback.*?FileNotFoundError: .*?\n", re.DOTALL
)
"""What it leaves where it met bytecode that was just being written, before the application was imported."""


@contextmanager
def reloading(project: Path) -> Iterator[tuple[object, Callable[[], int]]]:
    """`chalice local` with its reloader, where bytecode is written; and how often it has started to serve."""
    with chalice_local(project.parent, project=project, PYTHONDONTWRITEBYTECODE="") as server:
        yield server, lambda: server.log.read_text().count("Start an experiment")


@pytest.mark.parametrize("link", [False, True])
def test_its_own_start_causes_no_reload_and_an_edit_does_and_the_run_goes_on(project: Path, *, link: bool) -> None:
    if link:  # as editors leave beside what is open: of what it cannot read Chalice's own watcher ends for good
        (project / ".#app.py").symlink_to("somebody@example.com:1")
    with reloading(project) as (server, starts):
        run = server.post(f"{API}/start", **START).json()["resultset"]  # type: ignore[attr-defined]
        assert run["status"] == "running"
        time.sleep(3)  # the reloader looks once a second
        assert list(project.rglob("*.pyc"))
        assert starts() == 1
        restarts = server.log.read_text().count(RESTARTS)  # type: ignore[attr-defined]
        assert restarts <= 1  # Chalice may see the bytecode of the application's first line, before it has served
        edited = project.with_name("edited.py")  # and moved into its place: of half a file it would start once more
        edited.write_text((project / "app.py").read_text() + "\n# edited\n")
        edited.replace(project / "app.py")
        until(lambda: starts() >= 2, shown=server.log.read_text)  # type: ignore[attr-defined]
        server.wait_until_it_answers()  # type: ignore[attr-defined]
        status = server.get(f"{API}/status?experiment_name=latency_injection").json()  # type: ignore[attr-defined]
        assert (status["resultset"]["run_id"], status["resultset"]["status"]) == (run["run_id"], "running")
        assert "X-Chaos-Experiment" in server.get("/").headers  # type: ignore[attr-defined]
        log = server.log.read_text()  # type: ignore[attr-defined]
        assert link or "Traceback" not in CHALICES_WATCHER.sub("", log)
        assert log.count(RESTARTS) - restarts in (1, 2)  # again, the second one before it has served
    for each in embedded(project):
        each.kill()


MOCKING = """
from moto import mock_aws

@app.get("/mocked")
def mocked():
    with mock_aws():
        boto3.client("dynamodb", region_name="us-east-1").create_table(
            TableName="t", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        )
    return {}
"""


def test_an_application_that_mocks_aws_itself_and_its_access_log_are_left_alone(folder: Path) -> None:
    def flask_run(where: Path, port: int) -> list[str]:
        (where / "app.py").write_text(
            "import boto3, flask\nfrom chalicelib.frameworks.flask import ChaosExperiments\n"
            "app = flask.Flask(__name__)\nChaosExperiments(app)\n"
            "@app.get('/health')\ndef health():\n    return {}\n" + MOCKING
        )
        return [str(BIN / "flask"), "--app", "app", "run", "--port", str(port)]

    with serving(flask_run, folder) as server:
        run = server.call("POST", f"{API}/start", json=START).json()["resultset"]
        assert server.call("GET", "/mocked").status_code == 200
        status = server.call("GET", f"{API}/status?experiment_name=latency_injection").json()["resultset"]
        assert (status["run_id"], status["status"]) == (run["run_id"], "running")
    log = (folder / "server.log").read_text()
    assert '"GET /mocked HTTP/1.1" 200' in log
    assert log.index(f"operator token: {TOKEN}") < log.index('"GET /health')


def test_where_the_table_is_not_reachable_yet_the_application_serves_and_says_so(
    folder: Path, dynamodb_url: str
) -> None:
    port = free_port()
    named = {"AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{port}", "CHAOS_TABLE": "later"}
    with chalice_local(folder, "--no-autoreload", **named) as server:
        assert server.get("/").json() == {"message": "The application answers."}
        assert "No faults are injected until the table is ready: Table later" in server.log.read_text()
        refused = server.post(f"{API}/start", **START)
        assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
        with forwarding(port, dynamodb_url):
            assert server.post(f"{API}/start", **START).json()["resultset"]["status"] == "running"


@contextmanager
def forwarding(port: int, url: str) -> Iterator[None]:
    """A DynamoDB that comes up at the port, later than the application."""
    forward = (
        "import http.server, sys, requests\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_POST(self):\n"
        "        body = self.rfile.read(int(self.headers['Content-Length']))\n"
        "        answer = requests.post(sys.argv[2], data=body, headers=dict(self.headers))\n"
        "        self.send_response(answer.status_code)\n"
        "        self.send_header('Content-Length', str(len(answer.content)))\n"
        "        self.end_headers()\n"
        "        self.wfile.write(answer.content)\n"
        "http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()\n"
    )
    with subprocess.Popen([sys.executable, "-c", forward, str(port), url], stderr=subprocess.DEVNULL) as process:

        def listens() -> bool:
            try:
                requests.post(f"http://127.0.0.1:{port}", data=b"", timeout=60)
            except requests.ConnectionError:
                return False
            return True

        until(listens)
        yield
        process.kill()


EXPIRED_SSO = """
[profile sso]
sso_session = ours
sso_account_id = 123456789012
sso_role_name = developer
[sso-session ours]
sso_start_url = http://127.0.0.1:9/start
sso_region = eu-west-1
"""
SLOW_PROCESS = f"[default]\ncredential_process = {sys.executable} -c 'import time; time.sleep(60)'\n"
CLOSED = "http://127.0.0.1:9"

AMBIENT = {
    "a profile that is not there": {"AWS_PROFILE": "not-there"},
    "the older name of it": {"AWS_DEFAULT_PROFILE": "not-there"},
    "an SSO token that has expired": {"AWS_PROFILE": "sso", "config": EXPIRED_SSO},
    "a slow credential process": {"config": SLOW_PROCESS},
    "a configuration that is none": {"config": "[default\nregion"},
    "half of the credentials": {"AWS_ACCESS_KEY_ID": "half"},
    "credentials of a container": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": CLOSED},
    "a web identity": {"AWS_WEB_IDENTITY_TOKEN_FILE": "/not/there", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r"},
    "a region that is none": {"AWS_DEFAULT_REGION": "mars-1"},
    "two regions": {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"},
    "proxies": {
        name: CLOSED for each in ("http", "https", "all") for name in (f"{each}_proxy", f"{each.upper()}_PROXY")
    },
    "a certificate bundle that is not there": {"AWS_CA_BUNDLE": "/not/there", "REQUESTS_CA_BUNDLE": "/not/there"},
    "FIPS and dual stack": {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
    "retries that are none": {"AWS_MAX_ATTEMPTS": "many", "AWS_RETRY_MODE": "never"},
    "data of botocore's elsewhere": {"AWS_DATA_PATH": "/not/there"},
    "endpoints that are ignored": {
        "AWS_ENDPOINT_URL_DYNAMODB": CLOSED,
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    },
    "settings of moto's and Python's": {"MOTO_ACCOUNT_ID": "none", "PYTHONWARNINGS": "error"},
    "no home, another temporary folder": {"HOME": "/not/there", "TMPDIR": "/not/there"},
}


OFTEN = (
    "none",
    "a profile that is not there",
    "a slow credential process",
    "half of the credentials",
    "credentials of a container",
    "proxies",
    "endpoints that are ignored",
)
"""What each change is tried with; the others with `--whole-matrix`."""


@pytest.mark.parametrize("settings", ["none", *AMBIENT])
def test_no_setting_of_the_machine_matters_in_any_framework(
    folder: Path, settings: str, pytestconfig: pytest.Config
) -> None:
    if settings not in OFTEN and not pytestconfig.getoption("--whole-matrix"):
        pytest.skip("with --whole-matrix")
    variables = dict(AMBIENT.get(settings, {}))
    (folder / "aws").write_text(variables.pop("config", ""))
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT),
        "CHAOS_STAGE": "dev",
        "CHAOS_DEV_TOKEN": TOKEN,
        "HANDLED": str(folder / "handled"),
        "AWS_CONFIG_FILE": str(folder / "aws"),
        "AWS_EC2_METADATA_DISABLED": "true",
        **variables,
    }
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("ambient.py"))],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        name: [200, "latency_injection", "stopped"] for name in ("chalice", "flask", "fastapi")
    }
    assert time.monotonic() - began < 60, "it waited for something of the machine's"
