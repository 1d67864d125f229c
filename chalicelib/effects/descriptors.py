"""File descriptors that runs hold in this environment, until so many are left; given back when the run is over."""

import errno
import logging
import math
import os
import threading
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count, islice, repeat
from typing import Any

from ..own_calls import RESERVES
from .base import ActiveRun
from .holder import Holder, Holding, Impossible

HAS_LIMITS = os.name == "posix"
if HAS_LIMITS:
    import fcntl
    import resource

log = logging.getLogger(__name__)

MOST = 65_536
"""The largest limit that is filled up. A larger one is lowered to it meanwhile: a million descriptors take seconds to
open, and memory of the kernel's that a process gets back at its end."""

RESERVED = 12
"""How many are kept for the module itself: connections to its table, files of certificates and modules."""

HELD = "held_descriptors"
"""Counter: file descriptors that environments hold."""


class Copies:
    """Descriptors of one open file, which is nobody else's: a pipe. Programs that the host starts do not have them."""

    def __init__(self) -> None:
        self._first, written = os.pipe()
        os.close(written)
        self._numbers = array("i", [self._first])
        self._file = self._identity(self._first)

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, lowest: int, most: int) -> None:
        """Take the lowest free numbers from one on, as long as there are some.

        In one call, into which no signal handler comes: one that raises would take a number with it.
        """
        taken = map(partial(fcntl.fcntl, self._first, fcntl.F_DUPFD_CLOEXEC), repeat(lowest, most))
        try:
            self._numbers.extend(taken)
        except OSError as error:  # EINVAL: the lowest is beyond the limit
            if error.errno not in (errno.EMFILE, errno.EINVAL):
                raise

    def lowest_last(self) -> None:
        """What is given back next are the lowest ones."""
        self._numbers[1:] = array("i", sorted(self._numbers[1:], reverse=True))

    def remove(self, most: int) -> None:
        """Give back those that were taken last; all but the first one."""
        for _ in range(min(most, len(self) - 1)):
            self._close_last()

    def close(self) -> None:
        while self._numbers:
            self._close_last()

    def _close_last(self) -> None:
        """It is forgotten when it is closed, since whatever ends a request may come in between."""
        self._close(self._numbers[-1])
        self._numbers.pop()

    def _close(self, number: int) -> None:
        """Not where the host has closed it, and perhaps has a file of its own there."""
        with suppress(OSError):
            if self._identity(number) == self._file:
                os.close(number)

    @staticmethod
    def _identity(number: int) -> tuple[int, int]:
        file = os.fstat(number)
        return file.st_dev, file.st_ino


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How many descriptors are left to the process."""

    left: int


class HeldDescriptors(Holding):
    """All descriptors but so many. The lowest numbers are left, which also `select` can wait for."""

    def __init__(self, run: ActiveRun, wanted: Wanted) -> None:
        super().__init__(run)
        self.due_at = -math.inf
        self._left = wanted.left
        self._copies = Copies()
        self._lowest = self._size = 0
        self._limits: tuple[int, int] | None = None
        self._borrowers = 0
        self._lending = threading.RLock()  # garbage that is collected meanwhile may need the reserve, too
        self._is_counted = False

    @property
    def is_reported(self) -> bool:  # type: ignore[override]
        return self._is_counted

    @property
    def problem(self) -> str | None:
        return None if self._size > 1 else "no more file descriptors than that are left already"

    @property
    def shown(self) -> Mapping[str, Any]:
        return {HELD: self._size, "descriptors_left": self._left}

    def take_counters(self) -> Mapping[str, int]:
        is_counted, self._is_counted = self._is_counted, True
        return {} if is_counted else {HELD: self._size}

    def fill(self) -> None:
        """To be called again where an exception has ended it."""
        self._lowest = self._lowest or next(islice(_free_numbers(), self._left, None))
        self._lower_limit()
        self._copies.add(self._lowest, MOST)
        self._copies.lowest_last()
        RESERVES.add(self)
        self._size = len(self._copies)

    def _lower_limit(self) -> None:
        limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowered = max(MOST, self._lowest + RESERVED)
        if limit == resource.RLIM_INFINITY or limit > lowered:
            self._limits = limit, lowered
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowered, hard))

    def _restore_limit(self) -> None:
        """Not where the host has set another one since."""
        if self._limits is not None:
            before, lowered = self._limits
            limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            if limit == lowered:
                resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))

    # What is kept for the module

    def lend(self) -> None:
        with self._lending:
            self._borrowers += 1
            if self._borrowers == 1:
                self._copies.remove(RESERVED)

    def take_back(self) -> None:
        with self._lending:
            self._borrowers -= 1
            if self._borrowers == 0 and len(self._copies):  # which are given back, where the run ended meanwhile
                self._copies.add(self._lowest, self._size - len(self._copies))

    def release(self) -> None:
        RESERVES.remove(self)
        try:
            self._restore_limit()
        finally:
            with self._lending:
                self._copies.close()

    def abandon(self) -> None:
        self._lending = threading.RLock()  # another thread of the original may have held it
        self.release()


def _free_numbers() -> Iterator[int]:
    """From the lowest on, without end."""
    used = {number for name in os.listdir("/dev/fd") if is_open(number := int(name))}  # noqa: PTH208 - a path each
    return (number for number in count() if number not in used)


def is_open(number: int) -> bool:
    """The descriptor of the list itself no longer is."""
    try:
        fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:
        return False
    return True


class Descriptors(Holder[HeldDescriptors, Wanted]):
    """File descriptors of this process, up to its soft limit."""

    def take(self, run: ActiveRun, wanted: Wanted) -> HeldDescriptors:
        if not HAS_LIMITS:
            raise Impossible("this system has no limit of file descriptors")
        return HeldDescriptors(run, wanted)  # which is filled by its first step

    def advance(self, holding: HeldDescriptors) -> None:
        holding.due_at = math.inf
        holding.fill()
