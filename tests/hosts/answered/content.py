"""What the hosts of changed answers do."""

import gzip
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

ORDERS = {"orders": [{"id": number, "name": f"pen {number}", "sold": True} for number in range(10)]}
TEXT = json.dumps(ORDERS)
ZIPPED = gzip.compress(TEXT.encode())
LARGE = b"0123456789abcdef" * 1250
LINES = [f'{{"line": "number {number}"}}\n'.encode() for number in range(20)]
COOKIE = "session=1"
PATIENCE_SECONDS = 60.0


class Shop:
    """What was ordered, and a stream that goes on when its gate is opened."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.keys: set[str] = set()
        self.gate = threading.Event()
        self.closed = 0

    def order(self, name: str, key: str | None) -> None:
        """Once for each key."""
        with Path(os.environ["HANDLED"]).open("ab", buffering=0) as handled:
            handled.write(b".")
        if key is None or key not in self.keys:
            self.items.append(name)
        if key:
            self.keys.add(key)

    def state(self) -> dict[str, int]:
        return {"items": len(self.items), "closed": self.closed, "process": os.getpid()}

    def open(self) -> dict[str, int]:
        self.gate.set()
        return self.state()

    def lines(self) -> Iterator[Callable[[], bytes]]:
        """The second one waits for the gate."""
        self.gate.clear()
        for number, line in enumerate(LINES):
            yield lambda line=line, number=number: (number != 1 or self.gate.wait(PATIENCE_SECONDS)) and line  # type: ignore[misc]
