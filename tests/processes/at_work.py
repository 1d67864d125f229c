"""What the hosts of the tests of busy processes say of themselves."""

import os
import threading
import time
from pathlib import Path

TASKS = Path("/proc/self/task")


def used() -> dict[str, float]:
    """What this process uses: CPU time so far, and threads."""
    return {"process": os.getpid(), "cpu_seconds": time.process_time(), "threads": len(list(TASKS.iterdir()))}


class Workshop:
    """Work that occupies whoever does it, and how many do at a time."""

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._at_work = self._most = 0

    def work(self, seconds: float) -> dict[str, int]:
        """How many were at work at a time, at most, since this work began."""
        with self._counting:
            self._at_work += 1
            self._most = max(self._most, self._at_work)
        time.sleep(seconds)
        with self._counting:
            seen, self._at_work = self._most, self._at_work - 1
            self._most = self._at_work
        return {"most": seen}
