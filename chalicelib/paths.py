"""Paths as clients ask for them: which ones there can be, and which ones a list of them names."""

import re
from collections.abc import Iterable

BELOW = "/*"
"""At the end of a path: everything below it."""

ALLOWED_PATH = "a decoded path such as /orders, or /orders/* for everything below it"
ONE_PATH = re.compile(r"(/[^/?#*\x00-\x1f\x7f]+)*(/\*?)?")


def problem_of(path: object) -> str | None:
    """What a path that names requests must be, where this one is not: `/orders`, `/orders/*`, decoded."""
    if isinstance(path, str) and path and ONE_PATH.fullmatch(path):
        return None
    return ALLOWED_PATH


def problem_of_prefix(prefix: object) -> str | None:
    """What the prefix of the endpoints must be, where this one is not."""
    if isinstance(prefix, str) and ONE_PATH.fullmatch(prefix) and not prefix.endswith(("/", "*")) and prefix:
        return None
    return "a path that begins with a slash and does not end with one, such as /chaos_experiments"


class PathSet:
    """A list of paths, compiled. Matches whole segments; a slash at the end of a request's path makes no difference."""

    __slots__ = ("_exact", "_prefixes")

    def __init__(self, paths: Iterable[str]) -> None:
        paths = list(paths)
        self._exact = frozenset(path.rstrip("/") for path in paths if not path.endswith(BELOW))
        self._prefixes = tuple(path[:-1] for path in paths if path.endswith(BELOW))

    def __bool__(self) -> bool:
        """Whether it names any."""
        return bool(self._exact or self._prefixes)

    def __contains__(self, path: str) -> bool:
        return path.startswith(self._prefixes) or path.rstrip("/") in self._exact
