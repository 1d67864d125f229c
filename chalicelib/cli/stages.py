"""The table of a stage, for what is done to it directly."""

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..bootstrap import Chaos
from ..development.embedded import rejoin
from ..errors import Misconfigured, StoreUnavailable
from ..settings import Settings, read_settings
from .desk import Desk

PATIENCE_SECONDS = 5.0
LONGEST_NAME = 64
MISSING = "ResourceNotFoundException"
COMMAND_LINE = "command line"


def settings_of(stage: str) -> Settings:
    """Raises Misconfigured."""
    settings = read_settings({**os.environ, **({"CHAOS_STAGE": stage} if stage else {})})
    if settings.stage is None:
        raise Misconfigured("Which stage? Give --stage, or set CHAOS_STAGE.")
    if settings.development and not settings.endpoint_url and not rejoin(settings):
        raise Misconfigured(
            "The stage dev has a table only while a development server runs, and none runs in this folder. "
            "Start one here (make run), or set AWS_ENDPOINT_URL_DYNAMODB as that server has it."
        )
    return replace(settings, table_timeout_seconds=PATIENCE_SECONDS, enabled=True)


@contextmanager
def wired(desk: Desk, stage: str) -> Iterator[Chaos]:
    """The module on the table of a stage. Raises Misconfigured, and StoreUnavailable where there is no such table."""
    settings = settings_of(stage)
    try:
        yield desk.wire(settings)
    except StoreUnavailable as error:
        if _code(error) != MISSING:
            raise
        region = settings.region or os.environ.get("AWS_REGION")
        where = f"the region {region}" if region else "the region of your AWS profile"
        raise StoreUnavailable(
            f"There is no table {settings.table} in {where} ({MISSING}); nothing was changed.\n"
            f"Is {settings.stage} the right stage? If the table has another name or is elsewhere, set CHAOS_TABLE, "
            "AWS_DEFAULT_REGION or AWS_PROFILE.\n"
            f"To create the table: {desk.program} table create --stage {settings.stage}"
        ) from error


def _code(error: BaseException | None) -> str:
    """DynamoDB's own code for what went wrong; empty where it did not answer."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        error = getattr(error, "cause", None) or error.__cause__
    return ""


def user() -> str:
    """Who runs this command, on which machine."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"[:LONGEST_NAME]
    except (KeyError, OSError):  # a user that the machine has no name for
        return f"somebody@{socket.gethostname()}"[:LONGEST_NAME]
