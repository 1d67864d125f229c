"""What stands in for `time`, `datetime`, and what is in them, where the clock is shifted.

Only what says what time it is now is another; what it gives is of the real types. So values can be compared, pickled
and handed to libraries, and `isinstance` answers as with the real classes, of values from anywhere.
"""

import copyreg
import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import BuiltinFunctionType, ModuleType
from typing import Any

NANOSECONDS = 1_000_000_000

TAKE_SECONDS = ("gmtime", "localtime", "ctime")
"""Functions of `time` that take the current time where they are given none."""

WRITE_A_TIME = {"asctime": 0, "strftime": 1}
"""Those that take the current local time, and how many arguments come before it."""

OF_CLASSES = ("now", "utcnow", "today")
"""Methods of the classes of `datetime` that say what time it is."""


class Skew:
    """By how many seconds clocks are off. It is 0 when its run is over, for whoever has kept a stand-in."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


def is_replaced() -> bool:
    """Whether somebody, such as freezegun, has put clocks of his own in the place of the real ones."""
    return not isinstance(time.time, BuiltinFunctionType) or type(dt.datetime) is not type


class StandIns:
    """Those for all modules in which the same runs shift the clock: by the sum of them."""

    def __init__(self, skews: Sequence[Skew]) -> None:
        self._skews = skews
        self._functions = {name: made for name, made in self._shifted_functions().items() if hasattr(time, name)}
        self._classes = [(real, self._shifted_class(real)) for real in (dt.datetime, dt.date)]
        classes = {real.__name__: made for real, made in self._classes}
        self._by_id = {
            id(time): _StandInModule(time, self._functions),
            id(dt): _StandInModule(dt, classes),
            **{id(real): made for real, made in self._classes},
            **{id(getattr(time, name)): made for name, made in self._functions.items()},
        }

    def find(self, value: object) -> Any:  # noqa: ANN401 - a module, a class or a function
        """What stands in for a value; None where it has nothing to do with the clock."""
        if isinstance(value, BuiltinFunctionType) and value.__name__ in OF_CLASSES:
            return next((getattr(made, value.__name__) for real, made in self._classes if real is value.__self__), None)
        return self._by_id.get(id(value))

    @property
    def _seconds(self) -> float:
        return sum([skew.seconds for skew in self._skews])

    def _now(self) -> float:
        return time.time() + self._seconds

    def _shifted_functions(self) -> Mapping[str, Callable[..., Any]]:
        made: dict[str, Callable[..., Any]] = {
            "time": self._now,
            "time_ns": lambda: time.time_ns() + round(self._seconds * NANOSECONDS),
            "clock_gettime": lambda clock: time.clock_gettime(clock) + self._of(clock),
            "clock_gettime_ns": lambda clock: time.clock_gettime_ns(clock) + round(self._of(clock) * NANOSECONDS),
            **{name: partial(self._at, name) for name in TAKE_SECONDS},
            **{name: partial(self._written, name) for name in WRITE_A_TIME},
        }
        return {name: _function(name, function) for name, function in made.items()}

    def _of(self, clock: int) -> float:
        """By how much a clock of the system is off: only the one that tells the time of day."""
        return self._seconds if clock == time.CLOCK_REALTIME else 0.0

    def _at(self, name: str, *arguments: Any) -> Any:  # noqa: ANN401 - as the function of that name
        is_now = arguments in ((), (None,))
        return getattr(time, name)(*((self._now(),) if is_now else arguments))

    def _written(self, name: str, *arguments: Any) -> Any:  # noqa: ANN401 - as the function of that name
        is_now = len(arguments) == WRITE_A_TIME[name]
        return getattr(time, name)(*arguments, *([time.localtime(self._now())] if is_now else []))

    def _shifted_class(self, real: Any) -> Any:  # noqa: ANN401 - `datetime` or `date`
        def now(cls: Any, tz: dt.tzinfo | None = None) -> Any:  # noqa: ANN401
            return _real(cls).fromtimestamp(self._now(), tz)

        def utcnow(cls: Any) -> Any:  # noqa: ANN401
            return now(cls, dt.UTC).replace(tzinfo=None)

        def today(cls: Any) -> Any:  # noqa: ANN401
            return _real(cls).fromtimestamp(self._now())

        methods = {"now": now, "utcnow": utcnow, "today": today}
        own = {name: classmethod(method) for name, method in methods.items() if hasattr(real, name)}
        named = {"__module__": real.__module__, "__qualname__": real.__qualname__, "__doc__": real.__doc__}
        pydantic = {"__get_pydantic_core_schema__": classmethod(_schema_of_the_real)}
        return _Shifted(real.__name__, (real,), {"__slots__": (), _REAL: real, **named, **own, **pydantic})


_REAL = "_chaos_real"


def _real(cls: Any) -> Any:  # noqa: ANN401 - any object
    """What a class stands in for; itself, where it does for nothing."""
    return vars(cls).get(_REAL, cls) if isinstance(cls, type) else cls


class _Shifted(type):
    """Of a class that stands in for a real one, of which its instances are; and of those that the host derives."""

    def __call__(cls, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401
        real = _real(cls)
        return super().__call__(*arguments, **more) if real is cls else real(*arguments, **more)

    def __instancecheck__(cls, instance: object) -> bool:
        real = _real(cls)
        return super().__instancecheck__(instance) if real is cls else isinstance(instance, real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        real = _real(cls)
        return super().__subclasscheck__(subclass) if real is cls else issubclass(subclass, real)

    def __eq__(cls, other: object) -> bool:
        return _real(cls) is _real(other)

    def __hash__(cls) -> int:
        return type.__hash__(_real(cls))


def _schema_of_the_real(cls: Any, _source: Any, handler: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """What pydantic asks a class that it does not know. It knows the real ones."""
    return handler(_real(cls))


def _reduced(cls: type) -> Any:  # noqa: ANN401 - as pickle has it
    """A class that is pickled is the real one; one that the host derives is found by its name."""
    real = _real(cls)
    return cls.__qualname__ if real is cls else (type, (real.min,))


copyreg.pickle(_Shifted, _reduced)  # of which classes are instances


class _StandInModule(ModuleType):
    """A module in which some attributes are others."""

    def __init__(self, real: ModuleType, replaced: Mapping[str, Any]) -> None:
        super().__init__(real.__name__, real.__doc__)
        vars(self).update({name: value for name, value in vars(real).items() if name.startswith("__")}, **replaced)
        vars(self)[_REAL] = real

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute
        return getattr(vars(self)[_REAL], name)

    def __dir__(self) -> list[str]:
        return dir(vars(self)[_REAL])


def _function(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """A function with the name and the documentation of the real one."""

    def function(*arguments: Any) -> Any:  # noqa: ANN401 - as the real one
        return call(*arguments)

    function.__name__ = function.__qualname__ = name
    function.__module__ = "time"
    function.__doc__ = getattr(time, name, None).__doc__
    return function
