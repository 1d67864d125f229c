"""Halt and resume: over HTTP, or past everything, directly in the table of a stage."""

import json
from typing import Annotated, Any

import typer

from ..access import Caller, Role
from ..api.http import Request
from .desk import Desk, desk_of
from .remote import Refused
from .stages import COMMAND_LINE, settings_of, user

Stage = Annotated[str, typer.Option(help="Directly in the table of this stage, with AWS credentials.")]


def halt(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why, for the history and for who tries to start.")],
    stage: Stage = "",
) -> None:
    """End everything that runs, and let nothing start until it is resumed."""
    desk = desk_of(context)
    halted = _pull(desk, "halt", {"reason": reason}, stage)
    desk.say(halted, json.dumps(halted, indent=2))


def resume(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    stage: Stage = "",
) -> None:
    """Let experiments be started again."""
    desk = desk_of(context)
    resumed = _pull(desk, "resume", {"reason": reason} if reason else {}, stage)
    desk.say(resumed, json.dumps(resumed, indent=2))


def _pull(desk: Desk, lever: str, body: dict[str, Any], stage: str) -> dict[str, Any]:
    """Who may write to the table may pull it there, also where no gateway answers."""
    if not stage:
        return desk.remote.ask("POST", f"/{lever}", body)
    settings = settings_of(stage)
    desk.tell(
        f"In the table {settings.table}, of the application {settings.application!r} and its stage {settings.stage!r} "
        "(CHAOS_TABLE, CHAOS_APPLICATION)."
    )
    api = desk.wire(settings).api()
    asked = Request(
        method="POST",
        path=f"/{lever}",
        body=json.dumps(body).encode(),
        caller=Caller(user(), Role.OPERATOR),
        source=COMMAND_LINE,
    )
    answer = api.handle(asked)
    if answer.content["error"]:
        raise Refused(answer.status, answer.content["error_message"], answer.content)
    resultset: dict[str, Any] = answer.content["resultset"]
    return resultset
