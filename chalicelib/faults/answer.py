"""One kind of fault, one file: it applies itself to a call, and reports what it did."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import base
from .base import Applied, Counter, Fault, HitCall

ERRORS = "injected_errors"
"""Counter: errors that were answered in the application's place."""

JSON, TEXT = "application/json", "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Fault):
    """Answer in the application's place: with a body, a text or JSON, or else in the API's error envelope."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    kind = "answer"
    order = 50
    counters = (Counter(name=ERRORS, title="Injected errors", unit="requests", metric="InjectedErrors"),)

    def apply(self, call: HitCall) -> Applied:
        del call
        return Applied(outcome=self.answer, details={"status": self.status}, counters={ERRORS: 1})

    @property
    def answer(self) -> base.Answer:
        return base.Answer(self.status, self.code, self.message, self.headers, self.body)


def rendered(answer: base.Answer) -> tuple[Mapping[str, str], str]:
    """The headers and the body that are sent. Headers of its own take the place of those that it would have."""
    body = envelope(answer.code, answer.message) if answer.body is None else answer.body
    text = body if isinstance(body, str) else json.dumps(body, allow_nan=False)
    own = {name.lower() for name in answer.headers}
    usual = {"Content-Type": TEXT if isinstance(body, str) else JSON, "Cache-Control": "no-store"}
    headers = {name: value for name, value in usual.items() if name.lower() not in own}
    return {**headers, **answer.headers}, text


def envelope(code: str, message: str, **more: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    """GenericSuite's envelope of an error."""
    return {"error": True, "error_message": message, "code": code, "details": [], "resultset": {}, **more}
