"""`list`, `status`, `watch` and `stop`: what can be started, and what is running."""

import time
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape

from . import render
from .complete import known
from .context import CommandContext, context_of
from .remote import Refused, Unreachable, is_passing

Experiment = Annotated[
    str,
    typer.Argument(metavar="experiment", help="Its name, such as latency_injection.", autocompletion=known),
]


def list_experiments(typer_context: typer.Context) -> None:
    """List the experiments with their options, and what is running."""
    context = context_of(typer_context)
    listed = context.remote.ask("GET", "/list")
    context.print_result(
        listed, render.stage(listed), "", render.experiments(listed), *map(render.run, listed["active_experiments"])
    )


def stop(
    typer_context: typer.Context,
    experiment: Experiment,
    reason: Annotated[str, typer.Option(metavar="<text>", help="Why it is stopped, for the history.")] = "",
) -> None:
    """Stop an experiment. It takes a second to reach every process of the application."""
    context = context_of(typer_context)
    body = {"experiment_name": experiment, **({"reason": reason} if reason else {})}
    run = context.remote.ask("POST", "/stop", body)
    context.print_result(run, render.run(run))


def status(typer_context: typer.Context, experiment: Experiment) -> None:
    """Show the current run of an experiment, or the last one."""
    context = context_of(typer_context)
    run = context.remote.ask("GET", "/status?" + urlencode({"experiment_name": experiment}))
    context.print_result(run, render.run(run))


def watch(typer_context: typer.Context) -> None:
    """Show what is running, once a second until Ctrl-C. Where the output is no terminal, only once."""
    context = context_of(typer_context)
    listed = context.remote.ask("GET", "/list")
    if not context.is_live:
        context.print_result(listed, _running(listed))
        return
    try:
        with Live(_running(listed), console=context.console, auto_refresh=False) as live:
            while True:
                time.sleep(1)
                live.update(_running_or_why_not(context), refresh=True)
    except KeyboardInterrupt:
        return


def _running_or_why_not(context: CommandContext) -> RenderableType:
    """What is running, or what is wrong at the moment."""
    try:
        return _running(context.remote.ask("GET", "/list"))
    except (Refused, Unreachable) as error:
        if not is_passing(error):
            raise
        return f"[red]{escape(error.message)}[/] Trying again."


def _running(listed: dict[str, Any]) -> RenderableType:
    runs = [render.run(run) for run in listed["active_experiments"]]
    return Group(render.stage(listed), *(runs or ["[dim]Nothing is running.[/]"]))
