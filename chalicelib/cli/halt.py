"""`halt` and `resume`: over HTTP, or directly in the table of a stage."""

import json
import shlex
from contextlib import suppress
from typing import Annotated, Any

import typer

from ..access import Caller, Role
from ..api.http import Request
from ..bootstrap import Chaos
from ..errors import ChaosError
from ..settings import Settings
from .context import CommandContext, context_of
from .messages import Answer, explained
from .remote import Refused, Unreachable
from .stages import COMMAND_LINE, settings_of, user

Stage = Annotated[
    str,
    typer.Option(
        metavar="<stage>", help="Write to the table of this stage with AWS credentials, without asking the application."
    ),
]


def halt(
    typer_context: typer.Context,
    reason: Annotated[
        str, typer.Option(metavar="<text>", help="Why: for the history, and for operators who try to start.")
    ],
    stage: Stage = "",
) -> None:
    """End all runs at once, and refuse new ones until `resume`."""
    context = context_of(typer_context)
    try:
        halted = _send(context, "halt", {"reason": reason}, stage)
    except Unreachable as error:
        direct = f"halt --stage <stage> --reason {shlex.quote(reason)}"
        raise Unreachable(f"{error.message}\nTo halt without the application: {context.program} {direct}") from error
    context.print_text(halted, json.dumps(halted, indent=2))
    context.print_note(
        f"Halted by {halted['halted_by']} at {halted['halted_at']}: {halted['reason']}. Nothing can be started.\n"
        f"To end the halt: {context.command('resume')}{f' --stage {stage}' if stage else ''}"
    )


def resume(
    typer_context: typer.Context,
    reason: Annotated[str, typer.Option(metavar="<text>", help="Why, for the history.")] = "",
    stage: Stage = "",
) -> None:
    """End the halt: experiments can be started again. What it ended is not started again."""
    context = context_of(typer_context)
    resumed = _send(context, "resume", {"reason": reason} if reason else {}, stage)
    context.print_text(resumed, json.dumps(resumed, indent=2))
    context.print_note("The halt has ended: experiments can be started again.")


JSON = {"content-type": "application/json"}


def _is_new(chaos: Chaos) -> bool:
    """Whether what was done just now is alone in the history of this scope; False if that cannot be read."""
    with suppress(ChaosError):
        found = chaos.runs.history(since=0, until=chaos.clock() + 1, experiment=None, before=None, limit=2)
        return len(found.entries) == 1 and found.next is None
    return False


def _send(context: CommandContext, action: str, body: dict[str, Any], stage: str) -> dict[str, Any]:
    """Halt or resume: over HTTP; or in the table of the stage, where no application has to answer."""
    return (
        _write(context, action, body, settings_of(stage)) if stage else context.remote.ask("POST", f"/{action}", body)
    )


def _write(context: CommandContext, action: str, body: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Halt or resume in the table, for whoever may write to it."""
    context.print_note(
        f"Using the table {settings.table} (CHAOS_TABLE): application {settings.application} (CHAOS_APPLICATION), "
        f"stage {settings.stage}."
    )
    chaos = context.wire(settings)
    caller = Caller(user(), Role.OPERATOR)
    payload = json.dumps(body).encode()
    answer = chaos.api().handle(
        Request(method="POST", path=f"/{action}", headers=JSON, body=payload, caller=caller, source=COMMAND_LINE)
    )
    content = answer.content
    if content["error"]:
        refused = Answer(
            url="", status=answer.status, content=content, sent=body, program=context.program, command=context.command
        )
        raise Refused(answer.status, explained(refused), content)
    if _is_new(chaos):
        context.print_note(
            f"Warning: application {settings.application}, stage {settings.stage} has no other entry in its history. "
            "Is it the right one? An application has the name that its CHAOS_APPLICATION says."
        )
    resultset: dict[str, Any] = content["resultset"]
    return resultset
