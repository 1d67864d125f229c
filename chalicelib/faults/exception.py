"""An exception in the application's place, and how one is found and made from its name."""

import builtins
import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .base import Applied, Counter, Fault, HitCall, Raise, Unavailable

EXCEPTIONS = "injected_exceptions"
"""Counter: exceptions that were raised in the application's place."""

CONTROL_FLOW = (StopIteration, StopAsyncIteration)
"""What ends a generator: raised in one, as in a coroutine, it is another exception."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseException(Fault):
    """Raise an exception in the application's place, which its own error handlers, middleware and hooks see."""

    exception: type[Exception]
    arguments: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    kind = "exception"
    order = 40
    counters = (Counter(name=EXCEPTIONS, title="Injected exceptions", unit="requests"),)

    def apply(self, call: HitCall) -> Applied:
        exception = self.exception(*self.arguments, **self.named)
        with suppress(Exception):  # one that cannot be changed has no note
            exception.add_note(f"Injected by chaos experiment run {call.run.run_id}")
        return Applied(
            outcome=Raise(exception), details={"exception": qualified(self.exception)}, counters={EXCEPTIONS: 1}
        )


def qualified(kind: type) -> str:
    """Its name, as a traceback has it."""
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def exception_class(name: str) -> type[Exception]:
    """The class of that name: a built-in, or of a module that this process has imported. Imports nothing.

    Raises Unavailable where there is none as yet, and TypeError for what is no exception of applications.
    """
    module_name, _, class_name = name.rpartition(".")
    module = sys.modules.get(module_name) if module_name else builtins
    if module is None:
        raise Unavailable(f"{module_name} is not imported")
    # Of the module's own names alone: to ask the module itself may import another one.
    found = object.__getattribute__(module, "__dict__").get(class_name)
    if found is None:
        raise Unavailable(f"{module_name or 'Python'} has no {class_name}")
    if not isinstance(found, type) or not issubclass(found, Exception):
        raise TypeError(f"{name} is no subclass of Exception")
    if issubclass(found, CONTROL_FLOW):
        raise TypeError(f"{name} is how Python ends a generator")
    return found


# How one is made: in the first way in which its text has the message.

Arguments = tuple[tuple[Any, ...], Mapping[str, Any]]

PROBE = "probe"

TEXTS = ("message", "msg", "detail", "description", "reason")
"""Names of a constructor's parameter for the message."""

OTHERS: Mapping[str, Any] = {"status_code": 500, "doc": "", "pos": 0, "operation_name": "Unknown"}
"""What constructors of well-known libraries must be given besides, by the parameter's name."""

CODECS: Mapping[type, tuple[Any, ...]] = {
    UnicodeDecodeError: ("utf-8", b"\xff", 0, 1),
    UnicodeEncodeError: ("utf-8", "\udcff", 0, 1),
    UnicodeTranslateError: ("\udcff", 0, 1),
}


def _message_alone(_kind: type, message: str) -> Arguments:
    return (message,), {}


def _by_name(kind: type, message: str) -> Arguments:
    """Raises ValueError for a constructor that is not written in Python."""
    known = {**OTHERS, "error_response": {"Error": {"Code": "InternalError", "Message": message}}}  # botocore's
    parameters = inspect.signature(kind).parameters
    needed = {each.name for each in parameters.values() if each.default is each.empty}
    text = next(({name: message} for name in TEXTS if name in parameters), {})
    return (), {**{name: value for name, value in known.items() if name in needed}, **text}


def _of_codec(kind: type, message: str) -> Arguments:
    return (*CODECS[kind], message), {}


def _nothing(_kind: type, _message: str) -> Arguments:
    return (), {}


WAYS: tuple[Callable[[type, str], Arguments], ...] = (_by_name, _message_alone, _of_codec, _nothing)


def arguments_for(kind: type[Exception], message: str) -> Arguments:
    """What to make it with. One that takes no message has its own. Raises ValueError where it needs more."""
    for way in WAYS:
        with suppress(Exception):
            arguments, named = way(kind, PROBE)
            made = kind(*arguments, **named)
            if isinstance(made, kind) and (way is _nothing or PROBE in str(made)):
                return way(kind, message)
    raise ValueError(f"{qualified(kind)} cannot be made with a message alone")
