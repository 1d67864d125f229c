"""The application's answer, as it is changed on its way to the server: of WSGI, and a whole one."""

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from itertools import chain

from ..faults.base import Disconnect, Headers
from ..injection.changes import Changed, Sent
from ..injection.drivers import SyncInjection
from ..injection.engine import InjectionResult

STATUSES = frozenset(HTTPStatus)


class ChangedAnswer:
    """One answer of a WSGI application: its `start_response`, its `write`, and its body, as the server gets them."""

    def __init__(self, injection: SyncInjection, result: InjectionResult, cut: Callable[[], None]) -> None:
        """`cut` closes the connection; where it returns, the answer is over."""
        self._injection = injection
        self._result = result
        self._cut = cut
        self._changed: Changed | None = None
        self._is_begun = False

    def begin(self, status: str, headers: list[tuple[str, str]]) -> tuple[str, list[tuple[str, str]]]:
        """The status and the headers that are sent. An error that takes the place of a begun answer passes as it is."""
        if self._is_begun or not status[:3].isdecimal():
            self._stop()
            return status, headers
        self._is_begun = True
        self._changed = Changed(self._injection.engine, self._result)
        number, changed = self._changed.begin(int(status[:3]), headers)
        return status if number == int(status[:3]) else status_line(number), list(changed)

    def writing(self, write: Callable[[bytes], object]) -> Callable[[bytes], object]:
        """What `start_response` returns, for an application that writes."""

        def write_changed(data: bytes) -> None:
            for piece in self._sent(self._changed.part(data) if self._changed else (data,)):
                write(piece)

        return write_changed

    def pieces(self, parts: Iterator[bytes]) -> Iterator[bytes]:
        for data in parts:
            changed = self._changed
            yield from self._sent(changed.part(data) if changed else (data,))
            if changed and changed.is_over:
                return
        if self._changed:
            yield from self._sent(self._changed.end())

    def _sent(self, pieces: Iterable[Sent]) -> Iterator[bytes]:
        for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
            elif isinstance(piece, Disconnect):
                self._cut()
                return
            else:
                self._injection.carry_out(self._result.call, piece)

    def close(self) -> None:
        """After its end, whatever that was."""
        if self._changed:
            self._stop()
            self._injection.flush(self._result)

    def _stop(self) -> None:
        if self._changed:
            self._changed.close()
            self._changed = None


class ChangedBody:
    """The body of an answer that is changed. Closing it closes the application's, once."""

    def __init__(self, answer: ChangedAnswer, parts: Iterable[bytes]) -> None:
        self._answer = answer
        self._parts: Iterable[bytes] | None = parts
        self._pieces: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._pieces is None:
            self._pieces = self._answer.pieces(iter(self._parts or ()))
        return next(self._pieces)

    def close(self) -> None:
        parts, self._parts = self._parts, None
        try:
            close_parts = getattr(parts, "close", None)
            if close_parts is not None:
                close_parts()
        finally:
            self._answer.close()


def status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase if status in STATUSES else 'Unknown'}"


def changed_whole(
    injection: SyncInjection, result: InjectionResult, status: int, headers: Headers, body: bytes
) -> tuple[int, Headers, bytes, bool]:
    """A whole answer, as it is when all changes of it have been carried out, and whether it breaks off after that."""
    changed, sent = Changed(injection.engine, result), bytearray()
    try:
        status, headers = changed.begin(status, headers)
        for piece in chain(changed.part(body), changed.end()):
            if isinstance(piece, bytes):
                sent += piece
            elif isinstance(piece, Disconnect):
                return status, headers, bytes(sent), True
            else:
                injection.carry_out(result.call, piece)
        return status, headers, bytes(sent), False
    finally:
        changed.close()
