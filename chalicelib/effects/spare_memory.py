"""How much memory this environment can lose and live."""

from collections.abc import Iterator
from pathlib import Path

from .cgroups import groups

MB = 1024 * 1024
MARGIN_MB = 64
MARGIN_SHARE = 0.1

FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
"""By the version of cgroups: the limit, what is used, and the cache that gives way, in `memory.stat`."""


def spare_mb(lambda_memory_mb: int | None = None, *, root: Path = Path("/")) -> int:
    """The smallest of what Lambda's memory size, the cgroups' limits and the machine leave free, less a safety margin.

    The margin is 64 MB or a tenth of the limit, whichever is more. `root` is where /proc and /sys are found.
    """
    import psutil  # noqa: PLC0415 - only where memory is held or limits are asked for: a cold start does without

    machine = psutil.virtual_memory()
    rooms = [(machine.total, machine.available), *_cgroup_rooms(root)]
    if lambda_memory_mb:
        limit = lambda_memory_mb * MB
        rooms.append((limit, limit - psutil.Process().memory_info().rss))
    return max(0, min(int(free - max(MARGIN_MB * MB, limit * MARGIN_SHARE)) // MB for limit, free in rooms))


def _cgroup_rooms(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and free bytes of each cgroup, version 2 or 1, that this process is in and that has a limit."""
    for group in groups("memory", root):
        limit_file, usage_file, cache = FILES[group.version]
        try:
            limit, usage = group.read(limit_file), int(group.read(usage_file))
            statistics = dict(row.split() for row in group.read("memory.stat").splitlines())
        except (OSError, ValueError):
            continue
        if limit.isdecimal():  # "max" where there is none
            yield int(limit), int(limit) - usage + int(statistics.get(cache, 0))
