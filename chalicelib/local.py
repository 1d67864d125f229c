"""The embedded DynamoDB for development: moto's server, in this process, on a free loopback port."""

import logging
import secrets
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from .errors import Misconfigured
from .settings import Settings

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

HOST = "127.0.0.1"


class EmbeddedDynamoDB:
    """Moto's server in a thread of this process. `url` is where it answers."""

    def __init__(self) -> None:
        try:  # heavy, and installed for development only
            from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415
            from werkzeug.serving import make_server  # noqa: PLC0415
        except ImportError as error:
            raise Misconfigured(
                f"In the stage dev a DynamoDB is part of the process, and that needs moto ({error}). "
                "pip install 'chaos-experiments[dev]', or name a DynamoDB in AWS_ENDPOINT_URL_DYNAMODB."
            ) from error

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._application = DomainDispatcherApplication(create_backend_app)
        self._answering = threading.Lock()
        self._server = make_server(HOST, 0, self._one_at_a_time, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, name="embedded-dynamodb", daemon=True)
        self._thread.start()
        self.url = f"http://{HOST}:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _one_at_a_time(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        """Moto rolls a transaction back to a copy of all its tables, and so undoes what others did meanwhile."""
        with self._answering:
            answer: Iterable[bytes] = self._application(environ, start_response)
            return answer


@cache
def _embedded() -> EmbeddedDynamoDB:
    """The one that lives as long as this process."""
    return EmbeddedDynamoDB()


def prepared(settings: Settings) -> Settings:
    """The settings with what development supplies where nobody else did: a DynamoDB and a token."""
    return replace(
        settings,
        endpoint_url=settings.endpoint_url or _embedded().url,
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
Console: {base}/console

Start an experiment, feel it, stop it:
  curl -X POST {base}/start {token} {json} -d {body}
  curl -i {url}/
  curl -X POST {base}/stop {token} {json} -d '{{"experiment_name": "latency_injection"}}'
"""


def announce(settings: Settings, prefix: str) -> None:
    """In development, tell where the endpoints are and which token opens them; on the standard error, as servers do."""
    if settings.development:
        print(  # noqa: T201
            f"Chaos experiments, stage {settings.stage}: {prefix}, an operator's token is {settings.dev_token}",
            file=sys.stderr,
            flush=True,
        )


def served_by_chalice_local(arguments: Sequence[str]) -> str | None:
    """The URL at which `chalice local`, started with these arguments, serves; None for any other program."""
    if not arguments or "local" not in arguments[1:] or not arguments[0].endswith(("chalice", "chalice.exe")):
        return None
    options = dict(zip(arguments, [*arguments[1:], ""], strict=True))
    options |= {name: value for name, found, value in (each.partition("=") for each in arguments) if found}
    host = options.get("--host", "localhost")
    return f"http://{'localhost' if host in {HOST, '0.0.0.0'} else host}:{options.get('--port', '8000')}"  # noqa: S104
