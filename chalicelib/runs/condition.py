"""What texts may be by which calls are chosen, and conditions of them: checked, published as JSON Schema, compiled.

A condition is a text, `{"equals": …}`, `{"prefix": …}`, `{"glob": …}`, `{"exists": …}`, or a list of which one matches.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import WithJsonSchema
from pydantic_core import PydanticCustomError

from ..globs import glob

LONGEST_NAME = 64
LONGEST_TEXT = 200
"""In characters. What runs must stay small, because every environment reads it every second."""

MOST_ITEMS = 20

CONTROL = "[\\u0000-\\u001f\\u007f-\\u009f]"

EQUALS, PREFIX, GLOB, EXISTS = "equals", "prefix", "glob", "exists"
KINDS = (EQUALS, PREFIX, GLOB, EXISTS)

Test = Callable[[str | None], bool]
"""Whether a value, or None where there is none, meets a condition."""


def refused(why: str, **more: str) -> PydanticCustomError:
    """The error of a value that cannot be. `why` goes on after what was sent: what is wrong with it, and what to do.

    `kind` is for a problem that the JSON Schema cannot express.
    """
    return PydanticCustomError("no_such_value", "{why}", {"why": why, **more})


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What a text may be: `allowed` in words, and what is `refused`, by a pattern that is found in it.

    All that does not match `pattern` is refused. It is there for those who make texts by the schema.
    """

    allowed: str
    refused: Mapping[str, str]
    pattern: str = ""
    longest: int = LONGEST_TEXT

    def problem(self, text: str) -> str | None:
        """What is wrong, and what to do."""
        if not 0 < len(text) <= self.longest:
            return f"it has {len(text)} characters; send 1 to {self.longest}"
        return next((why for pattern, why in self.refused.items() if re.search(pattern, text)), None)

    def check(self, text: str) -> str:
        if why := self.problem(text):
            raise refused(why)
        return text

    def schema(self) -> dict[str, Any]:
        made = {"type": "string", "minLength": 1, "maxLength": self.longest, "not": {"pattern": "|".join(self.refused)}}
        return {**made, "pattern": self.pattern} if self.pattern else made

    def published(self) -> WithJsonSchema:
        """For the field of a model: its schema, with the words for it."""
        return WithJsonSchema({**self.schema(), "allowed": self.allowed})


NO_CONTROL = {CONTROL: "it has control characters; leave them out"}
NO_PATH = {
    "^[^/]": "it does not begin with a slash; send the path alone, without scheme and host",
    **NO_CONTROL,
    "[?#]": "it has a query or a fragment; send that as query, or leave it out",
    "%[0-9A-Fa-f]{2}": "it is percent-encoded; send it decoded",
}
NO_BLANK_BEFORE = {"^ ": "it begins with a blank, which no server hands on; leave it out"}
NO_BLANK_AFTER = {" $": "it ends with a blank, which no server hands on; leave it out"}
ASCII_ALONE = {"[^ -~]": "headers are compared in ASCII alone; use glob, with * in place of other characters"}

HEADER = Text(
    allowed=f"a header's name, such as x-tenant: letters, digits and -, at most {LONGEST_NAME} characters",
    pattern="^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
    refused={
        ":": "leave the colon out; the value is a field of its own",
        "[^A-Za-z0-9!#$%&'*+.^_`|~-]": "no header has such a name; look for blanks and other characters in it",
    },
    longest=LONGEST_NAME,
)
"""RFC 9110's token."""

QUERY_NAME = Text(
    allowed=f"a name in the query, such as debug, decoded, at most {LONGEST_NAME} characters",
    refused={
        **NO_CONTROL,
        "[=&]|^[?]": "send the name alone, without ?, & and =; the value is a field of its own",
        "%[0-9A-Fa-f]{2}": "it is percent-encoded; send it decoded",
    },
    longest=LONGEST_NAME,
)

EVENT_PATH = Text(
    allowed="a dotted path into the event, such as Records.0.eventSource or detail.type",
    refused={
        **NO_CONTROL,
        "^[.]|[.][.]|[.]$": "it has an empty part between dots; leave one dot out",
        "[\\[\\]$]": "items of lists are numbers between dots, such as Records.0.body; leave brackets and $ out",
    },
    longest=128,
)
"""Of the keys and indices that lead to a value."""

