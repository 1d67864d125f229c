"""The thread that looks after an effect in a process without requests."""

import logging
import threading
from collections.abc import Callable
from typing import Protocol
from weakref import ref

from ..server import runs_threads

log = logging.getLogger(__name__)


class Watched(Protocol):
    """An effect that holds something."""

    @property
    def is_holding(self) -> bool:
        """Whether anything is held."""

    def watch_seconds(self) -> float:
        """How long nothing will be due."""

    def look(self) -> None:
        """Do what is due. May block."""


class Watcher:
    """A thread that lives while an effect holds something, and the effect itself does.

    Where the process is frozen, or its server runs no threads, the next request does the same.
    """

    def __init__(self, watched: Watched, sleep: Callable[[float], None], name: str) -> None:
        self._watched = ref(watched)
        self._sleep = sleep
        self._name = name
        self._changing = threading.Lock()
        self.thread: threading.Thread | None = None

    def watch(self) -> None:
        """To be called when something is held. Raises RuntimeError where the process may have no more threads."""
        if not runs_threads():
            return
        with self._changing:
            if self.thread is None:
                thread = threading.Thread(target=self._watch, name=self._name, daemon=True)
                thread.start()
                self.thread = thread

    def _watch(self) -> None:
        try:
            while not self._is_over():
                self._sleep(self._seconds())
                self._look()
        except BaseException as error:  # gevent's and the host's are no Exception
            with self._changing:
                self.thread = None
            if not isinstance(error, Exception):
                raise
            log.exception("The thread %s raised an exception; the next request does what it did", self._name)

    def _is_over(self) -> bool:
        with self._changing:
            watched = self._watched()
            if watched is not None and watched.is_holding:
                return False
            self.thread = None
            return True

    def _seconds(self) -> float:
        """Nothing here keeps the effect alive while the thread sleeps."""
        watched = self._watched()
        return watched.watch_seconds() if watched is not None else 0.0

    def _look(self) -> None:
        watched = self._watched()
        if watched is not None:
            watched.look()
