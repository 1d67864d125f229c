import os
import uuid
from collections.abc import Iterator

import pytest

from chalicelib.dynamodb.table import create_table
from chalicelib.local import EmbeddedDynamoDB
from chalicelib.settings import Settings
from tests.support import Clock

for name in [name for name in os.environ if name.startswith(("CHAOS_", "AWS_"))]:
    del os.environ[name]  # a test says itself what its environment is


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def dynamodb_url() -> Iterator[str]:
    """A DynamoDB over real HTTP, for the whole session; each test takes a table of its own."""
    server = EmbeddedDynamoDB()
    yield server.url
    server.stop()


@pytest.fixture
def settings(dynamodb_url: str) -> Settings:
    """Of a stage with an empty table of its own. Patient, for a machine that is busy with other tests."""
    made = Settings(
        stage="dev",
        table=f"chaos-experiments-{uuid.uuid4().hex[:8]}",
        endpoint_url=dynamodb_url,
        table_timeout_seconds=5.0,
        dev_token="dev-token",
    )
    create_table(made)
    return made
