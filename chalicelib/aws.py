"""Sessions of botocore: the one place that decides which of the machine's AWS settings count.

They count as for boto3 in the same process, and AWS_REGION does where nothing else names a region. With the embedded
DynamoDB none of them counts.
"""

import os
from functools import cache
from typing import Any

from botocore.config import Config
from botocore.session import Session

from .settings import Settings

STAND_IN = "local"
"""Key and secret for a DynamoDB on this machine, which asks for some but checks none."""

STAND_IN_REGION = "us-east-1"
FILES = ("config_file", "credentials_file")


def session(settings: Settings) -> Session:
    """A new one: botocore's sessions are not safe to share between threads that make clients.

    The clients that it makes raise botocore's errors where a profile does not exist, a credential process fails, …
    """
    made = Session()
    region = settings.region or made.get_config_variable("region") or settings.fallback_region
    made.set_config_variable("region", region)
    return made


def table_session(settings: Settings) -> Session:
    """The session for the table. In development stand-ins do where nobody names a region or credentials."""
    if settings.embedded:
        return _isolated()
    made = session(settings)
    if settings.development and not made.get_config_variable("region"):
        made.set_config_variable("region", STAND_IN_REGION)
    if settings.development and not _has_credentials():
        made.set_credentials(STAND_IN, STAND_IN)
    return made


@cache
def _has_credentials() -> bool:
    """Asked once: where there are none, botocore waits for an instance's metadata service."""
    return Session().get_credentials() is not None


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
