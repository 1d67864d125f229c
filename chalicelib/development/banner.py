"""The text at the start of a development server: where the endpoints are, and which token opens them."""

import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import Misconfigured
from ..settings import Settings, read_settings

log = logging.getLogger(__name__)

NO_SERVERS = {"", "-c", "-", "ipython", "pytest", "py", "mypy", "alembic", "celery"}


def banner(settings: Settings, url: str, prefix: str) -> str:
    """The text of `make run`: where the endpoints are, the token, and three lines to paste."""
    base = f"{url}{prefix}"
    token = f"-H {shlex.quote(f'Authorization: Bearer {settings.dev_token}')}"
    json = "-H 'Content-Type: application/json'"
    body = '\'{"experiment_name": "latency_injection", "delay_seconds": 2, "duration_seconds": 60}\''
    return f"""
Chaos experiments, stage {settings.stage}
Console: {base}/console
Operator token: {settings.dev_token}

Start an experiment, see its effect, stop it:
  curl -X POST {base}/start {token} {json} -d {body}
  curl -i {url}/
  curl -X POST {base}/stop {token} {json} -d '{{"experiment_name": "latency_injection"}}'
"""


def announce(prefix: str, settings: Settings | None, arguments: Sequence[str] | None = None) -> None:
    """Print at the start of a development server where the endpoints are and which token opens them. Never raises.

    Goes to the standard error, as servers do; what is wrong with the variables goes to the log, whatever the stage is.
    Connects to an embedded DynamoDB that is running already, which after a reload would end before the first request.
    """
    try:
        settings = settings or read_settings(os.environ)
        if settings.development and settings.enabled and _serves(arguments or sys.argv):
            _announce(prefix, settings)
    except Misconfigured as error:
        log.error("No faults are injected by this process: %s", error)  # noqa: TRY400 - its message says it all
    except Exception:
        log.warning("Could not announce the chaos experiments module", exc_info=True)


def _announce(prefix: str, settings: Settings) -> None:
    from . import embedded  # noqa: PLC0415 - for development only

    print(  # noqa: T201
        f"Chaos experiments, stage {settings.stage}: {prefix}/console, operator token: {embedded.token(settings)}",
        file=sys.stderr,
        flush=True,
    )
    embedded.rejoin(settings)


def _serves(arguments: Sequence[str]) -> bool:
    """Whether the program is a server: not a test, a line of Python, or another command of Flask's."""
    program = Path(arguments[0]) if arguments else Path()
    name = program.parent.name if program.name == "__main__.py" else program.stem
    return name not in NO_SERVERS and (name != "flask" or "run" in arguments)
