"""The port to the runs, the halt and the history of one scope."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .event import Event
from .run import Run


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Entries of the history, the newest first; `next` is the id to go on before, None where there is nothing older.

    A page may have fewer entries than asked for, or none, and a `next`: the work for one page is bounded.
    """

    entries: Sequence[Run | Event] = ()
    next: str | None = None


class RunStore(Protocol):
    """The runs of one scope. Every method may raise StoreUnavailable, which says what may have been changed."""

    def active(self, now: float) -> Sequence[Run]:
        """The runs that are running at `now`, by one strongly consistent read; none while the scope is halted."""

    def running(self, now: float) -> Sequence[Run]:
        """The runs that have neither ended nor expired at `now`, also while the scope is halted."""

    def last(self, experiment: str) -> Run | None:
        """The current or last run of the experiment."""

    def start(self, run: Run, *, now: float, replaced: Run | None = None) -> Run | None:
        """Store the run, and record it in the history; or, changing nothing, return the one that is running at `now`.

        `replaced` is the run that makes room, as it ended: it must be the experiment's current one. Raises Halted.
        """

    def stop(self, run: Run) -> bool:
        """Record how the run ended. False, changing nothing, where it had ended already."""

    def record_defect(self, run: Run, defect: str) -> None:
        """Record what is wrong with the run's experiment, unless something is recorded already."""

    def halted(self) -> Event | None:
        """The halt that is in effect."""

    def halt(self, event: Event) -> bool:
        """From now on nothing is active and nothing can be started. False, changing nothing, where that is so already.

        Runs are to be stopped besides, or they would go on after `resume`.
        """

    def resume(self, event: Event) -> bool:
        """Let experiments be started again. False, changing nothing, where nothing is halted."""

    def record(self, event: Event) -> None:
        """Add the event to the history."""

    def find(self, run_id: str) -> Run | None:
        """A run of the history, by its id."""

    def history(
        self, *, since: float, until: float, experiment: str | None, before: str | None, limit: int
    ) -> HistoryPage:
        """What was started from `since` up to, not including, `until`, or happened then; the newest first.

        `before` is the `next` of the page before.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What an environment asks of the hits that a run may have in all, and what it says of those that it had.

    It numbers what it asks, from 1 on: what is sent twice is carried out once. One without a name gives nothing back,
    and what it sends twice may be counted twice.
    """

    environment: str
    number: int
    wanted: int
    """How many more to reserve: all of them, or, where not so many are left, none, and nothing is carried out."""
    used: int
    returned: int = 0
    """How many of the reserved ones are given back."""


@dataclass(frozen=True, slots=True)
class Lease:
    """How many hits were reserved; then of all environments: how many are reserved or used, and how many are used."""

    granted: int
    taken: int
    used: int


class BudgetStore(Protocol):
    """How many hits of the runs of one scope are taken. Every method may raise StoreUnavailable.

    Then it may have been carried out.
    """

    def lease(self, run: Run, most: int, asked: Exchange) -> Lease:
        """Carry out what is asked, by one write. Never more than `most` are taken."""

    def claim(self, run: Run, key: str, most: int) -> int | None:
        """Take one more hit of the key, by one write: its number, from 1 on. None where it has had `most`."""
