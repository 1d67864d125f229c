"""Wrong usage, in the words of the command line: all that is wrong, what is allowed, and where to read more."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

import typer
from typer.core import TyperGroup

Schema = Mapping[str, Any]
"""JSON Schema of one value."""

Word = TypeVar("Word", bound=StrEnum)

UsageError: type[Any] = typer.BadParameter.__mro__[1]
"""Typer's base class of wrong usage; it is public under no name of its own."""

BEFORE_THE_COMMAND = ("--profile", "--url", "--token", "--version")
KINDS = {"number": "a number", "integer": "a whole number"}
SHARE = "share"
"""The unit of numbers that have none."""

SHORTEST_PART = 3
LONGEST_SHOWN = 60


class Wrong(typer.BadParameter):
    """Wrong usage; the message is made of whole sentences, one a line."""


def explained(error: Any) -> str:  # noqa: ANN401 - typer's classes are private
    """What to print: every problem, then how to read the help."""
    kind = type(error).__name__
    if kind == "NoArgsIsHelpError":
        return str(error.format_message())
    context = error.ctx
    if isinstance(error, Wrong):
        problem = error.message
    elif kind == "NoSuchOption":
        problem = unknown_option(error.option_name, _options(context))
    elif kind == "BadOptionUsage":
        problem = f"{error.option_name} {'needs' if 'requires' in error.message else 'does not take'} a value."
    elif kind == "MissingParameter":
        problem = f"{_name(error.param)} is required."
    else:
        problem = str(error.format_message())
    return f"{problem}\nHelp: {context.command_path} --help" if context else problem


def _options(context: Any) -> list[str]:  # noqa: ANN401 - typer's classes are private
    return [name for each in context.command.params for name in (*each.opts, *each.secondary_opts)]


def _name(parameter: Any) -> str:  # noqa: ANN401 - typer's classes are private
    described = parameter.metavar or parameter.name
    return f"{parameter.opts[0]} {described}" if parameter.param_type_name == "option" else f"<{described}>"


def near(word: str, names: Collection[str]) -> list[str]:
    """Which of the names somebody may have meant; the likeliest first."""
    word = word.lower()
    parts = [name for name in names if len(word) >= SHORTEST_PART and word.replace("-", "_") in name.replace("-", "_")]
    return parts or get_close_matches(word, names, 1)


def unknown(what: str, word: str, names: Collection[str]) -> str:
    """A name that does not exist, with what may have been meant, or else with all that there is."""
    likely = near(word, names)
    hint = f"Did you mean {either(likely)}?" if likely else f"Available: {', '.join(names)}."
    return f"There is no {what} {word[:LONGEST_SHOWN]!r}. {hint}"


def unknown_option(option: str, names: Collection[str]) -> str:
    if option in BEFORE_THE_COMMAND:
        return f"{option} must stand before the command."
    likely = near(option, names)
    return f"There is no option {option}." + (f" Did you mean {either(likely)}?" if likely else "")


def strangers(words: Sequence[str], names: Collection[str]) -> list[str]:
    """A sentence for each word that is neither a known option nor the value of an unknown one."""
    problems, before = [], ""
    for word in words:
        if word.startswith("-"):
            problems.append(unknown_option(word.partition("=")[0], names))
        elif not before.startswith("-") or "=" in before:
            problems.append(f"{word!r} is not expected here.")
        before = word
    return problems


class Commands(TyperGroup):
    """Commands that are suggested where one is misspelt."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - typer's classes are private
        if args[0] not in self.commands and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise Wrong(unknown("experiment" if self.name == "start" else "command", args[0], self.commands), ctx=ctx)
        return super().resolve_command(ctx, args)


def limits(schema: Schema) -> str:
    """What a number may be, in words: "from 0 to 60"; empty where there are no limits."""
    low, above, high = (schema.get(name) for name in ("minimum", "exclusiveMinimum", "maximum"))
    if above is not None:
        return f"above {plain(above)}" + ("" if high is None else f", up to {plain(high)}")
    if low is not None:
        return f"at least {plain(low)}" if high is None else f"from {plain(low)} to {plain(high)}"
    return "" if high is None else f"up to {plain(high)}"


def allowed(schema: Schema) -> str:
    """The limits and the unit, or the words that there are to choose from."""
    if "enum" in schema:
        return either(map(str, schema["enum"]))
    unit = schema.get("unit", "")
    return f"{limits(schema)} {'' if unit == SHARE else unit}".strip()


def plain(setting: object) -> str:
    """A value of JSON in words: whole numbers have no fraction."""
    if isinstance(setting, bool):
        return "yes" if setting else "no"
    return str(int(setting)) if isinstance(setting, float) and setting.is_integer() else str(setting)


def value(schema: Schema, text: str) -> float | str:
    """What was typed, as the schema has it. Raises ValueError, which says what is allowed."""
    kind = schema.get("type", "string")
    if "enum" in schema and text not in schema["enum"]:
        raise ValueError(f"must be {allowed(schema)}; got {shown(text)}.")
    if kind == "string":
        longest = schema.get("maxLength", math.inf)
        if len(text) > longest or not text.isprintable():
            raise ValueError(f"must be one line of up to {longest:g} characters; got {shown(text)}.")
        return text
    try:
        number = int(text) if kind == "integer" else float(text)
    except ValueError:
        number = math.nan
    low, above, high = schema.get("minimum", -math.inf), schema.get("exclusiveMinimum"), schema.get("maximum", math.inf)
    if not low <= number <= high or math.isinf(number) or (above is not None and number <= above):
        words = allowed(schema).replace("at least", "of at least")
        raise ValueError(f"must be {KINDS[kind]} {words}".rstrip() + f"; got {shown(text)}.")
    return number


def shown(text: object) -> str:
    """A value, as a message repeats it."""
    if not isinstance(text, str):
        return str(text)
    try:
        float(text)
    except ValueError:
        return repr(text[:LONGEST_SHOWN] + ("…" if len(text) > LONGEST_SHOWN else ""))
    return text


def parser(option: str, convert: Callable[[str], Any]) -> Callable[[Any], Any]:
    """For typer: the option's value, or what is allowed, in our words. Defaults pass."""

    def parse(given: Any) -> Any:  # noqa: ANN401 - a default has its own type
        try:
            return convert(given) if isinstance(given, str) else given
        except ValueError as error:
            raise Wrong(f"{option} {error}") from None

    return parse


def number(option: str, **schema: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - JSON
    return parser(option, lambda text: value(schema, text))


def choice(option: str, words: type[Word]) -> Callable[[Any], Any]:
    def convert(text: str) -> Word:
        try:
            return words(text)
        except ValueError:
            raise ValueError(f"must be {either(words)}; got {shown(text)}.") from None

    return parser(option, convert)


def either(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
