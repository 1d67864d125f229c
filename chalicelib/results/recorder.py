"""Counts what this process serves while runs are active, and flushes the counts to the table once per interval."""

import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from ..errors import ChaosError
from ..faults.wait import DELAY
from ..runs.run import NEVER, Run
from .aftermath import Aftermath
from .pending import Addition, PendingCounts
from .served import ActivePlan, Passage, ServedCall
from .store import ResultStore
from .tally import TEST_HIT, TEST_REQUESTS, Counting, Tally

log = logging.getLogger(__name__)

PENDING_SECONDS = 600.0
"""How long after a run's end pending counts are still flushed to the table."""

LAST_SECONDS = 2.0
"""How long the end of a process waits for a flush that is under way."""

MOST_FAILURES = 3
"""After how many failures in a row the pause between two flushes gets no longer."""

RENEWAL_INTERVALS = 3
"""After how many flush intervals a process writes again that it lives, while calls are open and nothing else is new."""

LIFE_INTERVALS = 15
"""For how many flush intervals a process is believed to live after that: for some renewals, and a table that fails."""

RENEWED_INTERVALS = 2**MOST_FAILURES + RENEWAL_INTERVALS
"""After how many flush intervals with a table that answers every process that lives has written so."""

LONGEST_INVOCATION_SECONDS = 900.0
MARGIN_SECONDS = 1.0
"""How long after the end of its time an invocation is certainly over, whatever the clocks say."""

OnFlush = Callable[[Run, Mapping[str, int]], None]
"""Called with the counts of a run that have just been flushed. May raise ChaosError if the table is unreachable."""


class Beside(Protocol):
    """What is flushed beside the counts of runs."""

    @property
    def is_pending(self) -> bool: ...

    def flush(self, patience_seconds: float = math.inf, *, is_last: bool = False) -> None:
        """Does nothing where it is not due, unless it is the last time. May block; never raises."""


Schedule = Callable[[float, Callable[[], None]], None]
"""Calls something in so many seconds."""


def in_a_thread(seconds: float, call: Callable[[], None]) -> None:
    """`Schedule` for a process that lives on between requests."""
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.name = "chaos-results"
    timer.start()


class FlushPolicy(NamedTuple):
    """When counts are flushed. `schedule` is None in Lambda, and where a server has no threads: there requests flush.

    One that does flushes no further run once it has waited for `patience_seconds`.
    """

    interval_seconds: float
    patience_seconds: float = 0.25
    schedule: Schedule | None = in_a_thread
    has_workers: bool = True
    """Whether requests may queue for this process; not in Lambda."""
    longest_call_seconds: float = LONGEST_INVOCATION_SECONDS
    """After how long a call is certainly over, where requests flush."""


