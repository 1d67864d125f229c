"""What becomes of the application's answer to one call: the changes of runs, one after the other, as it passes.

It does no I/O. What takes time is a generator of steps, which a driver carries out before it sends what follows.
"""

import logging
import math
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

from ..faults.base import Change, Disconnect, Headers, Piece, Sleep, Step
from ..faults.wait import LEFT_FOR_THE_APPLICATION_SECONDS, LIMIT, LONGEST_SECONDS, wait
from ..time_limits import pass_on
from .engine import Engine, HitByPlan, InjectionResult

log = logging.getLogger(__name__)

T = TypeVar("T")

Pause = Generator[Step, Any, None]

Sent = bytes | Pause | Disconnect
"""What the driver does next: send this, wait as long as these steps do, or close the connection, which is the end."""

NO_CONTENT, NOT_MODIFIED, FIRST_FINAL = 204, 304, 200

DEFECT = "A change of the answer raised an exception; the rest of the answer passes it unchanged"


def has_no_body(method: str, status: int) -> bool:
    """Whether there is no body in such an answer, whatever its headers say."""
    return method == "HEAD" or status < FIRST_FINAL or status in {NO_CONTENT, NOT_MODIFIED}


class Changed:
    """One answer, and what runs change in it. `close` it when it is over, however it ends."""

    def __init__(self, engine: Engine, result: InjectionResult) -> None:
        self._engine = engine
        self._result = result
        self._links = [
            _Link(HitByPlan(engine, result, plan, engine.process.chance), change) for plan, change in result.changes
        ]
        self._has_slot = False
        self._is_bodiless = False
        self.is_over = False
        """Whether nothing more is to be sent, nor asked of the application."""

    def begin(self, status: int, headers: Headers) -> tuple[int, Headers]:
        """The beginning of the answer that is sent."""
        if not self._engine.slots.take():
            self._links = []
            return status, headers
        self._has_slot = True
        for link in tuple(self._links):
            begun = link.begin(status, headers)
            if has_no_body("", begun[0]):  # there is nothing to change
                self._links.remove(link)
            else:
                status, headers = begun
        self._is_bodiless = has_no_body(self._result.call.method, status)
        return status, headers

    def part(self, data: bytes) -> Iterator[Sent]:
        """What is sent instead of the next part of the body."""
        if self._is_bodiless:
            return
        if data and not self.is_over:
            yield from self._passed([data], 0)
        if any(link.change.is_over for link in self._links):
            yield from self.end()

    def end(self) -> Iterator[Sent]:
        """What is sent after the last part."""
        if self.is_over or self._is_bodiless:
            return
        for place, link in enumerate(self._links):
            yield from self._passed(link.guarded(link.change.end), place + 1, link)
        self.is_over = True

    def close(self) -> None:
        """Count what was done, once."""
        links, self._links, self.is_over = self._links, [], True
        if self._has_slot:
            self._has_slot = False
            self._engine.slots.give_back()
        for link in links:
            if counters := link.counters():
                self._engine.count_change(self._result, link.call.plan, counters)

    def _passed(self, pieces: Iterable[Piece], place: int, by: "_Link | None" = None) -> Iterator[Sent]:
        """Pieces, as the change at that place and those after it let them pass."""
        for piece in pieces:
            if self.is_over:
                return
            if isinstance(piece, Disconnect):
                self.is_over = True
                yield piece
            elif isinstance(piece, Sleep):
                if by:
                    yield by.pause(piece.seconds)
            elif piece and place < len(self._links):
                link = self._links[place]
                yield from self._passed(link.part(piece), place + 1, link)
            elif piece:
                yield piece


class _Link:
    """One change, of one run, in a chain of them. A defect is logged once, and the answer passes."""

    __slots__ = ("_left", "call", "change", "is_defective")

    def __init__(self, call: HitByPlan, change: Change) -> None:
        self.call = call
        self.change = change
        self.is_defective = False
        self._left = min(call.limit(LIMIT), LONGEST_SECONDS)
        """For how long it may still wait."""

    def begin(self, status: int, headers: Headers) -> tuple[int, Headers]:
        try:
            return self.change.begin(status, headers)
        except Exception as error:  # noqa: BLE001 - logged, once
            self._log(error)
            return status, headers

    def part(self, data: bytes) -> Iterator[Piece]:
        if self.is_defective or self.change.is_over:
            return iter((data,) if self.is_defective else ())
        return self.guarded(lambda: self.change.part(data), data)

    def guarded(self, give: Callable[[], Iterable[Piece]], data: bytes = b"") -> Iterator[Piece]:
        """What a change gives; where it raises, the part that it was given, unless it has given something of it."""
        has_given = self.is_defective
        try:
            for piece in () if self.is_defective else give():
                has_given = has_given or isinstance(piece, bytes)
                yield piece
        except Exception as error:  # noqa: BLE001 - logged, once
            self._log(error)
            if data and not has_given:
                yield data

    def counters(self) -> dict[str, int]:
        try:
            return {name: count for name, count in self.change.counters.items() if count}
        except Exception as error:  # noqa: BLE001 - logged, once
            self._log(error)
            return {}

    def _log(self, error: Exception) -> None:
        pass_on(error)
        if not self.is_defective:
            log.error(DEFECT, exc_info=error)
        self.is_defective = True

    def pause(self, seconds: float) -> Pause:
        """As long as it asks for, but no longer than the run goes on, the call may take, and the stage allows."""
        if self._left <= 0 or not (yield from self.call.is_active()):
            self._left = 0.0
            return
        wanted = min(seconds, self._left, self._left_of_the_call())
        if wanted > 0:
            began = self.call.timer()
            yield from wait(self.call, wanted, wanted, self._left_of_the_call)
            self._left -= self.call.timer() - began
        if wanted < seconds:
            self._left = 0.0

    def _left_of_the_call(self) -> float:
        try:
            return self.call.remaining_seconds() - LEFT_FOR_THE_APPLICATION_SECONDS
        except Exception:
            log.exception("A call does not say how much time it has left; nothing is delayed")
            return -math.inf
