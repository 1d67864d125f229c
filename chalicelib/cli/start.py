"""`start`: a command for each experiment, whose options are the parameters that the application publishes."""

import inspect
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.live import Live

from . import show
from .desk import Desk, desk_of
from .exits import ENDED_EARLY, FAILED, INTERRUPTED, REFUSED, UNREACHABLE
from .remote import Refused, Unreachable, is_passing

LOOK_SECONDS = 0.5
TELLING_SECONDS = 1.5
"""How long after a run's end environments still tell what they saw."""

GIVEN_UP_SECONDS = 10.0
"""How long after its planned end a run is asked for in vain."""

KINDS: Mapping[str, type] = {"number": float, "integer": int, "boolean": bool, "string": str}
HYPOTHESIS = ("max_error_rate", "p95_seconds", "min_requests", "abort")


def add_experiments(app: typer.Typer, experiments: Sequence[Mapping[str, Any]]) -> None:
    for experiment in experiments:
        app.command(experiment["name"], help=experiment["description"])(_command(experiment))


def _command(experiment: Mapping[str, Any]) -> Callable[..., None]:
    properties = experiment["parameters"]["properties"]

    def start(context: typer.Context, **given: Any) -> None:  # noqa: ANN401 - each of its option's type
        desk = desk_of(context)
        detach = given.pop("detach")
        said = {
            name: value for name, value in given.items() if name in properties or (value is not False and value != [])
        }
        said = {name: value for name, value in said.items() if value is not None}
        body = {name: value for name, value in said.items() if name not in HYPOTHESIS}
        if "alarm" in body:
            body["alarms"] = body.pop("alarm")
        if hypothesis := {name: said[name] for name in HYPOTHESIS if name in said}:
            body["hypothesis"] = hypothesis
        try:
            run = desk.remote.ask("POST", "/start", {"experiment_name": experiment["name"], **body})
        except KeyboardInterrupt:
            desk.tell(f"Interrupted before the answer: it may have been started. {_how_to_stop(experiment['name'])}")
            raise typer.Exit(UNREACHABLE) from None
        if detach:
            desk.give(run, show.run(run), f"Stop it with: chaos-experiments stop {run['name']}")
        else:
            _attend(desk, run)

    parameters = [inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    parameters += [_option(name, schema) for name, schema in properties.items()]
    parameters += COMMON
    start.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    start.__annotations__ = {each.name: each.annotation for each in parameters}
    start.__name__ = str(experiment["name"])
    return start


def _option(name: str, schema: Mapping[str, Any]) -> inspect.Parameter:
    """Not sent where it is not given: the default is the application's."""
    kind = KINDS[schema["type"]]
    limits: dict[str, Any] = {} if kind is bool else {"min": schema.get("minimum"), "max": schema.get("maximum")}
    option = typer.Option(help=schema.get("description", ""), show_default=str(schema["default"]), **limits)
    return _parameter(name, kind | None, option)


def _parameter(name: str, kind: Any, option: Any, default: Any = None) -> inspect.Parameter:  # noqa: ANN401 - any option
    annotation = Annotated[kind, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


RATE = "Hypothesis: the share of untouched requests that may fail."
ABORT = "Hypothesis: end the run when it fails beyond chance."
COMMON = [
    _parameter("reason", str | None, typer.Option(help="Why, for the history.")),
    _parameter("restart", bool, typer.Option("--restart", help="Replace the run that is running."), default=False),
    _parameter("alarm", list[str] | None, typer.Option(help="A CloudWatch alarm that ends the run; repeatable.")),
    _parameter("max_error_rate", float | None, typer.Option(help=RATE, min=0, max=1)),
    _parameter("p95_seconds", float | None, typer.Option(help="Hypothesis: within what time 95 of 100 are answered.")),
    _parameter("min_requests", int | None, typer.Option(help="Hypothesis: with fewer nobody can tell.", min=1)),
    _parameter("abort", bool, typer.Option("--abort", help=ABORT), default=False),
    _parameter("detach", bool, typer.Option("--detach", help="Do not wait for the end."), default=False),
]  # fmt: skip


def _attend(desk: Desk, run: Mapping[str, Any]) -> None:
    """Until it ends; Ctrl-C stops it. Exits with what came of it."""
    try:
        run = _watched(desk, run)
    except KeyboardInterrupt:
        raise typer.Exit(_stop(desk, run)) from None
    except Unreachable:
        desk.tell(f"Nobody knows how {run['name']} ended; by itself at {_clock(run['end_time'])} at the latest.")
        raise
    desk.give(run, *([] if desk.is_live else [show.run(run)]))
    if run["status"] != "completed":
        raise typer.Exit(ENDED_EARLY)
    if run["hypothesis"] and run["hypothesis"]["verdict"] == "failed":
        raise typer.Exit(FAILED)


def _stop(desk: Desk, run: Mapping[str, Any]) -> int:
    """The exit code of a run that Ctrl-C is to stop."""
    name = run["name"]
    try:
        stopped = desk.remote.ask("POST", "/stop", {"experiment_name": name, "reason": "Ctrl-C"})
    except (Refused, Unreachable, KeyboardInterrupt) as error:
        if isinstance(error, Refused) and error.content.get("code") == "not_running":
            desk.tell(f"{name} had ended already.")
            return INTERRUPTED
        why = "Interrupted before the answer." if isinstance(error, KeyboardInterrupt) else error.message
        desk.tell(f"NOT stopped. {why}\n{name} ends by itself at {_clock(run['end_time'])}. {_how_to_stop(name)}")
        return REFUSED if isinstance(error, Refused) else UNREACHABLE
    desk.give(stopped, show.run(stopped))
    desk.tell(f"Stopped {name}; obeyed everywhere by {_clock(stopped['effective_everywhere_by'])}.")
    return INTERRUPTED


def _how_to_stop(name: str) -> str:
    return f"Look: chaos-experiments status {name}. Stop it: chaos-experiments stop {name}"


def _watched(desk: Desk, run: Mapping[str, Any]) -> Mapping[str, Any]:
    """The run as it ended, and a moment later, when every environment has told what it saw."""
    if not desk.is_live:
        desk.tell(f"Started {run['name']} for {run['remaining_seconds']:g} s; Ctrl-C stops it.")
        return _followed(desk, run, lambda _run: None)
    with Live(show.run(run), console=desk.console, auto_refresh=False) as live:
        return _followed(desk, run, lambda shown: live.update(show.run(shown), refresh=True))


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
                desk.tell(f"{run['name']} was started anew by {shown['started_by']}.")
                shown = json.loads(desk.remote.text(f"/report?run_id={run['run_id']}&format=json"))["resultset"]["run"]
        except (Refused, Unreachable) as error:
            if not is_passing(error):
                raise
            if time.monotonic() > given_up_at:
                raise Unreachable(error.message) from error
            if not silent:
                desk.tell(f"{error.message} Trying again.")
            silent = True
            continue
        silent, run = False, shown
        draw(run)
        if run["status"] != "running" and over_since is None:
            over_since = time.monotonic()
    return run


def _clock(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone().strftime("%H:%M:%S")
