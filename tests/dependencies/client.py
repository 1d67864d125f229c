"""A client library that is made up, and calls as the patched ones do. It retries what it cannot reach."""

from dataclasses import dataclass, field

from chalicelib.faults.base import Failure
from chalicelib.injection.call import OutgoingCall
from chalicelib.outgoing.passing import is_to_be_asked, send

FAULTS = frozenset({"latency", "error", "timeout", "refused"})


class Refused(Exception):
    """What users of the library know."""


@dataclass
class Client:
    """Of a service like DynamoDB. `answers` are what the service says, in turn; then 200."""

    attempts: int = 1
    operation: str = "PutItem"
    timeout_seconds: float = 2.0
    answers: list[int] = field(default_factory=list)
    made: int = 0

    def ask(self) -> int:
        """The status of the answer. Raises Refused after the last attempt."""
        for left in reversed(range(self.attempts)):
            try:
                return self._try()
            except Refused:
                if not left:
                    raise
        return 0

    def ask_in_vain(self) -> int:
        """For an application with a fallback."""
        try:
            return self.ask()
        except Refused:
            return 0

    def _try(self) -> int:
        if not is_to_be_asked():
            return self._made()
        call = OutgoingCall("made-up", FAULTS, host="dynamodb.example", port=443, timeout_seconds=self.timeout_seconds)
        call.describe_operation("dynamodb", self.operation)
        return send(call, self._made, self._fail, int)

    def _made(self) -> int:
        self.made += 1
        return self.answers.pop(0) if self.answers else 200

    def _fail(self, failure: Failure, _proceed: object) -> int:
        if failure.way == "error":
            return 400  # as AWS says it of many
        raise Refused(failure.way)
