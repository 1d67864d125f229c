"""What the hosts of dropped connections answer."""

import os
import threading
from pathlib import Path

LINE, LINES = "0123456789abcde\n", 200
"""So much is more than a piece, and less than a server's buffer."""


def counted() -> None:
    """The handler runs."""
    with Path(os.environ["HANDLED"]).open("ab", buffering=0) as handled:
        handled.write(b".")


def environment() -> dict[str, int]:
    """What this process holds."""
    sockets = 0
    for each in Path("/proc/self/fd").iterdir():
        try:
            sockets += os.readlink(each).startswith("socket:")  # noqa: PTH115 - no file
        except OSError:  # the folder's own
            continue
    return {"process": os.getpid(), "sockets": sockets, "threads": threading.active_count()}
