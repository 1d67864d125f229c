"""Which outgoing calls are the module's own: to its table, to CloudWatch, for keys. No fault hits them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

_IS_OWN: ContextVar[bool] = ContextVar("chaos_experiments_own_call", default=False)


@contextmanager
def own_calls() -> Iterator[None]:
    """What the block calls is the module's own, also on a thread that gets a copy of its context."""
    token = _IS_OWN.set(True)
    try:
        with lent_reserves():
            yield
    finally:
        _IS_OWN.reset(token)


is_own_call = _IS_OWN.get
"""Whether what is called now is the module's own."""


class Reserve(Protocol):
    """What a run leaves to nobody but the module itself. Lent to several at once; none of the methods blocks."""

    def lend(self) -> None:
        """Free it: somebody needs it."""

    def take_back(self) -> None:
        """Take it again, if nobody else needs it by now."""


class Reserves:
    """Those of all runs that this process holds something for."""

    def __init__(self) -> None:
        self.present: tuple[Reserve, ...] = ()
        self._changing = threading.Lock()

    def add(self, reserve: Reserve) -> None:
        with self._changing:
            if reserve not in self.present:
                self.present = (*self.present, reserve)

    def remove(self, reserve: Reserve) -> None:
        with self._changing:
            self.present = tuple(each for each in self.present if each is not reserve)

    def renew(self) -> None:
        """Forget those of the process that this one is a copy of."""
        self._changing = threading.Lock()
        self.present = ()


RESERVES = Reserves()


@contextmanager
def lent_reserves() -> Iterator[None]:
    """For the block, what runs keep for the module is free to be used."""
    if not RESERVES.present:
        yield
        return
    lent = RESERVES.present
    for reserve in lent:
        reserve.lend()
    try:
        yield
    finally:
        for reserve in lent:
            reserve.take_back()
