"""Options of `start`, made of the JSON Schema that the application publishes.

What can be sent is a tree: a hypothesis has bounds. On the command line it is flat: each leaf is one option.
"""

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import typer

from .messages import option
from .usage import Schema, allowed, either, plain, value

Path = tuple[str, ...]
"""Where a value is in the body that is sent: ("hypothesis", "abort")."""

PLACEHOLDERS = {"number": "<number>", "integer": "<number>", "string": "<text>"}
"""What stands for a value in the help, by its type in JSON."""


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
        return Annotated[
            str | None, typer.Option(self.name, help=self.help, metavar=metavar, autocompletion=self.complete)
        ]

    def complete(self, incomplete: str) -> list[str]:
        """The words that there are to choose from."""
        return [word for word in self.schema.get("enum", ()) if word.startswith(incomplete)]

    @property
    def help(self) -> str:
        """A sentence on what it is, then what is allowed, then the default."""
        titles = (name.capitalize().replace("_", " ") for name in self.path[:-1])
        description = ": ".join([*titles, self.schema.get("description", "")])
        default = self.schema.get("default")
        facts = {"Allowed": allowed(self.schema), "Default": "" if default in (None, []) else plain(default)}
        return " ".join([description, *(f"{title}: {fact}." for title, fact in facts.items() if fact)])

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


class Repeated(Option):
    """One value each time that it is given."""

    __slots__ = ()

    @property
    def annotation(self) -> Any:  # noqa: ANN401 - typer's
        metavar = PLACEHOLDERS[self.schema["items"]["type"]]
        return Annotated[list[str] | None, typer.Option(self.name, help=self.help, metavar=metavar)]

    @property
    def help(self) -> str:
        return f"{super().help} Can be repeated."

    def read(self, typed: Any) -> Any:  # noqa: ANN401 - as typer has it
        return [value(self.schema["items"], each) for each in typed]


KINDS: Mapping[str, type[Option]] = {
    "number": Option,
    "integer": Option,
    "string": Option,
    "boolean": Switch,
    "array": Repeated,
}
"""By the type in JSON."""


def parameter_options(properties: Mapping[str, Schema]) -> Iterator[Option]:
    """Of the parameters of an experiment."""
    for path, schema in _leaves(properties):
        yield KINDS[schema["type"]](name=option(path[-1]), path=path, schema=schema)


def start_options(properties: Mapping[str, Schema], taken: Collection[str]) -> Iterator[Option]:
    """Of what a start may have beside the parameters. A name that is taken gets the object's name before it."""
    for path, schema in _leaves(properties):
        kind = Flag if schema.get("default") is False else KINDS[schema["type"]]
        names = (option(each, is_list=kind is Repeated) for each in (path[-1], "_".join(path)))
        yield from (kind(name=name, path=path, schema=schema) for name in _free(names, taken))


def _free(names: Iterable[str], taken: Collection[str]) -> list[str]:
    """The first one that is not taken, if there is one."""
    return [name for name in names if name not in taken][:1]


def incomplete(properties: Mapping[str, Schema], given: Collection[Option], options: Collection[Option]) -> list[str]:
    """A sentence for each object that lacks what it cannot be without: a hypothesis needs a bound."""
    names = {each.path: each.name for each in options}
    problems = []
    for name, schema in properties.items():
        inside = {each.path[1]: each.name for each in given if each.path[:-1] == (name,)}
        if not _is_enough(schema, inside):
            missing = [" and ".join(names.get((name, field), field) for field in each) for each in _needed(schema)]
            verb = "makes" if len(inside) == 1 else "make"
            problems.append(f"{' and '.join(inside.values())} {verb} no {name}: add {either(missing)}.")
    return problems


def _is_enough(schema: Schema, fields: Container[str]) -> bool:
    """Whether an object can be made of these fields. Of none it need not be made."""
    return not fields or any(all(map(fields.__contains__, each)) for each in _needed(schema))


def _needed(schema: Schema) -> list[Sequence[str]]:
    """Fields of which an object needs one group: it needs nothing where one is empty."""
    groups = _without_null(schema).get("anyOf", [{}])
    return [each.get("required", ()) for each in groups]


def _leaves(properties: Mapping[str, Schema], above: Path = ()) -> Iterator[tuple[Path, Schema]]:
    """Every value that is no object. Left out is what this version cannot make an option of."""
    for name, published in properties.items():
        path, schema = (*above, name), _without_null(published)
        yield from _leaves(schema.get("properties", {}), path)
        if schema.get("type") == "boolean" or schema.get("items", schema).get("type") in PLACEHOLDERS:
            yield path, schema


def _without_null(schema: Schema) -> Schema:
    """The schema of a value that may be null, for when it is not."""
    types = {each.get("type", "null"): each for each in schema.get("anyOf", ())}
    types.pop("null", None)
    if not types:
        return schema
    return {**next(iter(types.values())), **{name: schema[name] for name in schema.keys() - {"anyOf"}}}
