"""Where the application makes a call: the nearest line of its own code."""

import os
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from types import FrameType

from .tasks import Task, current_task, suspended_frames, waiting_tasks

LONGEST = 100
"""How many characters of a place are kept: the last ones, which name the file and the line."""

# fmt: off
LIBRARIES = frozenset(
    {
        "a2wsgi", "aioboto3", "aiobotocore", "aiohttp", "aiomysql", "anyio", "apig_wsgi", "asgiref", "asyncpg",
        "attr", "aws_lambda_powertools", "aws_xray_sdk", "awsgi", "awslambdaric", "backoff", "boto3",
        "botocore", "celery", "chalice", "chaos_experiments", "datadog", "ddtrace", "django", "elasticsearch",
        "fastapi", "flask", "gevent", "google", "greenlet", "grpc", "gunicorn", "h11", "httpcore", "httpcore2",
        "httpx", "httpx2", "hypercorn", "jwt", "kombu", "mangum", "mongoengine", "MySQLdb", "newrelic",
        "openai", "opensearchpy", "opentelemetry", "peewee", "psycopg", "psycopg2", "psycopg_pool", "pymongo",
        "pymysql", "pynamodb", "redis", "requests", "requests_toolbelt", "retrying", "s3transfer", "sentry_sdk",
        "serverless_wsgi", "sniffio", "sqlalchemy", "stamina", "starlette", "stripe", "tenacity", "tornado",
        "trio", "twisted", "urllib3", "uvicorn", "uvloop", "waitress", "werkzeug", "wrapt", "zeep",
    }
)
# fmt: on
"""Top-level modules that are no application's own: clients, what retries, frameworks, servers, agents. In Lambda they
lie beside the application."""

INSTALLED = ("site-packages", "dist-packages")
LAYERS = "/opt/python"
"""Where Lambda has what layers bring."""

_STDLIB = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120 - compared with names of files, which are texts
_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120 - as above
TRIO = "trio._core._run"

Code = tuple[str, bool]
"""A file of Python as it is shown, and whether it is the application's own for sure. One that has been installed may be
its own, too: an application can be a package."""

_NEITHER: Code = ("", False)
"""The standard library, this module, a library that is known, code without a file."""


def place() -> str:
    """The line that makes the call which is being made: `shop/orders.py:42`. Empty where nobody can tell.

    Where the application hands a client's own coroutine to a task, as `gather` does, it is the line that waits for it.
    """
    task = current_task()
    frames = list(_frames(task))
    return _first(frames, is_own=True) or _first(_waiting_frames(task), is_own=True) or _first(frames, is_own=False)


def _first(frames: Iterable[FrameType], *, is_own: bool) -> str:
    for frame in frames:
        shown, owns = _code(frame.f_code.co_filename, frame.f_globals.get("__name__") or "")
        if shown and owns is is_own:
            return f"{shown}:{frame.f_lineno}"[-LONGEST:]
    return ""


def _frames(task: Task | None) -> Iterator[FrameType]:
    """From here outwards, to where the thread or the task begins: what is beyond runs the event loop."""
    root = None if task is None else getattr(task.get_coro(), "cr_frame", None)
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as `inspect` does it
    while frame is not None and frame.f_globals.get("__name__") != TRIO:
        yield frame
        if frame is root:
            return
        frame = frame.f_back


def _waiting_frames(task: Task | None) -> Iterator[FrameType]:
    for waiting in waiting_tasks(task) if task else ():
        yield from suspended_frames(waiting)


# Whose a file is


@lru_cache(maxsize=4096)
def _code(filename: str, module: str) -> Code:
    if filename.startswith(("<", _OWN)):
        return _NEITHER
    path, top = os.path.abspath(filename), module.partition(".")[0]  # noqa: PTH100 - as above
    is_installed = any(f"{os.sep}{folder}{os.sep}" in path for folder in INSTALLED) or path.startswith(LAYERS)
    if top in LIBRARIES or (path.startswith(_STDLIB) and not is_installed):
        return _NEITHER
    root = _root_of(path)
    shown = os.path.relpath(path, root) if root else os.path.basename(path)  # noqa: PTH119 - as above
    return shown, not (is_installed or _normal(top) in _distributions(root))


def _root_of(path: str) -> str:
    """The folder that a file is imported from, or the working directory; empty where it is below neither."""
    roots = {os.path.abspath(each) for each in (*sys.path, "")}  # noqa: PTH100 - as above
    return max((root for root in roots if path.startswith(root.rstrip(os.sep) + os.sep)), key=len, default="")


@lru_cache(maxsize=64)
def _distributions(root: str) -> frozenset[str]:
    """What has been installed beside the application, as pip notes it."""
    try:
        return frozenset(_normal(each.partition("-")[0]) for each in os.listdir(root) if each.endswith(".dist-info"))  # noqa: PTH208 - as above
    except OSError:
        return frozenset()


def _normal(name: str) -> str:
    return name.lower().replace("-", "_")
