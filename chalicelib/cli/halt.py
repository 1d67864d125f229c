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
from .context import Desk, desk_of
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
    context: typer.Context,
    reason: Annotated[
        str, typer.Option(metavar="<text>", help="Why: for the history, and for operators who try to start.")
    ],
    stage: Stage = "",
) -> None:
    """End all runs at once, and refuse new ones until `resume`."""
    desk = desk_of(context)
    try:
        halted = _pull(desk, "halt", {"reason": reason}, stage)
    except Unreachable as error:
        direct = f"halt --stage <stage> --reason {shlex.quote(reason)}"
        raise Unreachable(f"{error.message}\nTo halt without the application: {desk.program} {direct}") from error
    desk.say(halted, json.dumps(halted, indent=2))
    desk.tell(
        f"Halted by {halted['halted_by']} at {halted['halted_at']}: {halted['reason']}. Nothing can be started.\n"
        f"To end the halt: {desk.command('resume')}{f' --stage {stage}' if stage else ''}"
    )


def resume(
    context: typer.Context,
    reason: Annotated[str, typer.Option(metavar="<text>", help="Why, for the history.")] = "",
    stage: Stage = "",
) -> None:
    """End the halt: experiments can be started again. What it ended is not started again."""
    desk = desk_of(context)
    resumed = _pull(desk, "resume", {"reason": reason} if reason else {}, stage)
    desk.say(resumed, json.dumps(resumed, indent=2))
    desk.tell("The halt has ended: experiments can be started again.")


def _is_new(chaos: Chaos) -> bool:
    """Whether nothing ever happened in this scope, besides what was done just now; False where nobody can tell."""
    with suppress(ChaosError):
        found = chaos.runs.history(since=0, until=chaos.clock() + 1, experiment=None, before=None, limit=2)
        return len(found) == 1
    return False


def _pull(desk: Desk, lever: str, body: dict[str, Any], stage: str) -> dict[str, Any]:
    """Over HTTP; or in the table, also where no application answers, for whoever may write to it."""
    if not stage:
        return desk.remote.ask("POST", f"/{lever}", body)
    settings = settings_of(stage)
    desk.tell(
        f"Using the table {settings.table} (CHAOS_TABLE): application {settings.application} (CHAOS_APPLICATION), "
        f"stage {settings.stage}."
    )
    asked = Request(
        method="POST",
        path=f"/{lever}",
        body=json.dumps(body).encode(),
        caller=Caller(user(), Role.OPERATOR),
        source=COMMAND_LINE,
    )
    chaos = desk.wire(settings)
    answer = chaos.api().handle(asked)
    if not answer.content["error"] and _is_new(chaos):
        desk.tell(
            f"Warning: application {settings.application}, stage {settings.stage} has no other entry in its history. "
            "Is it the right one? An application has the name that its CHAOS_APPLICATION says."
        )
    if answer.content["error"]:
        told = Answer(
            url="", status=answer.status, content=answer.content, sent=body, program=desk.program, command=desk.command
        )
        raise Refused(answer.status, explained(told), answer.content)
    resultset: dict[str, Any] = answer.content["resultset"]
    return resultset
