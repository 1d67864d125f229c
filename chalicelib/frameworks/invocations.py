"""The boundary around what is invoked, and its place: a handler's event, or a request that comes as an event."""

import json
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from functools import partial
from types import FrameType, GeneratorType
from typing import Any, NamedTuple, Protocol, cast

from ..bootstrap import end_process
from ..errors import InjectedDisconnect, InjectedError
from ..faults.base import PROCEED, Answer, Disconnect, FailRecords, Outcome, Raise
from ..faults.records import records_of
from ..injection.call import Call
from ..injection.changes import Changed
from ..injection.current import CURRENT
from ..injection.drivers import AsyncInjection, SyncInjection
from ..injection.engine import Blocked, InjectionResult
from ..injection.loops import AnyLoop
from ..results.spans import annotate
from ..results.tally import SERVER_ERROR
from .answers import ChangedAnswer, changed_whole
from .connections import FAILED_INVOCATION, note
from .module import ChaosModule, is_within_a_call

DONE = 200
"""What an invocation that returns counts as."""

FIRST_ERROR = 400
EMPTY = (("Content-Length", "0"),)
"""The headers of what has no answer."""


FAILURES, IDENTIFIER = "batchItemFailures", "itemIdentifier"
"""In what a function reports which records of a batch have failed."""

OF_RQ = "main_work_horse"
"""The function of RQ that does one job in a process of its own."""

WorkOn = Callable[[Mapping[str, Any]], Any]


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

    def changed(self, injection: SyncInjection, result: InjectionResult, answer: Any) -> Any:  # noqa: ANN401 - as above
        """What runs make of the handler's answer. Raises where the handler's work is to be lost."""

    def marked(self, answer: Any, headers: Mapping[str, str]) -> Any:  # noqa: ANN401 - as above
        """The answer of a call that was hit."""


class Invocations:
    """The invocations of one module."""

    def __init__(self, module: ChaosModule) -> None:
        self._module = module

    def invoke(
        self, call: Call, work: Callable[[], Any], shape: Shape | None = None, work_on: WorkOn | None = None
    ) -> Any:  # noqa: ANN401 - as above
        """What a handler's `work` returns, right before which faults are applied.

        Raises what it raises, and what a fault lets it raise.
        """
        return self.surround(call, partial(in_place, work, shape, work_on), shape)

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

    def changed(self, injection: SyncInjection, result: InjectionResult, answer: Any) -> Any:  # noqa: ANN401 - as above
        status, _, body, is_cut = changed_whole(injection, result, DONE, EMPTY, b"")
        if is_cut:
            raise InjectedDisconnect
        _raise_if_lost(status, body)
        return answer

    def marked(self, answer: Any, headers: Mapping[str, str]) -> Any:  # noqa: ANN401 - as above
        del headers
        return answer


EVENT = Event()


def _served(injection: SyncInjection, result: InjectionResult, serve: Callable[[], Any], shape: Shape) -> Any:  # noqa: ANN401
    token = CURRENT.set((injection, result))
    try:
        answer = serve()
        if result.changes and not isinstance(answer, GeneratorType):
            answer = shape.changed(injection, result, answer)
    except BaseException as error:
        _finish(injection, result, _status(result, error))
        raise
    finally:
        CURRENT.reset(token)
    if isinstance(answer, GeneratorType):
        return _Stream(answer, injection, result)
    _finish(injection, result, shape.status(answer))
    return shape.marked(answer, result.headers) if result.hits or result.notes else answer


def in_place(work: Callable[[], Any], shape: Shape | None = None, work_on: WorkOn | None = None) -> Any:  # noqa: ANN401
    """What the handler's `work` returns, or what a fault lets the current call end with instead.

    `work_on` makes its work of another event.
    """
    current = CURRENT.get()
    if current is None or current[1].reached_route:
        return work()
    injection, result = current
    match injection.apply(result):
        case Answer() as answer:
            return (shape or EVENT).replaced(answer)
        case FailRecords() as failed if work_on:
            return _partly(failed, result.call.event, work_on)
        case outcome:
            _raise(outcome)
            return work()


def _partly(failed: FailRecords, event: Mapping[str, Any], work_on: WorkOn) -> Mapping[str, Any]:
    """The answer of a handler that gets a part of a batch, or nothing, with the records that were to fail."""
    identified = zip(event["Records"], records_of(event), strict=True)
    rest = [record for record, known in identified if failed.after or known.identifier not in failed.identifiers]
    answer = work_on({**event, "Records": rest}) if rest else None
    own: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {}
    reported = own.get(FAILURES) or []
    known = {each.get(IDENTIFIER) for each in reported if isinstance(each, Mapping)}
    added = [{IDENTIFIER: each} for each in failed.identifiers if each not in known]
    return {**own, FAILURES: [*reported, *added]}


