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
from . import PROGRAM, halt, history, load_test, profiles, runs, serve, table, tokens
from .context import CommandContext, Selection, context_of
from .examples import add_examples
from .remote import PATIENCE_SECONDS, Refused, Unreachable
from .start import add_experiments
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
  7    the run hit no request
  130  stopped with Ctrl-C
"""
START = """Start an experiment and show its progress until it ends. Ctrl-C stops it.

The exit code says what came of it: 0 if it hit requests and its hypothesis, if it has one, held; 5 if it ended before
its time; otherwise 4 if the hypothesis failed, 7 if no request was hit, 6 if there is no verdict.

Each experiment is a command with its own options: see, for example, `start latency_injection --help`.
"""
ORDER = (
    "start", "stop", "status", "watch", "list", "test", "halt", "resume", "history", "report", "serve", "profile",
    "token", "table",
)  # fmt: skip
COMMANDS: Mapping[str, Callable[..., None]] = {
    "list": runs.list_experiments,
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
    start = typer.Typer(help=START, cls=Commands, no_args_is_help=True)
    app = _program(context)
    app.add_typer(start, name="start")
    words = [*arguments, *os.environ.get(COMPLETING[1], "").split(), *os.environ.get("COMP_WORDS", "").split()]
    before = _before_the_command(words)
    if words[len(before) : len(before) + 1] == ["start"]:
        _add_published_experiments(start, context, before, helping=HELPING in words)
    made: Any = typer.main.get_command(app)
    made.commands = {name: made.commands[name] for name in ORDER}
    add_examples(made, program)
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


def _add_published_experiments(
    start: typer.Typer, context: CommandContext, words: Sequence[str], *, helping: bool
) -> None:
    """Those that the application publishes. If none answers, completion and help have those of this version."""
    completing = COMPLETING[0] in os.environ
    context.selection = _selection(words)
    context.patience_seconds = COMPLETING_SECONDS if completing else PATIENCE_SECONDS
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
    add_experiments(start, listed["available_experiments"], options, context.program)
