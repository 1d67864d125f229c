"""Texts in which `*` stands for any characters."""

from collections.abc import Callable


def glob(pattern: str) -> Callable[[str], bool]:
    """Whether a text is like the pattern, in which `*` is any characters and nothing else is special.

    Each piece between two `*` is looked for once, from where the one before it ended: linear in the text.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return pattern.__eq__
    *middle, last = rest
    pieces = tuple(filter(None, middle))
    shortest = len(first) + len(last)

    def matches(text: str) -> bool:
        if len(text) < shortest or not text.startswith(first) or not text.endswith(last):
            return False
        at, end = len(first), len(text) - len(last)
        for piece in pieces:
            at = text.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    return matches
