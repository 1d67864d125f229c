"""Background work, of Celery, RQ, threads and tasks: `with chaos.inject("send_invoice"):`, or above a function."""

import inspect
import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

from ..injection.invocation import InvocationCall
from .invocations import Blocks, Entered
from .module import ChaosModule, Options

Function = TypeVar("Function", bound=Callable[..., Any])

NAME = re.compile("[A-Za-z0-9_.-]{1,64}")
"""What a target can name."""

_ENTERED: ContextVar[tuple[Entered | None, ...]] = ContextVar("chaos_experiments_work", default=())
"""The blocks that this thread or task is in, the innermost last; None for one that is part of another call."""


class Background:
    """What the module of every framework offers beside requests."""

    _module: ChaosModule

    def inject(self, name: str) -> "Work":
        """Let the runs hit work of that name. Raises ValueError for a name that no target could have."""
        return Work(self._module, name)


class ChaosExperiments(Background):
    """The module in a process that serves no requests, such as a worker of Celery or RQ."""

    def __init__(self, **options: Unpack[Options]) -> None:
        self._module = ChaosModule(**options)


class Work:
    """Work of a name: a context manager and a decorator, for threads and for event loops. It may be used many times.

    Nothing can take the place of a block: where a fault answers, an exception is raised at its beginning.
    """

    def __init__(self, module: ChaosModule, name: str) -> None:
        if not NAME.fullmatch(name):
            raise ValueError(f"name must be 1 to 64 letters, digits, _, . and -, such as send_invoice; got {name!r}.")
        self._module = module
        self._blocks = Blocks(module)
        self._name = name

    def __call__(self, function: Function) -> Function:
        """Raises TypeError for a generator, whose work is done when somebody asks for it."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function.__qualname__} is a generator: its work is done by whoever iterates over it. "
                f"Use a block there: with chaos.inject({self._name!r}): …"
            )
        decorated = self._of_coroutine if inspect.iscoroutinefunction(function) else self._of_function
        return cast("Function", decorated(function))

    def _of_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def worked(*values: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the function has
            if self._module.is_idle():
                return function(*values, **named)
            with self:
                return function(*values, **named)

        return worked

    def _of_coroutine(self, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(function)
        async def worked(*values: Any, **named: Any) -> Any:  # noqa: ANN401 - as above
            if self._module.is_idle():
                return await function(*values, **named)
            async with self:
                return await function(*values, **named)

        return worked

    def __enter__(self) -> Self:
        """Raises what a fault lets the work raise."""
        _push(None if self._module.is_idle() else self._blocks.enter(InvocationCall(self._name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if entered := _pop():
            self._blocks.leave(entered, error)

    async def __aenter__(self) -> Self:
        """As `__enter__`; what waits does not block the event loop."""
        _push(None if self._module.is_idle() else await self._blocks.enter_on_loop(InvocationCall(self._name)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if entered := _pop():
            await self._blocks.leave_on_loop(entered, error)


def _push(entered: Entered | None) -> None:
    _ENTERED.set((*_ENTERED.get(), entered))


def _pop() -> Entered | None:
    *outer, entered = _ENTERED.get()
    _ENTERED.set(tuple(outer))
    return entered
