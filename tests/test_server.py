import math
import signal
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.workers.gthread import ThreadWorker
from gunicorn.workers.sync import SyncWorker

from chalicelib.server import longest_request_seconds


class Own(SyncWorker):
    """A subclass, as applications may have."""


@pytest.fixture(autouse=True)
def _no_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGABRT)
    yield
    signal.signal(signal.SIGABRT, before)


def served_by(kind: type, timeout: int) -> None:
    """As a worker of gunicorn leaves the process when it has begun."""
    worker = object.__new__(kind)
    worker.cfg = Config()
    worker.cfg.set("timeout", timeout)
    signal.signal(signal.SIGABRT, worker.handle_abort)


def test_a_process_that_no_such_server_runs_has_no_limit() -> None:
    assert longest_request_seconds() == math.inf


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None, SimpleNamespace().__repr__])
def test_a_handler_of_the_applications_is_none_of_gunicorns(handler: Any) -> None:
    signal.signal(signal.SIGABRT, handler)
    assert longest_request_seconds() == math.inf


@pytest.mark.parametrize(
    ("kind", "timeout", "expected"),
    [(SyncWorker, 30, 30.0), (Own, 5, 5.0), (SyncWorker, 0, math.inf), (ThreadWorker, 30, math.inf)],
)
def test_a_synchronous_worker_of_gunicorn_has_its_timeout(kind: type, timeout: int, expected: float) -> None:
    served_by(kind, timeout)
    assert longest_request_seconds() == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, math.inf), ({"harakiri": b"20"}, 19.0), ({b"harakiri": "20"}, 19.0), ({"harakiri": b"0"}, math.inf)],
)
def test_a_worker_of_uwsgi_has_its_harakiri(
    monkeypatch: pytest.MonkeyPatch, options: dict[Any, Any], expected: float
) -> None:
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt=options))
    assert longest_request_seconds() == expected
