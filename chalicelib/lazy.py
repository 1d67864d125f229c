"""What is made when it is first needed, once for each object."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class cached_property(Generic[T]):  # noqa: N801 - as that of functools, in whose place it is
    """`functools.cached_property` as Python has it from 3.12 on: without a lock.

    Before, one lock is shared by all objects of a class. A process that is forked while another thread makes the
    property of any of them has that lock for good, and nobody who would release it. Here two threads may make it at
    once: both get what was made first.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> "cached_property[T]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> "cached_property[T] | T":
        if instance is None:
            return self
        made: T = instance.__dict__.setdefault(self._name, self._make(instance))
        return made
