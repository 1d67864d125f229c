"""`token`: who may use the API. Directly in the table of a stage."""

import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from ..access import ROLES, Token, new_token
from ..bootstrap import Chaos
from ..errors import UnknownToken
from ..runs.event import Action, Event
from .desk import desk_of
from .stages import COMMAND_LINE, LONGEST_NAME, settings_of, user

DAY = 24 * 3600
LONGEST_DAYS = 3650
SHOWN_HASH = 12
SHORTEST_HASH = 6

app = typer.Typer(help="Who may use the API.", no_args_is_help=True)


class Role(StrEnum):
    viewer = "viewer"
    operator = "operator"


Stage = Annotated[str, typer.Option(help="Of which stage (default: CHAOS_STAGE).")]


def _name(text: str) -> str:
    if not 1 <= len(text) <= LONGEST_NAME or not text.isprintable():
        raise typer.BadParameter(f"a name has 1 to {LONGEST_NAME} characters that can be seen")
    return text


def _days(days: float | None) -> float | None:
    if days is not None and not 0 < days <= LONGEST_DAYS:
        raise typer.BadParameter(f"{days:g} is not above 0, up to {LONGEST_DAYS}")
    return days


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Option(callback=_name, help="Whose it is, as it will stand in the history.")],
    role: Annotated[Role, typer.Option(help="A viewer looks and may halt, an operator acts.")],
    days: Annotated[
        float | None, typer.Option(callback=_days, help="How long it is valid (default: until revoked).")
    ] = None,
    stage: Stage = "",
) -> None:
    """Make a token; it is printed once, on the last line."""
    chaos = desk_of(context).wire(settings_of(stage))
    now = time.time()
    expires_at = now + days * DAY if days else None
    secret, token = new_token(name, ROLES[role.value], now=now, expires_at=expires_at)
    chaos.tokens.add(token)
    _remember(chaos, "token_created", token, now)
    told = f"Token of {token.name!r} ({token.role.word}), valid {_until(token.expires_at)}. It is not shown again:"
    desk_of(context).say({**_shown(token), "token": secret}, f"{told}\n{secret}")


@app.command("list")
def list_tokens(context: typer.Context, stage: Stage = "") -> None:
    """Show names, roles, and the hashes to revoke by."""
    desk = desk_of(context)
    tokens = desk.wire(settings_of(stage)).tokens.all()
    lines = [
        f"{each.hash[:SHOWN_HASH]}  {each.role.word:8}  {_until(each.expires_at):26}  {each.name}" for each in tokens
    ]
    desk.say({"tokens": [_shown(each) for each in tokens]}, "\n".join(lines) or "There are no tokens yet.")


@app.command()
def revoke(
    context: typer.Context,
    beginning: Annotated[
        str, typer.Argument(metavar="HASH", help="The beginning of its hash, as `token list` shows it.")
    ],
    stage: Stage = "",
) -> None:
    """Refuse a token from now on."""
    chaos = desk_of(context).wire(settings_of(stage))
    token = _only([token for token in chaos.tokens.all() if token.hash.startswith(beginning)], beginning)
    chaos.tokens.revoke(token.hash)
    _remember(chaos, "token_revoked", token, time.time())
    desk_of(context).say(_shown(token), f"Revoked the token of {token.name!r}.")


def _remember(chaos: Chaos, action: Action, token: Token, now: float) -> None:
    details = {name: value for name, value in _shown(token).items() if name != "expires_at"}
    unique = secrets.token_hex(4)
    chaos.runs.record(Event.of(action, now=now, by=user(), token=unique, source=COMMAND_LINE, details=details))


def _shown(token: Token) -> dict[str, str | None]:
    expires_at = None if token.expires_at is None else datetime.fromtimestamp(token.expires_at, UTC).isoformat()
    return {"hash": token.hash[:SHOWN_HASH], "name": token.name, "role": token.role.word, "expires_at": expires_at}


def _only(found: Sequence[Token], beginning: str) -> Token:
    if len(found) != 1 or len(beginning) < SHORTEST_HASH:
        raise UnknownToken(
            f"{len(found)} tokens begin with {beginning!r}. Give at least {SHORTEST_HASH} characters of one that "
            "`token list` shows."
        )
    return found[0]


def _until(expires_at: float | None) -> str:
    if expires_at is None:
        return "until revoked"
    return f"until {datetime.fromtimestamp(expires_at, UTC):%Y-%m-%d %H:%M} UTC"
