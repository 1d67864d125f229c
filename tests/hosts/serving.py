"""Hosts on real servers: one process each, the module on, switched off or absent, on one table."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import requests

from tests.contract.servers import BIN, TOKEN, Command, Server, serving

API = "/chaos_experiments"
Module = Literal["on", "off", "absent"]


def gunicorn(app: str, *options: str) -> Command:
    return lambda _folder, port: [
        *(str(BIN / "gunicorn"), "--workers", "1", "--threads", "4", "--bind", f"127.0.0.1:{port}"),
        *(*options, f"{app}:make()"),
    ]


def uvicorn(app: str, *options: str) -> Command:
    return lambda _folder, port: [
        *(str(BIN / "uvicorn"), "--port", str(port), "--log-level", "warning", "--factory"),
        *(*options, f"{app}:make"),
    ]


def hypercorn(app: str, *options: str) -> Command:
    return lambda _folder, port: [
        *(str(BIN / "hypercorn"), "--bind", f"127.0.0.1:{port}", "--graceful-timeout", "0"),
        *(*options, f"{app}:make()"),
    ]


def chalice_local(app: str) -> Command:
    def command(folder: Path, port: int) -> list[str]:
        (folder / ".chalice").mkdir()
        (folder / ".chalice/config.json").write_text('{"version": "2.0", "app_name": "host", "stages": {"dev": {}}}')
        (folder / "app.py").write_text(f"from {app} import make\n\napp = make()\n")
        return [str(BIN / "chalice"), "local", "--port", str(port), "--no-autoreload"]

    return command


SERVERS = {"flask": gunicorn, "fastapi": uvicorn, "chalice": chalice_local}


@dataclass(frozen=True)
class Host:
    """One application of `apps/`. Its own routes want `headers`, and are below `base`, as is the control plane."""

    framework: str
    name: str
    headers: Mapping[str, str] = field(default_factory=dict)
    base: str = ""
    command: Command | None = None
    status: int = 201
    """What its route answers who has the headers."""

    refuses_before_the_route: bool = True
    """False where what turns a request away is a part of the route itself."""

    @property
    def served_by(self) -> Command:
        return self.command or SERVERS[self.framework](f"tests.hosts.apps.{self.framework}_hosts")


@dataclass
class Served:
    """A host that is served."""

    host: Host
    server: Server

    def own(self, method: str, path: str, **options: Any) -> requests.Response:
        """The answer of one of its own routes to somebody whom it lets in."""
        headers = {**self.host.headers, **options.pop("headers", {})}
        return self.server.call(method, path, None, headers=headers, **options)

    def control(self, method: str, path: str, token: str | None = TOKEN, **options: Any) -> requests.Response:
        """The answer of the control plane, to a request that the host knows nothing of."""
        return self.server.call(method, API + path, token, allow_redirects=False, **options)

    def resultset(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = self.control(method, path, **options)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        content: dict[str, Any] = answer.json()
        assert content["error"] is False
        resultset: dict[str, Any] = content["resultset"]
        return resultset

    def start(self, experiment: str, **parameters: Any) -> dict[str, Any]:
        return self.resultset("POST", "/start", json={"experiment_name": experiment, **parameters})

    def stop(self, experiment: str) -> dict[str, Any]:
        return self.resultset("POST", "/stop", json={"experiment_name": experiment})

    def reset(self) -> None:
        """Nothing is halted, and nothing runs. A test has failed where the control plane does not answer."""
        self.control("POST", "/resume", json={})
        answer = self.control("GET", "/list")
        if answer.headers.get("Content-Type") == "application/json" and answer.status_code == 200:
            for run in answer.json()["resultset"]["active_experiments"]:
                self.stop(run["name"])


@contextmanager
def served(host: Host, folder: Path, module: Module = "on", **variables: str) -> Iterator[Served]:
    """One process; it knows at once what it has changed. `variables` name the table that the module has."""
    stage = "dev" if module == "on" else ""
    place = {"HOST": host.name, "MODULE": module, "CHAOS_STAGE": stage, "CHAOS_APPLICATION": folder.name}
    place["PYTHONHASHSEED"] = "0"  # by which Werkzeug orders the methods of Allow
    folder.mkdir(exist_ok=True)
    with serving(host.served_by, folder, **{**place, **variables}) as server:
        yield Served(host, replace(server, url=server.url + host.base, idle_seconds=0.0, refresh_seconds=0.0))
