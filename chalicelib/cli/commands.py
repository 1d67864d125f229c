"""All commands, put together. `start` has a command for each experiment that the application publishes."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from ..api import responses
from ..bootstrap import Chaos
from ..errors import ChaosError
from ..experiments import EXPERIMENTS
from ..settings import Settings
from . import PROGRAM, halt, history, profiles, runs, table, tokens
from .context import Desk, Said
from .examples import add_examples
from .remote import PATIENCE_SECONDS, Refused, Remote, Unreachable
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
  130  stopped with Ctrl-C
"""
START = """Start an experiment and show its progress until it ends. Ctrl-C stops it.

Each experiment is a command with its own options: see, for example, `start latency_injection --help`.
"""
ORDER = (
    "start", "stop", "status", "watch", "list", "test", "halt", "resume", "history", "report", "profile", "token",
    "table",
)  # fmt: skip
VALUED = ("--profile", "--url", "--token")
COMPLETING_SECONDS = 2.0
COMPLETING = ("_CHAOS_EXPERIMENTS_COMPLETE", "_TYPER_COMPLETE_ARGS")
HELPING = "--help"


def build(arguments: Sequence[str], wire: Callable[[Settings], Chaos], program: str) -> Any:  # noqa: ANN401 - typer's
    """The command. Asks the application which experiments there are where `start` is among the arguments."""
    app = typer.Typer(
        help=HELP,
        cls=Commands,
        no_args_is_help=True,
        add_completion=program == PROGRAM,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    asked: list[Remote] = []

    @app.callback()
    def options(
        context: typer.Context,
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
        desk = Desk(said=Said(profile=profile, url=url, token=token), as_json=as_json, wire=wire, program=program)
        if asked:
            desk.remote = asked[0]
        context.obj = desk

    start = typer.Typer(help=START, cls=Commands, no_args_is_help=True)
    app.add_typer(start, name="start")
    app.command("list")(runs.list_experiments)
    for command in (runs.stop, runs.status, runs.watch, runs.test, halt.halt, halt.resume):
        app.command()(command)
    app.command("history")(history.history)
    app.command("report")(history.report)
    app.add_typer(profiles.app, name="profile")
    app.add_typer(tokens.app, name="token")
    app.add_typer(table.app, name="table")
    words = [*arguments, *os.environ.get(COMPLETING[1], "").split(), *os.environ.get("COMP_WORDS", "").split()]
    before = _before_the_command(words)
    if words[len(before) : len(before) + 1] == ["start"]:
        asked += _ask_for_experiments(start, before, program, helping=HELPING in words)
    made: Any = typer.main.get_command(app)
    made.commands = {name: made.commands[name] for name in ORDER}
    add_examples(made, program)
    return made


def _print_version(asked: bool) -> None:  # noqa: FBT001 - as typer calls it
    if asked:
        print(__version__)
        raise typer.Exit


def _before_the_command(words: Sequence[str]) -> Sequence[str]:
    """The words before the first one that is neither the program nor an option nor an option's value."""
    before = ""
    for number, word in enumerate(words):
        if not word.startswith("-") and before not in VALUED and Path(word).name != PROGRAM:
            return words[:number]
        before = word
    return words


def _ask_for_experiments(start: typer.Typer, words: Sequence[str], program: str, *, helping: bool) -> list[Remote]:
    """The application that was asked. Where none answers, completion and help have the experiments of this version."""
    following = dict(zip(words, [*words, ""][1:], strict=True))
    spelled = {name: value for name, found, value in (word.partition("=") for word in words) if found}
    typed = {option.removeprefix("--"): spelled.get(option) or following.get(option, "") for option in VALUED}
    completing = COMPLETING[0] in os.environ
    patience = COMPLETING_SECONDS if completing else PATIENCE_SECONDS
    desk = Desk(said=Said(**typed), program=program, patience_seconds=patience)
    try:
        add_experiments(start, desk.remote.ask("GET", "/list")["available_experiments"], program)
    except (Refused, Unreachable, ChaosError) as error:
        if not completing and not helping:
            raise
        if not completing:
            desk.tell(
                f"{error.message}\n\nThese are the experiments of this version; the application may have others.\n"
            )
        add_experiments(start, [responses.experiment(each, {}) for each in EXPERIMENTS.values()], program)
        return []
    return [desk.remote]
