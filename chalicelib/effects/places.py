"""Where a process serves its calls: on which event loops, and with which pools of threads."""

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from .base import Surroundings
from .holder import H, Holder, W

P = TypeVar("P")

Call = Callable[[], object]


class Loop(NamedTuple):
    """An event loop. `key` tells it from others."""

    key: Hashable
    call_soon: Callable[[Call], object]
    """Lets it call something, from any thread. Raises RuntimeError where the loop is over."""


def running_loop() -> Loop | None:
    """The one that runs in this thread, of asyncio (uvloop is one of those) or of trio; None where there is none."""
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio and (loop := asyncio._get_running_loop()):  # noqa: SLF001 - it is public, in spite of its name
        return Loop(loop, loop.call_soon_threadsafe)
    trio: Any = sys.modules.get("trio")
    if trio:
        try:
            token = trio.lowlevel.current_trio_token()
        except RuntimeError:
            return None
        return Loop(token, token.run_sync_soon)
    return None


class PlacesHolder(Holder[H, W], ABC, Generic[H, W, P]):
    """An effect on the places where calls are served (`P`): found by the calls, and forgotten with the runs."""

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._places: dict[Hashable, P] = {}

    def meet(self) -> None:
        """To be called by each call that is hit, on its thread or event loop. Does not block."""
        for key, make in self.found():
            if key not in self._places:
                self._places[key] = make()
                for held in self.holdings:
                    held.due_at = -math.inf

    @abstractmethod
    def found(self) -> Iterator[tuple[Hashable, Callable[[], P]]]:
        """The places of the call that is served by this very thread: what tells each from others, and makes it."""

    def _release(self, run_id: str) -> None:
        super()._release(run_id)
        if not self.holdings:
            self._places.clear()
