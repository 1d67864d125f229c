import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contract.servers import SERVERS, Server, serving, settle


@pytest.fixture(scope="session")
def servers(dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """Each framework's server, as processes of their own, on one table and one scope."""
    shared = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url, "CHAOS_TABLE": f"contract-{uuid.uuid4().hex[:8]}"}
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(serving(command, tmp_path_factory.mktemp("server"), **shared))
            for name, command in SERVERS.items()
        }


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Iterator[Server]:
    """One of them; nothing runs before and after."""
    server = servers[request.param]
    yield server
    settle(server)