def is_all_of_its_process() -> bool:
    """Whether this process ends with this work: RQ forks one for each job, and kills it without calling any hook."""
    if "rq" not in sys.modules:
        return False
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - RQ says it nowhere else
    while frame:
        if frame.f_code.co_name == OF_RQ:
            return True
        frame = frame.f_back
    return False


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
        """Raises what a fault lets the work raise when it is done."""
        injection, result = cast("SyncInjection", entered.injection), entered.result
        try:
            if error is None and result.changes:
                EVENT.changed(injection, result, None)
        except BaseException as lost:
            error = lost
            raise
        finally:
            CURRENT.set(entered.outer)
            _finish(injection, result, _status(result, error))
            if is_all_of_its_process():
                end_process()

    async def enter_on_loop(self, call: Call) -> Entered | None:
        """As `enter`."""
        injection = self._on_loop = await self._module.injection_on_loop(self._on_loop, self._loop, self._loop)
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
        """As `leave`."""
        injection, result = cast("AsyncInjection", entered.injection), entered.result
        try:
            if error is None and result.changes:
                await _change_on_loop(injection, result)
        except BaseException as lost:
            error = lost
            raise
        finally:
            CURRENT.set(entered.outer)
            result.is_answered, result.changes = True, ()
            injection.count(result, _status(result, error))
            annotate(result)
            injection.end(result)
            if injection.may_flush(result):
                await injection.flush(result.call)
            if is_all_of_its_process():
                end_process()


async def _change_on_loop(injection: AsyncInjection, result: InjectionResult) -> None:
    """As `Event.changed`; what waits does not block the event loop."""
    changed, body = Changed(injection.engine, result), b""
    try:
        status, _ = changed.begin(DONE, EMPTY)
        for piece in changed.end():
            if isinstance(piece, bytes):
                body += piece
            elif isinstance(piece, Disconnect):
                raise InjectedDisconnect
            else:
                await injection.carry_out(result.call, piece)
    finally:
        changed.close()
    _raise_if_lost(status, body)


def _raise_if_lost(status: int, body: bytes) -> None:
    """Raise what work ends with that is done, and whose answer would be an error instead."""
    if status >= FIRST_ERROR:
        try:
            message = json.loads(body)["error_message"]
        except (ValueError, LookupError, TypeError):
            message = body.decode("utf-8", "replace")
        raise InjectedError(message)


def _entered(injection: SyncInjection | AsyncInjection, result: InjectionResult) -> Entered:
    outer = CURRENT.get()
    CURRENT.set((injection, result))
    return Entered(injection, result, outer)


def _status(result: InjectionResult, error: BaseException | None) -> int | None:
    """As what the end of a call counts; None for what is no failure of it, but the end of who does it."""
    if error is None:
        return DONE
    if isinstance(error, InjectedDisconnect):
        return note(result, FAILED_INVOCATION)
    return SERVER_ERROR if isinstance(error, Exception) else None


def _raise(outcome: Outcome) -> None:
    """Raise what an invocation ends with where a fault decides so."""
    match outcome:
        case Answer() as answer:
            raise InjectedError(answer.message)
        case Raise(exception):
            raise exception
        case Disconnect():
            raise InjectedDisconnect


def _finish(injection: SyncInjection, result: InjectionResult, status: int | None) -> None:
    result.is_answered, result.changes = True, ()
    injection.finish(result, status)
    annotate(result)
    injection.end(result)


class _Stream:
    """An answer in parts, of which each is computed when it is asked for. It is over when its parts are, or closed."""

    def __init__(self, parts: Generator[Any], injection: SyncInjection, result: InjectionResult) -> None:
        self._parts = _changed_parts(injection, result, parts) if result.changes else parts
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
            self._finish(_status(self._current[1], error))
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


def _cut() -> None:
    """What breaks off where no server has a connection: the invocation fails."""
    raise InjectedDisconnect


def _changed_parts(injection: SyncInjection, result: InjectionResult, parts: Generator[Any]) -> Generator[bytes]:
    """The parts of an answer as runs change them; where it would be an error instead, that is raised."""
    answer = ChangedAnswer(injection, result, _cut)
    line, _ = answer.begin("200 OK", [])
    try:
        with closing(parts):
            for piece in answer.pieces(each.encode() if isinstance(each, str) else each for each in parts):
                _raise_if_lost(int(line[:3]), piece)
                yield piece
    finally:
        answer.close()
