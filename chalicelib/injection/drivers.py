"""The two drivers of the engine's steps: on the request's own thread, and on an event loop."""

import logging
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar

from .. import time_limits
from ..faults.base import PROCEED, Outcome, RefreshSnapshot, Sleep, Step
from ..faults.wait import LEFT_FOR_THE_APPLICATION_SECONDS
from ..runs.run import NEVER
from ..time_limits import Interrupted, pass_on, request_time
from .call import Call
from .decide import Hit
from .engine import Blocked, Engine, InjectionResult
from .plan import Plan

log = logging.getLogger(__name__)

T = TypeVar("T")

DEFECT = "Fault injection raised an exception; the request continues untouched"
NOT_FLUSHED = "Could not flush the request counts"

ABANDONED_SECONDS = 5.0
"""After how long a read is taken for one whose event loop is gone, so that another request reads."""


class SyncInjection:
    """The engine on the request's thread. A defect is logged, and the request continues.

    What the host raises while a request waits here, such as a time-out by a signal, goes on to the host.
    """

    def __init__(self, engine: Engine, sleep: Callable[[float], None] = time_limits.sleep) -> None:
        self.engine = engine
        self.end = engine.end
        """To be called when the answer is with the server."""
        self._sleep = sleep

    def arrive(self, call: Call) -> InjectionResult | None:
        """To be called where the call arrives. None where nothing is active."""
        try:
            result = self.engine.arrive_now(call)
            return self._drive(call, self.engine.arrive(call)) if isinstance(result, Blocked) else result
        except (Interrupted, Exception) as error:
            pass_on(error)
            log.exception(DEFECT)
            return None

    def apply(self, result: InjectionResult, hits: Sequence[Hit] | None = None) -> Outcome:
        """To be called in the route's place. What is to become of the call; `hits` are what it meets, if decided."""
        try:
            if hits is None:
                hits = self.engine.decide(result)
            return PROCEED if hits is None else self._drive(result.call, self.engine.apply(result, hits))
        except (Interrupted, Exception) as error:
            pass_on(error)
            log.exception(DEFECT)
            result.drop_defective()
            return PROCEED

    def test(self, call: Call) -> InjectionResult | None:
        """Arrival and route in one, for the test endpoint."""
        try:
            result = self._drive(call, self.engine.arrive_at_test(call))
        except (Interrupted, Exception) as error:
            pass_on(error)
            log.exception(DEFECT)
            return None
        self.apply(result)
        result.changes = ()  # so that it can be read what was injected
        return result

    def carry_out(self, call: Call, steps: Generator[Step, Any, None]) -> None:
        """Wait in the middle of an answer."""
        try:
            self._drive(call, steps)
        except (Interrupted, Exception) as error:
            pass_on(error)
            log.exception(DEFECT)

    def finish(self, result: InjectionResult, status: int | None) -> None:
        """To be called when the call is answered, or has ended without an answer (None). May block in Lambda."""
        self.engine.count(result, status)
        if self.engine.recorder.is_waiting and not result.changes:  # those are counted when the answer is over
            self.flush(result)

    def flush(self, result: InjectionResult) -> None:
        """Flush pending counts, where this is the call to do so. May block in Lambda."""
        if not self.engine.recorder.is_waiting:
            return
        try:
            if self.engine.may_flush(result.call):
                with _time_of(result.call):
                    self.engine.recorder.flush()
        except (Interrupted, Exception) as error:
            pass_on(error)
            log.exception(NOT_FLUSHED)

    def _drive(self, call: Call, steps: Generator[Step, Any, T]) -> T:
        answer: Any = None
        try:
            while True:
                try:
                    step = steps.send(answer)
                except StopIteration as done:
                    returned: T = done.value
                    return returned
                if isinstance(step, Sleep):
                    self._wait(step.seconds)
                    answer = None
                else:
                    with _time_of(call):
                        answer = self.engine.snapshot.get() if isinstance(step, RefreshSnapshot) else step.call()
        finally:
            steps.close()  # also if the host's time-out ends the request

    def _wait(self, seconds: float) -> None:
        try:
            self._sleep(seconds)
        except Exception as error:
            raise Interrupted(error) from error


def _time_of(call: Call) -> AbstractContextManager[None]:
    """The time that the module may wait for: a Lambda invocation has to answer after it."""
    return request_time(call.remaining_seconds - LEFT_FOR_THE_APPLICATION_SECONDS)


class Loop(Protocol):
    """What an event loop library offers."""

    def sleep(self, seconds: float) -> Awaitable[None]: ...

    def run_blocking(self, call: Callable[[], T]) -> Awaitable[T]:
        """Run it on a thread, of which the module has a few of its own."""


