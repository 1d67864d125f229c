"""In real GenericSuite backends, over real servers, with GenericSuite's own tokens.

They live in a virtual environment of their own, in which the module is the wheel.
"""

import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.contract.servers import IDLE_SECONDS, REFRESH_SECONDS, Command, Server, serving

HOSTS = Path(__file__).parent / "hosts"
BIN = Path(__file__).parents[2] / ".tools/genericsuite/bin"
API = "/v1/chaos_experiments"
ROUTE = "/v1/users/test"
NOT_LOGGED_IN = 401
"""What the route answers without a token. With one it is 500: 0.4.0 cannot list DynamoDB."""

SECRET = "a-secret-of-thirty-two-characters-or-more"
HEADER = "X-Backend-Token"
BACKEND = {
    "CLOUD_PROVIDER": "aws",
    "GET_SECRETS_ENABLED": "0",
    "APP_DB_ENGINE": "DYNAMODB",
    "APP_DB_URI": "",
    "APP_DB_NAME": "backend",
    "APP_NAME": "backend",
    "APP_STAGE": "qa",
    "APP_SECRET_KEY": SECRET,
    "APP_SUPERADMIN_EMAIL": "ada@example.com",
    "APP_HOST_NAME": "localhost",
    "FLASK_SECRET_KEY": "another-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "GIT_SUBMODULE_LOCAL_PATH": "configuration",
}


def chalice_local(folder: Path, port: int) -> list[str]:
    (folder / ".chalice").mkdir()
    (folder / ".chalice/config.json").write_text('{"version": "2.0", "app_name": "backend", "stages": {"dev": {}}}')
    shutil.copy(HOSTS / "chalice_host.py", folder / "app.py")
    return [str(BIN / "chalice"), "local", "--port", str(port), "--no-autoreload"]


def gunicorn(folder: Path, port: int) -> list[str]:
    shutil.copy(HOSTS / "flask_host.py", folder)
    return [str(BIN / "gunicorn"), "--workers", "2", "--bind", f"127.0.0.1:{port}", "flask_host:app"]


def uvicorn(folder: Path, port: int) -> list[str]:
    shutil.copy(HOSTS / "fastapi_host.py", folder)
    return [str(BIN / "uvicorn"), "--workers", "2", "--port", str(port), "fastapi_host:app"]


FRAMEWORKS: dict[str, Command] = {"chalice": chalice_local, "flask": gunicorn, "fastapi": uvicorn}


def token_of(public_id: str, folder: Path, **variables: str) -> str:
    """GenericSuite's own."""
    imports = "import genericsuite.flasklib.util.create_app; from genericsuite.util.jwt import token_encode"
    script = f"{imports}; print(token_encode({{'_id': '{public_id}'}}))"
    environment = {**BACKEND, "CURRENT_FRAMEWORK": "flask", **variables}
    made = subprocess.run(
        [BIN / "python", "-c", script], env=environment, cwd=folder, check=True, capture_output=True, text=True
    )
    return made.stdout.splitlines()[-1]


@dataclass
class Tokens:
    operator: str
    viewer: str
    stranger: str
    foreign: str


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    assert BIN.exists(), "Make the environment: make .tools/genericsuite/installed"
    folder = configured(tmp_path_factory.mktemp("tokens"))
    return Tokens(
        operator=token_of("ada", folder),
        viewer=token_of("vic", folder),
        stranger=token_of("eve", folder),
        foreign=token_of("ada", folder, APP_SECRET_KEY="the-secret-of-some-other-application"),
    )


def configured(folder: Path) -> Path:
    """With a GenericSuite configuration that has no endpoints of its own."""
    (folder / "configuration/backend").mkdir(parents=True)
    (folder / "configuration/backend/endpoints.json").write_text("[]")
    return folder


