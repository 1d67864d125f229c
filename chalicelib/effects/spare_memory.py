"""How much memory this environment can lose and live."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MB = 1024 * 1024
MARGIN_MB = 64
MARGIN_SHARE = 0.1


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
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, limit_file, usage_file, cache = "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            base, limit_file, usage_file = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        inner = PurePosixPath(path.lstrip("/"))
        for folder in (root / base / inner, *(root / base / parent for parent in inner.parents)):
            try:
                limit = (folder / limit_file).read_text().strip()
                usage = int((folder / usage_file).read_text())
                statistics = dict(row.split() for row in (folder / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):
                continue
            if limit.isdecimal():  # "max" where there is none
                yield int(limit), int(limit) - usage + int(statistics.get(cache, 0))
