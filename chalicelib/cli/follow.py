"""A run that was started, until it ends."""

import json
import math
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import typer
from rich.live import Live

from ..api.results import FLUSHED_SECONDS
from ..results.tally import AFTER_SECONDS
from . import render
from .context import CommandContext
from .exits import (
    EXIT_ENDED_EARLY,
    EXIT_HYPOTHESIS_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NEVER_HIT,
    EXIT_REFUSED,
    EXIT_UNDECIDED,
    EXIT_UNREACHABLE,
)
from .remote import Refused, Unreachable, is_passing

POLL_SECONDS = 0.5
OPEN_SECONDS = 20.0
"""How long after the end of a run it is seen what becomes of requests that are not answered yet: a server that does not
say any more that it lives is taken for dead after 15 s."""

GIVEN_UP_SECONDS = 10.0
"""How long after its planned end the state of a run is still asked for, where nothing answers."""


def attend(context: CommandContext, run: Mapping[str, Any], *, recovery: bool = False) -> None:
    """Wait until it ends, and for its `recovery`; Ctrl-C stops it. Exits with what came of it."""
    try:
        run = _watched(context, run, AFTER_SECONDS if recovery else 0.0)
    except KeyboardInterrupt:
        raise typer.Exit(_stop(context, run)) from None
    except Unreachable:
        context.print_note(
            f"It is unknown how {run['name']} ended. It ends by itself at {_clock(run['end_time'])} at the latest."
        )
        raise
    context.print_result(run, *([] if context.is_live else [render.run(run)]))
    raise typer.Exit(exit_code(run))


def exit_code(run: Mapping[str, Any]) -> int:
    """What came of a run that is over. What says the least about the application comes last."""
    verdict = run["hypothesis"]["verdict"] if run["hypothesis"] else "held"
    codes = (
        (run["status"] != "completed", EXIT_ENDED_EARLY),
        (verdict == "failed", EXIT_HYPOTHESIS_FAILED),
        (_never_hit(run["results"]), EXIT_NEVER_HIT),
        (verdict != "held", EXIT_UNDECIDED),
    )
    return next((code for applies, code in codes if applies), 0)


def _never_hit(results: Mapping[str, Any]) -> bool:
    """Also in an older version's answer, which has no word for it."""
    return bool(results.get("efficacy") == "never_hit" if "efficacy" in results else not results.get("requests_hit"))


def _stop(context: CommandContext, run: Mapping[str, Any]) -> int:
    """Stop it because of Ctrl-C. The exit code."""
    name = run["name"]
    try:
        stopped = context.remote.ask("POST", "/stop", {"experiment_name": name, "reason": "Ctrl-C"})
    except (Refused, Unreachable, KeyboardInterrupt) as error:
        if isinstance(error, Refused) and error.content.get("code") == "not_running":
            context.print_note(f"{name} had already ended.")
            return EXIT_INTERRUPTED
        why = "Interrupted before the answer." if isinstance(error, KeyboardInterrupt) else error.message
        context.print_note(
            f"NOT stopped. {why}\n{name} ends by itself at {_clock(run['end_time'])}.{how_to_stop(context, name)}"
        )
        return EXIT_REFUSED if isinstance(error, Refused) else EXIT_UNREACHABLE
    context.print_result(stopped, render.run(stopped))
    context.print_note(f"Stopped {name}. No process injects it after {_clock(stopped['effective_everywhere_by'])}.")
    return EXIT_INTERRUPTED


def how_to_stop(context: CommandContext, name: str) -> str:
    return f"\nCheck: {context.command(f'status {name}')}\nStop it: {context.command(f'stop {name}')}"


def _watched(context: CommandContext, run: Mapping[str, Any], recovery_seconds: float) -> Mapping[str, Any]:
    """The run as it ended, a moment later, when every environment has flushed its counts."""
    if not context.is_live:
        after = f", then up to {recovery_seconds:g} s more until it has recovered" if recovery_seconds else ""
        duration = f"{run['remaining_seconds']:g} s{after}"
        context.print_note(f"Started {run['name']} for {duration}. Press Ctrl-C to stop it.")
        return _followed(context, run, lambda _run: None, recovery_seconds)
    with Live(render.run(run), console=context.console, auto_refresh=False) as live:

        def draw(shown: Mapping[str, Any]) -> None:
            live.update(render.run(shown), refresh=True)

        return _followed(context, run, draw, recovery_seconds)


def _followed(
    context: CommandContext,
    run: Mapping[str, Any],
    draw: Callable[[Mapping[str, Any]], None],
    recovery_seconds: float,
) -> Mapping[str, Any]:
    """Raises Unreachable if nothing answers until long after its end; before that, it is asked again."""
    given_up_at = time.monotonic() + run["remaining_seconds"] + recovery_seconds + GIVEN_UP_SECONDS
    ended_at, waits_for, unreachable = math.inf, 0.0, False
    while time.monotonic() < ended_at + waits_for:
        time.sleep(POLL_SECONDS)
        try:
            run = _asked(context, run)
        except (Refused, Unreachable) as error:
            _check_passing(error, given_up_at)
            if not unreachable:
                context.print_note(f"{error.message}\nTrying again.")
            unreachable = True
            continue
        unreachable = False
        draw(run)
        if run["status"] != "running":
            ended_at = min(ended_at, time.monotonic())
            waits_for = FLUSHED_SECONDS + max(_open_seconds(run), 0.0 if _has_recovered(run) else recovery_seconds)
    return run


def _open_seconds(run: Mapping[str, Any]) -> float:
    """Requests that die are failures, so there is no verdict before that is known."""
    return OPEN_SECONDS if run["hypothesis"] and run["results"].get("open") else 0.0


def _has_recovered(run: Mapping[str, Any]) -> bool:
    found = run["results"].get("recovery") or {}
    return found.get("recovered_after_seconds") is not None


def _asked(context: CommandContext, run: Mapping[str, Any]) -> Mapping[str, Any]:
    """The run as it is now, also if another one has replaced it."""
    shown = context.remote.ask("GET", f"/status?experiment_name={run['name']}")
    if shown["run_id"] == run["run_id"]:
        return shown
    if run["status"] == "running":
        context.print_note(f"{shown['started_by']} replaced this run of {run['name']} by a new one.")
    report = json.loads(context.remote.text(f"/report?run_id={run['run_id']}&format=json"))
    replaced: Mapping[str, Any] = report["resultset"]["run"]
    return replaced


def _check_passing(error: Refused | Unreachable, given_up_at: float) -> None:
    """Raises the error unless trying again may help, and Unreachable if that was tried for too long."""
    if not is_passing(error):
        raise error
    if time.monotonic() > given_up_at:
        raise Unreachable(error.message) from error


def _clock(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone().strftime("%H:%M:%S")
