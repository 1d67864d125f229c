import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contract.in_process import CLIENTS, InProcess, in_process
from tests.contract.servers import settle


@pytest.fixture(scope="session")
def in_processes(dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, InProcess]]:
    """The applications without a server, each on a table of its own."""
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


@pytest.fixture(params=CLIENTS)
def server(request: pytest.FixtureRequest, in_processes: dict[str, InProcess]) -> Iterator[InProcess]:
    """One of them; nothing runs before and after."""
    server = in_processes[request.param]
    yield server
    settle(server)
    server.stop_observing()