class AsyncInjection:
    """The engine on an event loop: what waits does not block it. A defect is logged, and the request continues.

    What the host raises while a request waits here goes on to the host. What need not wait is no coroutine, because
    most requests pay for no more.
    """

    def __init__(self, engine: Engine, loop: Loop) -> None:
        self.engine = engine
        self.end = engine.end
        """To be called when the answer is with the server. Does not block."""
        self.count = engine.count
        """To be called when the response starts, or the call has ended without one (None). Does not block."""
        self._loop = loop
        self._reading_until = NEVER

    def arrive_now(self, call: Call) -> InjectionResult | Blocked | None:
        """To be called where the call arrives. BLOCKED: await `arrive`. None where nothing is active."""
        try:
            return self.engine.arrive_now(call)
        except Exception:
            log.exception(DEFECT)
            return None

    async def arrive(self, call: Call) -> InjectionResult | None:
        """As `arrive_now`, with what may block."""
        try:
            return await self._drive(call, self.engine.arrive(call))
        except (Interrupted, Exception) as error:
            pass_on(error)
            log.exception(DEFECT)
            return None

    def decide(self, result: InjectionResult) -> Sequence[Hit] | None:
        """To be called in the route's place. None where there is nothing to `apply`."""
        try:
            return self.engine.decide(result)
        except Exception:
            log.exception(DEFECT)
            return None

    async def apply(self, result: InjectionResult, hits: Sequence[Hit]) -> Outcome:
        """Apply what was decided. What is to become of the call."""
        try:
            return await self._drive(result.call, self.engine.apply(result, hits))
        except (Interrupted, Exception) as error:
            pass_on(error)
            log.exception(DEFECT)
            result.drop_defective()
            return PROCEED

    async def test(self, call: Call) -> InjectionResult | None:
        """Arrival and route in one, for the test endpoint."""
        try:
            result = await self._drive(call, self.engine.arrive_at_test(call))
        except (Interrupted, Exception) as error:
            pass_on(error)
            log.exception(DEFECT)
            return None
        hits = self.decide(result)
        if hits is not None:
            await self.apply(result, hits)
        result.changes = ()  # so that it can be read what was injected
        return result

    async def carry_out(self, call: Call, steps: Generator[Step, Any, None]) -> None:
        """Wait in the middle of an answer."""
        try:
            await self._drive(call, steps)
        except (Interrupted, Exception) as error:
            pass_on(error)
            log.exception(DEFECT)

    def may_flush(self, result: InjectionResult) -> bool:
        """To be asked when the call is answered: whether to await `flush`. Only in Lambda."""
        if not self.engine.recorder.is_waiting:
            return False
        try:
            return self.engine.may_flush(result.call)
        except Exception:
            log.exception(NOT_FLUSHED)
            return False

    async def flush(self, call: Call | None = None) -> None:
        """Flush pending counts to the table, in the time that the call has left."""
        await self._flush(self.engine.recorder.flush, call)

    async def flush_last(self) -> None:
        """As `flush`, where the process is about to end: after a flush that is under way."""
        await self._flush(self.engine.recorder.flush_last)

    async def _flush(self, flush: Callable[[], None], call: Call | None = None) -> None:
        try:
            with _time_of(call) if call else nullcontext():
                await self._loop.run_blocking(flush)
        except Exception:
            log.exception(NOT_FLUSHED)

    async def _drive(self, call: Call, steps: Generator[Step, Any, T]) -> T:
        answer: Any = None
        try:
            while True:
                try:
                    step = steps.send(answer)
                except StopIteration as done:
                    returned: T = done.value
                    return returned
                if isinstance(step, Sleep):
                    await self._wait(step.seconds)
                    answer = None
                else:
                    with _time_of(call):
                        answer = await (
                            self._refresh() if isinstance(step, RefreshSnapshot) else self._loop.run_blocking(step.call)
                        )
        finally:
            steps.close()  # also if the client hangs up

    async def _wait(self, seconds: float) -> None:
        try:
            await self._loop.sleep(seconds)
        except Exception as error:
            raise Interrupted(error) from error

    async def _refresh(self) -> Sequence[Plan]:
        """One request at a time reads; the others go on with what is known, and wait for no thread."""
        now = self.engine.process.timer()
        if now < self._reading_until:
            return self.engine.snapshot.last_known()
        self._reading_until = now + ABANDONED_SECONDS
        try:
            return await self._loop.run_blocking(self.engine.snapshot.get)
        finally:
            self._reading_until = NEVER
