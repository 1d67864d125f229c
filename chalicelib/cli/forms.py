"""Commands for each experiment, whose options are what the application publishes: of `start`, and of `preview`."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import typer

from ..experiments.base import Parameters
from .examples import epilog
from .messages import option
from .options import Option, Path, incomplete, parameter_options, start_options
from .usage import NUMBERS, Schema, Wrong, option_names, plain, strangers

STRANGERS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Words that are not known are left to the command, which reports them with everything else that is wrong."""

OwnOption = tuple[str, Any, Any]
"""An option of the command line itself, which is no field of a start: its name, its default and its annotation."""


@dataclass(frozen=True, eq=False)
class Verb:
    """A command that has one command for each experiment. `own` are options by the names of their arguments."""

    name: str
    own: Mapping[str, OwnOption]
    example: str
    """What an example ends in."""

    act: Callable[..., None]
    """Handed the context, the body of the start, and its own options by the names of their arguments."""


def add_experiments(
    app: typer.Typer, verb: Verb, experiments: Sequence[Mapping[str, Any]], options: Schema, program: str
) -> None:
    """A command for each experiment. `options` is what every start may have beside the parameters."""
    for experiment in experiments:
        app.command(
            experiment["name"],
            help=experiment["description"],
            short_help=experiment["description"].partition(",")[0],
            epilog=epilog(program, [_example(verb, experiment)]),
            context_settings=STRANGERS,
        )(_command(verb, experiment, options.get("properties", {})))


def _example(verb: Verb, experiment: Mapping[str, Any]) -> str:
    """A start with what the experiment needs, and its own first number."""
    schemas: Mapping[str, Schema] = experiment["parameters"]["properties"]
    own = [name for name in schemas if name not in Parameters.model_fields and _is_number(schemas[name])]
    typed = {name: schemas[name].get("examples", ["..."])[0] for name in _required(experiment)}
    typed |= {name: schemas[name]["default"] for name in own[:1]}
    options = "".join(f"{option(name)} {plain(each)} " for name, each in typed.items())
    return f"{verb.name} {experiment['name']} {options}--percentage 20 {verb.example}"


def _required(experiment: Mapping[str, Any]) -> Sequence[str]:
    """The parameters without which it cannot be started."""
    names: Sequence[str] = experiment["parameters"].get("required", ())
    return names


def _is_number(schema: Schema) -> bool:
    return schema.get("type") in NUMBERS and "default" in schema


def _command(verb: Verb, experiment: Mapping[str, Any], properties: Mapping[str, Schema]) -> Callable[..., None]:
    """The function that typer makes a command of: its signature has an argument for each option."""
    parameters = list(parameter_options(experiment["parameters"]["properties"]))
    taken = {"--help", *(name for name, _, _ in verb.own.values()), *(each.name for each in parameters)}
    general = start_options(properties, taken)
    options = {f"option_{number}": each for number, each in enumerate(chain(parameters, general))}
    form = _Form(properties, options, _required(experiment))

    def command(typer_context: typer.Context, **typed: Any) -> None:  # noqa: ANN401 - as typer has it
        own = {name: typed.pop(name) for name in verb.own}
        body = {"experiment_name": experiment["name"], **form.read(typed, typer_context)}
        verb.act(typer_context, body, **own)

    context = _keyword("typer_context", inspect.Parameter.empty, typer.Context)
    own = [_keyword(name, default, annotation) for name, (_, default, annotation) in verb.own.items()]
    signature = inspect.Signature([context, *form.arguments, *own])
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {name: each.annotation for name, each in signature.parameters.items()}
    command.__name__ = str(experiment["name"])
    return command


@dataclass(frozen=True)
class _Form:
    """The options of one command, by the names of its arguments. `properties` is what its start options are made of.

    `required` are the parameters that must be given.
    """

    properties: Mapping[str, Schema]
    options: Mapping[str, Option]
    required: Sequence[str]

    @property
    def arguments(self) -> list[inspect.Parameter]:
        return [_keyword(name, each.absent, each.annotation) for name, each in self.options.items()]

    def read(self, typed: Mapping[str, Any], typer_context: typer.Context) -> dict[str, Any]:
        """The body to send. Raises Wrong with everything that is wrong."""
        problems = strangers(typer_context.args, option_names(typer_context))
        given = {each: typed[name] for name, each in self.options.items() if typed[name] not in ([], each.absent)}
        body: dict[str, Any] = {}
        for each, text in given.items():
            try:
                _put(body, each.path, each.read(text))
            except ValueError as error:
                problems.append(f"{each.name} {error}")
        problems += self._missing(given)
        problems += incomplete(self.properties, given, self.options.values())
        if problems:
            raise Wrong("\n".join(problems), ctx=typer_context)
        return body

    def _missing(self, given: Collection[Option]) -> list[str]:
        """A sentence for each option that must be given, and is not."""
        missing = [each for each in self.options.values() if each.path in self._required and each not in given]
        return [f"{each.name} is required: {each.choice}." for each in missing]

    @property
    def _required(self) -> Collection[Path]:
        return [(name,) for name in self.required]


def _keyword(name: str, default: object, annotation: Any) -> inspect.Parameter:  # noqa: ANN401 - any type
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _put(body: dict[str, Any], path: Sequence[str], value: object) -> None:
    *above, name = path
    for each in above:
        body = body.setdefault(each, {})
    body[name] = value
