"""A run that was started, until it ends."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import typer
from rich.live import Live

from . import render
from .context import Desk
from .exits import ENDED_EARLY, FAILED, INTERRUPTED, REFUSED, UNREACHABLE
from .remote import Refused, Unreachable, is_passing

LOOK_SECONDS = 0.5
TELLING_SECONDS = 1.5
"""How long after the end of a run environments still flush their counts."""

GIVEN_UP_SECONDS = 10.0
"""How long after its planned end the state of a run is still asked for, where nothing answers."""


def attend(desk: Desk, run: Mapping[str, Any]) -> None:
    """Wait until it ends; Ctrl-C stops it. Exits with what came of it."""
    try:
        run = _watched(desk, run)
    except KeyboardInterrupt:
        raise typer.Exit(_stop(desk, run)) from None
    except Unreachable:
        desk.tell(
            f"It is unknown how {run['name']} ended. It ends by itself at {_clock(run['end_time'])} at the latest."
        )
        raise
    desk.give(run, *([] if desk.is_live else [render.run(run)]))
    if run["status"] != "completed":
        raise typer.Exit(ENDED_EARLY)
    if run["hypothesis"] and run["hypothesis"]["verdict"] == "failed":
        raise typer.Exit(FAILED)


def _stop(desk: Desk, run: Mapping[str, Any]) -> int:
    """Stop it because of Ctrl-C. The exit code."""
    name = run["name"]
    try:
        stopped = desk.remote.ask("POST", "/stop", {"experiment_name": name, "reason": "Ctrl-C"})
    except (Refused, Unreachable, KeyboardInterrupt) as error:
        if isinstance(error, Refused) and error.content.get("code") == "not_running":
            desk.tell(f"{name} had already ended.")
            return INTERRUPTED
        why = "Interrupted before the answer." if isinstance(error, KeyboardInterrupt) else error.message
        desk.tell(f"NOT stopped. {why}\n{name} ends by itself at {_clock(run['end_time'])}.{how_to_stop(desk, name)}")
        return REFUSED if isinstance(error, Refused) else UNREACHABLE
    desk.give(stopped, render.run(stopped))
    desk.tell(f"Stopped {name}. No process injects it after {_clock(stopped['effective_everywhere_by'])}.")
    return INTERRUPTED


def how_to_stop(desk: Desk, name: str) -> str:
    return f"\nCheck: {desk.command(f'status {name}')}\nStop it: {desk.command(f'stop {name}')}"


def _watched(desk: Desk, run: Mapping[str, Any]) -> Mapping[str, Any]:
    """The run as it ended, a moment later, when every environment has flushed its counts."""
    if not desk.is_live:
        desk.tell(f"Started {run['name']} for {run['remaining_seconds']:g} s. Press Ctrl-C to stop it.")
        return _followed(desk, run, lambda _run: None)
    with Live(render.run(run), console=desk.console, auto_refresh=False) as live:
        return _followed(desk, run, lambda shown: live.update(render.run(shown), refresh=True))


def _followed(desk: Desk, run: Mapping[str, Any], draw: Callable[[Mapping[str, Any]], None]) -> Mapping[str, Any]:
    """Raises Unreachable where nothing answers until long after its end; before that, it is asked again."""
    silent = False
    given_up_at = time.monotonic() + run["remaining_seconds"] + GIVEN_UP_SECONDS
    over_since: float | None = None
    while over_since is None or time.monotonic() < over_since + TELLING_SECONDS:
        time.sleep(LOOK_SECONDS)
        try:
            shown = desk.remote.ask("GET", f"/status?experiment_name={run['name']}")
            if shown["run_id"] != run["run_id"]:
                desk.tell(f"{shown['started_by']} replaced this run of {run['name']} by a new one.")
                shown = json.loads(desk.remote.text(f"/report?run_id={run['run_id']}&format=json"))["resultset"]["run"]
        except (Refused, Unreachable) as error:
            if not is_passing(error):
                raise
            if time.monotonic() > given_up_at:
                raise Unreachable(error.message) from error
            if not silent:
                desk.tell(f"{error.message}\nTrying again.")
            silent = True
            continue
        silent, run = False, shown
        draw(run)
        if run["status"] != "running" and over_since is None:
            over_since = time.monotonic()
    return run


def _clock(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone().strftime("%H:%M:%S")