_BEGINNING_OF_HEADER = {**NO_CONTROL, **ASCII_ALONE, **NO_BLANK_BEFORE}
_TEXT = f"a text of 1 to {LONGEST_TEXT} characters"
_HEADER = Text(allowed=_TEXT, refused={**_BEGINNING_OF_HEADER, **NO_BLANK_AFTER})
_QUERY = Text(allowed=_TEXT, refused=NO_CONTROL)

IN_HEADER = {EQUALS: _HEADER, PREFIX: Text(allowed=_TEXT, refused=_BEGINNING_OF_HEADER), GLOB: _HEADER}
IN_QUERY = dict.fromkeys((EQUALS, PREFIX, GLOB), _QUERY)
"""What the texts of a condition may be, by its kind."""

IN_EVENT = IN_QUERY

QUOTED = "it is no text; send numbers, true and false in quotes"
ALLOWED = (
    f'a text that it equals, an object with one of {", ".join(KINDS)}, such as {{"prefix": "a"}} or '
    f'{{"exists": true}}, or a list of 1 to {MOST_ITEMS} of these, of which any may match'
)


def check_condition(texts: Mapping[str, Text], content: Any) -> Any:  # noqa: ANN401 - JSON
    """The condition. Raises PydanticCustomError for one that cannot be."""
    if not isinstance(content, list):
        if why := _problem(texts, content):
            raise refused(why)
        return content
    if not 0 < len(content) <= MOST_ITEMS:
        raise refused(f"send 1 to {MOST_ITEMS} conditions")
    for number, each in enumerate(content, start=1):
        if why := _problem(texts, each):
            raise refused(f"item {number}: {why}")
    if {"exists": True} in content and {"exists": False} in content:
        raise refused("every request has it or lacks it, so this leaves none out; keep one of the two")
    return content


def _problem(texts: Mapping[str, Text], content: Any) -> str | None:  # noqa: ANN401 - JSON
    if isinstance(content, str):
        return texts[EQUALS].problem(content)
    if not isinstance(content, dict):
        return QUOTED
    if unknown := sorted(content.keys() - {*KINDS}):
        return f"there is no condition of that name ({_short(unknown[0])}); use one of {', '.join(KINDS)}"
    if len(content) != 1:
        names = " and ".join(content) or "nothing"
        return f"it has {names}; keep one of {', '.join(KINDS)}, or send a list where any may match"
    return _problem_of(texts, *next(iter(content.items())))


def _problem_of(texts: Mapping[str, Text], kind: str, value: Any) -> str | None:  # noqa: ANN401 - JSON
    if kind == EXISTS:
        return None if isinstance(value, bool) else "exists is true or false"
    if not isinstance(value, str):
        return f"{kind}: {QUOTED}"
    if why := texts[kind].problem(value):
        return f"{kind}: {why}"
    return None


def _short(name: str) -> str:
    return ascii(name[: LONGEST_TEXT // 5])


def condition_schema(texts: Mapping[str, Text]) -> dict[str, Any]:
    """The JSON Schema of a condition."""
    one = [
        texts[EQUALS].schema(),
        {
            "type": "object",
            "properties": {**{kind: text.schema() for kind, text in texts.items()}, EXISTS: {"type": "boolean"}},
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        },
    ]
    exist = [
        {"contains": {"type": "object", "required": [EXISTS], "properties": {EXISTS: {"const": each}}}}
        for each in (True, False)
    ]
    several = {
        "type": "array",
        "items": {"anyOf": one},
        "minItems": 1,
        "maxItems": MOST_ITEMS,
        "not": {"allOf": exist},
    }
    return {"anyOf": [*one, several], "allowed": ALLOWED}


def compiled(content: Any) -> Test:  # noqa: ANN401 - JSON
    """A condition, to be asked often."""
    items = content if isinstance(content, list) else [content]
    objects = [each if isinstance(each, dict) else {EQUALS: each} for each in items]
    equals = frozenset(each[EQUALS] for each in objects if EQUALS in each)
    prefixes = tuple(each[PREFIX] for each in objects if PREFIX in each)
    globs = tuple(glob(each[GLOB]) for each in objects if GLOB in each)
    may_exist, may_lack = {EXISTS: True} in objects, {EXISTS: False} in objects
    if not (prefixes or globs or may_exist or may_lack):
        return equals.__contains__

    def test(value: str | None) -> bool:
        if value is None:
            return may_lack
        return may_exist or value in equals or value.startswith(prefixes) or _is_any(globs, value)

    return test


def _is_any(globs: Sequence[Callable[[str], bool]], value: str) -> bool:
    for matches in globs:  # noqa: SIM110 - every request may pass here, and any() costs twice as much
        if matches(value):
            return True
    return False
