"""Tasks of asyncio: which one runs, which ones wait for it, and whether one of them does so for a limited time only."""

import asyncio
import math
import sys
import threading
from asyncio.timeouts import Timeout
from collections.abc import Hashable, Iterator
from functools import partial
from types import FrameType
from typing import Any

MOST_TASKS = 8
"""How many tasks, each of which waits for the one before, are followed."""

MOST_FUTURES = 3
"""How many futures may lie between two of them."""

Task = asyncio.Task[Any]


def current_task() -> Task | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop of asyncio runs
        return None


def flow() -> Hashable:
    """What runs here: a task of asyncio, or a thread. What `wait_for` makes belongs to who waits."""
    task = current_task()
    if task is None:
        return threading.get_ident()
    for waiting in waiting_tasks(task):
        if not _is_waited_for(task):
            break
        task = waiting
    return id(task)


def waiting_tasks(task: Task) -> Iterator[Task]:
    """The task that waits for a task, the one that waits for that one, and so on, as far as they can be found."""
    waiting: Task | None = task
    for _ in range(MOST_TASKS):
        waiting = _waiting(waiting, MOST_FUTURES)
        if waiting is None:
            return
        yield waiting


def _waiting(future: Any, depth: int) -> Task | None:  # noqa: ANN401 - of any event loop
    """The task that goes on when a future is done: directly, or through what gathers several."""
    for callback, _ in getattr(future, "_callbacks", None) or ():
        for reached in _reached(callback):
            if isinstance(reached, asyncio.Task):
                return reached
            found = _waiting(reached, depth - 1) if depth and isinstance(reached, asyncio.Future) else None
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


def suspended_frames(task: Task) -> list[FrameType]:
    """Those of a task that waits, from the innermost outwards."""
    found: list[FrameType] = []
    coroutine: Any = task.get_coro()
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        found += [frame] if frame is not None else []
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return found[::-1]


def is_time_limited() -> bool:
    """Whether what is awaited here is given up after a time: by anyio, trio, `asyncio.timeout`, or `wait_for`."""
    if _deadline("trio") < math.inf or _deadline("anyio") < math.inf:
        return True
    task = current_task()
    return task is not None and any(map(_is_limited, (task, *waiting_tasks(task))))


def _deadline(library: str) -> float:
    try:
        deadline: float = sys.modules[library].current_effective_deadline()
    except Exception:  # noqa: BLE001 - it is not imported, or does not run here
        return math.inf
    return deadline


def _is_limited(task: Task) -> bool:
    scheduled = getattr(task.get_loop(), "_scheduled", ())  # not of uvloop
    limits = (getattr(handle._callback, "__self__", None) for handle in scheduled if not handle.cancelled())  # noqa: SLF001 - nothing else says it
    if any(isinstance(limit, Timeout) and getattr(limit, "_task", None) is task for limit in limits):
        return True
    return _is_waited_for(task)


def _is_waited_for(task: Task) -> bool:
    """Whether `wait_for` has made it, as it does before Python 3.12."""
    callbacks = (callback for callback, _ in getattr(task, "_callbacks", None) or ())
    return any(isinstance(each, partial) and each.func.__name__ == "_release_waiter" for each in callbacks)
