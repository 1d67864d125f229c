from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from . import base
from .answer import ERRORS, Answer, rendered
from .base import Applied, Change, Headers, HitCall

ABOUT_ORIGINS = ("access-control-", "vary", "timing-allow-origin")
"""What the names of headers begin with that say which pages may read an answer: a browser is to see the error."""


class Replaced(Change):
    """The application's answer is lost, with its headers, and an error is sent instead.

    A stream, of which nobody knows how long it is, ends at its first part, as if its client had hung up.
    """

    replaces = True

    def __init__(self, answer: base.Answer) -> None:
        self._status = answer.status
        self._headers, body = rendered(answer)
        self._body = body.encode()
        self._is_stream = self._is_begun = False

    def begin(self, status: int, headers: Headers) -> tuple[int, Headers]:
        del status
        self._is_begun = True
        self._is_stream = not any(name.lower() == "content-length" for name, _ in headers)
        own = {name.lower() for name in self._headers}
        about_origins = [each for each in headers if each[0].lower().startswith(ABOUT_ORIGINS)]
        kept = [each for each in about_origins if each[0].lower() not in own]
        return self._status, [*self._headers.items(), *kept, ("Content-Length", str(len(self._body)))]

    def part(self, data: bytes) -> Iterable[base.Piece]:
        del data
        self.is_over = self._is_stream
        return ()

    def end(self) -> Iterable[base.Piece]:
        return (self._body,)

    @property
    def counters(self) -> Mapping[str, int]:
        return {ERRORS: 1} if self._is_begun else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace(Answer):
    """Answer with an error when the application has done its work: its own answer is lost, as a retry will find out."""

    kind = "replace"
    order = 70

    def apply(self, call: HitCall) -> Applied:
        del call
        return Applied(details={"status": self.status, "when": "after"}, change=Replaced(self.answer))
