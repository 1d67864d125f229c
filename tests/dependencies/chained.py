"""What each service of a chain does with a request: it asks the next one, and passes its baggage on as agents do."""

from collections.abc import Mapping, Sequence
from typing import Any

import anyio.to_thread
import requests

from tests.loopback import PATIENCE_SECONDS

try:  # now: what is imported by the first call is patched a moment later
    import httpcore  # noqa: F401 - httpx imports it with its first client
    import httpx
except ImportError:
    httpx = None  # type: ignore[assignment]

Served = dict[str, Any]


def served(baggage: str | None, following: Sequence[str]) -> Served:
    """What came with the request that ends the chain, and how each service after this one has answered."""
    if not following:
        return _ended(baggage)
    answer = requests.get(following[0], timeout=PATIENCE_SECONDS, **_asked(baggage, following))
    return _with(answer.headers, answer.json())


async def served_on_loop(baggage: str | None, following: Sequence[str]) -> Served:
    """As `served`, on an event loop, by httpx where that is installed."""
    if not following:
        return _ended(baggage)
    if httpx is None:
        return await anyio.to_thread.run_sync(served, baggage, following)
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        answer = await client.get(following[0], **_asked(baggage, following))
    return _with(answer.headers, answer.json())


def _asked(baggage: str | None, following: Sequence[str]) -> dict[str, Any]:
    return {"params": {"then": list(following[1:])}, "headers": {"baggage": baggage} if baggage else {}}


def _ended(baggage: str | None) -> Served:
    return {"baggage": baggage, "answers": []}


def _with(headers: Mapping[str, str], below: Served) -> Served:
    return {**below, "answers": [dict(headers), *below["answers"]]}
