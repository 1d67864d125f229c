"""The control groups that this process is in, which limit what it can have of its machine."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class Group(NamedTuple):
    """A control group, of version 1 or 2: a folder of files."""

    version: int
    folder: Path

    def read(self, name: str) -> str:
        """Raises OSError where it has no such file."""
        return (self.folder / name).read_text().strip()


def groups(controller: str, root: Path = Path("/")) -> Iterator[Group]:
    """Those that may limit what a controller (`memory`, `cpu`) gives: the process's own, and all that are around it.

    `root` is where /proc and /sys are found.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            version, base = 2, root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            version, base = 1, root / "sys/fs/cgroup" / controller
        else:
            continue
        inner = PurePosixPath(path.lstrip("/"))
        for each in (inner, *inner.parents):
            yield Group(version, base / each)
