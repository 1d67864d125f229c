"""What a developer reads at the start of a server: where the endpoints are, and which token opens them."""

import logging
import os
import sys

from ..errors import Misconfigured
from ..settings import Settings, read_settings

log = logging.getLogger(__name__)


def banner(settings: Settings, url: str, prefix: str) -> str:
    """What a developer sees at the start: where, with which token, and three lines to paste."""
    base = f"{url}{prefix}"
    token = f"-H 'Authorization: Bearer {settings.dev_token}'"
    json = "-H 'Content-Type: application/json'"
    body = '\'{"experiment_name": "latency_injection", "delay_seconds": 2, "duration_seconds": 60}\''
    return f"""
Chaos experiments, stage {settings.stage}: {base}
Operator token: {settings.dev_token}
Console: {base}/console

Start an experiment, see its effect, stop it:
  curl -X POST {base}/start {token} {json} -d {body}
  curl -i {url}/
  curl -X POST {base}/stop {token} {json} -d '{{"experiment_name": "latency_injection"}}'
"""


def announce(prefix: str, settings: Settings | None) -> None:
    """Say at the start of a development server where the endpoints are and which token opens them.

    Goes to the standard error, as servers do; what is wrong with the variables goes to the log, whatever the stage is.
    Keeps an embedded DynamoDB that is running already: after a reload it is needed before the first request comes.
    """
    try:
        settings = settings or read_settings(os.environ)
    except Misconfigured as error:
        log.error("No faults are injected by this process: %s", error)  # noqa: TRY400 - its message says it all
        return
    if settings.development and settings.enabled:
        from . import embedded  # noqa: PLC0415 - for development only

        print(  # noqa: T201
            f"Chaos experiments, stage {settings.stage}: {prefix}, operator token: {embedded.token(settings)}",
            file=sys.stderr,
            flush=True,
        )
        embedded.rejoin(settings)
