"""Paths as clients ask for them: which ones there can be, and which ones a list of them names."""

import re
from collections.abc import Iterable, Sequence

PREFIX = "/chaos_experiments"
"""Where the endpoints are, unless an application says otherwise."""

BELOW = "/*"
"""At the end of a path: everything below it."""

SEGMENT = "/*/"
"""Within a path: any one segment."""

ALLOWED_PATH = (
    "a decoded path such as /orders, or /orders/* for everything below it; within a path, * is one segment: "
    "/orders/*/items"
)
ONE_PATH = r"((/\*)*/[^/?#*\x00-\x1f\x7f]+)*((/\*)+|/)?"


def problem_of(path: object) -> str | None:
    """What a path that names requests must be, where this one is not: `/orders`, `/orders/*`, decoded."""
    if isinstance(path, str) and path and re.fullmatch(ONE_PATH, path):
        return None
    return ALLOWED_PATH


def problem_of_prefix(prefix: object) -> str | None:
    """What the prefix of the endpoints must be, where this one is not."""
    if (
        isinstance(prefix, str)
        and re.fullmatch(ONE_PATH, prefix)
        and not prefix.endswith("/")
        and "*" not in prefix
        and prefix
    ):
        return None
    return "a path that begins with a slash and does not end with one, such as /chaos_experiments"


class PathSet:
    """A list of paths, compiled. Matches whole segments; a slash at the end of a request's path makes no difference."""

    __slots__ = ("_exact", "_patterns", "_prefixes", "paths")

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = paths = tuple(paths)
        plain = [path for path in paths if SEGMENT not in path]
        self._exact = frozenset(path.rstrip("/") for path in plain if not path.endswith(BELOW))
        self._prefixes = tuple(path[:-1] for path in plain if path.endswith(BELOW))
        self._patterns = tuple(_Pattern(path) for path in paths if SEGMENT in path)

    def __bool__(self) -> bool:
        """Whether it names any."""
        return bool(self._exact or self._prefixes or self._patterns)

    def __contains__(self, path: str) -> bool:
        if path.startswith(self._prefixes) or path.rstrip("/") in self._exact:
            return True
        return bool(self._patterns) and self._has_pattern(path)

    def _has_pattern(self, path: str) -> bool:
        below = path.split("/")
        whole = below if below[-1] else path.rstrip("/").split("/")
        for pattern in self._patterns:  # noqa: SIM110 - every request may pass here, and any() costs twice as much
            if pattern.matches(whole, below):
                return True
        return False


class _Pattern:
    """A path in which a segment may be any."""

    __slots__ = ("_any", "_fixed", "_is_below", "_length")

    def __init__(self, path: str) -> None:
        self._is_below = path.endswith(BELOW)
        segments = list(enumerate(path.removesuffix(BELOW).rstrip("/").split("/")))
        self._length = len(segments)
        self._fixed = tuple((place, segment) for place, segment in segments if segment != "*")
        self._any = tuple(place for place, segment in segments if segment == "*")

    def matches(self, whole: Sequence[str], below: Sequence[str]) -> bool:
        """By the segments of a request's path: without the slash at its end, and with it."""
        if not (len(below) > self._length if self._is_below else len(whole) == self._length):
            return False
        for place, segment in self._fixed:
            if below[place] != segment:
                return False
        for place in self._any:  # noqa: SIM110 - as above
            if not below[place]:
                return False
        return True
