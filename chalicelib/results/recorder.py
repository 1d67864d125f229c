"""Counts what this process serves while runs are active, and flushes the counts to the table once per interval."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ChaosError
from ..runs.run import NEVER, Run
from .store import ResultStore
from .tally import BEGUN, MEMORY, Served, Side, Tally

log = logging.getLogger(__name__)

KEPT_SECONDS = 600.0
"""How long after a run's end pending counts are still flushed to the table."""

MOST_FAILURES = 3
"""After how many failures in a row the pause gets no longer."""

Told = Callable[[Run, Mapping[str, int]], None]
"""Called with the counts of a run that have just been flushed. May raise ChaosError where the table is unreachable."""

Later = Callable[[float, Callable[[], None]], None]
"""Calls something in so many seconds."""


def in_a_thread(seconds: float, call: Callable[[], None]) -> None:
    """`Later` for a process that lives on between requests."""
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.name = "chaos-tallies"
    timer.start()


@dataclass(slots=True)
class _Counted:
    run: Run
    fresh: Tally = field(default_factory=Tally)
    unsure: Mapping[str, int] | None = None
    """What was sent as `number`, and nobody knows whether it was added."""
    number: int = 0
    told_at: float = NEVER
    held_mb: int = 0
    has_begun: bool = False

    @property
    def is_told(self) -> bool:
        return not self.unsure and not self.fresh.counts


class Tallies:
    """At most one write per interval and run, and none where there is nothing to flush.

    In a process that lives on it is made by a timer, so that no request waits for it. In Lambda, where time stands
    still between requests, it is made by a request that begins or finishes.
    """

    def __init__(
        self,
        store: ResultStore,
        clock: Callable[[], float],
        *,
        environment: str,
        interval_seconds: float,
        later: Later | None,
        patience_seconds: float = 0.25,
        is_silent: Callable[[], bool] = lambda: False,
        told: Sequence[Told] = (),
    ) -> None:
        """`environment` is a name that no other process ever has. `later` is None in Lambda.

        There a request flushes no further run once it has waited for `patience_seconds`, and nothing while the table is
        known to be unreachable.
        """
        self._store = store
        self._clock = clock
        self._environment = environment
        self._interval_seconds = interval_seconds
        self._later = later
        self._patience_seconds = patience_seconds
        self._is_silent = is_silent
        self._told = told
        self._counting = threading.Lock()
        self._telling = threading.Lock()
        self._counted: dict[str, _Counted] = {}
        self._scheduled = False
        self._failures = 0
        self._told_at = NEVER
        self.waiting = False
        """Whether there is something that a request has to tell."""

    def begin(self, active: Sequence[Run]) -> bool:
        """A request that no run hits is about to be served. Whether the table has to know that at once: see `BEGUN`."""
        if not any(run.aborts_itself for run in active):
            return False
        is_first = False
        with self._counting:
            for counted in self._of(active):
                if counted.run.aborts_itself and (self._later or not counted.has_begun):
                    is_first |= not counted.has_begun
                    counted.has_begun = True
                    counted.fresh.add(BEGUN)
            self._plan()
        return self._later is None and is_first

    def count(self, active: Sequence[Run], hits: Sequence[Mapping[str, Any]], status: int, seconds: float) -> None:
        """One request that is answered, for each of the runs that were active when it began."""
        at = self._clock()
        with self._counting:
            for counted in self._of(active):
                own = [hit for hit in hits if hit["run_id"] == counted.run.run_id]
                side: Side | None = "hit" if own else (None if hits else "untouched")
                served = Served(
                    at=at,
                    seconds=seconds,
                    status=status,
                    side=side,
                    injected_error=any(hit["fault"] == "answer" for hit in own),
                    delay_seconds=sum(hit.get("seconds", 0.0) for hit in own),
                )
                counted.fresh.record(counted.run, served)
                if side == "untouched" and counted.run.aborts_itself and self._later is None:
                    counted.fresh.add(BEGUN)  # the next one, ahead
                held = sum(hit.get("memory_mb", 0) for hit in own)
                if held > counted.held_mb:
                    counted.fresh.add(MEMORY, held - counted.held_mb)
                    counted.held_mb = held
            self._plan()

    def tell_if_due(self) -> None:
        """Where it is this request's turn to tell. Never raises."""
        is_due = not self._told_at <= self._clock() < self._told_at + self._pause()
        if self.waiting and is_due:
            self.tell()

    def tell(self) -> None:
        """Tell the table what there is to tell, unless somebody else is at it. Never raises."""
        if (self._later is None and self._is_silent()) or not self._telling.acquire(blocking=False):
            return
        try:
            began = self._told_at = self._clock()
            for counted in sorted(self._counted.values(), key=lambda counted: counted.told_at):
                if not self._tell(counted):
                    break  # the others would wait for the same silence
                if self._later is None and self._clock() - began > self._patience_seconds:
                    break
        except Exception:
            log.exception("Flushing the request counts raised an exception")
        finally:
            with self._counting:
                self._forget()
                self.waiting = self._later is None and self._is_pending()
            self._telling.release()

    def _of(self, active: Sequence[Run]) -> list[_Counted]:
        """What is counted of the runs; nothing of one that is long over, whose numbers are forgotten."""
        now = self._clock()
        for run in active:
            if run.run_id not in self._counted and now <= run.expires_at + KEPT_SECONDS:
                self._counted[run.run_id] = _Counted(run)
        return [self._counted[run.run_id] for run in active if run.run_id in self._counted]

    def _plan(self, seconds: float | None = None) -> None:
        """Schedule a flush of what is pending."""
        if self._later is None:
            self.waiting = True
        elif not self._scheduled:
            try:
                self._later(self._interval_seconds if seconds is None else seconds, self._tell_in_background)
                self._scheduled = True
            except RuntimeError as error:  # no more threads
                log.warning("Could not schedule a flush of the request counts; a later request does: %s", error)

    def _pause(self) -> float:
        return self._interval_seconds * 2.0 ** min(self._failures, MOST_FAILURES)

    def _tell_in_background(self) -> None:
        self.tell()
        with self._counting:
            self._scheduled = False
            if self._is_pending():
                self._plan(self._pause())

    def _tell(self, counted: _Counted) -> bool:
        """Whether the table answered, or did not have to."""
        with self._counting:
            if counted.is_told:
                return True
            if counted.unsure is None:
                counted.unsure, counted.fresh = counted.fresh.counts, Tally()
                counted.number += 1
            sent = counted.unsure
        counted.told_at = self._told_at
        run = counted.run
        try:
            self._store.add(run, sent, environment=self._environment, number=counted.number)
        except ChaosError as error:
            self._failures += 1
            log.warning(
                "Could not flush the request counts of run %s; they are kept, and the flush is tried again: %s",
                run.run_id,
                error,
            )
            return False
        counted.unsure = None
        answered = True
        for told in self._told:
            try:
                told(run, sent)
            except ChaosError as error:
                answered = False
                log.warning("Flushed the request counts of run %s, but could not process them: %s", run.run_id, error)
            except Exception:
                log.exception("Processing the request counts of run %s raised an exception", run.run_id)
        self._failures = 0 if answered else self._failures + 1
        return answered

    def _forget(self) -> None:
        """What is long over: until then a run's numbers go on, for requests that were under way at its end."""
        now = self._clock()
        over = [run_id for run_id, counted in self._counted.items() if now > counted.run.expires_at + KEPT_SECONDS]
        for run_id in over:
            del self._counted[run_id]

    def _is_pending(self) -> bool:
        return any(not counted.is_told for counted in self._counted.values())
