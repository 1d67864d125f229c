"""A dotted path into an event, compiled: from the event to the text that a condition is about."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LONGEST_JSON = 256 * 1024
"""In characters, of a text in an event that is read as JSON, because the path leads into it: an SQS message."""

LONGEST_SHOWN = 2000
"""In characters, of an object or a list as a text. What is longer is cut: no condition is as long."""

ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)


def reader(path: str) -> Callable[[Any], str | None]:
    """What gives the value at a path as a text: a text as it is, everything else as JSON. None where there is none."""
    parts = path.split(".")

    def read(event: Any) -> str | None:  # noqa: ANN401 - JSON
        value = event
        for part in parts:
            try:
                value = _step(value, part)
            except (LookupError, ValueError, RecursionError):
                return None
        return value if isinstance(value, str) else _as_json(value) if value is not None else None

    return read


def _step(value: Any, part: str) -> Any:  # noqa: ANN401 - JSON
    """Raises LookupError, and ValueError for a text that is no JSON."""
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, Mapping):
        return value[part]
    if isinstance(value, Sequence) and part.isdecimal():
        return value[int(part)]
    raise LookupError(part)


def _parsed(text: str) -> Any:  # noqa: ANN401 - JSON
    if len(text) > LONGEST_JSON:
        raise ValueError
    return json.loads(text)


def _as_json(value: Any) -> str | None:  # noqa: ANN401 - JSON
    if not isinstance(value, Mapping | Sequence):
        return ENCODER.encode(value)
    text = ""
    for piece in ENCODER.iterencode(value):
        text += piece
        if len(text) > LONGEST_SHOWN:
            break
    return text[:LONGEST_SHOWN]
