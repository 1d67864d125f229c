"""Counts what this process serves while runs are active, and flushes the counts to the table once per interval."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import ChaosError
from ..runs.run import NEVER, Run
from .served import ActivePlan, ServedCall, ServedHit
from .store import ResultStore
from .tally import BEGUN, Counting, Served, Side, Tally

log = logging.getLogger(__name__)

PENDING_SECONDS = 600.0
"""How long after a run's end pending counts are still flushed to the table."""

LAST_SECONDS = 2.0
"""How long the end of a process waits for a flush that is under way."""

MOST_FAILURES = 3
"""After how many failures in a row the pause between two flushes gets no longer."""

OnFlush = Callable[[Run, Mapping[str, int]], None]
"""Called with the counts of a run that have just been flushed. May raise ChaosError if the table is unreachable."""

Schedule = Callable[[float, Callable[[], None]], None]
"""Calls something in so many seconds."""


def in_a_thread(seconds: float, call: Callable[[], None]) -> None:
    """`Schedule` for a process that lives on between requests."""
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.name = "chaos-results"
    timer.start()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushPolicy:
    """When counts are flushed. `schedule` is None in Lambda: there a request that begins or finishes flushes.

    It flushes no further run once it has waited for `patience_seconds`.
    """

    interval_seconds: float
    patience_seconds: float = 0.25
    schedule: Schedule | None = in_a_thread


@dataclass(slots=True)
class PendingCounts:
    """What was counted for one run and is not in the table yet.

    `in_flight` was sent as `number`, and nobody knows whether it was added: it is sent again, unchanged.
    """

    run: Run
    counting: Counting
    aborts: bool
    fresh: Tally = field(default_factory=Tally)
    in_flight: Mapping[str, int] | None = None
    number: int = 0
    flushed_at: float = NEVER
    has_begun: bool = False

    @property
    def is_flushed(self) -> bool:
        return not self.in_flight and not self.fresh.counts


