"""What is wrong with what a caller sent, in words: the field, what it may be, and what it is."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import InvalidParameters
from ..experiments.catalogue import LONGEST_NAME_SHOWN
from ..runs.options import BOUNDS
from ..runs.target import CRITERIA

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
    """Of pydantic's errors only the place, the kind, the input and our own words (`why`, `kind`) are used."""
    name, *inside = detail["loc"]
    if inside and (within := _fields_of(properties.get(name, {}), inside)):
        problem = described({**detail, "loc": inside}, within)
        return {**problem, "field": f"{name}.{problem['field']}"}
    if detail["type"] in SPECIAL:
        return SPECIAL[detail["type"]](name, properties)
    part = properties[name]
    if inside[1:] == [OF_A_NAME]:
        part, inside = part["propertyNames"], []
    stated = detail.get("ctx", {})
    got = _got(detail["input"], inside, _schema_of(part)) + (f": {stated['why']}" if "why" in stated else "")
    problem = wrong(_printable(name), allowed(part), got)
    return {**problem, "kind": stated["kind"]} if "kind" in stated else problem


def _printable(name: str) -> str:
    """The name of a field; a caller may have chosen it."""
    name = name[:LONGEST_NAME_SHOWN]
    return name if name.isprintable() else json.dumps(name)[1:-1]


OF_A_NAME = "[key]"
"""Where pydantic found an error in a name, instead of in what it names."""


SPECIAL: Mapping[str, Callable[[str, Mapping[str, Any]], Problem]] = {
    "extra_forbidden": unknown,
    "missing": lambda name, properties: missing(name, allowed(properties[name])),
    "no_bound": lambda name, _: wrong(name, f"an object with {' or '.join(BOUNDS)}, or both", "neither"),
    "no_criterion": lambda name, _: wrong(name, f"an object with {' or '.join(CRITERIA)}", "an empty one"),
}
"""By pydantic's type of error, where it is not a value that a field cannot have."""


def _got(value: Any, inside: Sequence[int], part: Mapping[str, Any]) -> str:  # noqa: ANN401 - JSON
    """The value that a field, or the item of a list in it, cannot have."""
    if inside:
        return f"{shown(value)} as item {inside[0] + 1}"
    is_surprising = isinstance(value, str) and part["type"] != "string"
    return f"the string {shown(value)}" if is_surprising else shown(value)


def _schema_of(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A field's schema, also where it may be null besides."""
    return {**part, **next(iter(part.get("anyOf", ())), {})}


def _fields_of(part: Mapping[str, Any], inside: Sequence[Any]) -> Mapping[str, Any] | None:
    """The schemas of what is within a field, where it may be an object: by its own names, or by those that are sent."""
    for each in (part, *part.get("anyOf", ())):
        if "properties" in each:
            fields: Mapping[str, Any] = each["properties"]
            return fields
    return {inside[0]: part["additionalProperties"]} if "propertyNames" in part and inside[1:] != [OF_A_NAME] else None


PHRASES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "maxLength": lambda part: f" of {part.get('minLength', 0)} to {part['maxLength']} characters",
    "not": lambda _: " in one line, without control characters",
    "properties": lambda part: f" with {', '.join(part['properties'])}",
    "maxItems": lambda part: f" of {_number_of(part)}, each {allowed(part['items'])}",
    "unit": lambda part: f" ({UNITS.get(part['unit'], part['unit'])})",
}
"""What each keyword of a schema says, in the order in which it is said."""

RANGES = {
    (): "",
    ("exclusiveMinimum",): " greater than {exclusiveMinimum}",
    ("exclusiveMinimum", "maximum"): " greater than {exclusiveMinimum} and at most {maximum}",
    ("minimum",): " of at least {minimum}",
    ("minimum", "maximum"): " from {minimum} to {maximum}",
    ("maximum",): " of at most {maximum}",
}
"""What the limits of a number say together."""


def allowed(part: Mapping[str, Any]) -> str:
    """A field's schema in words: "a number greater than 0 and at most 3600 (seconds)"."""
    if ALLOWED in part:
        return str(part[ALLOWED])
    part = _schema_of(part)
    limits = {name: _plain(part[name]) for name in ("exclusiveMinimum", "minimum", "maximum") if name in part}
    phrases = [phrase(part) for name, phrase in PHRASES.items() if name in part]
    is_empty = part.get("minimum", -math.inf) > part.get("maximum", math.inf)
    nothing = ", so no value is possible here at the moment" if is_empty else ""
    return "".join([KINDS[part["type"]], RANGES[tuple(limits)].format(**limits), *phrases, nothing])


ALLOWED = "allowed"
"""The keyword of a schema that has been put in words already."""


def _number_of(part: Mapping[str, Any]) -> str:
    """How many items a list has."""
    return f"{part['minItems']} to {part['maxItems']}" if "minItems" in part else f"at most {part['maxItems']}"


def _plain(number: float) -> str:
    """Without a fraction where there is none: 3600, not 3600.0."""
    return str(int(number) if float(number).is_integer() else number)
