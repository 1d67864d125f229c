"""Threads of the process's pools that runs keep from work: a server's own, Starlette's limiter, asyncio's default."""

import gc
import logging
import math
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, thread
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..server import executor_of
from .base import ActiveRun
from .holder import Holding
from .places import Loop, PlacesHolder, running_loop

log = logging.getLogger(__name__)

THREADS = "held_threads"
"""Counter: threads that environments keep from work."""

LOOK_SECONDS = 0.25
"""After how long at most a thread that is held sees that its pool is shut down, for which the process waits."""

PAUSE_SECONDS = 1.0
"""How often it is seen whether a pool has become larger, or there is one more."""

NO_POOL = "its server has no pool of threads: it serves one request at a time, or each in its own."


Spawn = Callable[[Callable[[], Coroutine[Any, Any, None]]], object]
"""Lets a loop run a task; to be called on the loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How many threads of each pool go on to work."""

    threads_left: int


class Seat(ABC):
    """One thread of a pool, or the right to one. It is held from when the pool gives it, until `give_back`."""

    is_held = False

    @abstractmethod
    def give_back(self) -> None:
        """Now, or as soon as the pool has given it. From any thread; does not wait."""


class Pool(ABC):
    """A pool of threads. `seats` are those that are held, or asked for, by each run."""

    def __init__(self) -> None:
        self.seats: dict[HeldThreads, list[Seat]] = {}

    @property
    @abstractmethod
    def size(self) -> int:
        """How many threads work for it at most; 0 where nothing limits them, or it is not there yet."""

    @abstractmethod
    def ask(self, held: "HeldThreads") -> Seat:
        """Ask for one more. It may come later, when a thread is free. Raises RuntimeError where the pool is over."""

    def fill(self, held: "HeldThreads", threads_left: int) -> None:
        """Ask for as many as are to be held for a run, beside those for others. Give back what is too much."""
        own = self.seats.setdefault(held, [])
        of_others = sum(len(seats) for run, seats in self.seats.items() if run is not held)
        wanted = max(0, self.size - threads_left - of_others)
        with suppress(RuntimeError):
            while len(own) < wanted:
                own.append(self.ask(held))
        while len(own) > wanted:
            own[-1].give_back()
            own.pop()

    def empty(self, held: "HeldThreads") -> None:
        for seat in self.seats.get(held, ()):
            seat.give_back()
        self.seats.pop(held, None)


class HeldThreads(Holding):
    """The threads that are held for a run."""

    def __init__(self, run: ActiveRun, wanted: Wanted, clock: Callable[[], float], *, has_pool: bool) -> None:
        super().__init__(run)
        self.threads_left = wanted.threads_left
        self.pools: list[Pool] = []
        self._clock = clock
        self._has_pool = has_pool
        self._most = self._reported = 0

    @property
    def remaining_seconds(self) -> float:
        """Until its time is up, also where nobody looks."""
        return max(0.0, self.run.expires_at - self._clock())

    @property
    def seats(self) -> list[Seat]:
        return [seat for pool in self.pools for seat in pool.seats.get(self, ())]

    @property
    def number(self) -> int:
        """How many threads are held now."""
        return sum(seat.is_held for seat in self.seats)

    @property
    def problem(self) -> str | None:
        return None if self._has_pool or self.pools else NO_POOL

    @property
    def shown(self) -> Mapping[str, Any]:
        return {} if self.problem else {THREADS: self.number}

    def take_counters(self) -> Mapping[str, int]:
        """The most that were held at a time, as far as that was seen."""
        most = max(self._most, self.number)
        added, self._most, self._reported = most - self._reported, most, most
        return {THREADS: added} if added else {}

    def release(self) -> None:
        self._most = max(self._most, self.number)
        for pool in self.pools:
            pool.empty(self)


# Pools whose threads are kept busy


class Task(Seat):
    """Work for a pool's thread that lasts until the seat is given back; with the methods of a task of waitress."""

    def __init__(self, held: HeldThreads, is_ending: Callable[[], bool] = lambda: False) -> None:
        self._held = held
        self._is_ending = is_ending
        self._over = threading.Event()

    def service(self) -> None:
        """Keep the thread that calls it."""
        self.is_held = not self._over.is_set()
        while not (self._over.wait(LOOK_SECONDS) or self._is_ending() or not self._held.remaining_seconds):
            pass
        self.is_held = False

    def give_back(self) -> None:
        self._over.set()

    def cancel(self) -> None:
        """The server ends, and this has not begun."""


