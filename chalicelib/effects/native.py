"""Threads of the operating system, also where gevent has put greenlets in the place of Python's threads."""

import _thread
import sys
from collections.abc import Callable
from typing import Any

from ..server import is_about_to_fork, runs_threads
from .holder import Impossible


class Alarm:
    """Lets one thread of the operating system sleep until it is over, or its time is up."""

    def __init__(self) -> None:
        self._lock = _original("allocate_lock")()
        self._lock.acquire()
        self.is_over = False

    def sleep(self, seconds: float) -> None:
        self._lock.acquire(timeout=max(seconds, 0.0))

    def ring(self) -> None:
        """Once, from any thread."""
        self.is_over = True
        self._lock.release()


def start(call: Callable[[], None]) -> None:
    """Call it in a thread that keeps nothing from ending. Raises RuntimeError where there can be no more threads."""
    _original("start_new_thread")(call, ())


def require_threads() -> None:
    """Raises Impossible."""
    if not runs_threads():
        what_to_do = "It is about to fork it." if is_about_to_fork() else "Start it with --enable-threads."
        raise Impossible(f"uWSGI runs no threads in this process. {what_to_do}")
    eventlet: Any = sys.modules.get("eventlet.patcher")
    if eventlet and eventlet.is_monkey_patched("thread"):
        raise Impossible("eventlet has replaced the threads of this process.")


def _original(name: str) -> Any:  # noqa: ANN401 - a function of `_thread`
    gevent: Any = sys.modules.get("gevent.monkey")
    return gevent.get_original("_thread", name) if gevent else getattr(_thread, name)
