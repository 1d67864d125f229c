"""The table of a stage, for what is done to it directly."""

import getpass
import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from ..development.embedded import prepared, rejoin
from ..errors import Misconfigured
from ..settings import KNOWN, OURS, Settings, read_settings

PATIENCE_SECONDS = 5.0
LONGEST_NAME = 64
COMMAND_LINE = "command line"
NONE: Mapping[str, str] = MappingProxyType({})


def settings_of(stage: str, named: Mapping[str, str] = NONE) -> Settings:
    """Settings of a stage of this machine's application; `named` are variables instead of this machine's.

    Raises Misconfigured.
    """
    settings = read_settings({**_variables(stage), **named})
    if settings.stage is None:
        raise Misconfigured("Which stage? Give --stage, or set CHAOS_STAGE.")
    if settings.development:
        settings = _of_the_development_server(settings)
    return replace(settings, table_timeout_seconds=PATIENCE_SECONDS, enabled=True)


def _variables(stage: str) -> dict[str, str]:
    """Without names that may be misspelt: they are no reason not to halt."""
    given = {**os.environ, "CHAOS_STAGE": stage or os.environ.get("CHAOS_STAGE", "")}
    return {name: value for name, value in given.items() if name in KNOWN or not name.startswith(OURS)}


def _of_the_development_server(settings: Settings) -> Settings:
    if settings.endpoint_url or rejoin(settings):
        return prepared(settings)
    raise Misconfigured(
        "The stage dev has a table only while a development server runs, and none runs in this folder. "
        "Start one here, or set AWS_ENDPOINT_URL_DYNAMODB as that server has it."
    )


def user() -> str:
    """Who runs this command, on which machine."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"[:LONGEST_NAME]
    except (KeyError, OSError):  # a user that the machine has no name for
        return f"somebody@{socket.gethostname()}"[:LONGEST_NAME]
