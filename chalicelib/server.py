"""What is known of the server that runs this process: how long it lets a request take, which threads it runs."""

import math
import os
import signal
import sys
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from concurrent.futures import ThreadPoolExecutor

GUNICORN_SYNC = ("gunicorn.workers.sync", "SyncWorker")
"""The only kind of worker of gunicorn that `--timeout` ends in the middle of a request; the others serve in threads."""

UWSGI_TICK_SECONDS = 1.0
"""It counts whole seconds, from the beginning of the one in which the request began."""


def longest_request_seconds() -> float:
    """Infinite where the server has no limit, or none that it publishes to the process."""
    return min(_gunicorn(), _uwsgi())


def _gunicorn() -> float:
    """Its `--timeout`, wherever that was set: a worker handles SIGABRT itself, and has the configuration."""
    worker: Any = getattr(signal.getsignal(signal.SIGABRT), "__self__", None)
    if not any((base.__module__, base.__name__) == GUNICORN_SYNC for base in type(worker).__mro__):
        return math.inf
    return float(worker.cfg.timeout) or math.inf  # 0 is none


def _uwsgi() -> float:
    """Its `harakiri`, less what is lost by whole seconds: the module `uwsgi` is there in its processes only."""
    options: Any = getattr(sys.modules.get("uwsgi"), "opt", {})
    try:
        seconds = float(options.get("harakiri", options.get(b"harakiri")))
    except (TypeError, ValueError):  # it is not set
        return math.inf
    return seconds - UWSGI_TICK_SECONDS if seconds else math.inf


def is_lambda() -> bool:
    """Whether the process stands still when a call is answered."""
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ


def runs_threads() -> bool:
    """Whether threads run between requests: uWSGI lets none without `--enable-threads`; none should in its master."""
    return bool(getattr(sys.modules.get("uwsgi"), "has_threads", True)) and not is_about_to_fork()


def is_about_to_fork() -> bool:
    """Whether this is the master of uWSGI, which loads the application and forks its workers.

    It does not hold the interpreter's lock meanwhile. If another thread has it, no worker ever gets it.
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    return bool(uwsgi and getattr(uwsgi, "masterpid", int)() == os.getpid())


def executor_of(thread: "threading.Thread") -> "ThreadPoolExecutor | None":
    """The pool of the standard library that a thread works for."""
    given = getattr(thread, "_args", ())
    return next((found() for found in given if isinstance(found, weakref.ref)), None)
