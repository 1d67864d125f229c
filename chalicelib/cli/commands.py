"""The whole command, put together. `start` has a command for each experiment that the application publishes."""

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from ..api import responses
from ..api.requests import start_options as published_by_this_version
from ..bootstrap import Chaos
from ..errors import ChaosError
from ..experiments.catalogue import installed
from ..settings import Settings
from . import PROGRAM, dependencies, halt, history, load_test, profiles, runs, serve, table, tokens
from .context import CommandContext, Selection, context_of
from .examples import add_examples
from .forms import Verb, add_experiments
from .preview import PREVIEW, preview_run
from .remote import PATIENCE_SECONDS, Refused, Unreachable
from .start import START, start_file
from .usage import Commands

HELP = """Start, watch and stop chaos experiments in a running application.

The application is the one at --url with --token, or of --profile, given before the command. Without these options it
is the one of CHAOS_PROFILE; then of CHAOS_URL and CHAOS_TOKEN; then of the current profile; then the one at
http://localhost:8000/chaos_experiments.

\b
Exit codes:
  0    success
  1    the application or the table refused
  2    wrong usage
  3    nothing answered
  4    the hypothesis of the run failed
  5    the run ended before its time
  6    there is no verdict on the hypothesis: too few requests, or it cannot be told
  7    the run hit no request, or a request that is previewed would not be hit
  130  stopped with Ctrl-C
"""
START_HELP = """Start an experiment and show its progress until it ends. Ctrl-C stops it.

The exit code says what came of it: 0 if it hit requests and its hypothesis, if it has one, held; 5 if it ended before
its time; otherwise 4 if the hypothesis failed, 7 if no request was hit, 6 if there is no verdict.

Each experiment is a command with its own options: see, for example, `start latency_injection --help`. With --file
several start together, as a scenario: the exit code is that of the one that ended worst, and Ctrl-C stops all of them.
"""
PREVIEW_HELP = """Show what a start, or a run, would do to one request. Nothing is started.

The options are those of `start`, after the name of the experiment; with --run-id those of a run that has been started.
Prints whether the request would be hit, what decides that, and for what a start would be refused.

The exit code is 7 if the request would not be hit; otherwise 1 if the start would be refused; otherwise 0.
"""
ORDER = (
    "start", "preview", "stop", "status", "watch", "list", "dependencies", "test", "halt", "resume", "history",
    "report", "serve", "profile", "token", "table",
)  # fmt: skip
COMMANDS: Mapping[str, Callable[..., None]] = {
    "list": runs.list_experiments,
    "dependencies": dependencies.dependencies,
    "stop": runs.stop,
    "status": runs.status,
    "watch": runs.watch,
    "test": load_test.load_test,
    "halt": halt.halt,
    "resume": halt.resume,
    "history": history.history,
    "report": history.report,
    "serve": serve.serve,
}
GROUPS: Mapping[str, typer.Typer] = {"profile": profiles.app, "token": tokens.app, "table": table.app}
VALUED = ("--profile", "--url", "--token")
COMPLETING_SECONDS = 2.0
COMPLETING = ("_CHAOS_EXPERIMENTS_COMPLETE", "_TYPER_COMPLETE_ARGS")
HELPING = "--help"


def build(arguments: Sequence[str], wire: Callable[[Settings], Chaos], program: str) -> Any:  # noqa: ANN401 - typer's
    """The command. Asks the application which experiments there are if `start` is among the arguments."""
    context = CommandContext(wire=wire, program=program)
    app = _program(context)
    verbs = {verb.name: (verb, _add_verb(app, verb, *others)) for verb, others in VERBS.items()}
    words = [*arguments, *os.environ.get(COMPLETING[1], "").split(), *os.environ.get("COMP_WORDS", "").split()]
    before = _before_the_command(words)
    context.selection = _selection(before)
    context.patience_seconds = COMPLETING_SECONDS if COMPLETING[0] in os.environ else PATIENCE_SECONDS
    for name in filter(verbs.__contains__, words[len(before) : len(before) + 1]):
        _add_published_experiments(*verbs[name], context, helping=HELPING in words)
    made: Any = typer.main.get_command(app)
    made.commands = {name: made.commands[name] for name in ORDER}
    add_examples(made, program)
    return made


