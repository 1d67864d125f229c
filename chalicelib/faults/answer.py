from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import base
from .base import Applied, Counter, Fault, HitCall

ERRORS = "injected_errors"
"""Counter: errors that were answered in the application's place."""


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
        answer = base.Answer(self.status, self.code, self.message, self.headers, self.body)
        return Applied(outcome=answer, details={"status": self.status}, counters={ERRORS: 1})
