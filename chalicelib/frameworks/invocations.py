"""The boundary around what is invoked, and its place: a handler's event, or a request that comes as an event."""

import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from types import GeneratorType
from typing import Any, NamedTuple, Protocol, cast

from ..errors import InjectedDisconnect, InjectedError
from ..faults.base import PROCEED, Answer, Disconnect, Outcome, Raise
from ..injection.call import Call
from ..injection.current import CURRENT
from ..injection.drivers import AsyncInjection, SyncInjection
from ..injection.engine import Blocked, InjectionResult
from ..injection.loops import AnyLoop
from ..results.spans import annotate
from ..results.tally import SERVER_ERROR
from .module import ChaosModule, is_within_a_call

log = logging.getLogger(__name__)

DONE = 200
"""What an invocation that returns counts as."""


class Entered(NamedTuple):
    """A block that the module is in: what is to be put back at its end."""

    injection: SyncInjection | AsyncInjection
    result: InjectionResult
    outer: tuple[Any, InjectionResult] | None


class Shape(Protocol):
    """What the answer to an invocation is."""

    def replaced(self, answer: Answer) -> Any:  # noqa: ANN401 - each has its own
        """A fault's answer. Raises where there is no such thing."""

    def status(self, answer: Any) -> int:  # noqa: ANN401 - as above
        """As what it counts."""

    def marked(self, answer: Any, headers: Mapping[str, str]) -> Any:  # noqa: ANN401 - as above
        """The answer of a call that was hit."""


class Invocations:
    """The invocations of one module."""

    def __init__(self, module: ChaosModule) -> None:
        self._module = module

    def invoke(self, call: Call, work: Callable[[], Any], shape: Shape | None = None) -> Any:  # noqa: ANN401 - as above
        """What a handler's `work` returns, right before which faults are applied.

        Raises what it raises, and what a fault lets it raise.
        """
        return self.surround(call, partial(in_place, work, shape), shape)

    def surround(self, call: Call, serve: Callable[[], Any], shape: Shape | None = None) -> Any:  # noqa: ANN401 - as above
        """As `invoke`, where what serves the call has `in_place` within."""
        injection = self._module.injection()
        result = None
        if injection and not is_within_a_call():
            result = injection.arrive(call)
        if injection is None or result is None:
            return serve()
        return _served(injection, result, serve, shape or EVENT)


class Event:
    """An event that nobody waits for an answer to: a fault's answer is a failure, and what is returned stays it."""

    def replaced(self, answer: Answer) -> Any:  # noqa: ANN401 - as above
        raise InjectedError(answer.message)

    def status(self, answer: Any) -> int:  # noqa: ANN401 - as above
        del answer
        return DONE

    def marked(self, answer: Any, headers: Mapping[str, str]) -> Any:  # noqa: ANN401 - as above
        del headers
        return answer


EVENT = Event()


def _served(injection: SyncInjection, result: InjectionResult, serve: Callable[[], Any], shape: Shape) -> Any:  # noqa: ANN401
    token = CURRENT.set((injection, result))
    try:
        answer = serve()
    except BaseException as error:
        _finish(injection, result, _status(error))
        raise
    finally:
        CURRENT.reset(token)
    if isinstance(answer, GeneratorType):
        return _Stream(answer, injection, result)
    _finish(injection, result, shape.status(answer))
    return shape.marked(answer, result.headers) if result.hits or result.notes else answer


def in_place(work: Callable[[], Any], shape: Shape | None = None) -> Any:  # noqa: ANN401 - as above
    """What the handler's `work` returns, or what a fault lets the current call end with instead."""
    current = CURRENT.get()
    if current is None or current[1].reached_route:
        return work()
    injection, result = current
    match injection.apply(result):
        case Answer() as answer:
            return (shape or EVENT).replaced(answer)
        case outcome:
            _raise(outcome)
            return work()