class Recorder:
    """At most one write per interval and run, and none where there is nothing to flush.

    In a process that lives on it is made by a timer, so that no request waits for it. In Lambda, where time stands
    still between requests, and in a server without threads, it is made by a request that begins or finishes: once an
    interval, a request first flushes that it has begun, so that it is known if it never ends.
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
        self._flushes_in_requests = policy.schedule is None
        self._counting = threading.Lock()
        self._flushing = threading.Lock()
        self._pending: dict[str, PendingCounts] = {}
        self._open: dict[ServedCall, float] = {}
        """The calls that have begun and are not answered yet, and when they began."""
        self._scheduled = False
        self._failures = 0
        self._failed_at = NEVER
        self._flushed_at = NEVER
        self._begun_at = NEVER
        self._is_end_due = False
        self._aftermaths: dict[str, Aftermath] = {}
        self._beside: Beside | None = None
        self.is_waiting = False
        """Whether there is something that a request has to flush."""
        self.is_watching = False
        """Whether requests are counted even if nothing is active: after a run that has a hypothesis."""
        self.is_needed = False
        """Whether one of both: every request looks at this, where nothing is active."""

    # Counting: every call passes here while something is active

    def begin(self, call: ServedCall) -> bool:
        """Note that a call is about to be served. Whether to `flush_begun` first."""
        now = self._clock()
        with self._counting:
            self._open[call] = now
            if not self._scheduled:
                self._plan_flush()
        return self._flushes_in_requests and not self._begun_at <= now < self._begun_at + self._pause()

    def count(self, call: ServedCall, status: int | None, seconds: float) -> None:
        """Count one call that is answered, or has died (None), for each run that was active when it began.

        It began when `begin` noted it, also where `seconds` are since it arrived in a queue: until it is answered it is
        open in that part of the run's life, and a part that is over must not get further calls.
        """
        with self._counting:
            began = self._open.pop(call, None)
            if began is None:
                began = self._clock() - seconds
            for plan in call.plans:
                pending = self._pending.get(plan.run_id) or self._begin_counting(plan)
                if pending is None:
                    continue
                if call.hits:
                    pending.count_hit(call, status, began, seconds)
                    continue
                pending.counting.add(pending.cells, None, status, began, seconds)
            if call.passages:
                self._count_passages(call, status)
            for run, name in call.notes:
                if pending := self._pending.get(run.run_id):
                    pending.counters.add(name)
            if self.is_watching and not call.hits:
                self._count_aftermaths(call, status, began, seconds)
            if not self._scheduled:
                self._plan_flush()

    def _count_passages(self, call: ServedCall, status: int | None) -> None:
        """Count the outgoing calls that a request has made, for each run that is about some of them."""
        for plan in call.plans:
            if pending := self._pending.get(plan.run_id):
                pending.outgoing.count_request(pending.counters, call.passages, status, is_untouched=not call.hits)
                pending.audit.count_request(call.passages, plan.run_id, pending.counters)

    def notice(self, plans: Sequence[ActivePlan]) -> None:
        """Learn which runs are active, as just read from the table: others that have a hypothesis have ended."""
        active = {plan.run_id: plan for plan in plans if plan.run.options.get("hypothesis")}
        now = self._clock()
        with self._counting:
            for run_id, each in self._aftermaths.items():
                if run_id not in active and each.ended_at is None:
                    each.ended_at = min(now, each.plan.run.expires_at)
            for run_id, plan in active.items():
                self._aftermaths.setdefault(run_id, Aftermath(plan))
            self._watch()

    def _count_aftermaths(self, call: ServedCall, status: int | None, began: float, seconds: float) -> None:
        for run_id in tuple(self._aftermaths):
            if not _was_active(run_id, call.plans):
                self._count_after(run_id, status, began, seconds)

    def _count_after(self, run_id: str, status: int | None, began: float, seconds: float) -> None:
        """Count a call that no run hit for a run that may have ended before it came."""
        aftermath = self._aftermaths[run_id]
        part = aftermath.part_of(began)
        if part is not None and (pending := self._pending.get(run_id) or self._begin_counting(aftermath.plan)):
            is_slow = pending.counting.add_after(pending.cells, status, part, seconds)
            aftermath.count(part, status, is_slow=is_slow)
        elif aftermath.is_over:
            del self._aftermaths[run_id]
            self._watch()

    def _watch(self) -> None:
        self.is_watching = bool(self._aftermaths)
        self.is_needed = self.is_waiting or self.is_watching

    def count_test(self, call: ServedCall) -> None:
        """Count a call to the test endpoint, which is on neither side of any figure."""
        hit_by = {hit.plan.run_id for hit in call.hits}
        with self._counting:
            for plan in call.plans:
                if pending := self._pending.get(plan.run_id) or self._begin_counting(plan):
                    pending.occupy(call)
                    for name in (TEST_REQUESTS, TEST_HIT) if plan.run_id in hit_by else (TEST_REQUESTS,):
                        pending.counters.add(name)
            self._plan_flush()

    def count_late(self, call: ServedCall, plan: ActivePlan, counters: Mapping[str, int]) -> None:
        """Count what a run did to an answer, which is over only now: the call itself was counted when it began."""
        with self._counting:
            if pending := self._pending.get(plan.run_id) or self._begin_counting(plan):
                pending.counters.merge(counters)
                pending.occupy_for(call, counters.get(DELAY, 0))
            if not self._scheduled:
                self._plan_flush()

    def count_outgoing(self, passage: Passage) -> None:
        """Count an outgoing call that serves no request."""
        with self._counting:
            for plan in passage.result.plans:
                if pending := self._pending.get(plan.run_id) or self._begin_counting(plan):
                    pending.count_outgoing(passage)
            if not self._scheduled:
                self._plan_flush()

    def count_held(self, plan: ActivePlan, counters: Mapping[str, int]) -> None:
        """Count what an effect did for a run, whether calls come or not."""
        with self._counting:
            if pending := self._pending.get(plan.run_id) or self._begin_counting(plan):
                pending.counters.merge(counters)
            if not self._scheduled:
                self._plan_flush()

    def _begin_counting(self, plan: ActivePlan) -> PendingCounts | None:
        """The counts of a run that has none yet; None for one that ended long ago, whose numbers are forgotten."""
        now = self._clock()
        if now > plan.run.expires_at + PENDING_SECONDS:
            return None
        pending = self._pending[plan.run_id] = PendingCounts(
            plan.run, Counting(plan.run), now, has_workers=self._policy.has_workers
        )
        return pending

    # When to flush

    def flush_with(self, beside: Beside) -> None:
        """Flush that, too, from now on: it calls `plan_flush` when it has something."""
        self._beside = beside

    def plan_flush(self) -> None:
        """Schedule a flush, unless one is scheduled."""
        if not self._scheduled:
            with self._counting:
                self._plan_flush()

    def is_flush_due(self) -> bool:
        """Whether it is this request's turn to flush, where requests do."""
        if not self.is_waiting:
            return False
        return self._is_end_due or not self._flushed_at <= self._clock() < self._flushed_at + self._pause()

    @property
    def is_table_settled(self) -> bool:
        """Whether the table is known not to have failed for a while, so that who has not renewed its calls is dead."""
        settled_at = self._failed_at + RENEWED_INTERVALS * max(self._policy.interval_seconds, 1.0)
        return not self._failed_at <= self._clock() < settled_at

    def _plan_flush(self, seconds: float | None = None) -> None:
        """Schedule a flush of what is pending."""
        schedule = self._policy.schedule
        if schedule is None:
            self.is_waiting = self.is_needed = True
        elif not self._scheduled:
            try:
                schedule(self._policy.interval_seconds if seconds is None else seconds, self._flush_in_background)
                self._scheduled = True
            except RuntimeError as error:  # no more threads
                log.warning("Could not schedule a flush of the request counts; a later request does: %s", error)

    def _pause(self) -> float:
        return self._policy.interval_seconds * 2.0 ** min(self._failures, MOST_FAILURES)

    # Flushing

    def flush(self) -> None:
        """Flush all pending counts to the table, unless another thread is at it. May block; never raises."""
        if (self._flushes_in_requests and self._is_unreachable()) or not self._flushing.acquire(blocking=False):
            return
        try:
            self._is_end_due = False
            self._flush_all(begins=False)
            if self._beside:
                self._beside.flush(self._policy.patience_seconds if self._flushes_in_requests else math.inf)
        except Exception:
            log.exception("Flushing the request counts raised an exception")
        finally:
            self._settle()

    def flush_begun(self) -> None:
        """As `flush`, for a call that begins and may die with this process: it waits for nothing but the table."""
        if self._is_unreachable() or not self._flushing.acquire(blocking=False):
            return
        try:
            self._begun_at = self._clock()
            self._is_end_due = True  # or who was answered would be taken for dead
            self._flush_all(begins=True)
        except Exception:
            log.exception("Flushing which calls have begun raised an exception")
        finally:
            self._settle()

    def flush_last(self, killed_by: str | None = None) -> None:
        """As `flush`, when the process ends: after a flush that is under way, whose thread would be cut off.

        What is open then dies with the process, hit by the run that has ended it, if one has.
        """
        if self._flushing.acquire(timeout=LAST_SECONDS):
            self._flushing.release()
        with self._counting:
            self._begin_counting_open()
            now, died, self._open = self._clock(), self._open, {}
            if killed_by:
                for call in died:
                    call.meets = {*call.meets, killed_by}
            for pending in self._pending.values():
                pending.count_open_as_dead(died, now)
        self.flush()
        if self._beside:
            self._beside.flush(is_last=True)

    def _settle(self) -> None:
        """After a flush."""
        with self._counting:
            self._forget()
            self.is_waiting = self._flushes_in_requests and self._is_pending()
            self.is_needed = self.is_waiting or self.is_watching
        self._flushing.release()

    def _flush_in_background(self) -> None:
        try:
            self.flush()
        finally:  # also where the host ends it, as gevent's killall does
            with self._counting:
                self._scheduled = False
                if self._is_pending():
                    self._plan_flush(self._pause())

    def _flush_all(self, *, begins: bool) -> None:
        """The longest waiting first, until one does not answer: the others would wait for the same silence."""
        began = self._flushed_at = self._clock()
        for pending in self._longest_waiting_first():
            if not self._flush_run(pending, begins=begins):
                return
            if self._flushes_in_requests and self._clock() - began > self._policy.patience_seconds:
                return

    def _longest_waiting_first(self) -> list[PendingCounts]:
        with self._counting:
            self._begin_counting_open()
            return sorted(self._pending.values(), key=lambda pending: pending.flushed_at)

    def _begin_counting_open(self) -> None:
        """Also what none of has been answered yet."""
        for call in self._open:
            for plan in call.plans:
                if plan.run_id not in self._pending:
                    self._begin_counting(plan)

    def _flush_run(self, pending: PendingCounts, *, begins: bool) -> bool:
        """Whether the table answered, or did not have to."""
        if not self._take(pending) and (begins or not pending.unprocessed.counts):
            return True
        pending.flushed_at = self._flushed_at
        while pending.in_flight:
            if not self._send(pending, pending.in_flight[0]):
                return False
        answered = True
        if not begins:
            counts, pending.unprocessed = pending.unprocessed.counts, Tally()
            for on_flush in self._on_flush:
                answered &= self._process_flushed(on_flush, pending.run, counts)
        self._failures = 0 if answered else self._failures + 1
        return answered

    def _take(self, pending: PendingCounts) -> bool:
        """Whether there is something to send. What was sent before, without an answer, goes first."""
        now = self._clock()
        with self._counting:
            opened = pending.open_calls(self._open, self._lives_until(now)) if self._open else None
            sent = pending.open_sent
            is_due = sent is not None and opened is not None and now >= sent.until - self._renewed_before()
            return pending.take(now, opened, is_renewal_due=is_due)

    def _lives_until(self, now: float) -> float:
        """Until when this process is believed to live, with the calls that are open now."""
        if not self._flushes_in_requests:
            return now + LIFE_INTERVALS * max(self._policy.interval_seconds, 1.0)
        left = max(map(_remaining_seconds, self._open))
        return now + min(left, self._policy.longest_call_seconds) + MARGIN_SECONDS

    def _renewed_before(self) -> float:
        """How long before the end of that it is renewed."""
        if self._flushes_in_requests:
            return -MARGIN_SECONDS
        return (LIFE_INTERVALS - RENEWAL_INTERVALS) * max(self._policy.interval_seconds, 1.0)

    def _send(self, pending: PendingCounts, addition: Addition) -> bool:
        """Whether the table answered. What has no counts is not sent again: the next one replaces it."""
        try:
            self._store.add(
                pending.run,
                addition.counts,
                environment=self._process,
                number=pending.number + 1,
                open_calls=addition.open_calls,
            )
        except ChaosError as error:
            self._failures += 1
            self._failed_at = self._clock()
            if not addition.counts:
                self._sent(pending)
            log.warning(
                "Could not flush the request counts of run %s; they are kept, and the flush is tried again: %s",
                pending.run.run_id,
                error,
            )
            return False
        self._sent(pending)
        pending.open_sent = addition.open_calls
        pending.unprocessed.merge(addition.counts)
        return True

    @staticmethod
    def _sent(pending: PendingCounts) -> None:
        pending.number += 1
        del pending.in_flight[0]

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
        is_beside_pending = self._beside is not None and self._beside.is_pending
        return is_beside_pending or bool(self._open) or any(not each.is_flushed for each in self._pending.values())


def _remaining_seconds(call: ServedCall) -> float:
    try:
        return call.remaining_seconds
    except Exception as error:  # noqa: BLE001 - whatever a host's context raises, the counts are flushed
        log.warning("A call does not say how much time it has left: %s", error)
        return LONGEST_INVOCATION_SECONDS


def _was_active(run_id: str, plans: Sequence[ActivePlan]) -> bool:
    for plan in plans:  # noqa: SIM110 - most requests pass here, and any() costs twice as much
        if plan.run_id == run_id:
            return True
    return False
