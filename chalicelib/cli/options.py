"""Options of `start` and `preview`, made of the JSON Schema that the application publishes.

What can be sent is a tree: a hypothesis has bounds. On the command line it is flat: each leaf is one option.
"""

import json
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import typer

from ..api.endpoints import METHODS
from . import conditions
from .complete import called
from .messages import option
from .usage import Schema, allowed, either, plain, value

Path = tuple[str, ...]
"""Where a value is in the body that is sent: ("hypothesis", "abort")."""

TEXT_OR_JSON = "text or JSON"
"""The type, for this file, of what may be a text, an object or a list."""

PLACEHOLDERS = {
    "number": "<number>", "integer": "<number>", "string": "<text>", TEXT_OR_JSON: f"<{TEXT_OR_JSON}>",
}  # fmt: skip
"""What stands for a value in the help, by its type in JSON."""


WORDS = {"boolean": "yes or no", "string": "a text", "number": "a number", "integer": "a whole number"}
"""What a value is, by its type in JSON."""

COMPLETIONS: Mapping[str, Sequence[str]] = {"--method": METHODS}
"""Words that are likely, of options that may have others."""

COMPLETED_BY: Mapping[str, Callable[[typer.Context, str], list[str]]] = {"--dependency": called}
"""What asks the application for words."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Option:
    """An option of the command line, and the value that it sends. This one has a number or a text.

    What is not given is not sent: the default is the application's.
    """

    name: str
    path: Path
    schema: Schema
    absent: ClassVar[object] = None
    """What typer has if the option is not given."""

    @property
    def annotation(self) -> Any:  # noqa: ANN401 - typer's
        words: Sequence[str] = self.schema.get("enum", ())
        metavar = f"<{'|'.join(words)}>" if words else PLACEHOLDERS[self.schema["type"]]
        complete = COMPLETED_BY.get(self.name, self.complete)
        return Annotated[str | None, typer.Option(self.name, help=self.help, metavar=metavar, autocompletion=complete)]

    def complete(self, incomplete: str) -> list[str]:
        """The words that there are to choose from."""
        return [word for word in self.schema.get("enum", ()) if word.startswith(incomplete)]

    @property
    def help(self) -> str:
        """A sentence on what it is, then what is allowed, then the default."""
        titles = (name.capitalize().replace("_", " ") for name in self.path[:-1])
        description = ": ".join([*titles, self.schema.get("description", "")])
        default = self.schema.get("default")
        facts = {"Allowed": self.allowed, "Default": "" if default in (None, []) else plain(default)}
        return " ".join([description, *(f"{title}: {fact}." for title, fact in facts.items() if fact)])

    @property
    def allowed(self) -> str:
        """What there is to choose from, in words; empty where anything is."""
        return allowed(self.schema)

    @property
    def choice(self) -> str:
        """What is allowed, or else what it is: in a list of options."""
        return self.allowed or WORDS.get(self.schema["type"], TEXT_OR_JSON)

    def read(self, typed: Any) -> Any:  # noqa: ANN401 - as typer has it
        """The value to send. Raises ValueError, which says what is allowed."""
        return value(self.schema, typed)


class Switch(Option):
    """On or off: --allow-timeout, --no-allow-timeout."""

    __slots__ = ()

    @property
    def annotation(self) -> Any:  # noqa: ANN401 - typer's
        names = f"{self.name}/{self.name.replace('--', '--no-', 1)}"
        return Annotated[bool | None, typer.Option(names, help=self.help)]

    def read(self, typed: Any) -> Any:  # noqa: ANN401 - as typer has it
        return typed


class Flag(Switch):
    """On, or not given."""

    __slots__ = ()
    absent = False

    @property
    def annotation(self) -> Any:  # noqa: ANN401 - typer's
        return Annotated[bool, typer.Option(self.name, help=self.help.removesuffix(" Default: no."))]


class TextOrJson(Option):
    """A text; or JSON, where it begins as an object or a list does."""

    __slots__ = ()

    def read(self, typed: Any) -> Any:  # noqa: ANN401 - as typer has it
        if not typed.startswith(("{", "[")):
            return typed
        try:
            return json.loads(typed)
        except ValueError as error:
            raise ValueError(f"must be a text, or JSON; this begins like JSON and is not valid: {error}.") from None


class Repeated(Option):
    """One value each time that it is given."""

    __slots__ = ()

    @property
    def annotation(self) -> Any:  # noqa: ANN401 - typer's
        return Annotated[
            list[str] | None,
            typer.Option(self.name, help=self.help, metavar=self.metavar, autocompletion=self.complete),
        ]

    @property
    def metavar(self) -> str:
        return PLACEHOLDERS[self.schema["items"]["type"]]

    @property
    def help(self) -> str:
        return f"{super().help} Can be repeated."

    @property
    def allowed(self) -> str:
        return allowed(self.schema["items"])

    def complete(self, incomplete: str) -> list[str]:
        words: Sequence[str] = self.schema["items"].get("enum", COMPLETIONS.get(self.name, ()))
        return [word for word in words if word.startswith(incomplete)]

    def read(self, typed: Any) -> Any:  # noqa: ANN401 - as typer has it
        return [value(self.schema["items"], each) for each in typed]


class Conditions(Repeated):
    """What the values of names must be: NAME=VALUE each time that it is given."""

    __slots__ = ()

    @property
    def metavar(self) -> str:
        return "<name=value>"

    @property
    def allowed(self) -> str:
        return conditions.spellings(self._kinds)

    @property
    def help(self) -> str:
        either = " The same name again means either." if self._several else ""
        return f"{super().help}{either}"

    def complete(self, incomplete: str) -> list[str]:  # noqa: ARG002 - what it may begin with is not known
        return []

    def read(self, typed: Any) -> Any:  # noqa: ANN401 - as typer has it
        return conditions.read_all(typed, self._kinds, several=self._several)

    @property
    def _kinds(self) -> Collection[str]:
        return conditions.kinds(self.schema["additionalProperties"])

    @property
    def _several(self) -> bool:
        return conditions.takes_several(self.schema["additionalProperties"])


KINDS: Mapping[str, type[Option]] = {
    "number": Option,
    "integer": Option,
    "string": Option,
    "boolean": Switch,
    "array": Repeated,
    "object": Conditions,
    TEXT_OR_JSON: TextOrJson,
}
"""By the type in JSON."""


def parameter_options(properties: Mapping[str, Schema]) -> Iterator[Option]:
    """Of the parameters of an experiment."""
    for path, schema in _leaves(properties):
        kind = KINDS[schema["type"]]
        yield kind(name=option(path[-1], is_list=issubclass(kind, Repeated)), path=path, schema=schema)


def start_options(properties: Mapping[str, Schema], taken: Collection[str]) -> Iterator[Option]:
    """Of what a start may have beside the parameters. A name that is taken gets the object's name before it."""
    used = set(taken)
    for path, schema in _leaves(properties):
        kind = Flag if schema.get("default") is False else KINDS[schema["type"]]
        names = (option(each, is_list=issubclass(kind, Repeated)) for each in (".".join(path), "_".join(path)))
        for name in _free(names, used):
            used.add(name)
            yield kind(name=name, path=path, schema=schema)


