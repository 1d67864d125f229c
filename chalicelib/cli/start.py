"""`start`: a command for each experiment, whose options are what the application publishes."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any

import typer

from ..experiments.base import Parameters
from . import render
from .context import CommandContext, context_of
from .examples import epilog
from .exits import EXIT_UNREACHABLE
from .follow import attend, how_to_stop
from .messages import option
from .options import Option, incomplete, parameter_options, start_options
from .usage import NUMBERS, Schema, Wrong, option_names, plain, strangers

STRANGERS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Words that are not known are left to the command, which reports them with everything else that is wrong."""

OWN = ("--detach", "--recovery", "--help")
"""Options of the command line itself, which are not sent."""

Detach = Annotated[bool, typer.Option(OWN[0], help="Return at once; the run goes on until it ends.")]
AwaitRecovery = Annotated[
    bool,
    typer.Option(
        OWN[1], help="After the run wait until the application is within the bounds again, for up to 60 seconds."
    ),
]


HYPOTHESIS = "hypothesis"
NO_BOUNDS = "--recovery waits until the bounds of a hypothesis are kept: add --max-error-rate or --p95-seconds."
DETACHED = "--recovery waits, and --detach does not wait. Leave out one of them."


def add_experiments(app: typer.Typer, experiments: Sequence[Mapping[str, Any]], options: Schema, program: str) -> None:
    """A command for each experiment. `options` is what every start may have beside the parameters."""
    for experiment in experiments:
        app.command(
            experiment["name"],
            help=experiment["description"],
            short_help=experiment["description"].partition(",")[0],
            epilog=epilog(program, [_example(experiment)]),
            context_settings=STRANGERS,
        )(_command(experiment, options.get("properties", {})))


def _example(experiment: Mapping[str, Any]) -> str:
    """A start with the experiment's own first number."""
    schemas: Mapping[str, Schema] = experiment["parameters"]["properties"]
    own = [name for name in schemas if name not in Parameters.model_fields and _is_number(schemas[name])]
    options = "".join(f"{option(name)} {plain(schemas[name]['default'])} " for name in own[:1])
    return f"start {experiment['name']} {options}--percentage 20 --duration-seconds 60"


def _is_number(schema: Schema) -> bool:
    return schema.get("type") in NUMBERS and "default" in schema


def _command(experiment: Mapping[str, Any], properties: Mapping[str, Schema]) -> Callable[..., None]:
    """The function that typer makes a command of: its signature has an argument for each option."""
    own = list(parameter_options(experiment["parameters"]["properties"]))
    general = start_options(properties, {*OWN, *(each.name for each in own)})
    form = _Form(properties, {f"option_{number}": each for number, each in enumerate(chain(own, general))})

    def start(
        typer_context: typer.Context,
        *,
        detach: bool,
        recovery: bool,
        **typed: Any,  # noqa: ANN401 - as typer has it
    ) -> None:
        body = form.read(typed, typer_context)
        if recovery and (detach or HYPOTHESIS not in body):
            raise Wrong(DETACHED if detach else NO_BOUNDS, ctx=typer_context)
        whole = {"experiment_name": experiment["name"], **body}
        _start(context_of(typer_context), whole, detach=detach, recovery=recovery)

    context = _keyword("typer_context", inspect.Parameter.empty, typer.Context)
    own_options = {"detach": Detach, "recovery": AwaitRecovery}
    flags = [_keyword(name, False, annotation) for name, annotation in own_options.items()]  # noqa: FBT003 - a default
    parameters = [context, *form.parameters, *flags]
    start.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    start.__annotations__ = {each.name: each.annotation for each in parameters}
    start.__name__ = str(experiment["name"])
    return start


@dataclass(frozen=True)
class _Form:
    """The options of one command, by the names of its arguments. `properties` is what its start options are made of."""

    properties: Mapping[str, Schema]
    options: Mapping[str, Option]

    @property
    def parameters(self) -> list[inspect.Parameter]:
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
        problems += incomplete(self.properties, given, self.options.values())
        if problems:
            raise Wrong("\n".join(problems), ctx=typer_context)
        return body


def _keyword(name: str, default: object, annotation: Any) -> inspect.Parameter:  # noqa: ANN401 - any type
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _put(body: dict[str, Any], path: Sequence[str], value: object) -> None:
    *above, name = path
    for each in above:
        body = body.setdefault(each, {})
    body[name] = value


def _start(context: CommandContext, body: Mapping[str, Any], *, detach: bool, recovery: bool) -> None:
    try:
        run = context.remote.ask("POST", "/start", body)
    except KeyboardInterrupt:
        context.print_note(
            f"Interrupted before the answer: the run may have started.{how_to_stop(context, body['experiment_name'])}"
        )
        raise typer.Exit(EXIT_UNREACHABLE) from None
    if detach:
        context.print_result(run, render.run(run))
        context.print_note(f"Stop it: {context.command('stop ' + run['name'])}")
    else:
        attend(context, run, recovery=recovery)