class Recorder:
    """At most one write per interval and run, and none where there is nothing to flush.

    In a process that lives on it is made by a timer, so that no request waits for it. In Lambda, where time stands
    still between requests, it is made by a request that begins or finishes.
    """

    def __init__(
        self,
        store: ResultStore,
        clock: Callable[[], float],
        policy: FlushPolicy,
        *,
        process: str,
        is_unreachable: Callable[[], bool] = lambda: False,
        on_flush: Sequence[OnFlush] = (),
    ) -> None:
        """`process` is a name that no other process ever has. `is_unreachable`: the table is known not to answer."""
        self._store = store
        self._clock = clock
        self._policy = policy
        self._process = process
        self._is_unreachable = is_unreachable
        self._on_flush = on_flush
        self._in_lambda = policy.schedule is None
        self._counting = threading.Lock()
        self._flushing = threading.Lock()
        self._pending: dict[str, PendingCounts] = {}
        self._scheduled = False
        self._failures = 0
        self._flushed_at = NEVER
        self.is_waiting = False
        """Whether there is something that a request has to flush; only in Lambda."""

    def begin(self, plans: Sequence[ActivePlan]) -> bool:
        """Count that a call which no run hits is about to be served. Whether to flush at once: see `BEGUN`."""
        is_first = False
        with self._counting:
            for plan in plans:
                pending = self._pending.get(plan.run_id) or self._begin_counting(plan)
                if pending and pending.aborts and not (self._in_lambda and pending.has_begun):
                    is_first |= not pending.has_begun
                    pending.has_begun = True
                    pending.fresh.add(BEGUN)
            self._plan_flush()
        return self._in_lambda and is_first

    def count(self, call: ServedCall, status: int, seconds: float) -> None:
        """Count one call that is answered, for each of the runs that were active when it began."""
        hits = call.hits
        served = Served(self._clock(), seconds, status, "untouched")
        with self._counting:
            for plan in call.plans:
                pending = self._pending.get(plan.run_id) or self._begin_counting(plan)
                if pending is None:
                    continue
                if hits:
                    self._record_hit(pending, hits, served)
                    continue
                pending.fresh.record(pending.counting, served)
                if self._in_lambda and pending.aborts:
                    pending.fresh.add(BEGUN)  # the next one, ahead
            if not self._scheduled:
                self._plan_flush()

    def is_flush_due(self) -> bool:
        """Whether it is this request's turn to flush; only in Lambda."""
        if not self.is_waiting:
            return False
        return not self._flushed_at <= self._clock() < self._flushed_at + self._pause()

    def flush(self) -> None:
        """Flush all pending counts to the table, unless another thread is at it. May block; never raises."""
        if (self._in_lambda and self._is_unreachable()) or not self._flushing.acquire(blocking=False):
            return
        try:
            self._flush_all()
        except Exception:
            log.exception("Flushing the request counts raised an exception")
        finally:
            with self._counting:
                self._forget()
                self.is_waiting = self._in_lambda and self._is_pending()
            self._flushing.release()

    def flush_last(self) -> None:
        """As `flush`, when the process ends: after a flush that is under way, whose thread would be cut off."""
        if self._flushing.acquire(timeout=LAST_SECONDS):
            self._flushing.release()
        self.flush()

    def _record_hit(self, pending: PendingCounts, hits: Sequence[ServedHit], served: Served) -> None:
        """A call that was hit; where only other runs hit it, it is on neither side of this run."""
        own = [hit.applied.counters for hit in hits if hit.plan.run_id == pending.run.run_id]
        side: Side | None = "hit" if own else None
        counters = own[0] if len(own) == 1 else _sum(own)
        pending.fresh.record(pending.counting, Served(served.at, served.seconds, served.status, side, counters))

    def _begin_counting(self, plan: ActivePlan) -> PendingCounts | None:
        """The counts of a run that has none yet; None for one that ended long ago, whose numbers are forgotten."""
        if self._clock() > plan.expires_at + PENDING_SECONDS:
            return None
        pending = self._pending[plan.run_id] = PendingCounts(plan.run, Counting(plan.run), plan.aborts_itself)
        return pending

    def _plan_flush(self, seconds: float | None = None) -> None:
        """Schedule a flush of what is pending."""
        schedule = self._policy.schedule
        if schedule is None:
            self.is_waiting = True
        elif not self._scheduled:
            try:
                schedule(self._policy.interval_seconds if seconds is None else seconds, self._flush_in_background)
                self._scheduled = True
            except RuntimeError as error:  # no more threads
                log.warning("Could not schedule a flush of the request counts; a later request does: %s", error)

    def _pause(self) -> float:
        return self._policy.interval_seconds * 2.0 ** min(self._failures, MOST_FAILURES)

    def _flush_in_background(self) -> None:
        self.flush()
        with self._counting:
            self._scheduled = False
            if self._is_pending():
                self._plan_flush(self._pause())

    def _flush_all(self) -> None:
        """The longest waiting first, until one does not answer: the others would wait for the same silence."""
        began = self._flushed_at = self._clock()
        for pending in sorted(self._pending.values(), key=lambda pending: pending.flushed_at):
            if not self._flush_run(pending):
                return
            if self._in_lambda and self._clock() - began > self._policy.patience_seconds:
                return

    def _flush_run(self, pending: PendingCounts) -> bool:
        """Whether the table answered, or did not have to."""
        sent = self._take(pending)
        if sent is None:
            return True
        pending.flushed_at = self._flushed_at
        run = pending.run
        try:
            self._store.add(run, sent, environment=self._process, number=pending.number)
        except ChaosError as error:
            self._failures += 1
            log.warning(
                "Could not flush the request counts of run %s; they are kept, and the flush is tried again: %s",
                run.run_id,
                error,
            )
            return False
        pending.in_flight = None
        answered = True
        for on_flush in self._on_flush:
            answered &= self._process_flushed(on_flush, run, sent)
        self._failures = 0 if answered else self._failures + 1
        return answered

    def _take(self, pending: PendingCounts) -> Mapping[str, int] | None:
        """What to send; None where everything is flushed. What was sent before, without an answer, goes first."""
        with self._counting:
            if pending.is_flushed:
                return None
            if pending.in_flight is None:
                pending.in_flight, pending.fresh = pending.fresh.counts, Tally()
                pending.number += 1
            return pending.in_flight

    def _process_flushed(self, on_flush: OnFlush, run: Run, counts: Mapping[str, int]) -> bool:
        """Whether the table answered, where it was asked."""
        try:
            on_flush(run, counts)
        except ChaosError as error:
            log.warning("Flushed the request counts of run %s, but could not process them: %s", run.run_id, error)
            return False
        except Exception:
            log.exception("Processing the request counts of run %s raised an exception", run.run_id)
        return True

    def _forget(self) -> None:
        """Until long after a run's end its numbers go on, for requests that were under way at its end."""
        now = self._clock()
        over = [run_id for run_id, each in self._pending.items() if now > each.run.expires_at + PENDING_SECONDS]
        for run_id in over:
            del self._pending[run_id]

    def _is_pending(self) -> bool:
        return any(not pending.is_flushed for pending in self._pending.values())


def _sum(counted: Sequence[Mapping[str, int]]) -> Mapping[str, int]:
    """Counters of several faults of one run, added by their names."""
    total = Tally()
    for counters in counted:
        total.merge(counters)
    return total.counts
