"""Which calls a run may hit, and how many, where its options say more than a percentage.

Without I/O: what the table has to be asked for is in `budgets.py`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from ..faults.base import Chance
from .call import Call

MATCHED = "matched"
"""Counter: calls that the run's target matched."""

WITHOUT_KEY = "without_key"
"""Counter: calls that were not hit because they have no key to decide by."""

WOULD_HIT = "would_hit"
"""Counter: calls that a dry run would have hit."""

Note = Callable[[str], None]
"""Called with the name of a counter of the run, which one call adds 1 to."""


class Selector(Protocol):
    """Decides for one run whether it hits a call. One for each plan; safe to share between threads."""

    def select(self, call: Call, chance: Chance, note: Note) -> Chance | None:
        """None where the call is not hit; otherwise the chance by which its faults are chosen."""

    def explain(self, call: Call) -> "Sequence[Criterion]":
        """What decides, for `POST /preview`. Counts nothing, and draws nothing."""


class Criterion(Protocol):
    """One thing that decides whether a call is hit."""

    name: str
    """As in a start: `target.paths`, `target.headers.x-tenant`, `sticky`, `every`."""

    allowed: object
    """What the start says, as JSON."""

    seen: object
    """What the call has, as JSON."""

    probability: float
    """How likely the call passes it: 1.0 or 0.0 where that is known."""