def _free(names: Iterable[str], taken: Collection[str]) -> list[str]:
    """The first one that is not taken, if there is one."""
    return [name for name in names if name not in taken][:1]


def incomplete(properties: Mapping[str, Schema], given: Collection[Option], options: Collection[Option]) -> list[str]:
    """A sentence for each object that cannot be as it is: a hypothesis needs a bound, a key has one place."""
    names = {each.path: each.name for each in options}
    problems = []
    for path, schema in _objects(properties):
        depth = len(path)
        inside = {each.path[depth]: each.name for each in given if each.path[:depth] == path}
        if inside:
            called = {field: names.get((*path, field), field) for field in schema["properties"]}
            problems += [problem(path[-1], schema, inside, called) for problem in RULES]
    return list(filter(None, problems))


def _lacks_a_field(_name: str, schema: Schema, inside: Mapping[str, str], called: Mapping[str, str]) -> str:
    missing = [called[field] for field in schema.get("required", ()) if field not in inside]
    verb = "needs" if len(inside) == 1 else "need"
    return f"{' and '.join(inside.values())} {verb} {' and '.join(missing)}." if missing else ""


def _is_of_no_group(name: str, schema: Schema, inside: Mapping[str, str], called: Mapping[str, str]) -> str:
    """It needs all fields of one group."""
    groups = _groups(schema, "anyOf")
    if not groups or any(_has_all(inside, each) for each in groups):
        return ""
    missing = [" and ".join(called[field] for field in each) for each in groups]
    verb = "makes" if len(inside) == 1 else "make"
    return f"{' and '.join(inside.values())} {verb} no {name}: add {either(missing)}."


