"""The boundary around what is invoked, and its place: a handler's event, or a request that comes as an event."""

from collections.abc import Callable, Generator, Iterator, Mapping
from types import GeneratorType
from typing import Any, Protocol

from ..errors import InjectedDisconnect, InjectedError
from ..faults.base import Answer, Disconnect, Outcome, Raise
from ..injection.call import Call
from ..injection.current import CURRENT
from ..injection.drivers import SyncInjection
from ..injection.engine import InjectionResult
from ..results.spans import annotate
from ..results.tally import SERVER_ERROR
from .module import ChaosModule, is_within_a_call

DONE = 200
"""What an invocation that returns counts as."""


class Shape(Protocol):
    """What the answer to an invocation is."""

    def replaced(self, answer: Answer) -> Any:  # noqa: ANN401 - each has its own
        """A fault's answer. Raises where there is no such thing."""

    def status(self, answer: Any) -> int:  # noqa: ANN401 - as above
        """As what it counts."""

    def marked(self, answer: Any, headers: Mapping[str, str]) -> Any:  # noqa: ANN401 - as above
        """The answer of a call that was hit."""


class Invocations:
    """The invocations of one module. Faults are applied right before the handler."""

    def __init__(self, module: ChaosModule) -> None:
        self._module = module

    def invoke(self, call: Call, work: Callable[[], Any], shape: Shape | None = None) -> Any:  # noqa: ANN401 - as above
        """What the handler's `work` returns. Raises what it raises, and what a fault lets it raise."""
        injection = self._module.injection()
        result = None
        if injection and not is_within_a_call():
            result = injection.arrive(call)
        if injection is None or result is None:
            return work()
        return _served(injection, result, work, shape or _Event())


class _Event:
    """An event that nobody waits for an answer to: a fault's answer is a failure, and what is returned stays it."""

    def replaced(self, answer: Answer) -> Any:  # noqa: ANN401 - as above
        raise InjectedError(answer.message)

    def status(self, answer: Any) -> int:  # noqa: ANN401 - as above
        del answer
        return DONE

    def marked(self, answer: Any, headers: Mapping[str, str]) -> Any:  # noqa: ANN401 - as above
        del headers
        return answer


def _served(injection: SyncInjection, result: InjectionResult, work: Callable[[], Any], shape: Shape) -> Any:  # noqa: ANN401
    token = CURRENT.set((injection, result))
    try:
        answer = _in_place(injection, result, work, shape)
    except BaseException as error:
        _finish(injection, result, SERVER_ERROR if isinstance(error, Exception) else None)
        raise
    finally:
        CURRENT.reset(token)
    if isinstance(answer, GeneratorType):
        return _Stream(answer, injection, result)
    _finish(injection, result, shape.status(answer))
    return shape.marked(answer, result.headers) if result.hits or result.notes else answer


def _in_place(injection: SyncInjection, result: InjectionResult, work: Callable[[], Any], shape: Shape) -> Any:  # noqa: ANN401
    match injection.apply(result):
        case Answer() as answer:
            return shape.replaced(answer)
        case outcome:
            raise_outcome(outcome)
            return work()


def raise_outcome(outcome: Outcome) -> None:
    """Raise what an invocation ends with where a fault decides so."""
    match outcome:
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
            self._finish(SERVER_ERROR if isinstance(error, Exception) else None)
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
