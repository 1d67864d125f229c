"""What went wrong at the table, in words that say what to do."""

import re

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    CredentialRetrievalError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from pynamodb.exceptions import PynamoDBException

from ..settings import Settings

MISSING = "ResourceNotFoundException"
IN_USE = "ResourceInUseException"
DENIED = "AccessDeniedException"
THROTTLED = ("ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded")
REJECTED = (
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "IncompleteSignatureException",
    "MissingAuthenticationTokenException",
    "ExpiredTokenException",
)
"""DynamoDB's codes for credentials that are not valid."""

NO_REGION: tuple[type[BotoCoreError], ...] = (NoRegionError, InvalidRegionError)
NO_CREDENTIALS: tuple[type[BotoCoreError], ...] = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    SSOError,
    ProfileNotFound,
    ConfigParseError,
    ConfigNotFound,
)
ACTION = re.compile(r"perform: (\S+)")
"""Where AWS names the action that the policy lacks: a transaction needs those of its parts."""


def cause_of(error: Exception) -> Exception:
    """What botocore said, where pynamodb wrapped it."""
    return (isinstance(error, PynamoDBException) and error.cause) or error


def error_code(error: Exception) -> str | None:
    """The table's own word for what is wrong, where it had one. (pynamodb's property fails on a time-out.)"""
    cause = cause_of(error)
    return cause.response.get("Error", {}).get("Code") if isinstance(cause, ClientError) else None


def explain(error: Exception, settings: Settings, *, may_be_made: bool) -> str:
    """The failure, what became of the change that was asked for, and the remedy."""
    cause, code = cause_of(error), error_code(error)
    what, remedy = _described(cause, code, settings)
    if may_be_made:
        return f"{what}; the change may have been made: check before you try again.{remedy}"
    return f"{what}; nothing was changed.{remedy}"


def _described(cause: Exception, code: str | None, settings: Settings) -> tuple[str, str]:
    """What is wrong, and what to do."""
    table = settings.table
    by_code = {
        MISSING: (
            f"Table {table} does not exist{_place(settings) or _region(settings)} ({code})",
            f" Check the stage, CHAOS_TABLE and the region; or create it: {_creation(settings)}",
        ),
        DENIED: (
            f"AWS denied {_action(cause)} on table {table} ({code})",
            " Allow it in the policy of this role or user; docs/aws.md has the policies.",
        ),
        **dict.fromkeys(
            THROTTLED, (f"DynamoDB throttled the request to table {table} ({code})", " Try again in a few seconds.")
        ),
        **dict.fromkeys(
            REJECTED,
            (f"AWS rejected the credentials ({code})", " Renew them, or correct AWS_PROFILE or AWS_ACCESS_KEY_ID."),
        ),
    }
    if code in by_code:
        return by_code[code]
    if isinstance(cause, NO_REGION):
        return f"No AWS region is known ({cause})", " Set AWS_DEFAULT_REGION, or the region of the profile."
    if isinstance(cause, NO_CREDENTIALS):
        return (
            f"There are no AWS credentials ({type(cause).__name__}: {cause})",
            " Set AWS_PROFILE or AWS_ACCESS_KEY_ID, log in again, or give this process a role.",
        )
    remedy = " Restart this process if the embedded DynamoDB has ended." if settings.embedded else ""
    return f"Table {table}{_place(settings)} is unreachable ({code or type(cause).__name__})", remedy


def _place(settings: Settings) -> str:
    return f" at {settings.endpoint_url}" if settings.endpoint_url else ""


def _region(settings: Settings) -> str:
    named = settings.region or settings.fallback_region
    return f" in the region {named}" if named else " in the region of the AWS profile"


def _action(cause: Exception) -> str:
    """What was denied."""
    denied = ACTION.search(str(cause))
    return denied[1] if denied else f"dynamodb:{getattr(cause, 'operation_name', '*')}"


def _creation(settings: Settings) -> str:
    """The command in full."""
    package = __package__.partition(".")[0]
    program = ".venv/bin/python -m chalicelib" if package == "chalicelib" else "chaos-experiments"
    usual = f"chaos-experiments-{settings.stage}"
    named = "" if settings.table == usual else f"CHAOS_TABLE={settings.table} "
    return f"{named}{program} table create --stage {settings.stage}"
