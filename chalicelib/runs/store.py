"""The port to the runs, the halt and the history of one scope, and to whether its calls are observed."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..errors import TooManyRuns
from .event import Event
from .observation import Observation
from .run import Run

MOST_RUNS = 20
"""How many runs can be active at once: every environment reads all of them every second."""


class HistoryPage(NamedTuple):
    """Entries of the history, the newest first; `next` is the id to go on before, None where there is nothing older.

    A page may have fewer entries than asked for, or none, and a `next`: the work for one page is bounded.
    """

    entries: Sequence[Run | Event] = ()
    next: str | None = None


class Current(NamedTuple):
    """What every environment of a scope goes by, at one moment."""

    runs: Sequence[Run] = ()
    observation: Observation | None = None
    """While outgoing calls are observed, also while the scope is halted: that hits nothing."""


class RunStore(Protocol):
    """The runs of one scope. Every method may raise StoreUnavailable, which says what may have been changed."""

    def current(self, now: float) -> Current:
        """The runs that are active at `now`, and the observation that is, by one strongly consistent read."""

    def observe(self, observation: Observation) -> None:
        """Let all environments observe their outgoing calls, instead of as was asked before."""

    def active(self, now: float) -> Sequence[Run]:
        """The runs that are running at `now`, by one strongly consistent read; none while the scope is halted."""

    def running(self, now: float) -> Sequence[Run]:
        """The runs that have neither ended nor expired at `now`, also while the scope is halted."""

    def last(self, experiment: str) -> Run | None:
        """The run of the experiment that was started last, whether it is active or over."""

    def last_labelled(self, label: str) -> Run | None:
        """The run with this label that was started last, whether it is active or over."""

    def start(self, runs: Sequence[Run], *, now: float, replaced: Sequence[Run] = ()) -> Run | None:
        """Store all of the runs, and record them in the history; or, changing nothing, return one that is in the way.

        That is a run that is active at `now` and has the label of one of them. `replaced` are runs that make room, as
        they ended: each must be the current one of its label. Raises Halted, and TooManyRuns.
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
        self,
        *,
        since: float,
        until: float,
        experiment: str | None,
        before: str | None,
        limit: int,
        label: str | None = None,
    ) -> HistoryPage:
        """What was started from `since` up to, not including, `until`, or happened then; the newest first.

        `before` is the `next` of the page before. With a label only runs that have it.
        """


class Exchange(NamedTuple):
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


class Lease(NamedTuple):
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


def require_room(runs: Sequence[Run], running: Sequence[Run]) -> None:
    """Raises TooManyRuns. A run in the place of one that is running takes no more room than that."""
    labels = [run.label for run in running]
    added = sum(run.label not in labels for run in runs)
    if not added or len(running) + added <= MOST_RUNS:
        return
    raise TooManyRuns(
        f"At most {MOST_RUNS} runs can be active at once, and {len(running)} are: {', '.join(labels)}. "
        f"{added} more would be too many, so nothing was started. Stop some first."
    )
