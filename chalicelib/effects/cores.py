"""How many cores this process can have."""

import os
from collections.abc import Iterator
from pathlib import Path

from .cgroups import groups

LAMBDA_MB_PER_CORE = 1769
"""Lambda gives CPU in proportion to memory: one core at this size."""


def available(lambda_memory_mb: int | None = None, *, root: Path = Path("/")) -> float:
    """The smallest of what the machine, the process's affinity, its cgroups' quotas and Lambda's memory size give.

    A part of a core where a quota is less than one. `root` is where /proc and /sys are found.
    """
    rooms = [float(_usable()), *_quotas(root)]
    if lambda_memory_mb:
        rooms.append(lambda_memory_mb / LAMBDA_MB_PER_CORE)
    return min(rooms)


def _usable() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    for group in groups("cpu", root):
        try:
            if group.version == 1:
                quota, period = group.read("cpu.cfs_quota_us"), group.read("cpu.cfs_period_us")
            else:
                quota, period = group.read("cpu.max").split()
        except (OSError, ValueError):
            continue
        if quota.isdecimal():  # "max" or "-1" where there is none
            yield int(quota) / int(period)
