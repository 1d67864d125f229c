import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contract.in_process import CLIENTS, in_process
from tests.contract.servers import SERVERS, Server, serving, stop_all


@pytest.fixture(scope="session")
def servers(dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """All that are processes of their own, on one table and one scope."""
    shared = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url, "CHAOS_TABLE": f"contract-{uuid.uuid4().hex[:8]}"}
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(serving(command, tmp_path_factory.mktemp("server"), **shared))
            for name, command in SERVERS.items()
        }


@pytest.fixture(scope="session")
def in_processes(dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """Those that need no server, each on a table of its own."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                in_process(
                    name,
                    tmp_path_factory.mktemp("in-process"),
                    AWS_ENDPOINT_URL_DYNAMODB=dynamodb_url,
                    CHAOS_TABLE=f"in-process-{uuid.uuid4().hex[:8]}",
                )
            )
            for name in CLIENTS
        }


@pytest.fixture(params=[*SERVERS, *CLIENTS])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One of them; nothing runs before and after."""
    name = request.param
    server: Server = request.getfixturevalue("servers" if name in SERVERS else "in_processes")[name]
    yield server
    stop_all(server)
    time.sleep(server.refresh_seconds)
