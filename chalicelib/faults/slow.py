import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .base import AnswerFault, Applied, Change, HitCall, Piece, Sleep
from .wait import DELAY, INJECTED_DELAY, MICROSECONDS

PIECE_SECONDS = 0.05
"""How much of the body is sent at once: what comes in so long."""

LATE_SECONDS = 1.0
"""How late pieces may be for the next ones to come sooner, so that the rate is kept where pauses are too long."""

NEVER = -math.inf

ENOUGH = 0.5
"""A pause that ends before this share of it was cut off: the run is over, or there is no more time."""


class Trickle(Change):
    """The body comes at a rate: its first byte at once, each piece when it is due, the rest when the run is over."""

    def __init__(self, bytes_per_second: float, timer: Callable[[], float]) -> None:
        self._rate = bytes_per_second
        self._size = max(int(bytes_per_second * PIECE_SECONDS), 1)
        self._timer = timer
        self._due = self._asked_at = NEVER
        self._is_cut_off = False
        self._waited = 0.0

    def part(self, data: bytes) -> Iterable[Piece]:
        now, sent = self._timer(), 0
        if self._due == NEVER:
            self._due, sent = now, 1
            yield data[:1]
        else:
            self._due += now - self._asked_at  # the application's own time is no reason to hurry
        while sent < len(data) and not self._is_cut_off:
            piece = data[sent : sent + self._size]
            self._due = max(self._due, self._timer() - LATE_SECONDS) + len(piece) / self._rate
            yield from self._pause()
            if not self._is_cut_off:
                yield piece
                sent += len(piece)
        if sent < len(data):
            yield data[sent:]
        self._asked_at = self._timer()

    def _pause(self) -> Iterable[Piece]:
        began = self._timer()
        wanted = self._due - began
        if wanted > 0:
            yield Sleep(wanted)
            waited = self._timer() - began
            self._waited += waited
            self._is_cut_off = waited < wanted * ENOUGH

    @property
    def counters(self) -> Mapping[str, int]:
        return {DELAY: round(self._waited * MICROSECONDS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow(AnswerFault):
    """Send the body of the application's answer at so many bytes per second. A stream stays one."""

    bytes_per_second: float
    kind = "slow"
    order = 90
    counters = (INJECTED_DELAY,)

    def apply(self, call: HitCall) -> Applied:
        change = Trickle(self.bytes_per_second, call.timer)
        return Applied(details={"bytes_per_second": self.bytes_per_second}, change=change)
