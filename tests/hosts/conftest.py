import uuid
from collections.abc import Mapping

import pytest


@pytest.fixture(scope="session")
def table(dynamodb_url: str) -> Mapping[str, str]:
    """The variables that name the table of all hosts; each host is an application, and a scope, of its own."""
    return {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url, "CHAOS_TABLE": f"hosts-{uuid.uuid4().hex[:8]}"}
