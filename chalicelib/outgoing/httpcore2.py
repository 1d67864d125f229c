"""httpcore2, which httpx2 calls with: httpcore under another name."""

import sys
from collections.abc import Iterator

from .httpcore import FAULTS, patches_of
from .installation import Patch

__all__ = ["CLIENT", "FAULTS", "patches"]

CLIENT = "httpx2"


def patches() -> Iterator[Patch]:
    return patches_of(sys.modules["httpcore2"], CLIENT)
