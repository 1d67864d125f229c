"""The application's answer, as it is changed on its way to the server: of WSGI, of ASGI, and a whole one."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, NoReturn

from ..faults.base import Disconnect, Headers
from ..injection.changes import Changed, Sent
from ..injection.drivers import AsyncInjection, SyncInjection
from ..injection.engine import InjectionResult

Message = MutableMapping[str, Any]
STATUSES = frozenset(HTTPStatus)

PAST_US = ("http.response.pathsend", "http.response.zerocopysend")
"""Extensions of ASGI by which a server reads the body itself."""

RAISES_IN_SEND = "2.4"
"""From which version on a server of ASGI raises in `send` where nobody listens any more."""


class Dropped(ConnectionAbortedError):
    """The connection is closed in the middle of an answer."""


def drop() -> NoReturn:
    raise Dropped("Chaos experiment: the connection is closed.")


# WSGI


class ChangedAnswer:
    """One answer of a WSGI application: its `start_response`, its `write`, and its body, as the server gets them."""

    def __init__(self, injection: SyncInjection, result: InjectionResult) -> None:
        self._injection = injection
        self._result = result
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
                drop()
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


# ASGI


class ChangedSend:
    """`send` of an ASGI application whose answer is changed. `close` it when the application has returned."""

    def __init__(
        self,
        injection: AsyncInjection,
        result: InjectionResult,
        send: Callable[[Message], Awaitable[None]],
        *,
        raises: bool,
    ) -> None:
        """`raises`: whether the application knows that nobody listens any more by an OSError that `send` raises."""
        self._injection = injection
        self._result = result
        self._send = send
        self._changed = Changed(injection.engine, result)
        self._raises = raises
        self._is_complete = False

    def begin(self, message: Message) -> Message:
        """The beginning of the answer that is sent."""
        given = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())]
        status, headers = self._changed.begin(message["status"], given)
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return {**message, "status": status, "headers": raw}

    async def body(self, message: Message) -> None:
        """Send what becomes of a part of the body, at once."""
        if self._is_complete:
            if self._raises and message.get("more_body", False):
                raise OSError("The answer is over.")
            return
        await self._send_all(self._changed.part(message.get("body", b"")))
        if not message.get("more_body", False):
            await self._send_all(self._changed.end())
        elif not self._changed.is_over:
            return
        self._is_complete = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, pieces: Iterator[Sent]) -> None:
        for piece in pieces:
            if isinstance(piece, bytes):
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            elif isinstance(piece, Disconnect):
                drop()
            else:
                await self._injection.carry_out(self._result.call, piece)

    def close(self) -> None:
        self._changed.close()


def raises_in_send(scope: Mapping[str, Any]) -> bool:
    """Whether an application of ASGI expects it."""
    return bool(scope.get("asgi", {}).get("spec_version", "2.0") >= RAISES_IN_SEND)


def offer_nothing_past_us(scope: Message) -> None:
    """Take away the extensions by which a body would not pass here. The scope stays the one that the server made."""
    extensions: Mapping[str, Any] = scope.get("extensions") or {}
    if not extensions.keys().isdisjoint(PAST_US):
        scope["extensions"] = {name: value for name, value in extensions.items() if name not in PAST_US}


# Whole


def changed_whole(
    injection: SyncInjection, result: InjectionResult, status: int, headers: Headers, body: bytes
) -> tuple[int, Headers, bytes]:
    """A whole answer, as it is when all changes of it have been carried out."""
    answer = ChangedAnswer(injection, result)
    try:
        line, begun = answer.begin(status_line(status), list(headers))
        pieces = answer.pieces(iter((body,)))
        return int(line[:3]), begun, b"".join(pieces)
    finally:
        answer.close()