@pytest.fixture(scope="module")
def servers(wheel: Path, dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    table = f"genericsuite-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        yield {
            framework: stack.enter_context(
                serving(
                    command,
                    folder := configured(tmp_path_factory.mktemp("backend")),
                    **BACKEND,
                    CURRENT_FRAMEWORK=framework,
                    PYTHONPATH=f"{folder}:{wheel}",
                    AWS_ENDPOINT_URL_DYNAMODB=dynamodb_url,
                    CHAOS_TABLE=table,
                    CHAOS_JWT_OPERATORS="ada",
                    CHAOS_JWT_VIEWERS="vic",
                    **({"HEADER_TOKEN_ENTRY_NAME": HEADER} if framework == "flask" else {}),
                )
            )
            for framework, command in FRAMEWORKS.items()
        }


@dataclass
class Backend:
    server: Server
    tokens: Tokens
    header: str

    def ask(self, method: str, path: str, token: str = "", **options: Any) -> requests.Response:
        headers = {self.header: f"Bearer {token}"} if token else {}
        return self.server.call(method, path, None, headers=headers, **options)

    def start(self, name: str, **parameters: Any) -> Any:
        body = {"experiment_name": name, "duration_seconds": 60, **parameters}
        answer = self.ask("POST", f"{API}/start", self.tokens.operator, json=body)
        assert answer.status_code == 200, answer.text
        time.sleep(IDLE_SECONDS)
        return answer.json()["resultset"]

    def stop(self, name: str) -> None:
        self.ask("POST", f"{API}/stop", self.tokens.operator, json={"experiment_name": name})
        time.sleep(REFRESH_SECONDS)


@pytest.fixture(params=FRAMEWORKS)
def backend(request: pytest.FixtureRequest, servers: dict[str, Server], tokens: Tokens) -> Iterator[Backend]:
    """Flask's has its token in a header of another name."""
    header = HEADER if request.param == "flask" else "Authorization"
    backend = Backend(servers[request.param], tokens, header)
    yield backend
    for name in ("latency_injection", "error_injection"):
        backend.stop(name)


def test_a_token_of_its_own_starts_a_delay_that_its_own_route_feels(backend: Backend) -> None:
    untouched = backend.ask("GET", ROUTE)
    assert untouched.status_code == NOT_LOGGED_IN
    assert "X-Chaos-Run" not in untouched.headers
    run = backend.start("latency_injection", delay_seconds=0.3)
    assert run["started_by"] == "ada"
    for _ in range(4):
        began = time.monotonic()
        felt = backend.ask("GET", ROUTE)
        assert time.monotonic() - began >= 0.3
        assert (felt.status_code, felt.text) == (NOT_LOGGED_IN, untouched.text)
        assert felt.headers["X-Chaos-Run"] == run["run_id"]
    backend.stop("latency_injection")
    for _ in range(4):
        assert "X-Chaos-Run" not in backend.ask("GET", ROUTE).headers


def test_its_own_route_fails_as_it_was_asked_to(backend: Backend) -> None:
    backend.start("error_injection", error_rate=1.0)
    for _ in range(4):
        failed = backend.ask("GET", ROUTE)
        assert (failed.status_code, failed.json()["code"]) == (500, "injected_error")
        assert failed.headers["X-Chaos-Experiment"] == "error_injection"


def test_the_list_says_who_may_do_what(backend: Backend) -> None:
    tokens, start = backend.tokens, {"experiment_name": "latency_injection"}
    told = {
        name: (
            backend.ask("GET", f"{API}/list", token).status_code,
            backend.ask("POST", f"{API}/start", token, json=start).status_code,
        )
        for name, token in vars(tokens).items()
        if name != "operator"
    }
    assert told == {"viewer": (200, 403), "stranger": (403, 403), "foreign": (401, 401)}
    assert backend.ask("GET", f"{API}/list", tokens.operator).status_code == 200
    assert backend.ask("GET", f"{API}/list").status_code == 401
    assert backend.ask("GET", f"{API}/list", tokens.operator).json()["resultset"]["active_experiments"] == []
