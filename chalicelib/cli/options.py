"""Options of `start`, made of the JSON Schema that the application publishes.

What can be sent is a tree: a hypothesis has bounds. On the command line it is flat: each leaf is one option.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from .messages import option
from .usage import Schema, allowed, either, plain, value

Path = tuple[str, ...]
"""Where a value is in the body that is sent: ("hypothesis", "abort")."""

PLACEHOLDERS = {"number": "<number>", "integer": "<number>", "string": "<text>"}
"""What stands for a value in the help, by its type in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Option:
    """An option of the command line and the value that it sends.

    `is_flag`: it takes no value, and has no opposite that begins with --no-.
    """

    name: str
    path: Path
    schema: Schema
    is_flag: bool = False

    @property
    def annotation(self) -> Any:  # noqa: ANN401 - typer's
        """The option for typer. What is not given is not sent: the default is the application's."""
        kind = self.schema["type"]
        if self.is_flag:
            return Annotated[bool, typer.Option(self.name, help=self._help)]
        if kind == "boolean":
            opposite = self.name.replace("--", "--no-", 1)
            return Annotated[bool | None, typer.Option(f"{self.name}/{opposite}", help=self._help)]
        metavar = PLACEHOLDERS[self.schema.get("items", self.schema)["type"]]
        shape = list[str] if kind == "array" else str
        return Annotated[shape | None, typer.Option(self.name, help=self._help, metavar=metavar)]

    @property
    def _help(self) -> str:
        limits, default = allowed(self.schema), self.schema.get("default")
        titles = (name.capitalize().replace("_", " ") for name in self.path[:-1])
        sentences = (
            ": ".join([*titles, self.schema.get("description", "")]),
            limits and f"Allowed: {limits}.",
            "" if self.is_flag or default in (None, []) else f"Default: {plain(default)}.",
            "Can be repeated." if self.schema["type"] == "array" else "",
        )
        return " ".join(filter(None, sentences))

    def is_given(self, typed: object) -> bool:
        return typed not in (None, []) and not (self.is_flag and typed is False)

    def read(self, typed: Any) -> Any:  # noqa: ANN401 - as typer has it
        """The value to send. Raises ValueError, which says what is allowed."""
        if isinstance(typed, list):
            return [value(self.schema["items"], each) for each in typed]
        return value(self.schema, typed) if isinstance(typed, str) else typed


def parameter_options(properties: Mapping[str, Schema]) -> Iterator[Option]:
    """Of the parameters of an experiment. A switch has an opposite: --no-allow-timeout."""
    for path, schema in _leaves(properties):
        yield Option(name=option(path[-1]), path=path, schema=schema)


def start_options(properties: Mapping[str, Schema], taken: Collection[str]) -> Iterator[Option]:
    """Of what a start may have beside the parameters. A name that is taken gets the object's name before it."""
    for path, schema in _leaves(properties):
        names = (option(each, is_list=schema["type"] == "array") for each in (path[-1], "_".join(path)))
        free = [name for name in names if name not in taken]
        if free:
            yield Option(name=free[0], path=path, schema=schema, is_flag=schema.get("default") is False)


def incomplete(properties: Mapping[str, Schema], given: Collection[Option], options: Collection[Option]) -> list[str]:
    """A sentence for each object that lacks what it cannot be without: a hypothesis needs a bound."""
    names = {each.path: each.name for each in options}
    problems = []
    for name, schema in properties.items():
        alternatives = [each["required"] for each in _without_null(schema).get("anyOf", ()) if "required" in each]
        inside = {each.path[1]: each.name for each in given if each.path[0] == name and len(each.path) > 1}
        if inside and alternatives and not any(inside.keys() >= set(each) for each in alternatives):
            missing = [" and ".join(names.get((name, part), part) for part in each) for each in alternatives]
            makes = "makes" if len(inside) == 1 else "make"
            problems.append(f"{' and '.join(inside.values())} {makes} no {name}: add {either(missing)}.")
    return problems


def _leaves(properties: Mapping[str, Schema], above: Path = ()) -> Iterator[tuple[Path, Schema]]:
    """Every value that is no object. Left out is what this version cannot make an option of."""
    for name, published in properties.items():
        path, schema = (*above, name), _without_null(published)
        if "properties" in schema:
            yield from _leaves(schema["properties"], path)
        elif schema.get("type") == "boolean" or schema.get("items", schema).get("type") in PLACEHOLDERS:
            yield path, schema


def _without_null(schema: Schema) -> Schema:
    """The schema of a value that may be null, for when it is not."""
    alternatives = [each for each in schema.get("anyOf", ()) if each.get("type", "null") != "null"]
    if not alternatives:
        return schema
    return {**alternatives[0], **{name: each for name, each in schema.items() if name != "anyOf"}}
