"""The application's answer, as it is changed on its way to a server of ASGI."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..faults.base import Disconnect
from ..injection.changes import Changed, Sent
from ..injection.drivers import AsyncInjection
from ..injection.engine import InjectionResult

if TYPE_CHECKING:
    from starlette.types import Message, Scope, Send

PAST_US = ("http.response.pathsend", "http.response.zerocopysend")
"""Extensions of ASGI by which a server reads the body itself."""

RAISES_IN_SEND = "2.4"
"""From which version on a server of ASGI raises in `send` where nobody listens any more."""


class ChangedSend:
    """`send` of an ASGI application whose answer is changed. `close` it when the application has returned."""

    def __init__(
        self,
        injection: AsyncInjection,
        result: InjectionResult,
        scope: "Scope",
        send: "Send",
        cut: Callable[[], Awaitable[None]],
    ) -> None:
        """`cut` closes the connection; where it returns, nothing more is sent."""
        self._injection = injection
        self._result = result
        self._scope = scope
        self._send = send
        self._cut = cut
        self._changed = Changed(injection.engine, result)
        self._is_complete = False
        self.has_raised = False
        """Whether the application was told that nobody listens, and so may end by an exception."""

    def begin(self, message: "Message") -> "Message":
        """The beginning of the answer that is sent."""
        given = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())]
        status, headers = self._changed.begin(message["status"], given)
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return {**message, "status": status, "headers": raw}

    async def body(self, message: "Message") -> None:
        """Send what becomes of a part of the body, at once."""
        if self._is_complete:
            if message.get("more_body", False) and _raises_in_send(self._scope):
                self.has_raised = True
                raise OSError("The answer is over.")
            return
        await self._send_all(self._changed.part(message.get("body", b"")))
        if not message.get("more_body", False):
            await self._send_all(self._changed.end())
        elif not self._changed.is_over:
            return
        if not self._is_complete:
            self._is_complete = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            self.close()  # and not when the application returns, after its background tasks

    async def _send_all(self, pieces: Iterator[Sent]) -> None:
        for piece in pieces:
            if isinstance(piece, bytes):
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            elif isinstance(piece, Disconnect):
                self._is_complete = True
                await self._cut()
            else:
                await self._injection.carry_out(self._result.call, piece)

    def close(self) -> None:
        """Count what was done, once."""
        self._changed.close()


def _raises_in_send(scope: "Scope") -> bool:
    """Whether an application finds out by an OSError that nobody listens any more."""
    return bool(scope.get("asgi", {}).get("spec_version", "2.0") >= RAISES_IN_SEND)


def offer_nothing_past_us(scope: "Scope") -> None:
    """Take away the extensions by which a body would not pass here. The scope stays the one that the server made."""
    extensions: Mapping[str, Any] = scope.get("extensions") or {}
    if not extensions.keys().isdisjoint(PAST_US):
        scope["extensions"] = {name: value for name, value in extensions.items() if name not in PAST_US}
