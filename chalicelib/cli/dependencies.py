"""`dependencies`: what the application calls, and which of it can be made to fail."""

import time
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from . import render
from .context import CommandContext, context_of
from .remote import Refused, Unreachable, is_passing
from .usage import number

POLL_SECONDS = 1.0
WAIT_SECONDS = 15.0
"""Longer than it takes until all processes observe, and have flushed what they saw."""

START = "start dependency_failure --dependency {dependency} --fault {fault}"
EXAMPLES_OF_FAULTS = ("timeout", "error", "refused", "dns")
"""What is suggested, the first one that reaches the dependency."""


def dependencies(
    typer_context: typer.Context,
    *,
    wait: Annotated[
        float,
        typer.Option(
            parser=number("--wait", type="number", minimum=0, maximum=600),
            metavar="<seconds>",
            help="Ask again for up to so many seconds while no call has been seen. Allowed: from 0 to 600.",
        ),
    ] = WAIT_SECONDS,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it until Ctrl-C. Where the output is no terminal, only once.")
    ] = False,
) -> None:
    """Show what the application calls, and which faults reach it.

    For each client library and dependency: calls, errors, and response times. Asking makes all processes observe their
    outgoing calls for 60 seconds. Send requests to the application meanwhile.
    """
    context = context_of(typer_context)
    seen = _ask(context)
    if watch and context.is_live:
        _watch(context, seen)
        return
    if not _has_calls(seen) and wait:
        context.print_note(seen["message"])
    ends_at = time.monotonic() + wait
    while not _has_calls(seen) and time.monotonic() < ends_at:
        time.sleep(POLL_SECONDS)
        seen = _ask(context)
    context.print_result(seen, shown(seen))
    if not context.as_json:
        _suggest(context, seen)


def _ask(context: CommandContext) -> dict[str, Any]:
    return dict(context.remote.ask("GET", "/dependencies"))


def _has_calls(seen: dict[str, Any]) -> bool:
    return any(row["calls"] for row in seen["dependencies"])


def _suggest(context: CommandContext, seen: dict[str, Any]) -> None:
    """How to let the first one fail that faults reach."""
    if not _has_calls(seen):
        context.print_note(seen["message"])
        return
    for row in seen["dependencies"]:
        if fault := next((each for each in EXAMPLES_OF_FAULTS if each in row["faults"]), ""):
            words = START.format(dependency=row["dependency"], fault=fault)
            context.print_note(f"To let one fail: {context.command(words)}")
            return


def _watch(context: CommandContext, seen: dict[str, Any]) -> None:
    try:
        with Live(_watched(seen), console=context.console, auto_refresh=False) as live:
            while True:
                time.sleep(POLL_SECONDS)
                live.update(_watched_or_why_not(context), refresh=True)
    except KeyboardInterrupt:
        return


def _watched(seen: dict[str, Any]) -> RenderableType:
    return Group(shown(seen), f"[dim]{escape(seen['message'])}[/]")


def _watched_or_why_not(context: CommandContext) -> RenderableType:
    try:
        return _watched(_ask(context))
    except (Refused, Unreachable) as error:
        if not is_passing(error):
            raise
        return f"[red]{escape(error.message)}[/] Trying again."


def shown(seen: dict[str, Any]) -> RenderableType:
    if not seen["dependencies"]:
        return "[dim]No outgoing calls yet.[/]"
    table = Table("client", "dependency", box=None, padding=(0, 2, 0, 0))
    for name in ("calls", "errors", "p50", "p95"):
        table.add_column(name, justify="right")
    table.add_column("faults", style="dim")
    for row in seen["dependencies"]:
        names = (escape(row["client"]), escape(row["dependency"] or "-"))
        counts = (str(row["calls"]), str(row["errors"]))
        times = (render.seconds(row["p50_seconds"]), render.seconds(row["p95_seconds"]))
        table.add_row(*names, *counts, *times, escape(row["note"] or ", ".join(row["faults"]) or "none"))
    return table
