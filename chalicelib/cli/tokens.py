"""`token`: who may use the API of a stage. Reads and writes the table of the stage."""

import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from ..access import ROLES, Token, new_token
from ..bootstrap import Chaos
from ..errors import UnknownToken
from ..runs.event import Action, Event
from .context import context_of
from .stages import COMMAND_LINE, LONGEST_NAME, settings_of, user
from .usage import Commands, choice, number, parser, shown

DAY = 24 * 3600
LONGEST_DAYS = 3650
SHOWN_HASH = 12
SHORTEST_HASH = 6

app = typer.Typer(
    help="Create, list and revoke the tokens of a stage. Needs AWS credentials.", cls=Commands, no_args_is_help=True
)


class Role(StrEnum):
    viewer = "viewer"
    operator = "operator"


Stage = Annotated[str, typer.Option(metavar="<stage>", help="The stage. Default: CHAOS_STAGE.")]


def _name(text: str) -> str:
    if not 1 <= len(text) <= LONGEST_NAME or not text.isprintable():
        raise ValueError(f"must be one line of 1 to {LONGEST_NAME} characters; got {shown(text)}.")
    return text


@app.command()
def create(
    typer_context: typer.Context,
    name: Annotated[
        str,
        typer.Option(parser=parser("--name", _name), metavar="<name>", help="The owner, as the history will show it."),
    ],
    role: Annotated[
        Role,
        typer.Option(
            parser=choice("--role", Role),
            metavar="<viewer|operator>",
            autocompletion=lambda: list(Role),
            help="A viewer can read and halt. An operator can do everything.",
        ),
    ],
    days: Annotated[
        float | None,
        typer.Option(
            parser=number("--days", type="number", exclusiveMinimum=0, maximum=LONGEST_DAYS),
            metavar="<number>",
            help=f"Days until it expires. Allowed: above 0, up to {LONGEST_DAYS}. Default: it never expires.",
        ),
    ] = None,
    stage: Stage = "",
) -> None:
    """Create a token and print it on the last line. It is shown only once."""
    chaos = context_of(typer_context).wire(settings_of(stage))
    now = time.time()
    expires_at = now + days * DAY if days else None
    secret, token = new_token(name, ROLES[role.value], now=now, expires_at=expires_at)
    chaos.tokens.add(token)
    _remember(chaos, "token_created", token, now)
    title = f"Token of {token.name} ({token.role.word}), valid {_until(token.expires_at)}. It is not shown again:"
    context_of(typer_context).print_text({**_shown(token), "token": secret}, f"{title}\n{secret}")


@app.command("list")
def list_tokens(typer_context: typer.Context, stage: Stage = "") -> None:
    """List the tokens: hash, role, expiry and name."""
    context = context_of(typer_context)
    tokens = context.wire(settings_of(stage)).tokens.all()
    lines = [
        f"{each.hash[:SHOWN_HASH]}  {each.role.word:8}  {_until(each.expires_at):26}  {each.name}" for each in tokens
    ]
    context.print_text({"tokens": [_shown(each) for each in tokens]}, "\n".join(lines) or "There are no tokens.")


@app.command()
def revoke(
    typer_context: typer.Context,
    beginning: Annotated[
        str, typer.Argument(metavar="hash", help="At least the first 6 characters of its hash; see `token list`.")
    ],
    stage: Stage = "",
) -> None:
    """Revoke a token: it is refused from now on."""
    chaos = context_of(typer_context).wire(settings_of(stage))
    token = _only([token for token in chaos.tokens.all() if token.hash.startswith(beginning)], beginning)
    chaos.tokens.revoke(token.hash)
    _remember(chaos, "token_revoked", token, time.time())
    context_of(typer_context).print_text(_shown(token), f"Revoked the token of {token.name}.")


def _remember(chaos: Chaos, action: Action, token: Token, now: float) -> None:
    details = {name: value for name, value in _shown(token).items() if name != "expires_at"}
    unique = secrets.token_hex(4)
    chaos.runs.record(Event.of(action, now=now, by=user(), token=unique, source=COMMAND_LINE, details=details))


def _shown(token: Token) -> dict[str, Any]:
    expires_at = _moment(token.expires_at)
    return {
        "hash": token.hash[:SHOWN_HASH],
        "name": token.name,
        "role": token.role.word,
        "expires_at": expires_at and expires_at.isoformat(),
    }


def _only(found: Sequence[Token], beginning: str) -> Token:
    if len(found) != 1 or len(beginning) < SHORTEST_HASH:
        raise UnknownToken(
            f"{len(found)} tokens begin with {shown(beginning)}; nothing was revoked. Give at least {SHORTEST_HASH} "
            "characters of one hash, as `token list` shows it."
        )
    return found[0]


def _until(expires_at: float | None) -> str:
    moment = _moment(expires_at)
    return f"until {moment:%Y-%m-%d %H:%M} UTC" if moment else "until revoked"


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
