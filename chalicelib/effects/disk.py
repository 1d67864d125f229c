"""Disk space that runs hold in this environment: really allocated, bounded, given back when the run is over."""

import errno
import logging
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from . import spare_disk
from .base import ActiveRun, Surroundings
from .holder import Amount, Holder, Impossible
from .machine_lock import MachineLock, size_of_next

log = logging.getLogger(__name__)

MB = 1024 * 1024
SLICE_MB = 64
BLOCK = 512
"""Bytes of one of `st_blocks`."""

DISK = "disk_mb"
"""Counter: disk space that environments hold, in MB."""

PREFIX = "chaos-experiments-"
"""Of the name that the file has for a moment, where the file system has none without a name."""

LONGEST_SHOWN = 40
"""How much of a folder's path a problem names, in characters."""

NOT_SUPPORTED = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENODEV}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Disk space in the file system of a folder; of the one for temporary files, where none is said."""

    megabytes: int
    path: str | None = None


class HeldDisk(Amount):
    """A file without a name: the kernel gives its blocks back when the process ends, however it ends."""

    counter = DISK

    def __init__(self, run: ActiveRun, wanted: Wanted) -> None:
        """Raises Impossible."""
        super().__init__(run)
        self.megabytes = 0
        self.wanted_mb = wanted.megabytes
        self.refusal = "there is no more disk space to spare"
        self.due_at = -math.inf
        self.folder = _folder(wanted.path)
        try:
            self._file = tempfile.TemporaryFile(prefix=PREFIX, dir=self.folder, buffering=0)  # noqa: SIM115 - held
        except OSError as error:
            raise Impossible(f"no file can be made in {_short(self.folder)}: {error.strerror}") from error

    @property
    def amount(self) -> int:
        return self.megabytes

    @property
    def problem(self) -> str | None:
        return None if self.megabytes else f"no disk space to spare in {_short(self.folder)}"

    @property
    def shown(self) -> Mapping[str, Any]:
        return {DISK: self.megabytes, "path": self.folder}

    @property
    def file(self) -> int:
        """Its descriptor."""
        return self._file.fileno()

    def add(self, megabytes: int) -> bool:
        """Whether the file system, its quotas and its largest file had room for it."""
        begin = self.megabytes * MB
        try:
            _allocate(self.file, begin, megabytes * MB)
        except OSError as error:
            self.refusal = os.strerror(error.errno or errno.EIO)
            os.ftruncate(self.file, begin)
            return False
        self.megabytes += megabytes
        return True

    def release(self) -> None:
        """Its blocks are free at once, also where a fork of this process still has the file."""
        if self._file.closed:
            return
        try:
            os.ftruncate(self.file, 0)
        finally:
            self._file.close()

    def abandon(self) -> None:
        self._file.close()


def _folder(path: str | None) -> str:
    """Raises Impossible."""
    try:
        folder = path or tempfile.gettempdir()
    except OSError as error:
        raise Impossible("there is no folder for temporary files that can be written to") from error
    if not Path(folder).is_dir():
        raise Impossible(f"no folder {_short(folder)} in this environment")
    return folder


def _short(folder: str) -> str:
    return folder if len(folder) <= LONGEST_SHOWN else f"…{folder[-LONGEST_SHOWN:]}"


def _allocate(file: int, begin: int, size: int) -> None:
    """Blocks that are there, not holes: written, where the file system cannot reserve them. Raises OSError."""
    before = os.fstat(file).st_blocks
    try:
        os.posix_fallocate(file, begin, size)
    except AttributeError:  # macOS
        pass
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
    if (os.fstat(file).st_blocks - before) * BLOCK < size // 2:  # compressed away, or not reserved at all
        _write(file, begin, size)


def _write(file: int, begin: int, size: int) -> None:
    for offset in range(begin, begin + size, MB):
        data = os.urandom(MB)  # which nothing compresses
        while data:
            data = data[os.pwrite(file, data, offset + MB - len(data)) :]


class Disk(Holder[HeldDisk, Wanted]):
    """Slice by slice, each after a look at what is left by then."""

    def __init__(
        self,
        surroundings: Surroundings,
        *,
        spare_mb: Callable[[int, int], int] | None = None,
        machine: MachineLock | None = None,
    ) -> None:
        """`spare_mb` gets a descriptor of the file, and how large that is in MB."""
        super().__init__(surroundings)
        self._spare_mb = spare_mb or partial(spare_disk.spare_mb, lambda_memory_mb=surroundings.lambda_memory_mb)
        self._machine = machine or MachineLock(Path(__file__), sleep=surroundings.sleep)

    def take(self, run: ActiveRun, wanted: Wanted) -> HeldDisk:
        return HeldDisk(run, wanted)  # it is filled by its first step

    def advance(self, holding: HeldDisk) -> None:
        holding.due_at = math.inf
        self._fill(holding)
        if holding.megabytes < holding.wanted_mb:
            log.warning(
                "Run %s holds %d of %d MB in %s: %s",
                holding.run.run_id,
                holding.megabytes,
                holding.wanted_mb,
                holding.folder,
                holding.refusal,
            )

    def _fill(self, held: HeldDisk) -> None:
        most = SLICE_MB
        while held.megabytes < held.wanted_mb and most > 0:
            if not self._goes_on(held.run):
                held.refusal = "the run is over"
                return
            with self._machine.held() as is_mine:  # other processes see the same disk, and want it, too
                wanted = min(most, held.wanted_mb - held.megabytes)
                size = size_of_next(wanted, self._spare_mb(held.file, held.megabytes)) if is_mine else 0
                if size <= 0 or not held.add(size):
                    most = size // 2  # a quota may have room for less
