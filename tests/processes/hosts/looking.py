"""What hosts show of what is held in their process, and what they open themselves."""

import os
import time
from datetime import UTC, datetime

MOST = 2000
kept: list[int] = []


def look() -> dict[str, float]:
    """The process, and how fast its clocks are."""
    return {"process": os.getpid(), "time": time.time(), "now": datetime.now(UTC).timestamp()}


def use_up() -> dict[str, int]:
    """How many files could be opened before one was refused; they are closed."""
    opened = _open_all()
    for each in opened:
        os.close(each)
    return {"opened": len(opened)}


def leak() -> dict[str, int]:
    """The same, and they stay open, until the next time."""
    while kept:
        os.close(kept.pop())
    kept.extend(_open_all())
    return {"opened": len(kept)}


def _open_all() -> list[int]:
    opened: list[int] = []
    try:
        while len(opened) < MOST:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    return opened
