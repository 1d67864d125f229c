"""The embedded DynamoDB for development: moto's server, in this process, on a free loopback port."""

import atexit
import logging
import secrets
from collections.abc import Sequence
from dataclasses import replace

from .settings import Settings

HOST = "127.0.0.1"


def embed_dynamodb() -> str:
    """Start a DynamoDB that lives as long as this process. Gives its URL."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - heavy, and only installed for development

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    atexit.register(server.stop)
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


def prepared(settings: Settings) -> Settings:
    """The settings with what development supplies where nobody else did: a DynamoDB and a token."""
    return replace(
        settings,
        endpoint_url=settings.endpoint_url or embed_dynamodb(),
        dev_token=settings.dev_token or secrets.token_urlsafe(16),
    )


def banner(settings: Settings, url: str, prefix: str) -> str:
    """What a developer sees at the start: where, with which token, and three lines to paste."""
    base = f"{url}{prefix}"
    token = f"-H 'Authorization: Bearer {settings.dev_token}'"
    json = "-H 'Content-Type: application/json'"
    body = '\'{"experiment_name": "latency_injection", "delay_seconds": 2, "duration_seconds": 60}\''
    return f"""
Chaos experiments, stage {settings.stage}: {base}
Token (an operator's): {settings.dev_token}

Start an experiment, feel it, stop it:
  curl -X POST {base}/start {token} {json} -d {body}
  curl -i {url}/
  curl -X POST {base}/stop {token} {json} -d '{{"experiment_name": "latency_injection"}}'
"""


def served_by_chalice_local(arguments: Sequence[str]) -> str | None:
    """The URL at which `chalice local`, started with these arguments, serves; None for any other program."""
    if not arguments or "local" not in arguments[1:] or not arguments[0].endswith(("chalice", "chalice.exe")):
        return None
    options = dict(zip(arguments, [*arguments[1:], ""], strict=True))
    options |= {name: value for name, found, value in (each.partition("=") for each in arguments) if found}
    host = options.get("--host", "localhost")
    return f"http://{'localhost' if host in {HOST, '0.0.0.0'} else host}:{options.get('--port', '8000')}"  # noqa: S104
