"""The table of a stage, for what is done to it directly."""

import getpass
import os
import socket
from dataclasses import replace

from ..development.embedded import rejoin
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
    if settings.development and not settings.endpoint_url and not rejoin(settings):
        raise Misconfigured(
            "The stage dev has a table only while a development server runs, and none runs in this folder. "
            "Start one here (make run), or set AWS_ENDPOINT_URL_DYNAMODB as that server has it."
        )
    return replace(settings, table_timeout_seconds=PATIENCE_SECONDS, enabled=True)


def user() -> str:
    """Who runs this command, on which machine."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"[:LONGEST_NAME]
    except (KeyError, OSError):  # a user that the machine has no name for
        return f"somebody@{socket.gethostname()}"[:LONGEST_NAME]
