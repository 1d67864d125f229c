"""What this process has counted for one run and what is not in the table yet."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from ..faults.base import Answer, Disconnect
from ..faults.wait import DELAY, MICROSECONDS
from ..runs.run import NEVER, Run
from .audit import Audit
from .dependencies import DependencyCounter
from .served import Passage, Report, ServedCall
from .store import MOST_COUNTERS
from .tally import BUSY, Cells, Counting, Group, OpenCalls, Tally, counters_of

CONSIDERABLE_SHARE = 0.1
"""From which share of a process's workers on injected delays make other requests wait."""

SHORTEST_SHARE_SECONDS = 5.0
"""For how long a process must have known a run, before the share says something."""


NOT_THE_APPLICATIONS = (Answer, Disconnect)


class Addition(NamedTuple):
    """What is sent to the table at once, under one number."""

    counts: Mapping[str, int]
    open_calls: OpenCalls | None


@dataclass(slots=True, eq=False)
class PendingCounts:
    """What was counted for one run and is not in the table yet.

    `in_flight` is sent in order. Of the first nobody may know whether it was added: it is sent again, unchanged, as
    `number` + 1. `open_sent` is what the table has of the open calls.
    """

    run: Run
    counting: Counting
    known_since: float
    has_workers: bool = True
    """Whether this process may have workers for which requests queue; not in Lambda."""
    cells: Cells = field(default_factory=dict)
    counters: Tally = field(default_factory=Tally)
    in_flight: list[Addition] = field(default_factory=list)
    number: int = 0
    flushed_at: float = NEVER
    open_sent: OpenCalls | None = None
    unprocessed: Tally = field(default_factory=Tally)
    """Counts that are in the table, and that nobody has been called with yet."""
    occupied_seconds: float = 0.0
    """For how long injected delays occupied all workers of this process, or a part of them for as much longer."""
    is_busy: bool = False
    outgoing: DependencyCounter = field(init=False)
    audit: Audit = field(default_factory=Audit)

    def __post_init__(self) -> None:
        self.outgoing = DependencyCounter(self.run.run_id)

    @property
    def is_flushed(self) -> bool:
        return not (self.in_flight or self.cells or self.counters.counts or self.open_sent or self.unprocessed.counts)

    # Counting

    def count_hit(self, call: ServedCall, status: int | None, began: float, seconds: float) -> None:
        """A call that was hit; where only other runs hit it, it is on neither side of this run."""
        group: Group = "neither"
        for hit in call.hits:
            is_own = hit.plan.run_id == self.run.run_id
            if hit.applied.counters:
                self._count_applied(call, hit.applied.counters, is_own=is_own)
            if is_own and group != "injected":
                group = "injected" if _replaces(hit.applied) else "hit"
        if status is None and group != "neither":
            group = "hit"  # it died, whatever was to be answered
        elif group == "hit" and len(call.hits) > 1 and any(_replaces(hit.applied) for hit in call.hits):
            group = "displaced"  # it is the answer of another run's fault
        self.counting.add(self.cells, group, status, began, seconds)

    def _count_applied(self, call: ServedCall, counters: Mapping[str, int], *, is_own: bool) -> None:
        self.occupy_for(call, counters.get(DELAY, 0))
        if is_own:
            self.counters.merge(counters)

    def count_outgoing(self, passage: Passage) -> None:
        """An outgoing call that serves no request: on neither side of any figure."""
        self.outgoing.count_alone(self.counters, passage)
        self.audit.count_in_background(passage, self.counters)
        for hit in passage.result.hits:
            if hit.plan.run_id == self.run.run_id:
                self.counters.merge(hit.applied.counters)
        for run, name in passage.result.notes:
            if run.run_id == self.run.run_id:
                self.counters.add(name)

    def occupy(self, call: ServedCall) -> None:
        """Note for how long what was injected into a call occupied a worker."""
        if self.has_workers:
            self.occupy_for(call, sum(hit.applied.counters.get(DELAY, 0) for hit in call.hits))

    def occupy_for(self, call: ServedCall, delay: int) -> None:
        """As `occupy`, for a delay in microseconds."""
        if delay and self.has_workers and (workers := call.workers):
            self.occupied_seconds += delay / MICROSECONDS / workers

    # Calls that have begun

    def open_calls(self, calls: Mapping[ServedCall, float], until: float) -> OpenCalls | None:
        """Those of the open calls, by when they began, that this run was active for; None where there are none."""
        counted = Tally()
        for call, began in calls.items():
            if any(plan.run_id == self.run.run_id for plan in call.plans) and (group := self._group(call, began)):
                counted.add(f"{group}.{self.counting.slice_of(began)}")
        return OpenCalls(until=until, calls=counted.counts) if counted.counts else None

    def _group(self, call: ServedCall, began: float) -> Group | None:
        hit_by = {hit.plan.run_id for hit in tuple(call.hits)}.union(call.meets)
        if not hit_by:
            return self.counting.group_of_untouched(began)
        return "hit" if self.run.run_id in hit_by else None

    def count_open_as_dead(self, calls: Mapping[ServedCall, float], now: float) -> None:
        """For the end of the process, with which they end."""
        for call, began in calls.items():
            if any(plan.run_id == self.run.run_id for plan in call.plans):
                self.counting.add(self.cells, self._group(call, began) or "neither", None, began, now - began)
                self.outgoing.count_request(self.counters, call.passages, None, is_untouched=not call.hits)

    # What is sent

    def take(self, now: float, opened: OpenCalls | None, *, is_renewal_due: bool) -> bool:
        """Put what is new in flight, unless there is something. Whether there is something to send."""
        if self.in_flight:
            return True
        counts = self._take_counts(now)
        sent = self.open_sent
        if not counts and not is_renewal_due and (opened and opened.calls) == (sent and sent.calls):
            return False
        chunks = list(_chunks(counts)) or [{}]
        self.in_flight = [Addition(chunk, sent) for chunk in chunks[:-1]] + [Addition(chunks[-1], opened)]
        return True

    def _take_counts(self, now: float) -> Mapping[str, int]:
        fresh = self.counters
        fresh.merge(counters_of(self.cells))
        self.cells, self.counters = {}, Tally()
        if not self.is_busy and self._is_busy(now):
            self.is_busy = True
            fresh.add(BUSY)
        return fresh.counts

    def _is_busy(self, now: float) -> bool:
        elapsed = min(now, self.run.expires_at) - self.known_since
        is_known = elapsed >= SHORTEST_SHARE_SECONDS or now >= self.run.expires_at
        return is_known and self.occupied_seconds >= CONSIDERABLE_SHARE * elapsed > 0


def _replaces(applied: Report) -> bool:
    """Whether what the client gets, or does not, is no success and no failure of the application."""
    return isinstance(applied.outcome, NOT_THE_APPLICATIONS) or (applied.change is not None and applied.change.replaces)


def _chunks(counts: Mapping[str, int]) -> Iterator[Mapping[str, int]]:
    """Parts that can be added at once each."""
    items = iter(counts.items())
    while chunk := dict(islice(items, MOST_COUNTERS)):
        yield chunk