class ExecutorPool(Pool):
    """A pool of the standard library: that of gunicorn's threads, of a2wsgi, of asyncio."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        super().__init__()
        self._executor = executor

    @property
    def size(self) -> int:
        return self._executor._max_workers  # noqa: SLF001 - nothing else says it

    def ask(self, held: HeldThreads) -> Seat:
        task = Task(held, self._is_ending)
        self._executor.submit(task.service)
        return task

    def _is_ending(self) -> bool:
        """Whether it is shut down, or the process ends: both wait for its threads."""
        return bool(getattr(self._executor, "_shutdown", False) or getattr(thread, "_shutdown", False))


class DefaultExecutorPool(Pool):
    """The default executor of an event loop of asyncio, which the loop makes when it is first used."""

    def __init__(self, loop: object) -> None:
        super().__init__()
        self._loop = loop
        self._pool: ExecutorPool | None = None

    @property
    def size(self) -> int:
        return pool.size if (pool := self._found()) else 0

    def ask(self, held: HeldThreads) -> Seat:
        pool = self._found()
        if pool is None:
            raise RuntimeError("It is not there.")
        return pool.ask(held)

    def _found(self) -> ExecutorPool | None:
        """The loop refers to it; one of uvloop has no attribute that says so."""
        if self._pool is None:
            executor = next((each for each in gc.get_referents(self._loop) if _is_executor(each)), None)
            self._pool = executor and ExecutorPool(executor)
        return self._pool


def _is_executor(each: object) -> bool:
    return isinstance(each, ThreadPoolExecutor)


class WaitressPool(Pool):
    """The threads of waitress."""

    def __init__(self, dispatcher: Any) -> None:  # noqa: ANN401 - waitress's
        super().__init__()
        self._dispatcher = dispatcher

    @property
    def size(self) -> int:
        return len(self._dispatcher.threads) - int(self._dispatcher.stop_count)

    def ask(self, held: HeldThreads) -> Seat:
        task = Task(held, lambda: self._dispatcher.stop_count > 0)
        self._dispatcher.add_task(task)
        return task


# A limiter, whose tokens are borrowed: no thread waits


class Token(Seat):
    """A token of a limiter, which a task on its event loop holds."""

    def __init__(self, limiter: Any, loop: Loop, spawn: Spawn, held: HeldThreads) -> None:  # noqa: ANN401 - anyio's
        self._limiter = limiter
        self._loop = loop
        self._held = held
        self._is_over = False
        self._scope: Any = None
        loop.call_soon(partial(spawn, self._hold))

    async def _hold(self) -> None:
        from anyio import CancelScope, sleep  # noqa: PLC0415 - they are loaded already

        if self._is_over:
            return
        with CancelScope() as self._scope:
            async with self._limiter:
                self.is_held = True
                try:
                    await sleep(self._held.remaining_seconds)
                finally:
                    self.is_held = False

    def give_back(self) -> None:
        with suppress(RuntimeError):  # the loop is over, and so are its tasks
            self._loop.call_soon(self._end)

    def _end(self) -> None:
        self._is_over = True
        if self._scope:
            self._scope.cancel()


class LimiterPool(Pool):
    """What limits the threads of `anyio.to_thread`, in which Starlette and FastAPI run what is not async."""

    def __init__(self, limiter: Any, loop: Loop, spawn: Spawn) -> None:  # noqa: ANN401 - anyio's
        super().__init__()
        self._limiter = limiter
        self._loop = loop
        self._spawn = spawn

    @property
    def size(self) -> int:
        total: float = self._limiter.total_tokens
        return 0 if total == math.inf else int(total)

    def ask(self, held: HeldThreads) -> Seat:
        return Token(self._limiter, self._loop, self._spawn, held)


class ThreadPools(PlacesHolder[HeldThreads, Wanted, Pool]):
    """One thread is always left in each pool, also for all runs together."""

    def found(self) -> Iterator[tuple[Hashable, Callable[[], Pool]]]:
        loop = running_loop()
        return self._of_thread(threading.current_thread()) if loop is None else self._of_loop(loop)

    @staticmethod
    def _of_thread(current: threading.Thread) -> Iterator[tuple[Hashable, Callable[[], Pool]]]:
        executor = executor_of(current)
        if isinstance(executor, ThreadPoolExecutor):
            yield executor, partial(ExecutorPool, executor)
        dispatcher = getattr(getattr(current, "_target", None), "__self__", None)
        if hasattr(dispatcher, "add_task") and hasattr(dispatcher, "stop_count"):
            yield dispatcher, partial(WaitressPool, dispatcher)

    @staticmethod
    def _of_loop(loop: Loop) -> Iterator[tuple[Hashable, Callable[[], Pool]]]:
        create_task: Callable[[Any], object] | None = getattr(loop.key, "create_task", None)
        if create_task:
            yield loop.key, partial(DefaultExecutorPool, loop.key)
        if "anyio.to_thread" in sys.modules:
            yield (loop.key, "limiter"), partial(_limiter_of, loop)

    def take(self, run: ActiveRun, wanted: Wanted) -> HeldThreads:
        held = HeldThreads(run, wanted, self._clock, has_pool=bool(self._places))
        held.due_at = -math.inf
        return held

    def advance(self, holding: HeldThreads) -> None:
        """Hold what is free to be held by now."""
        holding.pools = list(self._places.values())
        for pool in holding.pools:
            pool.fill(holding, holding.threads_left)
        holding.due_at = self._clock() + PAUSE_SECONDS


def _limiter_of(loop: Loop) -> Pool:
    """To be called on the loop."""
    from anyio.to_thread import current_default_thread_limiter  # noqa: PLC0415 - it is loaded already

    return LimiterPool(current_default_thread_limiter(), loop, _spawner(loop.key))


def _spawner(loop: Any) -> Spawn:  # noqa: ANN401 - asyncio's, or a token of trio
    if not hasattr(loop, "create_task"):
        from trio.lowlevel import spawn_system_task  # noqa: PLC0415 - it is what runs

        return spawn_system_task
    tasks: set[Any] = set()

    def spawn(hold: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """A loop does not keep its tasks itself."""
        task = loop.create_task(hold())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return spawn
