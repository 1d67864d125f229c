import gc
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from chalicelib.effects.watcher import Watcher
from tests.loopback import until

HUNG = 30
"""Seconds after which a thread that should have ended is given up."""


class Holding:
    """An effect that holds something, and counts how often it was looked after."""

    def __init__(self) -> None:
        self.is_holding = True
        self.looks = 0
        self.watcher = Watcher(self, lambda _: time.sleep(0.001), "chaos-test")

    def watch_seconds(self) -> float:
        return 1.0

    def look(self) -> None:
        self.looks += 1
        self.is_holding = self.looks < 3


def test_it_lives_while_something_is_held_and_comes_again() -> None:
    effect = Holding()
    for _ in range(2):
        effect.looks, effect.is_holding = 0, True
        effect.watcher.watch()
        thread = effect.watcher.thread
        assert thread
        assert thread.daemon
        thread.join(HUNG)
        assert (effect.looks, effect.watcher.thread) == (3, None)


def test_an_effect_that_nobody_has_any_more_is_not_kept() -> None:
    effect = Holding()
    effect.look = lambda: None  # type: ignore[method-assign] # it holds on
    effect.watcher.watch()
    thread = effect.watcher.thread
    assert thread
    del effect
    gc.collect()
    thread.join(HUNG)
    assert not thread.is_alive()


def test_a_server_that_runs_no_threads_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(has_threads=False))  # type: ignore[arg-type]
    before = threading.active_count()
    effect = Holding()
    effect.watcher.watch()
    assert (effect.watcher.thread, threading.active_count()) == (None, before)


def test_one_that_the_host_ends_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    effect = Holding()
    ended: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: ended.append(args.exc_type))
    look, effect.look = effect.look, lambda: (_ for _ in ()).throw(GeneratorExit)  # type: ignore[method-assign]
    effect.watcher.watch()
    until(lambda: bool(ended))
    assert (ended, effect.watcher.thread) == ([GeneratorExit], None)
    effect.look = look  # type: ignore[method-assign]
    effect.watcher.watch()
    if thread := effect.watcher.thread:
        thread.join(HUNG)
    assert effect.looks == 3
