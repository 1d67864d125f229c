"""`halt` and `resume`: over HTTP, or directly in the table of a stage. A halt tries both, and never waits for long."""

import json
import shlex
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

import typer

from ..access import Caller, Role
from ..api.http import Request
from ..bootstrap import Chaos
from ..errors import ChaosError
from ..settings import Settings
from ..time_limits import Attempt, TimeLimitExceeded
from .context import CommandContext, context_of
from .messages import Answer, explained
from .remote import PATIENCE_SECONDS, Refused, Unreachable
from .stages import COMMAND_LINE, settings_of, user

HTTP_SECONDS = 2.0
"""How long a halt waits for the application before it turns to the table."""

TABLE_SECONDS = 30.0
"""How long it waits for all that writing to the table takes: credentials, which may be asked for, and the table."""

Resultset = dict[str, Any]

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
    """End all runs at once, and refuse new ones until `resume`.

    Asks the application. If it does not do it within 2 seconds, writes to the table of its stage with AWS credentials:
    the stage of the profile, or else CHAOS_STAGE.
    """
    context = context_of(typer_context)
    halted, how = _halt(context, {"reason": reason}, stage)
    context.print_text(halted, json.dumps(halted, indent=2))
    context.print_note(
        f"Halted by {halted['halted_by']} at {halted['halted_at']}: {halted['reason']}. Nothing can be started.\n{how}"
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


Halted = tuple[Resultset, str]
"""The answer, and a sentence on how it was halted and how to resume."""


def _halt(context: CommandContext, body: Resultset, stage: str) -> Halted:
    """Raises Refused, Unreachable and ChaosError where it could not be done in any way."""
    if stage:
        return _in_the_table(context, body, partial(settings_of, stage))
    over_http = Attempt(partial(context.remote.ask, "POST", "/halt", body))
    try:
        return _over_http(context, over_http, HTTP_SECONDS)
    except (Refused, Unreachable, TimeLimitExceeded) as error:
        if isinstance(error, Refused) and error.status == HTTPStatus.BAD_REQUEST:
            raise  # the table would refuse it, too
        return _instead(context, body, over_http, error)


def _instead(context: CommandContext, body: Resultset, over_http: Attempt[Resultset], why: Exception) -> Halted:
    """In the table, because the application has refused, or does not answer in time. If that cannot be, wait for it."""
    known = context.table_variables
    if known:
        problem = f"Nothing answered within {HTTP_SECONDS:g} s." if isinstance(why, TimeLimitExceeded) else str(why)
        context.print_note(f"{problem}\nSo this halts directly in the table.")
        try:
            return _in_the_table(context, body, partial(settings_of, known["CHAOS_STAGE"], known))
        except (Refused, Unreachable, ChaosError) as error:
            hint = f"And not in the table: {error.message}"
    else:
        hint = _how_to_name_the_table(context, body["reason"])
    try:
        return _over_http(context, over_http, PATIENCE_SECONDS)
    except Refused as error:
        raise Refused(error.status, f"{error.message}\n{hint}", error.content) from error
    except Unreachable as error:
        raise Unreachable(f"{error.message}\n{hint}") from error
    except TimeLimitExceeded:
        raise Unreachable(f"{context.remote.url} does not answer.\n{hint}") from None


def _how_to_name_the_table(context: CommandContext, reason: str) -> str:
    return (
        f"To halt without the application: {context.program} halt --stage <stage> --reason {shlex.quote(reason)}\n"
        "`halt` does so by itself where CHAOS_STAGE is set, or where the profile in use has been added with --stage."
    )


def _over_http(context: CommandContext, attempt: Attempt[Resultset], seconds: float) -> Halted:
    halted = attempt.result(seconds)
    return halted, f"Done over HTTP, by {context.remote.url}. To end the halt: {context.command('resume')}"


def _in_the_table(context: CommandContext, body: Resultset, settings: Callable[[], Settings]) -> Halted:
    named = settings()
    attempt = Attempt(partial(_write, context, "halt", body, named))
    try:
        halted = attempt.result(TABLE_SECONDS)
    except TimeLimitExceeded:
        raise Unreachable(f"The table {named.table} did not answer within {TABLE_SECONDS:g} s.") from None
    resume = context.command(f"resume --stage {named.stage}")
    return halted, f"Done in the table {named.table}, without the application. To end the halt: {resume}"


def _send(context: CommandContext, action: str, body: Resultset, stage: str) -> Resultset:
    """Over HTTP; or in the table of the stage, where no application has to answer."""
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
