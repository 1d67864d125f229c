"""Where the application makes a call: the nearest line of its own code."""

import asyncio
import os
import sys
import threading
from collections.abc import Hashable, Iterator
from functools import lru_cache
from types import FrameType
from typing import Any

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
_TRIO = "trio._core._run"

Code = tuple[str, bool]
"""A file of Python as it is shown, and whether it is the application's own rather than a library's."""

_NEITHER: Code = ("", False)
"""The standard library, this module, code without a file."""


def place() -> str:
    """The line that makes the call which is being made: `shop/orders.py:42`. Empty where nobody can tell.

    Where the application hands a client's own coroutine to a task, as `gather` does, it is the line that waits for it.
    """
    frames = list(_frames())
    return _first(frames, is_own=True) or _first(_waiting_frames(), is_own=True) or _first(frames, is_own=False)


def flow() -> Hashable:
    """What makes the call: a task of asyncio, or a thread."""
    task = _task()
    return threading.get_ident() if task is None else id(task)


def _first(frames: Any, *, is_own: bool) -> str:  # noqa: ANN401 - frames, listed or not
    for frame in frames:
        shown, owns = _code(frame.f_code.co_filename, frame.f_globals.get("__name__") or "")
        if shown and owns is is_own:
            return f"{shown}:{frame.f_lineno}"[-LONGEST:]
    return ""


def _frames() -> Iterator[FrameType]:
    """From here outwards, to where the thread or the task begins: what is beyond runs the event loop."""
    root = _root()
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - as `inspect` does it
    while frame is not None and frame.f_globals.get("__name__") != _TRIO:
        yield frame
        if frame is root:
            return
        frame = frame.f_back


def _task() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop of asyncio runs
        return None


def _root() -> FrameType | None:
    task = _task()
    return None if task is None else getattr(task.get_coro(), "cr_frame", None)


# Who waits for the task that makes the call

MOST_TASKS = 8
"""How many tasks, each of which waits for the one before, are followed."""


def _waiting_frames() -> Iterator[FrameType]:
    task: Any = _task()
    for _ in range(MOST_TASKS):
        task = None if task is None else _waiting_task(task, 3)
        if task is None:
            return
        yield from reversed(list(_suspended(task.get_coro())))


def _suspended(coroutine: Any) -> Iterator[FrameType]:  # noqa: ANN401 - whatever can be awaited
    """The frames of a coroutine that waits, from the outermost inwards."""
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            yield frame
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)


def _waiting_task(future: Any, depth: int) -> "asyncio.Task[Any] | None":  # noqa: ANN401 - of any event loop
    """The task that goes on when a future is done, if it can be found: directly, or through what gathers several."""
    for callback, _ in getattr(future, "_callbacks", None) or ():
        for reached in _reached(callback):
            if isinstance(reached, asyncio.Task):
                return reached
            found = _waiting_task(reached, depth - 1) if depth and isinstance(reached, asyncio.Future) else None
            if found is not None:
                return found
    return None


def _reached(callback: Any) -> Iterator[Any]:  # noqa: ANN401 - as `add_done_callback` takes them
    owner = getattr(callback, "__self__", None)
    yield owner
    yield getattr(owner, "_parent_task", None)  # of a TaskGroup
    yield from getattr(callback, "args", ())  # wait_for
    for cell in getattr(callback, "__closure__", None) or ():  # gather, wait
        try:
            yield cell.cell_contents
        except ValueError:  # it is empty
            continue


# Whose a file is


@lru_cache(maxsize=4096)
def _code(filename: str, module: str) -> Code:
    if filename.startswith(("<", _OWN)):
        return _NEITHER
    path = os.path.abspath(filename)  # noqa: PTH100 - as above
    is_installed = any(f"{os.sep}{folder}{os.sep}" in path for folder in INSTALLED)
    if path.startswith(_STDLIB) and not is_installed:
        return _NEITHER
    root = _root_of(path)
    shown = os.path.relpath(path, root) if root else os.path.basename(path)  # noqa: PTH119 - as above
    return shown, not (is_installed or path.startswith(LAYERS) or _is_library(root, module.partition(".")[0]))


def _root_of(path: str) -> str:
    """The folder that a file is imported from, or the working directory; empty where it is below neither."""
    roots = {os.path.abspath(each) for each in (*sys.path, "")}  # noqa: PTH100 - as above
    return max((root for root in roots if path.startswith(root.rstrip(os.sep) + os.sep)), key=len, default="")


def _is_library(root: str, top: str) -> bool:
    return top in LIBRARIES or _normal(top) in _distributions(root)


@lru_cache(maxsize=64)
def _distributions(root: str) -> frozenset[str]:
    """What has been installed beside the application, as pip notes it."""
    try:
        return frozenset(_normal(each.partition("-")[0]) for each in os.listdir(root) if each.endswith(".dist-info"))  # noqa: PTH208 - as above
    except OSError:
        return frozenset()


def _normal(name: str) -> str:
    return name.lower().replace("-", "_")
