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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a test that is a matrix, run what has a value of a parameter that nothing before it had, or all of it."""
    if config.getoption("--whole-matrix"):
        return
    seen: set[tuple[str, str, str]] = set()
    left_out = [item for item in items if item.get_closest_marker("matrix") and not _has_news(item, seen)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def _has_news(item: pytest.Item, seen: set[tuple[str, str, str]]) -> bool:
    assert isinstance(item, pytest.Function)
    values = {(item.originalname, name, repr(value)) for name, value in item.callspec.params.items()}
    is_new = not values <= seen
    seen |= values
    return is_new
