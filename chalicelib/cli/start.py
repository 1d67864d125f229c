"""`start`: an experiment with options, or a scenario from a file."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ..errors import Misconfigured
from .context import CommandContext, context_of
from .exits import EXIT_UNREACHABLE
from .follow import Started, attend, how_to_stop
from .forms import OwnOption, Verb
from .scenario import HYPOTHESIS, read_scenario
from .usage import Wrong

Detach = Annotated[bool, typer.Option("--detach", help="Return at once; the run goes on until it ends.")]
AwaitRecovery = Annotated[
    bool,
    typer.Option(
        "--recovery",
        help="After the run wait until the application is within the bounds again, for up to 60 seconds.",
    ),
]
ScenarioFile = Annotated[
    str,
    typer.Option(
        "--file",
        metavar="<file>",
        help="Start the experiments in this JSON file together, all or none: a list of what `POST /start` takes. "
        "- is the standard input.",
    ),
]
OWN: Mapping[str, OwnOption] = {"detach": ("--detach", False, Detach), "recovery": ("--recovery", False, AwaitRecovery)}

NO_BOUNDS = "--recovery waits until the bounds of a hypothesis are kept: add --max-error-rate or --p95-seconds."
NO_BOUNDS_IN_FILE = "--recovery waits until the bounds of a hypothesis are kept, and the file has none: add one."
DETACHED = "--recovery waits, and --detach does not wait. Leave out one of them."
WHAT = "Start what? Give an experiment, or --file with several."
BOTH = "--file stands instead of an experiment: leave out one of the two."
BEFORE = "{} must stand after the experiment."
NO_SCENARIOS = (
    "The application has an older version of the module, which starts no list of experiments. Start each of them by "
    "itself, or update the application."
)


def start_file(
    typer_context: typer.Context, *, file: ScenarioFile = "", detach: Detach = False, recovery: AwaitRecovery = False
) -> None:
    """Start what a file says. With an experiment after it, that one's command does everything."""
    flags = [name for name, is_given in (("--detach", detach), ("--recovery", recovery)) if is_given]
    if typer_context.invoked_subcommand:
        if file or flags:
            raise Wrong(BOTH if file else BEFORE.format(" and ".join(flags)), ctx=typer_context)
        return
    if not file:
        raise Wrong(WHAT, ctx=typer_context)
    context = context_of(typer_context)
    body = read_scenario(file, typer_context)
    _check_waiting(
        typer_context, detach=detach, recovery=recovery, bounds=NO_BOUNDS_IN_FILE, bodies=body["experiments"]
    )
    if not context.has_labels:
        raise Misconfigured(NO_SCENARIOS)
    _start(context, body, "", detach=detach, recovery=recovery)


def start_experiment(typer_context: typer.Context, body: dict[str, Any], *, detach: bool, recovery: bool) -> None:
    """Start one experiment."""
    _check_waiting(typer_context, detach=detach, recovery=recovery, bounds=NO_BOUNDS, bodies=[body])
    words = f"--label {body['label']}" if "label" in body else body["experiment_name"]
    _start(context_of(typer_context), body, words, detach=detach, recovery=recovery)


def _check_waiting(
    typer_context: typer.Context, *, detach: bool, recovery: bool, bounds: str, bodies: list[Mapping[str, Any]]
) -> None:
    """Raises Wrong where there is nothing to wait for."""
    if recovery and (detach or not any(HYPOTHESIS in each for each in bodies)):
        raise Wrong(DETACHED if detach else bounds, ctx=typer_context)


def _start(context: CommandContext, body: Mapping[str, Any], words: str, *, detach: bool, recovery: bool) -> None:
    """`words` are what `stop` and `status` take for it; empty where that is not known before it has started."""
    try:
        answer = context.remote.ask("POST", "/start", body)
    except KeyboardInterrupt:
        hint = how_to_stop(context, words) if words else f"\nCheck: {context.command('list')}"
        context.print_note(f"Interrupted before the answer: the run may have started.{hint}")
        raise typer.Exit(EXIT_UNREACHABLE) from None
    started = Started.of(answer)
    if detach:
        context.print_result(answer, started.drawn())
        context.print_note(f"Stop it: {context.command(f'stop {started.words}')}")
    else:
        attend(context, started, recovery=recovery)


START = Verb("start", OWN, "--duration-seconds 60", start_experiment)
