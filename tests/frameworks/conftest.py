import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture
def event_loop_of_mangum() -> Iterator[None]:
    """The process' event loop, on which Mangum serves, and which it does not close."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.run_until_complete(loop.shutdown_default_executor())
    asyncio.set_event_loop(None)
    loop.close()
