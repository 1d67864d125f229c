"""What a process looks like from inside. It answers on a connection of its own, which no server has to accept."""

import asyncio
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

OURS = ("chalicelib", "probe")
BEAT_SECONDS = 0.02
ATTRIBUTES = (ModuleType, property, staticmethod, classmethod)
"""What else may be patched, beside what can be called."""


class Probe:
    """Remembers what can be patched when it is made: to be made when all is imported, and before anything runs."""

    def __init__(self, now: Callable[[], list[float]]) -> None:
        self._now = now
        self._kept = _attributes()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._late = 0.0
        self._limiter: Any = None
        listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._answer, args=(listening,), name="probe", daemon=True).start()
        Path(os.environ["PROBES"], str(os.getpid())).write_text(str(listening.getsockname()[1]))

    def _answer(self, listening: socket.socket) -> None:
        """One asks, on one connection."""
        connection, _ = listening.accept()
        listening.close()
        with connection.makefile("rw") as lines:
            for _ in lines:
                print(json.dumps(self.report()), file=lines, flush=True)

    def report(self) -> dict[str, Any]:
        late, self._late = self._late, 0.0
        return {
            "threads": [thread.name for thread in threading.enumerate()],
            "patched": self._patched(),
            "settings": _settings(),
            "late_seconds": late,
            "has_loop": self._loop is not None,
            "free_tokens": self._limiter and self._limiter.available_tokens,
            "skews": [now - time.clock_gettime(time.CLOCK_REALTIME) for now in self._now()],
        }

    def _patched(self) -> list[str]:
        return sorted(".".join(key) for key, value in _attributes().items() if self._kept.get(key, value) is not value)

    async def beat(self) -> None:
        """How late the event loop is, for as long as it runs."""
        from anyio.to_thread import current_default_thread_limiter  # noqa: PLC0415 - only the host with a loop has it

        self._loop, self._limiter = asyncio.get_running_loop(), current_default_thread_limiter()
        while True:
            began = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)
            self._late = max(self._late, time.monotonic() - began - BEAT_SECONDS)


def _attributes() -> dict[tuple[str, ...], Any]:
    """Functions, classes and modules by where they are: in each module, and in each class of its own."""
    found: dict[tuple[str, ...], Any] = {}
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and not name.startswith(OURS):
            for key, value in list(vars(module).items()):
                _add(found, (name, key), value)
                if isinstance(value, type) and value.__module__ == name:
                    for attribute, of_class in list(vars(value).items()):
                        _add(found, (name, key, attribute), of_class)
    return found


def _add(found: dict[tuple[str, ...], Any], key: tuple[str, ...], value: object) -> None:
    if callable(value) or isinstance(value, ATTRIBUTES):
        found[key] = value


def _settings() -> dict[str, str]:
    """What a process has one of."""
    return {
        "switch interval": str(sys.getswitchinterval()),
        "garbage collection": str((gc.isenabled(), gc.get_threshold())),
        "time-out of sockets": str(socket.getdefaulttimeout()),
        "trace": str((sys.gettrace(), sys.getprofile())),
        "niceness": str(os.nice(0)),
        "processors": str(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else "",
        "working directory": str(Path.cwd()),
        **{
            each.name: str(signal.getsignal(each))
            for each in signal.valid_signals()
            if isinstance(each, signal.Signals)
        },
    }
