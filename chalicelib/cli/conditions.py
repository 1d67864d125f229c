"""What a header or a value of the query must be, as it is typed and as it is sent.

`NAME=VALUE` is a text, `NAME=VALUE*` one that begins so, `NAME=*PART*` one with anything at each `*`; `NAME` alone is
one that is there, whatever it says, and `NAME!` one that is not. `NAME==VALUE` is the text as it stands, also with `*`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from .usage import Schema, either, shown

ANYTHING = "*"
ABSENT = "!"
EXISTS, PREFIX, GLOB, EQUALS = "exists", "prefix", "glob", "equals"
KINDS = frozenset((EXISTS, PREFIX, GLOB, EQUALS))
SPELLINGS: Mapping[str, Sequence[str]] = {
    PREFIX: (f"NAME=VALUE{ANYTHING}",),
    GLOB: (f"NAME={ANYTHING}PART{ANYTHING}",),
    EXISTS: ("NAME (is there)", f"NAME{ABSENT} (is not there)"),
}
"""How each kind of condition is typed, beside `NAME=VALUE`."""


def kinds(schema: Schema) -> Collection[str]:
    """The kinds of conditions that the application knows, beside a text."""
    alternatives = schema.get("anyOf", [schema])
    return {name for each in alternatives for name in each.get("properties", ())}


def takes_several(schema: Schema) -> bool:
    """Whether there may be several conditions, of which one is enough."""
    return any(each.get("type") == "array" for each in schema.get("anyOf", [schema]))


def spellings(known: Collection[str]) -> str:
    """What can be typed, in words."""
    more = (spelling for kind, spelt in SPELLINGS.items() if kind in known for spelling in spelt)
    return either(["NAME=VALUE", *more])


def read(typed: str, known: Collection[str] = ()) -> tuple[str, Any]:
    """A name and the condition to send. Raises ValueError, which says what is allowed."""
    name, is_value, text = typed.partition("=")
    if name and is_value:
        return name, _of_value(text, known)
    is_absent = name.endswith(ABSENT)
    name = name.removesuffix(ABSENT)
    if not name or EXISTS not in known:
        raise ValueError(f"must be {spellings(known)}; got {shown(typed)}.")
    return name, {EXISTS: not is_absent}


def _of_value(text: str, known: Collection[str]) -> Any:  # noqa: ANN401 - JSON
    if text.startswith("=") and known:
        return text[1:]
    if text == ANYTHING and EXISTS in known:
        return {EXISTS: True}
    if text.find(ANYTHING) == len(text) - 1 >= 0 and PREFIX in known:
        return {PREFIX: text[:-1]}
    if ANYTHING in text and GLOB in known:
        return {GLOB: text}
    return text


def read_all(typed: Iterable[str], known: Collection[str] = (), *, several: bool = False) -> dict[str, Any]:
    """All of them by their names. The same name again means either. Raises ValueError, which says what is allowed."""
    found: dict[str, list[Any]] = {}
    for each in typed:
        name, condition = read(each, known)
        found.setdefault(name, []).append(condition)
    twice = [name for name, conditions in found.items() if len(conditions) > 1]
    if twice and not several:
        raise ValueError(f"has {shown(twice[0])} more than once. Give each name once.")
    return {name: conditions if len(conditions) > 1 else conditions[0] for name, conditions in found.items()}


def in_words(condition: Mapping[str, Any]) -> str:
    """A condition without the name that it is about."""
    if EXISTS in condition:
        return "is there" if condition[EXISTS] else "is not there"
    return f"{condition[PREFIX]}{ANYTHING}" if PREFIX in condition else str(*condition.values())


def spelt(name: str, condition: Any) -> str:  # noqa: ANN401 - JSON
    """A condition as it is typed; several of one name with `or`."""
    match condition:
        case list():
            return either(spelt(name, each) for each in condition)
        case {"exists": exists}:
            return name if exists else f"{name}{ABSENT}"
        case {"prefix": text}:
            return f"{name}={text}{ANYTHING}"
        case {"glob": text}:
            return f"{name}={text}"
        case {"equals": str(text)} | str(text):
            return f"{name}=={text}" if ANYTHING in text or text.startswith("=") else f"{name}={text}"
        case _:
            return f"{name}={condition}"
