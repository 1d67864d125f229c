"""Sleep, and calls that may block, on the event loop that runs, for outgoing calls: asyncio's, or one of anyio's."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cached_property, partial
from typing import TypeVar

T = TypeVar("T")

THREADS = 4
"""How many threads they may take at a time; the application's are not touched."""


class AnyLoop:
    """`Loop` of whatever library runs. Its threads are its own."""

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(THREADS, thread_name_prefix="chaos-outgoing")

    async def sleep(self, seconds: float) -> None:
        if _is_asyncio():
            await asyncio.sleep(seconds)
        else:
            import anyio  # noqa: PLC0415 - only where the application has it, and another loop than asyncio's

            await anyio.sleep(seconds)

    async def run_blocking(self, call: Callable[[], T]) -> T:
        if _is_asyncio():
            return await asyncio.get_running_loop().run_in_executor(self._threads, partial(copy_context().run, call))
        import anyio.to_thread  # noqa: PLC0415 - as above

        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)


def _is_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
