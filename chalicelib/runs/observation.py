"""That somebody asked what the processes of a scope call: for a while after that they observe it."""

import math
from typing import NamedTuple, Self

OBSERVED_SECONDS = 60.0
"""For how long after each question."""

LONGEST_SECONDS = 600.0
"""After how long a question begins another observation, whose counts are kept apart from those before."""


class Observation(NamedTuple):
    """`began` is also what tells it from others: whole epoch seconds. Asked again, it lasts longer."""

    began: float
    until: float

    @classmethod
    def asked(cls, now: float, known: "Observation | None" = None) -> Self:
        """The one that a question at `now` begins or, where one goes on, extends."""
        goes_on = known is not None and known.is_active(now) and 0 <= now - known.began < LONGEST_SECONDS
        return cls(known.began if known and goes_on else math.floor(now), now + OBSERVED_SECONDS)

    def is_active(self, now: float) -> bool:
        """One that would last for longer than any question makes it is damaged, or of another clock."""
        return 0 < self.until - now <= 2 * OBSERVED_SECONDS
