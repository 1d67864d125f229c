from dataclasses import dataclass

from . import base
from .base import Applied, Fault, HitCall

ERRORS = "injected_errors"
"""Counter: errors that were answered in the application's place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Fault):
    """Answer in the application's place, in the API's error envelope."""

    status: int
    code: str
    message: str
    kind = "answer"
    order = 2

    def apply(self, call: HitCall) -> Applied:
        del call
        answer = base.Answer(self.status, self.code, self.message)
        return Applied(outcome=answer, details={"status": self.status}, counters={ERRORS: 1})
