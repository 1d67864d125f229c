"""Wrong usage, in the words of the command line: all that is wrong, what is allowed, and where to read more."""

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
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
INSTEAD_OF_AN_EXPERIMENT = ("--file", "--run-id")
NUMBERS: Mapping[str, tuple[str, Callable[[str], float]]] = {
    "number": ("a number", float),
    "integer": ("a whole number", int),
}
"""Types of JSON in words, and how they are read."""

YES_OR_NO = ("no", "yes")
SHARE = "share"
"""The unit of numbers that have none."""

SHORTEST_PART = 3
LONGEST_SHOWN = 60


class Wrong(typer.BadParameter):
    """Wrong usage; the message is made of whole sentences, one a line."""


def explained(error: Any) -> str:  # noqa: ANN401 - typer's classes are private
    """What to print: every problem, then how to read the help."""
    kind = type(error).__name__
    problem = PROBLEMS.get(kind, _as_typer_says)(error)
    is_help = kind == "NoArgsIsHelpError" or error.ctx is None
    return problem if is_help else f"{problem}\nHelp: {error.ctx.command_path} --help"


def _as_typer_says(error: Any) -> str:  # noqa: ANN401 - typer's classes are private
    return str(error.format_message())


def _wrong_value(error: Any) -> str:  # noqa: ANN401 - typer's classes are private
    return f"{error.option_name} {'needs' if 'requires' in error.message else 'does not take'} a value."


PROBLEMS: Mapping[str, Callable[[Any], str]] = {
    "Wrong": lambda error: str(error.message),
    "NoSuchOption": lambda error: unknown_option(error.option_name, option_names(error.ctx)),
    "BadOptionUsage": _wrong_value,
    "MissingParameter": lambda error: f"{_name(error.param)} is required.",
}
"""What is wrong, by the class of the error. For any other class it is what typer says."""


def option_names(context: Any) -> list[str]:  # noqa: ANN401 - typer's classes are private
    """The options of a command, in all their spellings."""
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
        name = word.partition("=")[0]
        if name in INSTEAD_OF_AN_EXPERIMENT:
            problems.append(f"{name} stands instead of an experiment: leave out one of the two.")
        elif word.startswith("-"):
            problems.append(unknown_option(name, names))
        elif not before.startswith("-") or "=" in before:
            problems.append(f"{word!r} is not expected here.")
        before = word
    return problems


OF_EXPERIMENTS = ("start", "preview")
"""Commands that have one for each experiment."""


class Commands(TyperGroup):
    """Commands that are suggested where one is misspelt."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - typer's classes are private
        name = args[0]
        if name in self.commands or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        what = "experiment" if self.name in OF_EXPERIMENTS else "command"
        raise Wrong(unknown(what, name, self.commands), ctx=ctx)


PHRASES = (
    (("exclusiveMinimum", "maximum"), "above {}, up to {}"),
    (("exclusiveMinimum",), "above {}"),
    (("minimum", "maximum"), "from {} to {}"),
    (("minimum",), "at least {}"),
    (("maximum",), "up to {}"),
    ((), ""),
)
"""How limits read, by the words of JSON Schema that set them. The first that fits counts."""


def limits(schema: Schema) -> str:
    """What a number may be, in words: "from 0 to 60"; empty if there are no limits."""
    names, phrase = next(each for each in PHRASES if schema.keys() >= set(each[0]))
    return phrase.format(*(plain(schema[name]) for name in names))


def allowed(schema: Schema) -> str:
    """The limits and the unit, or the words that there are to choose from; or what the application says."""
    if "enum" in schema:
        return either(map(str, schema["enum"]))
    if "allowed" in schema:
        return str(schema["allowed"])
    unit = schema.get("unit", SHARE)
    return limits(schema) if unit == SHARE else f"{limits(schema)} {unit}".strip()


def plain(setting: object) -> str:
    """A value of JSON in words: whole numbers have no fraction."""
    if isinstance(setting, bool):
        return YES_OR_NO[setting]
    return f"{setting:.0f}" if isinstance(setting, float) and setting.is_integer() else str(setting)


def value(schema: Schema, text: str) -> float | str:
    """What was typed, as the schema has it. Raises ValueError, which says what is allowed."""
    if text not in schema.get("enum", [text]):
        raise ValueError(f"must be {allowed(schema)}; got {shown(text)}.")
    kind = schema.get("type", "string")
    return _line(schema, text) if kind == "string" else _number(schema, text, *NUMBERS[kind])


def _line(schema: Schema, text: str) -> str:
    longest = schema.get("maxLength", math.inf)
    if not (len(text) <= longest and text.isprintable()):
        raise ValueError(f"must be one line of up to {longest:g} characters; got {shown(text)}.")
    if "allowed" in schema and not _fits(schema, text):
        raise ValueError(f"must be {allowed(schema)}; got {shown(text)}.")
    return text


def _fits(schema: Schema, text: str) -> bool:
    """Whether a text is like its pattern. What is refused besides, the application explains better."""
    with suppress(re.error):  # a pattern that Python does not know
        return bool(re.search(schema.get("pattern", ""), text))
    return True


def _number(schema: Schema, text: str, kind: str, convert: Callable[[str], float]) -> float:
    with suppress(ValueError):
        number = convert(text)
        if math.isfinite(number) and _is_within(schema, number):
            return number
    words = allowed(schema).replace("at least", "of at least")
    raise ValueError(f"must be {kind} {words}".rstrip() + f"; got {shown(text)}.")


def _is_within(schema: Schema, number: float) -> bool:
    above, low, high = (
        schema.get(name, unlimited)
        for name, unlimited in (("exclusiveMinimum", -math.inf), ("minimum", -math.inf), ("maximum", math.inf))
    )
    return bool(above < number and low <= number <= high)


def shown(text: object) -> str:
    """A value, as a message repeats it."""
    return _quoted(text) if isinstance(text, str) else str(text)


def _quoted(text: str) -> str:
    """Numbers are not quoted, long texts are cut."""
    try:
        float(text)
    except ValueError:
        return repr(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…")
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