class Blocks:
    """Blocks of work that has a name, on threads and on event loops. Nothing can take the place of a block."""

    def __init__(self, module: ChaosModule) -> None:
        self._module = module
        self._loop = AnyLoop()
        self._on_loop: AsyncInjection | None = None

    def enter(self, call: Call) -> Entered | None:
        """None where nothing is active, or it is part of another call. Raises what a fault lets the work raise."""
        injection = self._module.injection()
        result = injection.arrive(call) if injection and not is_within_a_call() else None
        if injection is None or result is None:
            return None
        entered = _entered(injection, result)
        try:
            _raise(injection.apply(result))
        except BaseException as error:
            self.leave(entered, error)
            raise
        return entered

    @staticmethod
    def leave(entered: Entered, error: BaseException | None) -> None:
        CURRENT.set(entered.outer)
        _finish(cast("SyncInjection", entered.injection), entered.result, _status(error))

    async def enter_on_loop(self, call: Call) -> Entered | None:
        """As `enter`."""
        injection = await self._prepared()
        if injection is None or is_within_a_call():
            return None
        arrived = injection.arrive_now(call)
        result = await injection.arrive(call) if isinstance(arrived, Blocked) else arrived
        if result is None:
            return None
        entered = _entered(injection, result)
        try:
            hits = injection.decide(result)
            _raise(PROCEED if hits is None else await injection.apply(result, hits))
        except BaseException as error:
            await self.leave_on_loop(entered, error)
            raise
        return entered

    @staticmethod
    async def leave_on_loop(entered: Entered, error: BaseException | None) -> None:
        CURRENT.set(entered.outer)
        injection, result = cast("AsyncInjection", entered.injection), entered.result
        result.is_answered = True
        injection.count(result, _status(error))
        annotate(result)
        if injection.may_flush(result):
            await injection.flush(result.call)

    async def _prepared(self) -> AsyncInjection | None:
        """The injection, of this process; None where the module cannot be wired, or no thread be started to do so."""
        if not self._module.is_wired:
            try:
                await self._loop.run_blocking(self._module.injection)
            except RuntimeError as error:
                log.warning("No fault is injected into this work: %s", error)
                return None
        engine = self._module.wired_engine
        if engine and (self._on_loop is None or self._on_loop.engine is not engine):
            self._on_loop = AsyncInjection(engine, self._loop)
        return self._on_loop if engine else None


def _entered(injection: SyncInjection | AsyncInjection, result: InjectionResult) -> Entered:
    outer = CURRENT.get()
    CURRENT.set((injection, result))
    return Entered(injection, result, outer)


def _status(error: BaseException | None) -> int | None:
    """As what the end of a call counts; None for what is no failure of it, but the end of who does it."""
    if error is None:
        return DONE
    return SERVER_ERROR if isinstance(error, Exception) else None


def _raise(outcome: Outcome) -> None:
    """Raise what an invocation ends with where a fault decides so."""
    match outcome:
        case Answer() as answer:
            raise InjectedError(answer.message)
        case Raise(exception):
            raise exception
        case Disconnect():
            raise InjectedDisconnect("Chaos experiment: nobody gets an answer")


def _finish(injection: SyncInjection, result: InjectionResult, status: int | None) -> None:
    result.is_answered = True
    injection.finish(result, status)
    annotate(result)


class _Stream:
    """An answer in parts, of which each is computed when it is asked for. It is over when its parts are, or closed."""

    def __init__(self, parts: Generator[Any], injection: SyncInjection, result: InjectionResult) -> None:
        self._parts = parts
        self._current = (injection, result)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - whatever the handler yields
        token = CURRENT.set(self._current)
        try:
            return next(self._parts)
        except StopIteration:
            self._finish(DONE)
            raise
        except BaseException as error:
            self._finish(_status(error))
            raise
        finally:
            CURRENT.reset(token)

    def close(self) -> None:
        try:
            self._parts.close()
        finally:
            self._finish(None)

    def __del__(self) -> None:
        self._finish(None)

    def _finish(self, status: int | None) -> None:
        injection, result = self._current
        if not result.is_answered:
            _finish(injection, result, status)
