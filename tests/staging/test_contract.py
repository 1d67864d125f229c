"""The contract suite, on the deployed stage."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from chalicelib.settings import Settings
from tests.contract.servers import Server, settle
from tests.contract.test_http import *  # noqa: F403
from tests.staging.fleet import Stage


@dataclass
class Gateway(Server):
    headers: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, token: str | None = "", **options: Any) -> requests.Response:
        """The operator's token, unless another one or None is given."""
        headers = self.headers | ({"Authorization": f"Bearer {token}"} if token else {}) | options.pop("headers", {})
        if token is None:
            del headers["Authorization"]
        return super().call(method, path, None, headers=headers, **options)


@pytest.fixture
def server(stage: Stage, project: Path) -> Iterator[Server]:
    """The stage, with the times that it has by default; nothing runs before and after."""
    gateway = Gateway(
        f"http://127.0.0.1:{stage.port}/api",
        project.parent / "handled",
        Settings.idle_refresh_seconds,
        Settings.refresh_seconds,
        operator="ada",
        gateway=True,
        headers={"Host": f"{stage.api}.execute-api.localhost:{stage.port}", "Authorization": f"Bearer {stage.token}"},
    )
    yield gateway
    settle(gateway)
