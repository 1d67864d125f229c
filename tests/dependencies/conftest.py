from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dependencies.http_server import Server, serving, serving_securely
from tests.matrix import leave_out, parameters_of


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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --whole-matrix, a test with several parameters is run until each has had each of its values."""
    seen: set[tuple[str, str, str]] = set()
    leave_out(config, items, lambda item: _has_news(item, seen))


def _has_news(item: pytest.Item, seen: set[tuple[str, str, str]]) -> bool:
    """Whether one of its parameters has a value that it had in no test before."""
    parameters = parameters_of(item)
    test = item.nodeid.partition("[")[0]
    values = {(test, name, repr(value)) for name, value in parameters.items()}
    is_new = len(values) < 2 or not values <= seen
    seen |= values
    return is_new
