"""The servers, and how an application is served by each of them, in one process."""

import sys
from collections.abc import Callable
from pathlib import Path

from tests.contract.servers import BIN, Command
from tests.hosts.serving import chalice_local

HOSTS = "tests.hosts.dropped"
FLASK, FASTAPI = f"{HOSTS}.flask_host:app", f"{HOSTS}.fastapi_host:app"


def _of(program: str, *options: str, bind: str = "--bind") -> Command:
    return lambda _folder, port: [str(BIN / program), bind, f"127.0.0.1:{port}", *options]


def _gunicorn(*options: str) -> Command:
    return _of("gunicorn", "--workers", "1", "--keep-alive", "30", *options)


def _uvicorn(*options: str, app: str = FASTAPI) -> Command:
    return lambda _folder, port: [
        *(str(BIN / "uvicorn"), "--port", str(port), "--timeout-keep-alive", "30", *options, app)
    ]


def _hypercorn(*options: str) -> Command:
    return _of("hypercorn", "--graceful-timeout", "0", *options, FASTAPI)


def _python(text: str) -> Callable[[Path, int], list[str]]:
    """A server that is started by a program."""
    return lambda _folder, port: [sys.executable, "-c", text.format(port=port)]


WERKZEUG = """
from tests.hosts.dropped.flask_host import app
app.run(port={port}, threaded=True)
"""
PYWSGI = """
from gevent import monkey
monkey.patch_all()
from gevent.pywsgi import WSGIServer
from tests.hosts.dropped.flask_host import app
WSGIServer(("127.0.0.1", {port}), app, log=None).serve_forever()
"""
WSGIREF = """
from wsgiref.simple_server import make_server
from tests.hosts.dropped.flask_host import app
make_server("127.0.0.1", {port}, app).serve_forever()
"""
CHALICE = f"from {HOSTS}.chalice_host import app\n"


def _chalice(folder: Path, port: int) -> list[str]:
    command = chalice_local(f"{HOSTS}.chalice_host")(folder, port)
    (folder / "app.py").write_text(CHALICE)
    return command


def _uwsgi(_folder: Path, port: int) -> list[str]:
    options = ["--master", "--die-on-term", "--need-app", "--enable-threads", "--threads", "4", "--buffer-size", "8192"]
    return [str(BIN / "uwsgi"), "--http-socket", f"127.0.0.1:{port}", "--module", FLASK, *options]


SERVERS: dict[str, Command] = {
    "gunicorn": _gunicorn(FLASK),
    "gunicorn, threads": _gunicorn("--threads", "4", FLASK),
    "gunicorn, gevent": _gunicorn("--worker-class", "gevent", FLASK),
    "gunicorn, asgi": _gunicorn("--worker-class", "asgi", FASTAPI),
    "waitress": _of("waitress-serve", FLASK, bind="--listen"),
    "uWSGI": _uwsgi,
    "Werkzeug": _python(WERKZEUG),
    "gevent": _python(PYWSGI),
    "wsgiref": _python(WSGIREF),
    "uvicorn, h11": _uvicorn("--http", "h11", "--loop", "asyncio"),
    "uvicorn, httptools": _uvicorn("--http", "httptools", "--loop", "uvloop"),
    "uvicorn, wrapped": _uvicorn(app=f"{HOSTS}.fastapi_host:wrapped"),
    "hypercorn": _hypercorn(),
    "hypercorn, trio": _hypercorn("--worker-class", "trio"),
    "chalice local": _chalice,
}
RARE = ("gunicorn, asgi", "gevent", "wsgiref", "uvicorn, h11", "uvicorn, wrapped", "hypercorn, trio")
"""With `--whole-matrix` alone: each is near to another one."""
