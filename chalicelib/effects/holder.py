"""What every effect does that holds one thing for each run: once, watched, and given back when the run is over."""

import logging
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, TypeVar

from ..time_limits import pass_on
from .base import ActiveRun, Surroundings
from .watcher import Watcher

log = logging.getLogger(__name__)

LAST_SECONDS = 1.0
"""How long the end of the process waits for a thread that changes what is held; with it goes all that is held."""


class Holding(ABC):
    """What is held for one run."""

    def __init__(self, run: ActiveRun) -> None:
        self.run = run

    due_at: float = math.inf
    """When `Holder.advance` is to be called next, in epoch seconds."""

    is_reported: bool = True
    """Whether all of `take_counters` has been taken."""

    @property
    def problem(self) -> str | None:
        """Why nothing is held, in at most 100 characters; None where something is."""
        return None

    @property
    def shown(self) -> Mapping[str, Any]:
        """What is held, for people."""
        return {}

    @property
    def details(self) -> Mapping[str, Any]:
        """What is held, for people; and why it is nothing, where it is."""
        return {**self.shown, "problem": self.problem} if self.problem else self.shown

    def take_counters(self) -> Mapping[str, int]:
        """What is to be added to the results of the run since the last time. Called with one thread at a time."""
        return {}

    @abstractmethod
    def release(self) -> None:
        """Give it back. May block. Called again where an exception of the host's has ended it before its end."""

    def abandon(self) -> None:  # noqa: B027 - threads and event loops are the original's alone
        """Let go of it in this process, a copy; its original still holds it. Called once, and never waits: other
        threads of the original may have held any lock.
        """


class Amount(Holding):
    """So much of something that is held for one run, and counted as it grows."""

    counter: ClassVar[str]
    _reported = -1
    """How much of it has been counted; less than nothing before the first time, which reports nothing, too."""

    @property
    @abstractmethod
    def amount(self) -> int:
        """How much is held now."""

    @property
    def is_reported(self) -> bool:  # type: ignore[override]
        return self.amount == self._reported

    def take_counters(self) -> Mapping[str, int]:
        added, self._reported = self.amount - max(self._reported, 0), self.amount
        return {self.counter: added} if added else {}


class Impossible(Exception):
    """This environment cannot give what a run asks for. The text says why, in at most 100 characters."""


class Failed(Holding):
    """Nothing: this environment could not give what the run asked for. It is not asked again."""

    def __init__(self, run: ActiveRun, reason: str) -> None:
        super().__init__(run)
        self._reason = reason

    @property
    def problem(self) -> str:
        return self._reason

    def release(self) -> None:
        pass


H = TypeVar("H", bound=Holding)
W = TypeVar("W")


