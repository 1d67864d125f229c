from collections.abc import Iterator

import pytest

from tests.fault_proxy import FaultProxy


@pytest.fixture(scope="module")
def proxy(dynamodb_url: str) -> Iterator[FaultProxy]:
    """In front of the table: what is asked through it can be made to fail."""
    made = FaultProxy(dynamodb_url)
    yield made
    made.close()
