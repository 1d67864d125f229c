from dataclasses import dataclass

from ..effects.disk import DISK, Disk, Wanted
from .base import Counter
from .hold import Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldDisk(Hold):
    """Keep disk space allocated; in the file system of a folder, or of that for temporary files."""

    megabytes: int
    path: str | None = None
    kind = "hold_disk"
    effect = Disk
    counters = (Counter(name="held_disk_mb", title="Held disk space, total of all environments", unit="MB", key=DISK),)

    @property
    def wanted(self) -> Wanted:
        return Wanted(megabytes=self.megabytes, path=self.path)
