"""The port: what the rest of the house may ask of the table."""

from collections.abc import Sequence
from typing import Protocol

from .run import Run


class RunStore(Protocol):
    """The runs of one scope. Every method may raise StoreUnavailable, which says what may have been changed."""

    def latest(self) -> Sequence[Run]:
        """The current or last run of each experiment: one strongly consistent read."""

    def active(self, now: float) -> Sequence[Run]:
        """The runs that are running at `now`, by the same kind of read."""

    def start(self, run: Run, *, now: float, replaced: Run | None = None) -> Run | None:
        """Keep the run, in the table and in its history; or, changing nothing, give the one that is running at `now`.

        `replaced`, as it ended, gives way: it must be what the table last knew of the experiment.
        """

    def stop(self, run: Run) -> bool:
        """Record how the run ended. False, changing nothing, where it had ended already."""
