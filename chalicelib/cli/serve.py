"""`serve`: the control plane and the console as a server of their own, beside the application."""

import logging
import os
import signal
import socket
from dataclasses import replace
from typing import Annotated, Any

import typer

from ..api.endpoints import PREFIX
from ..bootstrap import Chaos
from ..errors import Misconfigured
from ..frameworks.control_plane import CONSOLE, ControlPlaneModule, control_plane
from ..settings import Settings, read_settings
from . import PACKAGE
from .context import context_of
from .stages import PATIENCE_SECONDS
from .usage import number

HOST = "127.0.0.1"
PORT = 8090
THREADS = 8
"""So many requests are answered at a time: each waits for the table, and for nothing else."""

MOST_BODY_BYTES = 1024 * 1024
"""What the server itself takes; the module refuses a larger body than 16 KB in its own words."""

INSTALL = "pip install 'waitress>=3'"


def serve(
    typer_context: typer.Context,
    host: Annotated[
        str, typer.Option(metavar="<address>", help=f"The address to listen at. Default: {HOST}, this machine alone.")
    ] = HOST,
    port: Annotated[
        int,
        typer.Option(
            parser=number("--port", type="integer", minimum=0, maximum=65535),
            metavar="<number>",
            help=f"The port. Allowed: from 0 to 65535; 0 is any free one. Default: {PORT}.",
        ),
    ] = PORT,
) -> None:
    """Serve the control plane on a port of its own.

    It is the application's control plane and console, which answer here also while the application does not. It needs
    the application's variables, such as CHAOS_STAGE, CHAOS_APPLICATION and CHAOS_TABLE, and credentials for the table;
    it accepts the same tokens. It injects nothing. SIGTERM or Ctrl-C ends it.
    """
    context = context_of(typer_context)
    create_server = _waitress()
    listening = _listen(host, port)
    with listening:
        chaos = context.wire(_settings())
        chaos.api()  # what is wrong is reported now, and the first request need not wait for imports
        url = _url(listening)
        context.print_text({"url": url + PREFIX, "console": url + PREFIX + CONSOLE}, _welcome(chaos, url))
        _log()
        signal.signal(signal.SIGTERM, _end)
        module = ControlPlaneModule(wire=lambda **_: chaos)
        server = create_server(
            control_plane(module), sockets=[listening], threads=THREADS, max_request_body_size=MOST_BODY_BYTES
        )
        server.run()  # until SystemExit or KeyboardInterrupt, which it takes for the end


def _waitress() -> Any:  # noqa: ANN401 - it has no types
    """Raises Misconfigured where it is not installed."""
    try:
        from waitress import create_server  # noqa: PLC0415 - of the extra `serve`
    except ModuleNotFoundError:
        raise Misconfigured(
            f"serve needs the server waitress, which is not installed. Install it: {INSTALL}, or install this package "
            "with the extra serve."
        ) from None
    return create_server


def _settings() -> Settings:
    """Of this process, which has the time to wait for the table: it serves nobody's requests but an operator's."""
    settings = read_settings(os.environ)
    return replace(settings, table_timeout_seconds=max(settings.table_timeout_seconds, PATIENCE_SECONDS))


def _listen(host: str, port: int) -> socket.socket:
    """Raises Misconfigured."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise Misconfigured(
            f"Cannot listen at {host}, port {port}: {error.strerror}. Choose another one with --host and --port."
        ) from error


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _welcome(chaos: Chaos, url: str) -> str:
    settings = chaos.settings
    lines = [
        f"Control plane of application {settings.application}, stage {settings.stage}, table {settings.table}",
        f"Console: {url}{PREFIX}{CONSOLE}",
        *([f"Operator token: {settings.dev_token}"] if settings.dev_token else []),
        "Ctrl-C ends it.",
    ]
    return "\n".join(lines)


def _log() -> None:
    """Who asked for what, on the standard error; of the libraries, what is wrong."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger(PACKAGE).setLevel(logging.INFO)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a request that waits a moment is nothing to tell


def _end(*_: object) -> None:
    raise SystemExit(0)