def _is_of_two_groups(_name: str, schema: Schema, inside: Mapping[str, str], _called: Mapping[str, str]) -> str:
    """It has a place of its own for each of them, and can be in one only."""
    chosen = [inside[each[0]] for each in _groups(schema, "oneOf") if _has_all(inside, each)]
    return f"{' and '.join(chosen)} exclude each other: leave out one of them." if len(chosen) > 1 else ""


RULES = (_lacks_a_field, _is_of_no_group, _is_of_two_groups)
"""What an object can be refused for: a sentence, or nothing."""


def _groups(schema: Schema, word: str) -> list[Sequence[str]]:
    return [each["required"] for each in schema.get(word, ()) if each.get("required")]


def _has_all(fields: Container[str], group: Iterable[str]) -> bool:
    return all(field in fields for field in group)


def _objects(properties: Mapping[str, Schema], above: Path = ()) -> Iterator[tuple[Path, Schema]]:
    """Every object that has fields, the inner ones last."""
    for name, published in properties.items():
        path, schema = (*above, name), _without_null(published)
        if "properties" in schema:
            yield path, schema
            yield from _objects(schema["properties"], path)


def _leaves(properties: Mapping[str, Schema], above: Path = ()) -> Iterator[tuple[Path, Schema]]:
    """Every value that is no object with fields. Left out is what this version cannot make an option of."""
    for name, published in properties.items():
        path, schema = (*above, name), _without_null(published)
        yield from _leaves(_fields(schema), path)
        if _is_leaf(schema):
            yield path, schema


def _fields(schema: Schema) -> Mapping[str, Schema]:
    """The fields of an object. Those that exclude each other say what the object is: nothing else does."""
    fields: Mapping[str, Schema] = schema.get("properties", {})
    if "oneOf" not in schema:
        return fields
    what = schema.get("description", "")
    return {
        name: {**field, "description": f"{what} {field.get('description', '')}".strip()}
        for name, field in fields.items()
    }


def _is_leaf(schema: Schema) -> bool:
    """Whether it is one value, a list of values, or a map of names to what they must be."""
    if isinstance(schema.get("additionalProperties"), Mapping):
        alternatives = schema["additionalProperties"].get("anyOf", [schema["additionalProperties"]])
        return any(each.get("type") == "string" for each in alternatives)
    return schema.get("type") == "boolean" or schema.get("items", schema).get("type") in PLACEHOLDERS


def _without_null(schema: Schema) -> Schema:
    """The schema of a value that may be null, for when it is not."""
    types = {each.get("type", "null"): each for each in schema.get("anyOf", ())}
    types.pop("null", None)
    if not types:
        return schema
    chosen = {"type": TEXT_OR_JSON} if {"string", "object"} <= types.keys() else next(iter(types.values()))
    return {**chosen, **{name: schema[name] for name in schema.keys() - {"anyOf"}}}
