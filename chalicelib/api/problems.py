"""What is wrong with what a caller sent, in words: the field, what it may be, and what it is."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import InvalidParameters
from ..experiments.catalogue import LONGEST_NAME_SHOWN
from ..runs.options import BOUNDS

Problem = dict[str, Any]

KINDS = {
    "object": "an object",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "string": "a string",
    "array": "a list",
}
"""JSON's types in words."""

UNITS = {"share": "a share: 0.1 is 10 %"}
"""What a unit means, where its name does not say it."""


def wrong(field: str, allowed: str, got: str, *, where: str = "") -> Problem:
    """A value that a field cannot have."""
    return {"field": field, "problem": f"must be {allowed}{where}; got {got}", "allowed": allowed}


def missing(field: str, allowed: str) -> Problem:
    return {"field": field, "problem": f"is missing; it must be {allowed}", "allowed": allowed}


def unknown(field: str, known: Iterable[str]) -> Problem:
    allowed = f"one of {', '.join(known)}"
    return {"field": field[:LONGEST_NAME_SHOWN], "problem": f"is not a known field; use {allowed}", "allowed": allowed}


def sentences(problems: Sequence[Problem]) -> str:
    return " ".join(f"{each['field']} {each['problem']}." for each in problems)


def invalid(problems: Sequence[Problem]) -> InvalidParameters:
    return InvalidParameters(sentences(problems), details=problems)


def shown(value: Any) -> str:  # noqa: ANN401 - JSON
    """A caller's value in a message: short ones as JSON, long ones in words, control characters escaped."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str) and len(value) > LONGEST_NAME_SHOWN:
        return f"a string of {len(value)} characters"
    text = json.dumps(value)
    return text if len(text) <= 2 * LONGEST_NAME_SHOWN else f"{text[:LONGEST_NAME_SHOWN]}…"


def described(detail: Mapping[str, Any], properties: Mapping[str, Any]) -> Problem:
    """Of pydantic's errors only the place, the kind and the input are used: the words are ours."""
    name, *inside = detail["loc"]
    if inside and (inner := _object_of(properties.get(name, {}))):
        problem = described({**detail, "loc": inside}, inner["properties"])
        return {**problem, "field": f"{name}.{problem['field']}"}
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return unknown(name, properties)
    if kind == "missing":
        return missing(name, allowed(properties[name]))
    if kind == "no_bound":
        return wrong(name, f"an object with {' or '.join(BOUNDS)}, or both", "neither")
    got = shown(value)
    if isinstance(value, str) and _schema_of(properties[name])["type"] != "string" and not inside:
        got = f"the string {got}"
    if inside:
        got += f" as item {inside[0] + 1}"
    return wrong(name, allowed(properties[name]), got)


def _schema_of(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A field's schema, also where it may be null besides."""
    return {**part, **next(iter(part.get("anyOf", ())), {})}


def _object_of(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a field's schema says of an object, where it may be one."""
    return next((each for each in (part, *part.get("anyOf", ())) if "properties" in each), None)


def allowed(part: Mapping[str, Any]) -> str:
    """A field's schema in words: "a number greater than 0 and at most 3600 (seconds)"."""
    part = _schema_of(part)
    text = KINDS[part["type"]] + _bounds(part)
    if "maxLength" in part:
        text += f" of {part.get('minLength', 0)} to {part['maxLength']} characters"
    if "not" in part:
        text += " in one line, without control characters"
    if "properties" in part:
        text += f" with {', '.join(part['properties'])}"
    if "maxItems" in part:
        text += f" of at most {part['maxItems']}, each {allowed(part['items'])}"
    if "unit" in part:
        text += f" ({UNITS.get(part['unit'], part['unit'])})"
    if part.get("minimum", -math.inf) > part.get("maximum", math.inf):
        text += ", so no value is possible here at the moment"
    return text


def _bounds(part: Mapping[str, Any]) -> str:
    most = _plain(part.get("maximum"))
    if "exclusiveMinimum" in part:
        return f" greater than {_plain(part['exclusiveMinimum'])}" + (f" and at most {most}" if most else "")
    if "minimum" in part:
        least = _plain(part["minimum"])
        return f" from {least} to {most}" if most else f" of at least {least}"
    return f" of at most {most}" if most else ""


def _plain(number: float | None) -> str:
    """Without a fraction where there is none: 3600, not 3600.0."""
    if number is None:
        return ""
    return str(int(number) if float(number).is_integer() else number)
