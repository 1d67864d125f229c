"""The table of a stage, for what is done to it directly."""

import getpass
import os
import socket
from dataclasses import replace

from ..development.embedded import prepared, rejoin
from ..errors import Misconfigured
from ..settings import KNOWN, OURS, Settings, read_settings

PATIENCE_SECONDS = 5.0
LONGEST_NAME = 64
COMMAND_LINE = "command line"


def settings_of(stage: str) -> Settings:
    """Raises Misconfigured. Names that may be misspelt are no reason not to halt."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(OURS) or name in KNOWN}
    settings = read_settings({**known, **({"CHAOS_STAGE": stage} if stage else {})})
    if settings.stage is None:
        raise Misconfigured("Which stage? Give --stage, or set CHAOS_STAGE.")
    if settings.development:
        if not settings.endpoint_url and not rejoin(settings):
            raise Misconfigured(
                "The stage dev has a table only while a development server runs, and none runs in this folder. "
                "Start one here, or set AWS_ENDPOINT_URL_DYNAMODB as that server has it."
            )
        settings = prepared(settings)
    return replace(settings, table_timeout_seconds=PATIENCE_SECONDS, enabled=True)


def user() -> str:
    """Who runs this command, on which machine."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"[:LONGEST_NAME]
    except (KeyError, OSError):  # a user that the machine has no name for
        return f"somebody@{socket.gethostname()}"[:LONGEST_NAME]
