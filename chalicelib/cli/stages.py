"""The table of a stage, for what is done to it directly."""

import getpass
import os
import socket
from dataclasses import replace

from ..errors import Misconfigured
from ..settings import Settings, read_settings

PATIENCE_SECONDS = 5.0
LONGEST_NAME = 64
COMMAND_LINE = "command line"


def settings_of(stage: str) -> Settings:
    """Raises Misconfigured."""
    settings = read_settings({**os.environ, **({"CHAOS_STAGE": stage} if stage else {})})
    if settings.stage is None:
        raise Misconfigured("Which stage? Give --stage, or set CHAOS_STAGE.")
    if settings.development and not settings.endpoint_url:
        raise Misconfigured(
            "In the stage dev the table is inside the serving process, which prints a token of its own. "
            "To share a table, set AWS_ENDPOINT_URL_DYNAMODB for both."
        )
    return replace(settings, table_timeout_seconds=PATIENCE_SECONDS, enabled=True)


def user() -> str:
    """Who sits at this machine."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"[:LONGEST_NAME]
    except (KeyError, OSError):  # a user that the machine has no name for
        return f"somebody@{socket.gethostname()}"[:LONGEST_NAME]
