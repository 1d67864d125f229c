"""A lock among the processes of this machine, so that they do not all take the same spare memory."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HAS_LOCKS = os.name == "posix"
if HAS_LOCKS:
    import fcntl

ATTEMPTS = 200
PAUSE_SECONDS = 0.01

SHARES = 16
"""How many times what is taken at once must be spare: so many processes may take it at the same time."""


def size_of_next(wanted: int, spare: int) -> int:
    """How much to take at once. The less is left the less: other containers do not know of this one's lock."""
    return min(wanted, max(spare // SHARES, 1) if spare > 0 else 0)


class MachineLock:
    """Held by one process at a time of those that run this very file, which is what is locked: nothing is created.

    A process that holds it and is stopped keeps nobody waiting for longer than 2 seconds.
    """

    def __init__(self, path: Path = Path(__file__), sleep: Callable[[float], None] = time.sleep) -> None:
        self._path = path
        self._sleep = sleep

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Whether it is held; also where the machine has no such locks, or the code is in no file."""
        file = self._open()
        if file is None:
            yield True
            return
        try:
            yield self._acquire(file)
        finally:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)  # closing would not do where a fork has the file, too
            os.close(file)

    def _open(self) -> int | None:
        if not HAS_LOCKS:
            return None
        try:
            return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None

    def _acquire(self, file: int) -> bool:
        for _ in range(ATTEMPTS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._sleep(PAUSE_SECONDS)
            except OSError:  # a file system without locks
                return True
            else:
                return True
        return False
