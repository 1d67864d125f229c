from collections.abc import Iterable
from dataclasses import dataclass

from .base import DISCONNECT, AnswerFault, Applied, Change, Counter, Fault, HitCall, Piece

DROPPED = "dropped_connections"
"""Counter: requests whose connection was closed without an answer, or within one."""

NOT_DROPPED = "undropped_connections"
"""Counter: those that were answered with an error instead, because their server does not let us drop them."""

CONNECTIONS = (
    Counter(name=DROPPED, title="Dropped connections", unit="requests"),
    Counter(name=NOT_DROPPED, title="Connections that the server did not let drop", unit="requests"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DropConnection(Fault):
    """Close the connection, without an answer and without the application's work."""

    kind = "disconnect"
    order = 60
    counters = CONNECTIONS

    def apply(self, call: HitCall) -> Applied:
        del call
        return Applied(outcome=DISCONNECT, counters={DROPPED: 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class DropWithin(AnswerFault):
    """Close the connection when so many bytes of the application's answer are sent."""

    after_bytes: int
    kind = "drop"
    order = 100
    counters = CONNECTIONS

    def apply(self, call: HitCall) -> Applied:
        del call
        return Applied(change=Cut(self.after_bytes), details={"after_bytes": self.after_bytes})


class Cut(Change):
    """An answer that ends after so many bytes of its body. One that is shorter passes whole."""

    replaces = True

    def __init__(self, after_bytes: int) -> None:
        self._left = after_bytes
        self._is_cut = False

    def part(self, data: bytes) -> Iterable[Piece]:
        if len(data) < self._left:
            self._left -= len(data)
            return (data,)
        self._is_cut = True
        return (data[: self._left], DISCONNECT)

    @property
    def counters(self) -> dict[str, int]:
        return {DROPPED: 1} if self._is_cut else {}