class Holder(ABC, Generic[H, W]):
    """An effect that holds something (`H`) for each run, as the run wants it (`W`).

    A watcher thread lives while something is held, so that a process without traffic gives it back, and does what is
    due besides; where the process is frozen meanwhile, or has no threads, the next request does the same.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._active = surroundings.active
        self._clock = surroundings.clock
        self._seconds_until_stale = surroundings.seconds_until_stale
        self._count = surroundings.count
        self._record_problem = surroundings.record_problem
        self._held: dict[str, H | Failed] = {}
        self._changing = threading.Lock()
        self._watcher = Watcher(self, surroundings.sleep, f"chaos-{type(self).__name__.lower()}")

    @abstractmethod
    def take(self, run: ActiveRun, wanted: W) -> H:
        """Take what a run wants, as much as there is. May block. Raises Impossible where there is none at all.

        Any other exception is logged, and the run holds nothing.
        """

    def advance(self, holding: H) -> None:
        """Do what is due by its `due_at`, and set that anew. May block."""

    @property
    def is_holding(self) -> bool:
        return bool(self._held)

    @property
    def holdings(self) -> Sequence[H]:
        return [held for held in list(self._held.values()) if not isinstance(held, Failed)]

    def held_for(self, run: ActiveRun) -> Mapping[str, Any] | None:
        """What is held for a run, for people; None where `hold` is to be asked, for the first time or again.

        Does not block.
        """
        held = self._held.get(run.run_id)
        return held.details if held is not None and held.is_reported and not self._is_step_due(held) else None

    def hold(self, run: ActiveRun, wanted: W) -> tuple[Mapping[str, Any], Mapping[str, int]]:
        """Hold what a run wants, once. Returns what is held, for people, and what nobody has counted yet.

        The first call takes it; the ones that come meanwhile do not wait for it.
        """
        counters: Mapping[str, int] = {}
        if self.held_for(run) is None and self._changing.acquire(blocking=False):
            try:
                self._release_what_is_over()
                held = self._held.get(run.run_id) or self._taken(run, wanted)
                self._advance_if_due(held)
                counters = held.take_counters()
            finally:
                self._changing.release()
        known = self._held.get(run.run_id)
        return (known.details if known else {}), counters

    def _taken(self, run: ActiveRun, wanted: W) -> H | Failed:
        try:
            held = self.take(run, wanted)
            self._held[run.run_id] = held
            try:
                if self._is_step_due(held):
                    self._take_step(held)
            finally:  # also where whatever ends this call has interrupted its first step
                self._watcher.watch()
        except Impossible as error:
            self._held[run.run_id] = Failed(run, str(error))
        except Exception as error:
            pass_on(error)
            log.exception("Run %s holds nothing in this environment", run.run_id)
            if run.run_id in self._held:  # nobody would give it back
                self._release(run.run_id)
            self._held[run.run_id] = Failed(run, f"{type(error).__name__}: {error}")
        known = self._held[run.run_id]
        if problem := known.problem:
            log.warning("Run %s holds nothing in this environment: %s", run.run_id, problem)
            self._record_problem(run, problem)
        return known

    def _is_step_due(self, held: H | Failed) -> bool:
        return held.due_at < math.inf and self._clock() >= held.due_at

    def _advance_if_due(self, held: H | Failed) -> None:
        """Only while nobody else is changing what is held. After a defect it stays what it is until its end."""
        if isinstance(held, Failed) or not self._is_step_due(held):
            return
        try:
            self._take_step(held)
        except Exception as error:
            pass_on(error)
            log.exception("What run %s holds in this environment stays as it is", held.run.run_id)
            held.due_at = math.inf

    def _take_step(self, held: H) -> None:
        """Advance. A step that an exception has ended is due as before: a time-out of the host's may have come."""
        due_at = held.due_at
        try:
            self.advance(held)
        except BaseException:
            held.due_at = due_at
            raise

    def _goes_on(self, run: ActiveRun) -> bool:
        """Whether a run is active: to be asked while what it wants is taken, if that may last. May block."""
        return any(each.run_id == run.run_id for each in self._active())

    # Its end

    def is_due(self, active: Sequence[ActiveRun]) -> bool:
        """Whether something is held for a run that is not active."""
        ids = [run.run_id for run in active]
        return any(run_id not in ids for run_id in list(self._held))

    def settle(self, active: Sequence[ActiveRun]) -> None:
        """Give back what is held for runs that are not active; not while another thread is changing what is held."""
        if self.is_due(active) and self._changing.acquire(blocking=False):
            try:
                self._release_what_is_over()
            finally:
                self._changing.release()

    def release_all(self) -> None:
        """Give back all that is held: the process ends, and does not wait long for who is changing it."""
        if self._changing.acquire(timeout=LAST_SECONDS):
            try:
                for run_id in list(self._held):
                    self._release(run_id)
            finally:
                self._changing.release()

    def abandon(self) -> None:
        """Let go of what this process, a copy, has inherited."""
        self._changing = threading.Lock()  # another thread of the original may have held it
        for run_id in list(self._held):
            with _logged(run_id):
                self._held.pop(run_id).abandon()

    def _release_what_is_over(self) -> None:
        active = {run.run_id for run in self._active()}
        for run_id in [run_id for run_id in self._held if run_id not in active]:
            self._release(run_id)

    def _release(self, run_id: str) -> None:
        """It is held until all is given back, or cannot be: an exception of the host leaves the rest to others."""
        held = self._held[run_id]
        with _logged(run_id):
            held.release()
            self._report(held)
        self._held.pop(run_id, None)  # a copy has let go of it meanwhile

    def _report(self, held: H | Failed) -> None:
        """Count what no call has counted. Only while nobody else is changing what is held."""
        self.count(held.run, held.take_counters())

    def count(self, run: ActiveRun, counters: Mapping[str, int]) -> None:
        """Add it to the results of the run. Does not block."""
        if counters:
            self._count(run, counters)

    # What the watcher asks

    def watch_seconds(self) -> float:
        """How long the watcher may sleep: to the next read of the table, the first end, or what is due next."""
        moments = [min(held.run.expires_at, held.due_at) for held in list(self._held.values())]
        return max(0.0, min([self._seconds_until_stale(), *(moment - self._clock() for moment in moments)]))

    def look(self) -> None:
        """Give back what is over, and do what is due since. May block."""
        self.settle(self._active())
        with self._changing:
            for held in self._held.values():
                self._advance_if_due(held)
                if held.is_reported:  # otherwise the next call does
                    self._report(held)


@contextmanager
def _logged(run_id: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        pass_on(error)
        log.exception("Could not give back all that run %s held", run_id)
