"""Time limits for what may block: whoever asks waits so long and no longer, whatever it is that does not answer."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from traceback import walk_tb
from typing import Generic, NoReturn, TypeVar

from .server import is_about_to_fork

T = TypeVar("T")

_DEADLINE: ContextVar[float] = ContextVar("chaos_experiments_deadline", default=math.inf)
"""Until when the current request may wait, on the monotonic clock."""


class TimeLimitExceeded(Exception):
    """What was asked has not answered within its time limit. It may still do what it was asked for."""


class NoTimeLeft(TimeLimitExceeded):
    """Nothing was asked, because the current request has no time left to wait for it."""


class Interrupted(BaseException):
    """The host raised an exception in this thread while the module waited: a signal handler, or another greenlet.

    Not an `Exception`, so that nothing on its way takes it for a failure of what was waited for.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error

    def raise_error(self) -> NoReturn:
        """Hand the exception on to the host, as it was."""
        raise self.error from self.error.__cause__


def pass_on(error: BaseException) -> None:
    """Raise what the host raised; nothing where the error is the module's own."""
    if isinstance(error, Interrupted):
        error.raise_error()
    if _is_of_a_signal(error):
        raise error


def _is_of_a_signal(error: BaseException) -> bool:
    """Whether a signal handler of the host raised it, which may do so in the middle of any code."""
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    codes = {getattr(each, "__code__", None) for each in handlers} - {None}
    return any(frame.f_code in codes for frame, _ in walk_tb(error.__traceback__))


def sleep(seconds: float) -> None:
    """`time.sleep` of this moment: gevent and eventlet may replace it after this module was imported."""
    time.sleep(seconds)


@contextmanager
def request_time(seconds: float) -> Iterator[None]:
    """For the block, `within` waits no longer than so many seconds from now."""
    token = _DEADLINE.set(min(_DEADLINE.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def within(seconds: float, call: Callable[[], T]) -> T:
    """What the call returns, or raises. It has a thread of its own, since no other limit holds for all that it may do.

    A resolver, a credential process, a connection's several addresses, an answer that trickles: each has time-outs of
    its own or none, and only their sum counts. Raises TimeLimitExceeded; the call then goes on, and nobody hears of it.
    """
    seconds = min(seconds, _DEADLINE.get() - time.monotonic())
    if seconds <= 0:
        raise NoTimeLeft("no time was left to ask")
    try:
        attempt = Attempt(call)
    except RuntimeError:  # the process may have no more threads
        return call()
    return attempt.result(seconds)


class Attempt(Generic[T]):
    """A call on a thread of its own, with the caller's context variables. Nobody has to wait to its end."""

    def __init__(self, call: Callable[[], T]) -> None:
        """Raises RuntimeError where the process may have no more threads."""
        self._call = call
        self._is_answered = threading.Event()
        self._answer: Callable[[], T]
        run = partial(copy_context().run, self._run)
        self._thread = threading.Thread(target=run, name="chaos-call", daemon=True)
        self._thread.start()

    def result(self, seconds: float) -> T:
        """What it returned, or raised. Raises TimeLimitExceeded where it goes on for longer; ask again, or leave it."""
        if not self._wait(seconds):
            raise TimeLimitExceeded(f"no answer within {seconds:.2g} s")
        if is_about_to_fork():
            self._thread.join()
        return self._answer()

    def _wait(self, seconds: float) -> bool:
        """Whether it is answered by then."""
        try:
            return self._is_answered.wait(seconds)
        except Exception as error:
            raise Interrupted(error) from error

    def _run(self) -> None:
        try:
            result = self._call()
        except BaseException as error:  # noqa: BLE001 - whoever asked raises it
            self._answer = partial(_raise, error)
        else:
            self._answer = lambda: result
        self._is_answered.set()


def _raise(error: BaseException) -> NoReturn:
    raise error