VERBS: Mapping[Verb, tuple[Callable[..., None], str]] = {
    START: (start_file, START_HELP),
    PREVIEW: (preview_run, PREVIEW_HELP),
}
"""The commands that have one for each experiment; what each does without an experiment, and its help."""


def _add_verb(app: typer.Typer, verb: Verb, without_experiment: Callable[..., None], text: str) -> typer.Typer:
    made = typer.Typer(help=text, cls=Commands, no_args_is_help=True)
    made.callback(invoke_without_command=True, help=text)(without_experiment)
    app.add_typer(made, name=verb.name)
    return made


def _program(context: CommandContext) -> typer.Typer:
    """The command with all that it has in every application. Each of its commands is handed the context."""
    app = typer.Typer(
        help=HELP,
        cls=Commands,
        no_args_is_help=True,
        add_completion=context.program == PROGRAM,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"obj": context},
    )
    app.callback()(_read_options)
    for name, command in COMMANDS.items():
        app.command(name)(command)
    for name, group in GROUPS.items():
        app.add_typer(group, name=name)
    return app


def _print_version(asked: bool) -> None:  # noqa: FBT001 - as typer calls it
    if asked:
        print(__version__)
        raise typer.Exit


def _read_options(
    typer_context: typer.Context,
    *,
    profile: Annotated[
        str, typer.Option(metavar="<name>", help="The application of this profile; see `profile`.")
    ] = "",
    url: Annotated[
        str,
        typer.Option(
            metavar="<address>",
            help="The address of the endpoints, such as http://localhost:8000/chaos_experiments.",
        ),
    ] = "",
    token: Annotated[str, typer.Option(metavar="<token>", help="The bearer token to send.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for scripts. May stand anywhere in the command.")
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    context = context_of(typer_context)
    context.selection = Selection(profile=profile, url=url, token=token)
    context.as_json = as_json


def _before_the_command(words: Sequence[str]) -> Sequence[str]:
    """The words before the first one that is neither the program nor an option nor an option's value."""
    before = ""
    for number, word in enumerate(words):
        if not word.startswith("-") and before not in VALUED and Path(word).name != PROGRAM:
            return words[:number]
        before = word
    return words


def _selection(words: Sequence[str]) -> Selection:
    """The application that these words choose, which typer has not parsed yet."""
    parts = [word.split("=", 1) if word.startswith("--") else [word] for word in words]
    following = dict(pairwise([*chain(*parts), ""]))
    return Selection(**{option.removeprefix("--"): following.get(option, "") for option in VALUED})


OF_THIS_VERSION = "These are the experiments of this version; the application may have others."


def _listed_by_this_version() -> dict[str, Any]:
    return {"available_experiments": [responses.experiment(each, {}) for each in installed().values()]}


def _add_published_experiments(verb: Verb, app: typer.Typer, context: CommandContext, *, helping: bool) -> None:
    """Those that the application publishes. If none answers, completion and help have those of this version."""
    completing = COMPLETING[0] in os.environ
    try:
        listed = context.remote.ask("GET", "/list")
    except (Refused, Unreachable, ChaosError) as error:
        if not completing and not helping:
            raise
        if not completing:
            context.print_note(f"{error.message}\n\n{OF_THIS_VERSION}\n")
        listed = _listed_by_this_version()
    for warning in () if completing or helping else listed.get("warnings", ()):
        context.print_note(f"Warning: {warning}")
    options = listed.get("start_options") or published_by_this_version()
    context.has_labels = "label" in options["properties"]
    add_experiments(app, verb, listed["available_experiments"], options, context.program)
