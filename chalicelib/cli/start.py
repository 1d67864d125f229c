"""`start`: a command for each experiment, whose options are the parameters that the application publishes."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from ..runs.options import BOUNDS, LONGEST_REASON, Hypothesis
from . import render
from .context import desk_of
from .examples import epilog
from .exits import UNREACHABLE
from .follow import attend, how_to_stop
from .messages import option
from .usage import Schema, Wrong, allowed, plain, strangers, value

HYPOTHESIS = ("max_error_rate", "p95_seconds", "min_requests", "abort")
EXPECTED = Hypothesis.model_json_schema()["properties"]
LINE = {"type": "string", "maxLength": LONGEST_REASON}
NAMES = {"number": "<number>", "integer": "<number>", "string": "<text>"}
STRANGERS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Words that are not known are left to the command, which reports them with everything else that is wrong."""


def add_experiments(app: typer.Typer, experiments: Sequence[Mapping[str, Any]], program: str) -> None:
    for experiment in experiments:
        app.command(
            experiment["name"],
            help=experiment["description"],
            short_help=experiment["description"].partition(",")[0],
            epilog=epilog(program, [_example(experiment)]),
            context_settings=STRANGERS,
        )(_command(experiment))


def _example(experiment: Mapping[str, Any]) -> str:
    """A start with the experiment's own first number."""
    schemas: Mapping[str, Schema] = experiment["parameters"]["properties"]
    own = [name for name, each in schemas.items() if name not in SHARED and each["type"] in ("number", "integer")]
    options = "".join(f"{option(name)} {plain(schemas[name]['default'])} " for name in own[:1])
    return f"start {experiment['name']} {options}--percentage 20 --duration-seconds 60"


def _command(experiment: Mapping[str, Any]) -> Callable[..., None]:
    properties: Mapping[str, Schema] = experiment["parameters"]["properties"]
    parameters = [inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    parameters += [_option(name, schema) for name, schema in properties.items()]
    parameters += COMMON

    def start(context: typer.Context, **given: Any) -> None:  # noqa: ANN401 - each of its option's type
        desk = desk_of(context)
        said = _checked(context, given, {**properties, **COMMON_SCHEMAS})
        detach = said.pop("detach", False)
        body = {name: value for name, value in said.items() if name not in HYPOTHESIS}
        if "alarm" in body:
            body["alarms"] = body.pop("alarm")
        if hypothesis := {name: said[name] for name in HYPOTHESIS if name in said}:
            body["hypothesis"] = hypothesis
        try:
            run = desk.remote.ask("POST", "/start", {"experiment_name": experiment["name"], **body})
        except KeyboardInterrupt:
            desk.tell(
                f"Interrupted before the answer: the run may have started.{how_to_stop(desk, experiment['name'])}"
            )
            raise typer.Exit(UNREACHABLE) from None
        if detach:
            desk.give(run, render.run(run))
            desk.tell(f"Stop it: {desk.command('stop ' + run['name'])}")
        else:
            attend(desk, run)

    start.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    start.__annotations__ = {each.name: each.annotation for each in parameters}
    start.__name__ = str(experiment["name"])
    return start


def _checked(context: typer.Context, given: Mapping[str, Any], schemas: Mapping[str, Schema]) -> dict[str, Any]:
    """What was given, converted. Raises Wrong with everything that is wrong."""
    names = [name for each in context.command.params for name in (*each.opts, *each.secondary_opts)]
    problems = strangers(context.args, names)
    typed = {
        name: text
        for name, text in given.items()
        if text not in (None, []) and (text is not False or name not in FLAGS)
    }
    said: dict[str, Any] = {}
    for name, text in typed.items():
        try:
            said[name] = value(schemas[name], text) if isinstance(text, str) else text
        except ValueError as error:
            problems.append(f"{option(name)} {error}")
    if not typed.keys().isdisjoint(HYPOTHESIS) and typed.keys().isdisjoint(BOUNDS):
        problems.append("--abort and --min-requests need a hypothesis: add --max-error-rate or --p95-seconds.")
    if problems:
        raise Wrong("\n".join(problems), ctx=context)
    return said


def _option(name: str, schema: Schema) -> inspect.Parameter:
    """Not sent where it is not given: the default is the application's."""
    description, default = schema.get("description", ""), f" Default: {plain(schema['default'])}."
    if schema["type"] == "boolean":
        return _parameter(name, bool, description + default)
    return _limited(name, schema, description, default)


def _limited(name: str, schema: Schema, description: str, more: str = "") -> inspect.Parameter:
    told = f"{description} Allowed: {words}." if (words := allowed(schema)) else description
    return _parameter(name, str, told + more, metavar=NAMES[schema["type"]])


def _parameter(name: str, kind: Any, help_text: str, **more: Any) -> inspect.Parameter:  # noqa: ANN401 - any setting
    default = False if name in FLAGS else None
    declared = [option(name)] if name in FLAGS else []
    kind = kind if name in FLAGS else kind | None
    annotation = Annotated[kind, typer.Option(*declared, help=help_text, **more)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


FLAGS = ("restart", "abort", "detach")
COMMON_SCHEMAS: Mapping[str, Schema] = {"reason": LINE, **EXPECTED}
SHARED = ("duration_seconds", "percentage")
COMMON = [
    _parameter("reason", str, "Why the run is started, for the history.", metavar="<text>"),
    _parameter("restart", bool, "Replace the run of this experiment, if there is one."),
    _parameter("alarm", list[str], "A CloudWatch alarm that ends the run. Can be repeated.", metavar="<name>"),
    _limited(
        "max_error_rate", EXPECTED["max_error_rate"],
        "Hypothesis: at most this share of the requests that are not hit fails.",
    ),
    _limited(
        "p95_seconds", {**EXPECTED["p95_seconds"], "unit": "seconds"},
        "Hypothesis: 95 % of the requests that are not hit are answered within this time.",
    ),
    _limited("min_requests", EXPECTED["min_requests"], "Hypothesis: with fewer requests there is no verdict."),
    _parameter("abort", bool, "Hypothesis: end the run as soon as it has clearly failed."),
    _parameter("detach", bool, "Return at once; the run goes on until it ends."),
]  # fmt: skip
