"""What outgoing calls wait for, on every event loop: none of them is blocked, and no thread is left."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from chalicelib.injection.loops import THREADS, AnyLoop

HUNG = 30
VARIABLE: ContextVar[str] = ContextVar("variable", default="")


def _on_uvloop(main: Callable[[], Awaitable[Any]]) -> Any:
    uvloop = pytest.importorskip("uvloop")
    return uvloop.run(main())


def _on_trio(main: Callable[[], Awaitable[Any]]) -> Any:
    pytest.importorskip("trio")
    return anyio.run(main, backend="trio")


def _on_asyncio(main: Callable[[], Any]) -> Any:
    return asyncio.run(main())


LOOPS = {"asyncio": _on_asyncio, "uvloop": _on_uvloop, "trio": _on_trio}
OF_ASYNCIO = ("asyncio", "uvloop")


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "chaos-outgoing"]


@pytest.mark.parametrize("name", LOOPS)
def test_others_go_on_while_something_blocks_or_sleeps(name: str) -> None:
    loop, may_end, seen = AnyLoop(), threading.Event(), list[str]()

    def block() -> str:
        assert may_end.wait(HUNG)
        return VARIABLE.get()

    async def main() -> None:
        VARIABLE.set("of the caller")

        async def release() -> None:
            await loop.sleep(0.01)
            may_end.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(release)
            seen.append(await loop.run_blocking(block))

    LOOPS[name](main)
    assert seen == ["of the caller"]


@pytest.mark.parametrize("name", LOOPS)
def test_what_it_raises_is_raised(name: str) -> None:
    def fails() -> None:
        raise ZeroDivisionError("a defect")

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await AnyLoop().run_blocking(fails)

    LOOPS[name](main)


@pytest.mark.parametrize("name", LOOPS)
def test_a_deadline_of_the_caller_passes_through_both(name: str) -> None:
    loop, may_end = AnyLoop(), threading.Event()

    async def main() -> None:
        for wait in (lambda: loop.sleep(HUNG), lambda: loop.run_blocking(lambda: may_end.wait(HUNG))):
            with pytest.raises(TimeoutError):
                with anyio.fail_after(0.01):
                    await wait()
        may_end.set()

    LOOPS[name](main)


@pytest.mark.parametrize("name", OF_ASYNCIO)
def test_there_are_so_many_threads_at_a_time_and_none_afterwards_also_of_callers_that_gave_up(name: str) -> None:
    loop, may_end = AnyLoop(), threading.Event()
    most = 0

    def block() -> None:
        nonlocal most
        most = max(most, len(threads()))
        may_end.wait(HUNG)

    async def main() -> None:
        gave_up = [asyncio.create_task(loop.run_blocking(block)) for _ in range(3 * THREADS)]
        await asyncio.sleep(0.05)
        for task in gave_up:
            task.cancel()
        others = [asyncio.create_task(loop.run_blocking(block)) for _ in range(3 * THREADS)]
        await asyncio.sleep(0.05)
        assert len(threads()) == THREADS
        may_end.set()
        await asyncio.gather(*others)

    LOOPS[name](main)
    for thread in threads():
        thread.join(HUNG)
    assert (most, threads()) == (THREADS, [])


def test_one_serves_several_loops_one_after_the_other_also_where_calls_were_under_way() -> None:
    loop, may_end = AnyLoop(), threading.Event()

    async def abandon() -> None:
        for _ in range(THREADS):
            asyncio.create_task(loop.run_blocking(lambda: may_end.wait(HUNG)))  # noqa: RUF006 - it is abandoned
        await asyncio.sleep(0.01)

    async def use() -> int:
        return await loop.run_blocking(lambda: 1)

    asyncio.run(abandon())
    assert asyncio.run(use()) == 1
    may_end.set()


def test_a_process_that_may_have_no_more_threads_is_told_and_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> int:
        loop = AnyLoop()
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", cannot)
            for _ in range(2 * THREADS):
                with pytest.raises(RuntimeError):
                    await loop.run_blocking(lambda: 1)
        return await loop.run_blocking(lambda: 2)

    assert asyncio.run(main()) == 2


WITH_A_CALL_THAT_HANGS = """
import asyncio, time
from chalicelib.injection.loops import AnyLoop

async def main():
    asyncio.create_task(AnyLoop().run_blocking(lambda: time.sleep(600)))
    await asyncio.sleep(0.05)

asyncio.run(main())
"""


def test_a_process_ends_though_a_call_hangs() -> None:
    subprocess.run([sys.executable, "-c", WITH_A_CALL_THAT_HANGS], check=True, timeout=HUNG)
