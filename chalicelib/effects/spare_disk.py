"""How much disk space this environment can lose and live."""

import math
import os
from pathlib import Path

from . import spare_memory

HAS_LIMITS = os.name == "posix"
if HAS_LIMITS:
    import resource

MB = 1024 * 1024
IN_MEMORY = {"tmpfs", "ramfs"}


def spare_mb(file: int, size_mb: int, *, lambda_memory_mb: int | None = None, root: Path = Path("/")) -> int:
    """What the file system of a file leaves free, less a safety margin: 64 MB or a tenth of it, whichever is more.

    Of one that is in memory, no more than can be spared of that, either. The file, which is so large already, cannot
    grow beyond the largest size that the process may write, either. `root` is where /proc and /sys are found.
    """
    system = os.fstatvfs(file)
    size, free = system.f_blocks * system.f_frsize, system.f_bavail * system.f_frsize
    margin = max(spare_memory.MARGIN_MB * MB, size * spare_memory.MARGIN_SHARE)
    rooms = [int(free - margin) // MB, _largest_file_mb() - size_mb]
    if _file_system(file, root) in IN_MEMORY:
        rooms.append(spare_memory.spare_mb(lambda_memory_mb, root=root))
    return int(max(0, min(rooms)))


def _largest_file_mb() -> float:
    """Who writes beyond it gets a signal, which ends the process where it is not handled."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0] if HAS_LIMITS else -1
    return math.inf if limit < 0 else limit // MB


def _file_system(file: int, root: Path) -> str:
    """The type of the file system that a file is in; empty where the machine does not say."""
    device = os.fstat(file).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    types = [line.partition(" - ")[2].split()[0] for line in lines if line.split()[2] == number]
    return types[-1] if types else ""
