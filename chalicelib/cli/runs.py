"""`list`, `status`, `watch` and `stop`: what can be started, and what is running."""

import time
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape

from . import render
from .complete import active, known
from .context import CommandContext, context_of
from .names import called
from .remote import Refused, Unreachable, is_passing
from .usage import Wrong

Experiment = Annotated[
    str,
    typer.Argument(metavar="experiment", help="Its name, such as latency_injection.", autocompletion=known),
]
Label = Annotated[
    str,
    typer.Option("--label", metavar="<label>", autocompletion=active("label"), help="The run with this label."),
]
RunId = Annotated[
    str,
    typer.Option(
        "--run-id", metavar="<id>", autocompletion=active("run_id"), help="The run with this id; see `history`."
    ),
]
Scenario = Annotated[
    str,
    typer.Option(
        "--scenario",
        metavar="<id>",
        autocompletion=active("scenario"),
        help="The runs that were started together as this scenario.",
    ),
]


def _selected(typer_context: typer.Context, **chosen: str) -> dict[str, str]:
    """Which runs a command is for, as the endpoints take it. Raises Wrong unless it is said in exactly one way."""
    given = {name: text for name, text in chosen.items() if text}
    if len(given) == 1:
        return given
    problem = "Which run?" if not given else "Which run? It is named in more than one way."
    raise Wrong(f"{problem} Give an experiment, --label, --run-id or --scenario.", ctx=typer_context)


def list_experiments(typer_context: typer.Context) -> None:
    """List the experiments, their options, and what is running."""
    context = context_of(typer_context)
    listed = context.remote.ask("GET", "/list")
    context.print_result(
        listed, render.stage(listed), "", render.experiments(listed), *map(render.run, listed["active_experiments"])
    )


def stop(
    typer_context: typer.Context,
    experiment: Experiment = "",
    *,
    label: Label = "",
    run_id: RunId = "",
    scenario: Scenario = "",
    reason: Annotated[str, typer.Option(metavar="<text>", help="Why it is stopped, for the history.")] = "",
) -> None:
    """Stop an experiment: all its runs, or one run, or a scenario.

    It takes a second to reach every process of the application.
    """
    selected = _selected(typer_context, experiment_name=experiment, label=label, run_id=run_id, scenario=scenario)
    context = context_of(typer_context)
    answer = context.remote.ask("POST", "/stop", {**selected, **({"reason": reason} if reason else {})})
    stopped = answer.get("stopped_runs") or [answer]
    context.print_result(answer, *map(render.run, stopped))
    if len(stopped) > 1:
        context.print_note(f"Stopped {len(stopped)} runs: {', '.join(map(called, stopped))}.")


def status(
    typer_context: typer.Context,
    experiment: Experiment = "",
    *,
    label: Label = "",
    run_id: RunId = "",
    scenario: Scenario = "",
) -> None:
    """Show what runs of an experiment, or its last run.

    With an option instead of the experiment, show that run, or that scenario.
    """
    selected = _selected(typer_context, experiment_name=experiment, label=label, run_id=run_id, scenario=scenario)
    context = context_of(typer_context)
    answer = context.remote.ask("GET", "/status?" + urlencode(selected))
    context.print_result(answer, *map(render.run, answer.get("runs") or [answer]))


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
