"""The hosts of the soak: servers with several processes each, and functions behind their adapters to Lambda."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chalicelib.aws import STAND_IN, STAND_IN_REGION
from tests.contract.servers import BIN, HOSTS, SERVERS, Command

LAMBDA = Path(__file__).with_name("function.py")


def program(name: str, *options: str, host: str = "flask") -> Command:
    """A command line: `{port}` stands for the port. The application is `app:app`."""

    def command(folder: Path, port: int) -> list[str]:
        shutil.copy(HOSTS / f"{host}_host.py", folder / "app.py")
        return [str(BIN / name), *(option.replace("{port}", str(port)) for option in options)]

    return command


def gunicorn(*options: str) -> Command:
    return program("gunicorn", "--workers", "4", "--bind", "127.0.0.1:{port}", *options, "app:app")


def fleet(adapter: str, host: str) -> Command:
    return program("python", str(LAMBDA), adapter, "{port}", host=host)


@dataclass(frozen=True)
class Host:
    command: Command
    keeps_alive: bool = True
    """Whether a connection is for several requests."""
    variables: Mapping[str, str] = field(default_factory=dict)


UWSGI = ("--http-socket", "127.0.0.1:{port}", "--module", "app:app", "--need-app", "--die-on-term", "--master")
ACCOUNT = {
    "AWS_ACCESS_KEY_ID": STAND_IN,
    "AWS_SECRET_ACCESS_KEY": STAND_IN,
    "AWS_DEFAULT_REGION": STAND_IN_REGION,
}
"""The one of the control plane, which has none: DynamoDB Local has other tables for another key."""


HYPERCORN = ("--bind", "127.0.0.1:{port}", "--workers", "2", "--log-level", "warning", "app:app")

ALL: dict[str, Host] = {
    "chalice local": Host(SERVERS["chalice local"]),
    "gunicorn": Host(gunicorn(), keeps_alive=False),
    "gunicorn, threads": Host(gunicorn("--worker-class", "gthread", "--threads", "4")),
    "gunicorn, gevent": Host(gunicorn("--worker-class", "gevent")),
    "gunicorn, preloaded": Host(gunicorn("--preload"), keeps_alive=False),
    "uWSGI": Host(program("uwsgi", *UWSGI, "--processes", "4"), keeps_alive=False),
    "uvicorn": Host(SERVERS["fastapi, uvicorn"]),
    "hypercorn": Host(program("hypercorn", *HYPERCORN, host="fastapi")),
    "mangum": Host(fleet("mangum", "fastapi"), variables=ACCOUNT),
    "serverless-wsgi": Host(fleet("serverless_wsgi", "flask"), variables=ACCOUNT),
    "apig-wsgi": Host(fleet("apig_wsgi", "flask"), variables=ACCOUNT),
}

CONTROL_PLANE: Command = program("python", "-m", "chalicelib", "serve", "--port", "{port}")
"""The command of the documentation, as a process of its own: no load can keep an operator out."""
