"""Injection for an event loop: what waits does not block it, and what blocks does so in a thread."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from ..runs.run import Run
from .engine import DEFECT, UNTOLD, UNTOUCHED, Injected, Injection, LambdaContext, Look

log = logging.getLogger(__name__)

T = TypeVar("T")

THREADS = 4


class OffLoop:
    """Called with the path of every request. Never raises: a defect is logged, and the request goes on untouched."""

    def __init__(self, injection: Injection, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._injection = injection
        self._sleep = sleep
        self._looking = False
        # Not the loop's own: a silent table must not take the application's threads. None is started before it is used.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="chaos")

    async def __call__(self, path: str, context: LambdaContext | None = None) -> Injected:
        injection = self._injection
        try:
            if injection.spares(path):
                return UNTOUCHED
            if injection.reads_afresh(path):
                return injection.with_problem(await self._inject(await self.run(injection.snapshot.refresh), context))
            glimpsed = injection.snapshot.peek()
            active = await self._look() if glimpsed is None else glimpsed
            if active or injection.memory.is_holding or injection.tallies.waiting:
                return await self._inject(active, context)
        except Exception:
            log.exception(DEFECT)
        return UNTOUCHED

    def count(self, injected: Injected, status: int) -> None:
        """Count a request that is answered. Never raises."""
        self._injection.count(injected, status)

    async def finish(self, injected: Injected) -> None:
        """Tell what was counted, where that is a request's to do. Never raises."""
        try:
            if self._injection.tallies.waiting and self._injection.may_tell(injected.context):
                await self.run(self._injection.tallies.tell_if_due)
        except Exception:
            log.exception(UNTOLD)

    async def tell(self) -> None:
        """Tell all that was counted, now. Never raises."""
        await self.run(self._injection.tallies.tell)

    async def run(self, call: Callable[[], T]) -> T:
        """What a call gives that may block."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def _look(self) -> tuple[Run, ...]:
        """One request at a time is sent to look; the others go on with what is known, and wait for no thread."""
        if self._looking:
            return self._injection.snapshot.known()
        self._looking = True
        try:
            return await self.run(self._injection.snapshot.active)
        finally:
            self._looking = False

    async def _inject(self, active: tuple[Run, ...], context: LambdaContext | None) -> Injected:
        injection = self._injection
        if injection.memory.is_holding:
            await self.run(lambda: injection.memory.settle(active))
        if injection.tallies.waiting and injection.may_tell(context):
            await self.run(injection.tallies.tell_if_due)
        return await self._apply(active, context) if active else UNTOUCHED

    async def _apply(self, active: tuple[Run, ...], context: LambdaContext | None) -> Injected:
        steps = self._injection.steps(active, context)
        result: object = None
        with closing(steps):  # also where the client hangs up
            while True:
                try:
                    step = steps.send(result)
                except StopIteration as done:
                    injected: Injected = done.value
                    return injected
                if isinstance(step, float):
                    await self._sleep(step)
                elif isinstance(step, Look):
                    result = await self._look()
                else:
                    result = await self.run(step)
