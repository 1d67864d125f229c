"""Copies of this process, by a fork or from a snapshot of SnapStart: each is to be wired anew.

A copy must not have its original's name, random numbers, counts, locks and connections.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, Protocol
from weakref import WeakSet

SNAPSTART = ("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
"""A variable of Lambda, and what it is where the process may be restored many times from one snapshot."""


class Copied(Protocol):
    """What is in the memory of a copy as it was in the original."""

    def renew(self) -> None:
        """Be as before the first request. To be called in the copy."""

    def flush_last(self) -> None:
        """Flush what is pending, because copies forget it. To be called in the original."""


_copied: "WeakSet[Copied]" = WeakSet()
"""All of this process; the hooks below do not keep them alive."""


def renew_in_forks(module: Copied) -> None:
    """To be called when the module is made: a fork inherits locks that another thread may hold."""
    _copied.add(module)
    _hook_forks()


def renew_in_all_copies() -> None:
    """To be called when a module is wired, by when the host has loaded what it has for its own hooks."""
    if "uwsgi" in sys.modules:
        _hook_uwsgi()
    name, value = SNAPSTART
    if os.environ.get(name) == value:
        with suppress(ImportError):
            _hook_snapshots()


def _renew() -> None:
    for module in list(_copied):
        module.renew()


def _flush_last() -> None:
    for module in list(_copied):
        module.flush_last()


@cache
def _hook_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_renew)


@cache
def _hook_uwsgi() -> None:
    """UWSGI forks its workers without Python's hooks, unless it has `--py-call-osafterfork`; it has one of its own."""
    if decorators := sys.modules.get("uwsgidecorators"):  # which has that hook, and a list
        decorators.postfork_chain.append(_renew)
        return
    uwsgi: Any = sys.modules["uwsgi"]
    uwsgi.post_fork_hook = _both(_renew, getattr(uwsgi, "post_fork_hook", None))


def _both(first: Callable[[], None], then: Callable[[], object] | None) -> Callable[[], None]:
    def hook() -> None:
        first()
        if then:
            then()

    return hook


@cache
def _hook_snapshots() -> None:
    """Lambda's runtimes of Python have these hooks. Raises ImportError."""
    from snapshot_restore_py import (  # type: ignore[import-not-found] # noqa: PLC0415 - only where SnapStart is
        register_after_restore,
        register_before_snapshot,
    )

    register_before_snapshot(_flush_last)
    register_after_restore(_renew)
