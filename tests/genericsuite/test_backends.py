"""In real GenericSuite backends, over real servers, with GenericSuite's own tokens, as docs/genericsuite.md says.

GenericSuite is in a virtual environment of its own; the module there is this checkout's wheel.
"""

import json
import os
import re
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template
from typing import Any

import pytest
import requests

from tests.contract.servers import (
    IDLE_SECONDS,
    REFRESH_SECONDS,
    Command,
    Server,
    chalice_local,
    gunicorn,
    serving,
    uvicorn,
)
from tests.tools import needed

PROJECT = Path(__file__).parents[2]
HOSTS = Path(__file__).parent / "hosts"
BIN = PROJECT / ".tools/genericsuite/bin"
PAGE = (PROJECT / "docs/genericsuite.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
WHO, USE, ON_YOUR_MACHINE = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
API = "/v1/chaos_experiments"
ROUTE = "/v1/users/test"
ORIGIN = "https://shop.example"
OWN_HEADER = "x-access-tokens"
"""What GenericSuite's front end calls it, where it is not Authorization; then it sends the token bare."""

COMMANDS: dict[str, Command] = {
    "chalice": partial(chalice_local, programs=BIN, host=HOSTS / "chalice_host.py"),
    "flask": partial(gunicorn, programs=BIN, host=HOSTS / "flask_host.py"),
    "fastapi": partial(uvicorn, programs=BIN, host=HOSTS / "fastapi_host.py"),
}


def variables_of_the_page(folder: Path) -> dict[str, str]:
    """What a shell has in it after the page's lines, and in the folder what they make there."""
    script = f"{WHO}\n{ON_YOUR_MACHINE}\nenv -0"
    told = subprocess.run(
        [needed("bash"), "-ec", script],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    )
    shell = dict(entry.split("=", 1) for entry in told.stdout.split("\0") if entry)
    return {name: value for name, value in shell.items() if name not in {"PATH", "PWD", "SHLVL", "_"}}


def token(folder: Path, public_id: str, **variables: str) -> str:
    """By GenericSuite's own token_encode, as the page has it."""
    script = PYTHON[-1].replace('"ada"', repr(public_id))
    made = subprocess.run(
        [BIN / "python", "-c", script],
        cwd=folder,
        env={
            **variables_of_the_page(folder),
            "CURRENT_FRAMEWORK": "flask",
            "PYTHONDONTWRITEBYTECODE": "1",
            **variables,
        },
        check=True,
        capture_output=True,
        text=True,
    )
    return made.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    if not BIN.exists():
        pytest.skip("needs GenericSuite: make .tools/genericsuite/installed")
    folder = tmp_path_factory.mktemp("tokens")
    return {
        "operator": token(folder, "ada"),
        "viewer": token(folder, "vic"),
        "stranger": token(folder, "eve"),
        "foreign": token(folder, "ada", APP_SECRET_KEY="the-secret-of-another-backend-than-this"),
        "expired": token(folder, "ada", EXPIRATION_MINUTES="-1"),
        "none": "",
    }


@pytest.fixture(scope="module")
def servers(
    tokens: dict[str, str], wheel: Path, dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Server]]:
    """One in each framework, on one table and one scope. Flask's has its tokens in a header of another name."""
    table = f"genericsuite-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        served = {}
        for framework, command in COMMANDS.items():
            folder = tmp_path_factory.mktemp(framework)
            variables = {
                **variables_of_the_page(folder),
                "CURRENT_FRAMEWORK": framework,
                "PYTHONPATH": f"{folder}{os.pathsep}{wheel}",
                "APP_DB_URI": dynamodb_url,
                "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url,
                "CHAOS_TABLE": table,
                "TEMP_DIR": str(folder),
            }
            if framework == "flask":
                variables["HEADER_TOKEN_ENTRY_NAME"] = OWN_HEADER
            served[framework] = stack.enter_context(serving(command, folder, **variables))
        yield served


