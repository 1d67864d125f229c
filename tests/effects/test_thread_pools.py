import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trio
import uvloop
from waitress.task import ThreadedTaskDispatcher

from chalicelib.effects.thread_pools import NO_POOL, THREADS, ThreadPools, Wanted
from chalicelib.runs.run import Run
from tests.effects.support import surroundings
from tests.loopback import until
from tests.support import a_run

PATIENCE_SECONDS = 30


class Process:
    """An effect on the pools of this process; the test does what the watcher would."""

    def __init__(self) -> None:
        self.active: list[Run] = []
        self.ahead = 0.0
        self.counted = 0
        self.problems: list[str] = []
        self.effect = ThreadPools(
            surroundings(
                lambda: self.active,
                lambda: time.time() + self.ahead,
                count=self._count,
                record_problem=lambda _, problem: self.problems.append(problem),
            )
        )
        self.effect._watcher.watch = lambda: None  # type: ignore[method-assign]

    def _count(self, _: object, counts: Any) -> None:
        self.counted += counts[THREADS]

    def start(self, token: str = "1", *, left: int = 1, lasts: float = 600.0) -> Run:
        run = a_run("thread_pool_exhaustion", now=time.time(), token=token, duration_seconds=lasts)
        self.active.append(run)
        self.call(run, left=left)
        return run

    def call(self, run: Run, *, left: int = 1) -> Any:
        self.effect.meet()
        details, counters = self.effect.hold(run, Wanted(threads_left=left))
        self.counted += counters.get(THREADS, 0)
        return details

    def look(self) -> None:
        """As the watcher, when the next step is due."""
        for held in self.effect.holdings:
            held.due_at = 0.0
        self.effect.look()

    def stop(self, *runs: Run) -> None:
        for run in runs or tuple(self.active):
            self.active.remove(run)
        self.effect.look()

    @property
    def held(self) -> int:
        return sum(seat.is_held for held in self.effect.holdings for seat in held.seats)


@pytest.fixture
def process() -> Iterator[Process]:
    process = Process()
    yield process
    process.effect.release_all()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


