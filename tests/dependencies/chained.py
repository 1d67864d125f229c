"""What each service of a chain does with a request: it asks the next one, and passes its baggage on as agents do."""

from collections.abc import Sequence
from typing import Any

import requests

from tests.loopback import PATIENCE_SECONDS


def served(baggage: str | None, following: Sequence[str]) -> dict[str, Any]:
    """What came with the request that ends the chain, and how each service after this one has answered."""
    if not following:
        return {"baggage": baggage, "answers": []}
    headers = {"baggage": baggage} if baggage else {}
    asked = {"then": list(following[1:])}
    answer = requests.get(following[0], params=asked, headers=headers, timeout=PATIENCE_SECONDS)
    below = answer.json()
    return {**below, "answers": [dict(answer.headers), *below["answers"]]}
