"""Sessions of botocore: the one place that decides which of the machine's AWS settings count.

All of them count as for boto3 in the same process, and AWS_REGION does where nothing else names a region. With the
embedded DynamoDB none of them counts.
"""

import os
from functools import cache
from typing import Any

from botocore.config import Config
from botocore.credentials import Credentials
from botocore.session import Session

from .settings import Settings

STAND_IN = "local"
"""Key and secret for a DynamoDB on this machine, which asks for some but checks none."""

STAND_IN_REGION = "us-east-1"
FILES = ("config_file", "credentials_file")


def session(settings: Settings) -> Session:
    """A new session, since botocore's are not safe to share between threads that make clients.

    The clients that it makes raise botocore's errors where a profile does not exist, a credential process fails, …
    """
    made = Session()
    region = settings.region or made.get_config_variable("region") or settings.fallback_region
    made.set_config_variable("region", region)
    return made


def table_session(settings: Settings) -> Session:
    """A session for the table. In development it has stand-ins for a region and credentials that nobody names."""
    if settings.embedded:
        return _isolated()
    made = session(settings)
    if settings.development:
        made.set_config_variable("region", made.get_config_variable("region") or STAND_IN_REGION)
        made.register_component("credential_provider", _Development())
    return made


class _Development:
    """A credential provider: the machine's own, or stand-ins where it has none."""

    def load_credentials(self) -> Credentials:
        return _credentials() or Credentials(STAND_IN, STAND_IN)


@cache
def _credentials() -> Credentials | None:
    """The machine's credentials, read once in a process: that may start a program, or wait for a metadata service."""
    return Session().get_credentials()


def _isolated() -> Session:
    """A session that reads no variable, no file and no proxy."""
    defaults: dict[str, Any] = {
        name: (None, None, os.devnull if name in FILES else default, conversion)
        for name, (_, _, default, conversion) in Session.SESSION_VARIABLES.items()
    }
    made = Session(session_vars=defaults)
    made.set_config_variable("region", STAND_IN_REGION)
    made.set_credentials(STAND_IN, STAND_IN)
    made.set_default_client_config(Config(proxies={}))
    return made