@dataclass
class Backend:
    server: Server
    tokens: dict[str, str]
    header: str = "Authorization"
    scheme: str = "Bearer "

    def ask(self, who: str, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Origin": ORIGIN, **options.pop("headers", {})}
        if self.tokens[who]:
            headers[self.header] = f"{self.scheme}{self.tokens[who]}"
        return self.server.call(method, path, None, headers=headers, **options)

    def start(self, experiment: str, **parameters: Any) -> dict[str, Any]:
        """Started, and felt by every process from now on."""
        body = {"experiment_name": experiment, **parameters}
        answer = self.ask("operator", "POST", f"{API}/start", json=body)
        assert answer.status_code == 200, answer.text
        time.sleep(IDLE_SECONDS)
        run: dict[str, Any] = answer.json()["resultset"]
        return run

    def stop(self, experiment: str) -> requests.Response:
        """Stopped, and obeyed by every process from now on."""
        answer = self.ask("operator", "POST", f"{API}/stop", json={"experiment_name": experiment})
        time.sleep(REFRESH_SECONDS)
        return answer

    def active(self) -> list[str]:
        answer = self.ask("operator", "GET", f"{API}/list")
        return [run["name"] for run in answer.json()["resultset"]["active_experiments"]]


@pytest.fixture(params=COMMANDS)
def backend(request: pytest.FixtureRequest, servers: dict[str, Server], tokens: dict[str, str]) -> Iterator[Backend]:
    """One of them; nothing runs before and after."""
    own = {"header": OWN_HEADER, "scheme": ""} if request.param == "flask" else {}
    backend = Backend(servers[request.param], tokens, **own)
    yield backend
    for experiment in backend.active():
        backend.stop(experiment)


# The control plane


@pytest.mark.parametrize(
    ("who", "looks", "starts"),
    [
        ("viewer", 200, 403),
        ("stranger", 403, 403),
        ("foreign", 401, 401),
        ("expired", 401, 401),
        ("none", 401, 401),
    ],
)
def test_only_an_operator_starts(backend: Backend, who: str, looks: int, starts: int) -> None:
    assert backend.ask(who, "GET", f"{API}/list").status_code == looks
    answer = backend.ask(who, "POST", f"{API}/start", json={"experiment_name": "latency_injection"})
    assert (answer.status_code, answer.json()["error"]) == (starts, True)
    assert backend.active() == []


def test_its_own_token_starts_and_stops_in_its_owners_name(backend: Backend) -> None:
    assert backend.start("latency_injection", delay_seconds=0.0)["started_by"] == "ada"
    assert backend.active() == ["latency_injection"]
    assert backend.stop("latency_injection").json()["resultset"]["ended_by"] == "ada"
    assert backend.active() == []


@pytest.mark.parametrize("path", [ROUTE, f"{API}/start"])
def test_a_page_of_another_origin_may_call_it_whatever_runs(backend: Backend, path: str) -> None:
    backend.start("error_injection", error_rate=1.0)
    asked = {"Access-Control-Request-Method": "POST" if path.startswith(API) else "GET"}
    for _ in range(6):  # both processes
        preflight = backend.server.call("OPTIONS", path, None, headers={"Origin": ORIGIN, **asked})
        assert preflight.status_code == 200
        assert preflight.headers["Access-Control-Allow-Origin"] in {ORIGIN, "*"}


# The data plane


@pytest.mark.parametrize("who", ["none", "operator"])
def test_its_own_route_takes_as_long_and_answers_as_it_did(backend: Backend, who: str) -> None:
    """What it answers is GenericSuite's: 401, and with a token what it makes of its database."""
    before = backend.ask(who, "GET", ROUTE)
    assert "X-Chaos-Experiment" not in before.headers
    run = backend.start("latency_injection", delay_seconds=0.3)
    for _ in range(6):
        began = time.monotonic()
        felt = backend.ask(who, "GET", ROUTE)
        assert time.monotonic() - began >= 0.3
        assert (felt.status_code, felt.content) == (before.status_code, before.content)
        assert (felt.headers["X-Chaos-Experiment"], felt.headers["X-Chaos-Run"]) == ("latency_injection", run["run_id"])
    backend.stop("latency_injection")
    for _ in range(6):
        assert "X-Chaos-Experiment" not in backend.ask(who, "GET", ROUTE).headers


def test_an_injected_error_stands_in_its_place_where_a_page_of_another_origin_can_read_it(backend: Backend) -> None:
    assert backend.ask("none", "GET", ROUTE).status_code == 401
    backend.start("error_injection", error_rate=1.0)
    for _ in range(6):
        failed = backend.ask("none", "GET", ROUTE)
        assert (failed.status_code, failed.json()["code"]) == (500, "injected_error")
        assert failed.headers["X-Chaos-Experiment"] == "error_injection"
        assert failed.headers["Access-Control-Allow-Origin"] in {ORIGIN, "*"}
    backend.stop("error_injection")
    for _ in range(6):
        assert backend.ask("none", "GET", ROUTE).status_code == 401


def test_started_in_one_felt_in_all_of_them(servers: dict[str, Server], tokens: dict[str, str]) -> None:
    first = Backend(servers["fastapi"], tokens)
    run = first.start("latency_injection", delay_seconds=0.0)
    for server in servers.values():
        assert server.call("GET", ROUTE, None).headers["X-Chaos-Run"] == run["run_id"]
    first.stop("latency_injection")


# The page


def test_the_files_of_the_page_are_the_ones_that_are_served() -> None:
    assert PYTHON[:-1] == [(HOSTS / f"{framework}_host.py").read_text() for framework in COMMANDS]


@pytest.mark.parametrize("framework", ["chalice", "fastapi"])
def test_the_lines_of_the_page_do_what_it_says(
    framework: str, servers: dict[str, Server], tokens: dict[str, str]
) -> None:
    bash = needed("bash")
    needed("curl")
    variables = {"PATH": os.environ["PATH"], "URL": servers[framework].url, "TOKEN": tokens["operator"]}
    told = []
    for line in USE.splitlines():
        run = subprocess.run(
            [bash, "-ec", f"{line} --silent --show-error"], env=variables, check=True, capture_output=True, text=True
        )
        told.append(run.stdout)
        time.sleep(IDLE_SECONDS)
    started, felt, listed, stopped = told
    assert json.loads(started)["resultset"]["status"] == "running"
    assert "x-chaos-experiment: latency_injection" in felt.lower()
    assert [run["name"] for run in json.loads(listed)["resultset"]["active_experiments"]] == ["latency_injection"]
    assert json.loads(stopped)["resultset"]["status"] == "stopped"


def test_the_policy_of_the_page_is_what_the_module_needs() -> None:
    names = {"partition": "aws", "region": "<region>", "account": "<account>", "name": "", "scope": "backend#qa"}
    text = (PROJECT / ".chalice/policies.json").read_text()
    policies = json.loads(Template(text).substitute(names, table="chaos-experiments-qa"))
    needed = [each for each in policies["api_handler"]["Statement"] if each["Sid"] != "WriteLogs"]
    (told,) = re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL)
    assert json.loads(told) == {"Version": "2012-10-17", "Statement": needed}


def test_the_page_installs_what_make_installs() -> None:
    (undeclared,) = re.findall(r"pip install (pymongo .*)", PAGE)
    assert undeclared in (PROJECT / "Makefile").read_text()
