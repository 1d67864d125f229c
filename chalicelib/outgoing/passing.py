"""How a patched client library makes its calls: `send`, or `send_on_loop`, in place of what it would do.

A defect in what is ours is logged, and the call is made as if there were no patch.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

from ..faults.base import Failure
from ..injection.call import OutgoingCall
from ..injection.outgoing import Passage
from ..own_calls import is_own_call
from ..time_limits import pass_on
from .gate import Gate
from .installation import INSTALLATION

log = logging.getLogger(__name__)

T = TypeVar("T")

DEFECT = "A patch of a client library raised an exception; the call is made untouched"


class _Whole:
    """A call that is decided about as a whole: of botocore, urllib3 makes it. A context may outlive it: that of a task
    which a protocol starts when its connection is made, and whose own calls are others.
    """

    __slots__ = ("is_over",)

    def __init__(self) -> None:
        self.is_over = False


_WITHIN: ContextVar[_Whole | None] = ContextVar("chaos_experiments_within_a_call", default=None)
"""What the calls that are made now are part of, as a patch above has decided."""


def is_within() -> bool:
    """Whether what is called now belongs to a call that a run is about."""
    whole = _WITHIN.get()
    return whole is not None and not whole.is_over


def is_to_be_asked() -> bool:
    """Whether a patch has to describe a call at all. Every call passes here while patches are installed."""
    return bool(INSTALLATION.gates) and ((whole := _WITHIN.get()) is None or whole.is_over) and not is_own_call()


@contextmanager
def part_of_a_call() -> Iterator[None]:
    """What the block calls belongs to a call that is decided about as a whole, or is not to be decided about."""
    if is_within():
        yield
        return
    whole = _Whole()
    token = _WITHIN.set(whole)
    try:
        yield
    finally:
        whole.is_over = True
        _WITHIN.reset(token)


def context_of_a_part() -> Context:
    """A copy of this context, for a thread: what is called there is part of the call that is made here."""
    context = copy_context()
    context.run(_WITHIN.set, _Whole())
    return context


def described(describe: Callable[..., OutgoingCall], *of: Any) -> OutgoingCall | None:
    """What `describe` returns; None where it raises, as it may where the library is not quite what its file expects."""
    try:
        return describe(*of)
    except Exception as error:
        pass_on(error)
        log.exception(DEFECT)
        return None


def no_status(_result: object) -> None:
    """The `status` of calls that have none."""


def send(
    call: OutgoingCall | None,
    proceed: Callable[[], T],
    fail: Callable[[Failure, Callable[[], T]], T],
    status: Callable[[T], int | None],
) -> T:
    """Make the call with `proceed`, unless it is to fail: then `fail` does that, as its client's users know it.

    One that could not be described (None) is made, too.
    `fail` gets `proceed`, too, for what fails after the call is made. `status` is of what either has returned.
    """
    entered = _enter(call)
    if entered is None:
        _mark(call)
        return proceed()
    gate, passage = entered
    try:
        with part_of_a_call():
            failure = gate.meet(passage)
            _mark(call)
            result = proceed() if failure is None else fail(failure, proceed)
    except BaseException as error:
        gate.leave(passage, None, error)
        raise
    gate.leave(passage, _status(status, result), None)
    return result


def send_on_loop(
    call: OutgoingCall | None,
    proceed: Callable[[], Awaitable[T]],
    fail: Callable[[Failure, Callable[[], Awaitable[T]]], Awaitable[T]],
    status: Callable[[T], int | None],
) -> Awaitable[T]:
    """As `send`, on an event loop: to be awaited at once. A call that no run is about pays for no coroutine."""
    entered = _enter(call)
    if entered is None:
        _mark(call)
        return proceed()
    return _send_on_loop(*entered, proceed, fail, status)


async def _send_on_loop(
    gate: Gate,
    passage: Passage,
    proceed: Callable[[], Awaitable[T]],
    fail: Callable[[Failure, Callable[[], Awaitable[T]]], Awaitable[T]],
    status: Callable[[T], int | None],
) -> T:
    try:
        with part_of_a_call():
            failure = await gate.meet_on_loop(passage)
            _mark(passage.call)
            result = await (proceed() if failure is None else fail(failure, proceed))
    except BaseException as error:
        gate.leave(passage, None, error)
        raise
    gate.leave(passage, _status(status, result), None)
    return result


def _enter(call: OutgoingCall | None) -> tuple[Gate, Passage] | None:
    """The first module with a run that is about the call; otherwise one that observes it."""
    if call is None:
        return None
    observed = None
    try:
        for joined in INSTALLATION.gates:
            gate = joined()
            if gate is None or (passage := gate.enter(call)) is None:
                continue
            if passage.met:
                return gate, passage
            observed = (gate, passage)
    except Exception as error:
        pass_on(error)
        log.exception(DEFECT)
    return observed


def _status(status: Callable[[T], int | None], result: T) -> int | None:
    """None, too, where the library's file does not know what has been returned: an agent's, or a test's."""
    try:
        return status(result)
    except Exception as error:
        pass_on(error)
        log.exception("The status of an outgoing call cannot be read")
        return None


def _mark(call: OutgoingCall | None) -> None:
    """What is decided about the request that the call is made for is sent along; not to AWS, whose calls are signed."""
    if call is None or call.set_header is None or call.service:
        return
    for joined in INSTALLATION.gates:
        if (gate := joined()) is not None:
            gate.mark(call)