class Work:
    """Work for threads: how many do it at a time."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.changing = threading.Lock()
        self.at_work = 0

    def __call__(self) -> None:
        with self.changing:
            self.at_work += 1
        self.over.wait(PATIENCE_SECONDS)
        with self.changing:
            self.at_work -= 1


def free_threads(submit: Callable[[Callable[[], None]], object], most: int, *, at_least: int = 0) -> int:
    """How many threads of a pool work, when there is work for more. Waits for as many as are expected."""
    work = Work()
    for _ in range(most + 2):
        submit(work)
    until(lambda: work.at_work >= at_least)
    before = -1
    while work.at_work != before:  # as long as there come more
        before = work.at_work
        time.sleep(0.1)
    work.over.set()
    until(lambda: not work.at_work)
    return before


# Pools of the standard library: gunicorn's


@pytest.mark.parametrize("left", [1, 3])
def test_all_threads_but_so_many_are_held_and_work_again(process: Process, pool: ThreadPoolExecutor, left: int) -> None:
    pool.submit(process.start, left=left).result()
    until(lambda: process.held == 4 - left)
    assert free_threads(pool.submit, 4, at_least=left) == left
    process.stop()
    until(lambda: free_threads(pool.submit, 4) == 4)
    assert process.counted == 4 - left


def test_where_as_many_are_left_as_there_are_none_is_held(process: Process, pool: ThreadPoolExecutor) -> None:
    pool.submit(process.start, left=4).result()
    pool.submit(process.start, "2", left=9).result()
    assert free_threads(pool.submit, 4, at_least=4) == 4


def test_what_is_busy_is_held_when_it_is_free(process: Process, pool: ThreadPoolExecutor) -> None:
    run = pool.submit(process.start).result()
    process.stop(run)
    work = Work()
    for _ in range(3):
        pool.submit(work)
    until(lambda: work.at_work == 3)
    run = pool.submit(process.start, "2").result()
    until(lambda: process.held == 1)
    work.over.set()
    until(lambda: process.held == 3)
    process.look()
    assert process.counted >= 3


def test_two_runs_together_leave_one(process: Process, pool: ThreadPoolExecutor) -> None:
    one = pool.submit(process.start, "1").result()
    pool.submit(process.start, "2").result()
    until(lambda: process.held == 3)
    assert free_threads(pool.submit, 4, at_least=1) == 1
    process.stop(one)
    process.look()
    until(lambda: process.held == 3)
    assert free_threads(pool.submit, 4, at_least=1) == 1


def test_a_pool_that_is_shut_down_is_not_kept(process: Process) -> None:
    with ThreadPoolExecutor(4) as pool:
        pool.submit(process.start).result()
        until(lambda: process.held == 3)
    assert process.held == 0
    process.look()


def test_a_run_whose_time_is_up_holds_none_also_where_nobody_looks(process: Process, pool: ThreadPoolExecutor) -> None:
    pool.submit(process.start, lasts=60).result()
    until(lambda: process.held == 3)
    process.ahead = 61
    until(lambda: process.held == 0)


def test_each_pool_that_serves_is_held(process: Process, pool: ThreadPoolExecutor) -> None:
    run = pool.submit(process.start).result()
    with ThreadPoolExecutor(3) as other:
        other.submit(process.call, run).result()
        until(lambda: process.held == 3 + 2)
        process.stop()
    assert free_threads(pool.submit, 4, at_least=4) == 4


def test_nothing_of_the_pools_is_kept_after_the_runs(process: Process) -> None:
    pool = ThreadPoolExecutor(2)
    pool.submit(process.start).result()
    process.stop()
    pool.shutdown()
    kept = weakref.ref(pool)
    del pool
    gc.collect()
    assert kept() is None


def test_a_thread_of_no_pool_says_so(process: Process, caplog: pytest.LogCaptureFixture) -> None:
    run = process.start()
    assert process.call(run) == {"problem": NO_POOL}
    assert process.problems == [NO_POOL]
    assert len(NO_POOL) <= 100
    assert f"Run {run.run_id} holds nothing in this environment: {NO_POOL}" in caplog.text


def test_a_fork_leaves_those_of_its_original_alone(process: Process, pool: ThreadPoolExecutor) -> None:
    pool.submit(process.start).result()
    until(lambda: process.held == 3)
    (held,) = process.effect.holdings
    process.effect.abandon()
    assert not process.effect.is_holding
    assert held.number == 3
    held.release()


# waitress


def test_the_threads_of_waitress_are_held(process: Process) -> None:
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.set_thread_count(4)

    class Task:
        def __init__(self, service: Callable[[], object]) -> None:
            self.service = service

    def submit(call: Callable[[], object]) -> None:
        dispatcher.add_task(Task(call))

    try:
        submit(process.start)
        until(lambda: process.held == 3)
        assert free_threads(submit, 4, at_least=1) == 1
        process.stop()
        until(lambda: free_threads(submit, 4) == 4)
        submit(lambda: process.start("2"))
        until(lambda: process.held == 3)
    finally:
        began = time.monotonic()
        dispatcher.shutdown()
    assert time.monotonic() - began < 4, "it waits for 5 s for threads that do not end"


# Event loops


async def until_async(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - what happens elsewhere sets no event
            await anyio.sleep(0.01)


async def borrowed_and_given_back(process: Process) -> None:
    limiter = anyio.to_thread.current_default_thread_limiter()
    run = process.start(left=2)
    await until_async(lambda: limiter.borrowed_tokens == limiter.total_tokens - 2)
    await until_async(lambda: process.call(run, left=2) == {THREADS: limiter.total_tokens - 2})
    assert await anyio.to_thread.run_sync(lambda: 1) == 1, "what is left works"
    process.look()
    assert limiter.borrowed_tokens == limiter.total_tokens - 2, "no more than once"
    limiter.total_tokens += 3  # by the application
    process.look()
    await until_async(lambda: limiter.borrowed_tokens == limiter.total_tokens - 2)
    limiter.total_tokens -= 10
    process.look()
    await until_async(lambda: limiter.borrowed_tokens == limiter.total_tokens - 2)
    process.stop()
    await until_async(lambda: limiter.borrowed_tokens == 0)


async def waits_and_gives_up(process: Process) -> None:
    """While the application has all of them, it waits for them as others do; and no longer than the run lasts."""
    limiter = anyio.to_thread.current_default_thread_limiter()
    limiter.total_tokens = 3
    for name in "abc":
        limiter.acquire_on_behalf_of_nowait(name)
    process.start()
    await until_async(lambda: limiter.statistics().tasks_waiting == 2)
    process.stop()
    await until_async(lambda: limiter.statistics().tasks_waiting == 0)
    for name in "abc":
        limiter.release_on_behalf_of(name)
    assert limiter.borrowed_tokens == 0


async def is_over_with_its_time(process: Process) -> None:
    limiter = anyio.to_thread.current_default_thread_limiter()
    process.start(lasts=2.0)
    await until_async(lambda: limiter.borrowed_tokens > 0)
    await until_async(lambda: limiter.borrowed_tokens == 0)


async def ends_with_its_loop(process: Process) -> None:
    process.start()
    await until_async(lambda: process.held > 0)


Body = Callable[[Process], Awaitable[None]]
LIMITED = [borrowed_and_given_back, waits_and_gives_up, is_over_with_its_time, ends_with_its_loop]


@pytest.mark.parametrize("body", LIMITED)
@pytest.mark.parametrize("library", ["asyncio", "uvloop", "trio"])
def test_tokens_of_the_limiter_are_borrowed(process: Process, body: Body, library: str) -> None:
    if library == "trio":
        trio.run(body, process)
    else:
        run: Any = uvloop.run if library == "uvloop" else asyncio.run
        run(body(process))
    process.look()
    if process.active:
        process.stop()
    assert process.held == 0


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_the_default_executor_is_held_as_soon_as_the_application_has_one(
    process: Process, run: Callable[[Any], None]
) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        threads = threading.active_count()
        process.start()
        (pool,) = [pool for key, pool in process.effect._places.items() if key is loop]
        assert pool.size == 0
        assert threading.active_count() == threads, "none was made for it"
        await loop.run_in_executor(None, lambda: 1)
        assert pool.size > 1
        process.look()
        (held,) = process.effect.holdings
        await until_async(lambda: sum(seat.is_held for seat in pool.seats[held]) == pool.size - 1)
        submit = lambda call: loop.run_in_executor(None, call)  # noqa: E731
        counted = await anyio.to_thread.run_sync(
            lambda: free_threads(lambda call: loop.call_soon_threadsafe(submit, call), pool.size, at_least=1),
            limiter=anyio.CapacityLimiter(1),
        )
        assert counted == 1
        process.stop()
        process.start("2")
        await until_async(lambda: process.held > 1)  # the loop waits for its executor when it ends

    began = time.monotonic()
    run(body())
    assert time.monotonic() - began < PATIENCE_SECONDS
