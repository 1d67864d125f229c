"""Sleep, and calls that may block, on the event loop that runs, for outgoing calls: asyncio's, or one of anyio's."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

THREADS = 4
"""How many threads they may take at a time on one loop; the application's are not touched."""


class AnyLoop:
    """`Loop` of whatever library runs.

    A thread serves one call and ends: so there is none to be given back, none that a fork lacks, and none that the
    process waits for at its end.
    """

    def __init__(self) -> None:
        self._free: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    async def sleep(self, seconds: float) -> None:
        if _is_asyncio():
            await asyncio.sleep(seconds)
        else:
            import anyio  # noqa: PLC0415 - only where the application has it, and another loop than asyncio's

            await anyio.sleep(seconds)

    async def run_blocking(self, call: Callable[[], T]) -> T:
        if _is_asyncio():
            return await self._run_on_asyncio(call)
        import anyio.to_thread  # noqa: PLC0415 - as above

        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)

    async def _run_on_asyncio(self, call: Callable[[], T]) -> T:
        """Raises RuntimeError where the process may have no more threads."""
        loop = asyncio.get_running_loop()
        free = self._free.setdefault(loop, asyncio.Semaphore(THREADS))
        await free.acquire()
        answer: asyncio.Future[T] = loop.create_future()

        def end(settle: Callable[[], None]) -> None:
            free.release()  # not sooner: a thread outlives who gave up waiting for it
            if not answer.done():
                settle()

        def run() -> None:
            try:
                settle = partial(answer.set_result, call())
            except BaseException as error:  # noqa: BLE001 - whoever asked raises it
                settle = partial(answer.set_exception, error)
            with suppress(RuntimeError):  # the loop is closed: nobody asks any more
                loop.call_soon_threadsafe(end, settle)

        try:
            Thread(target=copy_context().run, args=(run,), name="chaos-outgoing", daemon=True).start()
        except RuntimeError:
            free.release()
            raise
        return await answer


def _is_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
