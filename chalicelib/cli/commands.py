"""All commands, put together. `start` has a command for each experiment that the application publishes."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from ..bootstrap import Chaos
from ..errors import ChaosError
from ..settings import Settings
from . import history, levers, look, profiles, table, tokens
from .desk import Desk, Said
from .remote import PATIENCE_SECONDS, Refused, Unreachable
from .start import add_experiments

HELP = """Chaos experiments: start, watch and stop them.

Where the application is: --url and --token, or --profile; CHAOS_PROFILE, or CHAOS_URL and CHAOS_TOKEN; the current
profile; http://localhost:8000/chaos_experiments.

Exit codes: 0 fine, 1 refused, 2 wrong usage, 3 nothing answers, 4 the hypothesis failed, 5 the run ended before its
time, 130 stopped by Ctrl-C.
"""
PROGRAM = "chaos-experiments"
VALUED = ("--profile", "--url", "--token")
COMPLETING_SECONDS = 2.0
COMPLETING = ("_CHAOS_EXPERIMENTS_COMPLETE", "_TYPER_COMPLETE_ARGS")


def build(arguments: Sequence[str], wire: Callable[[Settings], Chaos]) -> typer.Typer:
    """Asks the application which experiments there are where `start` is among the arguments."""
    app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

    @app.callback()
    def options(
        context: typer.Context,
        *,
        profile: Annotated[str, typer.Option(help="Which profile; see `profile`.")] = "",
        url: Annotated[str, typer.Option(help="Where the endpoints are.")] = "",
        token: Annotated[str, typer.Option(help="The bearer token.")] = "",
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
        _version: Annotated[
            bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which version this is.")
        ] = False,
    ) -> None:
        context.obj = Desk(said=Said(profile=profile, url=url, token=token), as_json=as_json, wire=wire)

    start = typer.Typer(help="Start an experiment, and watch it until it ends.", no_args_is_help=True)
    app.command("list")(look.list_experiments)
    app.add_typer(start, name="start")
    for command in (look.stop, look.status, look.watch, look.test, levers.halt, levers.resume):
        app.command()(command)
    app.command("history")(history.history)
    app.command("report")(history.report)
    app.add_typer(tokens.app, name="token")
    app.add_typer(table.app, name="table")
    app.add_typer(profiles.app, name="profile")
    words = [*arguments, *os.environ.get(COMPLETING[1], "").split(), *os.environ.get("COMP_WORDS", "").split()]
    if _command(words) == "start":
        _ask_for_experiments(start, words, completing=COMPLETING[0] in os.environ)
    return app


def _tell_version(asked: bool) -> None:  # noqa: FBT001 - as typer calls it
    if asked:
        print(__version__)
        raise typer.Exit


def _command(words: Sequence[str]) -> str:
    """The first word that is neither the program nor an option nor an option's value."""
    before = ""
    for word in words:
        if not word.startswith("-") and before not in VALUED and Path(word).name != PROGRAM:
            return word
        before = word
    return ""


def _ask_for_experiments(start: typer.Typer, words: Sequence[str], *, completing: bool) -> None:
    """Where it does not answer a completion has none to offer, and a start says why."""
    following = dict(zip(words, [*words[1:], ""], strict=True))
    spelled = {name: value for name, found, value in (word.partition("=") for word in words) if found}
    typed = {option.removeprefix("--"): spelled.get(option) or following.get(option, "") for option in VALUED}
    desk = Desk(said=Said(**typed), patience_seconds=COMPLETING_SECONDS if completing else PATIENCE_SECONDS)
    with suppress(*((Refused, Unreachable, ChaosError) if completing else ())):
        add_experiments(start, desk.remote.ask("GET", "/list")["available_experiments"])
