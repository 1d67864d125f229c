"""The same applications without a server, as WSGI and ASGI: what the suite says of them does not need a socket."""

import os
import runpy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.runs.observation import Observation
from chalicelib.settings import Settings, read_settings
from tests.contract.servers import HOSTS, TOKEN, Server, variables


@dataclass
class InProcess(Server):
    """Answers as a server does; the one process that there is knows at once what it has changed."""

    idle_seconds: float = 0.0
    refresh_seconds: float = 0.0

    client: Any = None
    settings: Settings = field(default_factory=Settings)
    observes: bool = False

    def stop_observing(self) -> None:
        """This process goes on after the test, and is to have no patches then."""
        if not self.observes:
            return
        self.observes = False
        DynamoDBRunStore(self.settings).observe(Observation(0.0, 0.0))
        self.call("GET", "/chaos_experiments/test", None)

    def call(self, method: str, path: str, token: str | None = TOKEN, **options: Any) -> Any:
        self.observes |= path.endswith("/dependencies")
        headers = ({"Authorization": f"Bearer {token}"} if token else {}) | options.pop("headers", {})
        content = {"content": options.pop("data")} if "data" in options else {}
        return self.client.request(method, path, headers=headers, **content, **options)


def wsgi(app: Any) -> Any:
    return httpx2.Client(transport=httpx2.WSGITransport(app=app), base_url="http://testserver")


CLIENTS = {"flask, WSGI": ("flask_host.py", wsgi), "fastapi, ASGI": ("fastapi_host.py", TestClient)}


@contextmanager
def in_process(name: str, folder: Path, **shared: str) -> Iterator[InProcess]:
    host, client = CLIENTS[name]
    handled = folder / "handled"
    handled.touch()
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in variables(HANDLED=str(handled), **shared).items():
                patch.setenv(variable, value)
            app = runpy.run_path(str(HOSTS / host))["app"]
            opened = stack.enter_context(client(app))
            opened.get("/health")  # wires the module
            settings = read_settings(os.environ)
        yield InProcess("", handled, client=opened, settings=settings)
