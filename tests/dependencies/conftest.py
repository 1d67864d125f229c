from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dependencies.http_server import Server, serving, serving_securely


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


@pytest.fixture(scope="session")
def _secure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("trustme")
    folder: Path = tmp_path_factory.mktemp("tls")
    with serving_securely(folder) as made:
        yield made


@pytest.fixture
def secure_server(_secure_server: Server) -> Server:
    return _secure_server


@pytest.fixture
def server_of(server: Server, secure_server: Server) -> Callable[[str], Server]:
    """The server that can let a client meet a fault."""
    return lambda fault: secure_server if fault == "tls" else server
