"""Drives one change of an answer: what is sent, and how long it paused."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chalicelib.faults.base import Change, Disconnect, Headers, Sleep


class Sent:
    """What a change makes of an answer: its status, its headers, its body, and what was not bytes."""

    def __init__(
        self,
        change: Change,
        parts: Sequence[bytes],
        headers: Headers = (),
        *,
        status: int = 200,
        sleep: Callable[[float], object] = lambda _seconds: None,
    ) -> None:
        self.status, begun = change.begin(status, headers)
        self.headers = {name.lower(): value for name, value in begun}
        self.pieces: list[bytes] = []
        self.slept: list[float] = []
        self.is_cut = False
        self._sleep = sleep
        for part in parts:
            self._take(change.part(part))
            if change.is_over or self.is_cut:
                break
        if not self.is_cut:
            self._take(change.end())
        self.counters = {name: count for name, count in change.counters.items() if count}

    def _take(self, given: Iterable[Any]) -> None:
        for piece in given:
            if isinstance(piece, Disconnect):
                self.is_cut = True
                return
            if isinstance(piece, Sleep):
                self.slept.append(piece.seconds)
                self._sleep(piece.seconds)
            else:
                self.pieces.append(piece)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)
