"""The command line: tokens, the table, the lever. What it makes is printed on the last line, for scripts to take."""

import argparse
import getpass
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from .access import ROLES, Caller, Role, Token, new_token
from .api.http import Request
from .bootstrap import Chaos, bootstrap
from .dynamodb.table import create_table
from .errors import ChaosError, Misconfigured, UnknownToken
from .runs.event import Action, Event
from .settings import Settings, read_settings

DAY = 24 * 3600
LONGEST_DAYS = 3650
LONGEST_NAME = 64
SHOWN_HASH = 12
SHORTEST_HASH = 6
PATIENCE_SECONDS = 5.0
COMMAND_LINE = "command line"


def main(arguments: Sequence[str], wire: Callable[[Settings], Chaos] = bootstrap) -> int:
    """Exit code 0, or 1 with a message that says what to do."""
    options = _parser().parse_args(arguments)
    try:
        settings = _settings(options.stage)
        if options.subject == "table":
            _make_table(settings)
        elif options.subject == "token":
            _manage_tokens(options, wire(settings))
        else:
            return _pull(options, wire(settings))
    except ChaosError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}", description="Chaos experiments.")
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="token|table|halt|resume")
    token = subjects.add_parser("token", help="who may use the API")
    commands = token.add_subparsers(dest="command", required=True, metavar="create|list|revoke")
    create = commands.add_parser("create", help="make a token; it is printed once, on the last line")
    create.add_argument("--name", required=True, type=_name, help="whose it is, as it will stand in the history")
    create.add_argument("--role", required=True, choices=list(ROLES), help="a viewer looks, an operator acts")
    create.add_argument("--days", type=_days, help="how long it is valid (default: until it is revoked)")
    listing = commands.add_parser("list", help="names, roles, and the hashes to revoke by")
    revoke = commands.add_parser("revoke", help="refuse a token from now on")
    revoke.add_argument("hash", help="the beginning of its hash, as `token list` shows it")
    table = subjects.add_parser("table", help="where runs and tokens are kept")
    make = table.add_subparsers(dest="command", required=True, metavar="create").add_parser(
        "create", help="make the table when it is missing"
    )
    halt = subjects.add_parser("halt", help="end everything that runs, and let nothing start")
    halt.add_argument("--reason", required=True, help="why, for the history and for who tries to start")
    resume = subjects.add_parser("resume", help="let experiments be started again")
    resume.add_argument("--reason", help="why, for the history")
    for command in (create, listing, revoke, make, halt, resume):
        command.add_argument("--stage", help="of which stage (default: CHAOS_STAGE)")
    return parser


def _settings(stage: str | None) -> Settings:
    settings = read_settings({**os.environ, **({"CHAOS_STAGE": stage} if stage else {})})
    if settings.stage is None:
        raise Misconfigured("Which stage? Give --stage, or set CHAOS_STAGE.")
    if settings.development and not settings.endpoint_url:
        raise Misconfigured(
            "In the stage dev the table is inside the serving process, which prints a token of its own. "
            "To share a table, set AWS_ENDPOINT_URL_DYNAMODB for both."
        )
    return replace(settings, table_timeout_seconds=PATIENCE_SECONDS, enabled=True)


def _make_table(settings: Settings) -> None:
    made = create_table(settings)
    print(f"The table {settings.table} {'is made' if made else 'was there already'}.")


def _pull(options: argparse.Namespace, chaos: Chaos) -> int:
    """The lever, past the API's gateway; who may write to the table may pull it."""
    body = json.dumps({"reason": options.reason} if options.reason else {}).encode()
    caller = Caller(_user(), Role.OPERATOR)
    asked = Request(method="POST", path=f"/{options.subject}", body=body, caller=caller, source=COMMAND_LINE)
    content = chaos.api().handle(asked).content
    if content["error"]:
        print(content["error_message"], file=sys.stderr)
        return 1
    print(json.dumps(content["resultset"], indent=2))
    return 0


def _user() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"[:LONGEST_NAME]
    except (KeyError, OSError):  # a user that the machine has no name for
        return f"somebody@{socket.gethostname()}"[:LONGEST_NAME]


def _manage_tokens(options: argparse.Namespace, chaos: Chaos) -> None:
    now = time.time()
    tokens = chaos.tokens

    def remember(action: Action, token: Token) -> None:
        details = {"hash": token.hash[:SHOWN_HASH], "name": token.name, "role": token.role.word}
        unique = secrets.token_hex(4)
        chaos.runs.record(Event.of(action, now=now, by=_user(), token=unique, source=COMMAND_LINE, details=details))

    if options.command == "create":
        expires_at = now + options.days * DAY if options.days else None
        secret, token = new_token(options.name, ROLES[options.role], now=now, expires_at=expires_at)
        tokens.add(token)
        remember("token_created", token)
        print(f"Token of {token.name!r} ({token.role.word}), valid {_until(token.expires_at)}. It is not shown again:")
        print(secret)
    elif options.command == "list":
        for token in tokens.all():
            print(f"{token.hash[:SHOWN_HASH]}  {token.role.word:8}  {_until(token.expires_at):26}  {token.name}")
    else:
        token = _only([token for token in tokens.all() if token.hash.startswith(options.hash)], options.hash)
        tokens.revoke(token.hash)
        remember("token_revoked", token)
        print(f"Revoked the token of {token.name!r}.")


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days <= LONGEST_DAYS:
        raise argparse.ArgumentTypeError(f"{text} is not above 0, up to {LONGEST_DAYS}")
    return days


def _name(text: str) -> str:
    if not 1 <= len(text) <= LONGEST_NAME:
        raise argparse.ArgumentTypeError(f"a name has 1 to {LONGEST_NAME} characters")
    return text


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
