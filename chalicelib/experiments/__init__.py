"""One experiment, one file, of the same name."""

from typing import Any


def __getattr__(name: str) -> Any:  # bridge until the API takes the catalogue
    from .catalogue import LONGEST_NAME_SHOWN, installed  # noqa: PLC0415

    known = {"EXPERIMENTS": installed(), "find": installed().find, "LONGEST_SHOWN": LONGEST_NAME_SHOWN}
    if name in known:
        return known[name]
    raise AttributeError(name)
