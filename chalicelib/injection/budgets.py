"""How many calls a run may still hit, in all environments together: `max_requests`, and `first`."""

from collections.abc import Generator
from typing import Any, Protocol

from ..faults.base import Step
from .call import Call
from .selection import Note


class Budget(Protocol):
    """What is left of a run's hits. One for each run in this process; safe to share between threads."""

    def admit(self, call: Call, note: Note) -> bool | Generator[Step, Any, bool]:
        """Whether the call may be hit, which uses up one hit. At once where this process knows, else by asking."""
