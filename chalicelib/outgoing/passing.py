"""How a patched client library makes its calls: `send`, or `send_on_loop`, in place of what it would do."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from ..faults.base import Failure
from ..injection.call import OutgoingCall
from ..injection.outgoing import Passage
from ..own_calls import is_own_call
from .gate import Gate
from .installation import INSTALLATION

T = TypeVar("T")

_WITHIN: ContextVar[bool] = ContextVar("chaos_experiments_within_a_call", default=False)
"""Whether what is called now belongs to a call that a patch above has decided about: of botocore, urllib3 makes it."""

is_within = _WITHIN.get
"""Whether what is called now belongs to a call that a run is about."""


def is_to_be_asked() -> bool:
    """Whether a patch has to describe a call at all. Every call passes here while patches are installed."""
    return bool(INSTALLATION.gates) and not _WITHIN.get() and not is_own_call()


@contextmanager
def part_of_a_call() -> Iterator[None]:
    """What the block calls belongs to a call that is decided about as a whole, or is not to be decided about."""
    token = _WITHIN.set(True)
    try:
        yield
    finally:
        _WITHIN.reset(token)


def no_status(_result: object) -> None:
    """The `status` of calls that have none."""


def send(
    call: OutgoingCall,
    proceed: Callable[[], T],
    fail: Callable[[Failure, Callable[[], T]], T],
    status: Callable[[T], int | None],
) -> T:
    """Make the call with `proceed`, unless it is to fail: then `fail` does that, as its client's users know it.

    `fail` gets `proceed`, too, for what fails after the call is made. `status` is of what either has returned.
    """
    entered = _enter(call)
    if entered is None:
        _mark(call)
        return proceed()
    gate, passage = entered
    token = _WITHIN.set(True)
    try:
        failure = gate.meet(passage)
        _mark(call)
        result = proceed() if failure is None else fail(failure, proceed)
    except BaseException as error:
        gate.leave(passage, None, error)
        raise
    finally:
        _WITHIN.reset(token)
    gate.leave(passage, status(result), None)
    return result


def send_on_loop(
    call: OutgoingCall,
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
    token = _WITHIN.set(True)
    try:
        failure = await gate.meet_on_loop(passage)
        _mark(passage.call)
        result = await (proceed() if failure is None else fail(failure, proceed))
    except BaseException as error:
        gate.leave(passage, None, error)
        raise
    finally:
        _WITHIN.reset(token)
    gate.leave(passage, status(result), None)
    return result


def _enter(call: OutgoingCall) -> tuple[Gate, Passage] | None:
    """The first module with a run that is about the call; otherwise one that observes it."""
    observed = None
    for joined in INSTALLATION.gates:
        gate = joined()
        if gate is None or (passage := gate.enter(call)) is None:
            continue
        if passage.met:
            return gate, passage
        observed = (gate, passage)
    return observed


def _mark(call: OutgoingCall) -> None:
    """What is decided about the request that the call is made for is sent along; not to AWS, whose calls are signed."""
    if call.set_header is None or call.service:
        return
    for joined in INSTALLATION.gates:
        if (gate := joined()) is not None:
            gate.mark(call)
