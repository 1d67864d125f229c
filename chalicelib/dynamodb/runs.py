"""Runs in the table. The scope's partition has only what runs, and the halt: every environment reads all of it.

- What runs: one item an experiment, `pk` the scope, `sk` "run#<experiment>". A stop deletes it, a start in its place
  overwrites it. One whose time is up is overwritten by the next start of its experiment, deleted by the next start of
  another one, or forgotten by the table (`ttl`) a day later: no environment writes for it.
- Every run: an item in the history, for 90 days.
- The last run of an experiment: an item with its id, `pk` "last#<scope>", `sk` the experiment.

A start and a stop write all of these in one transaction, on the condition that the first one is what it is meant to be:
of many that race, one wins.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from .. import time_limits
from ..errors import Halted, StoreUnavailable
from ..runs.run import FOREVER, Run
from ..settings import Settings
from .clock import TableClock
from .halt import HaltItems
from .items import (
    HALT,
    LATEST,
    RUN,
    LastRunItem,
    Raw,
    RunItem,
    attributes_of_run,
    is_halt,
    is_identifier,
    is_typed,
    read_current,
    retention,
)
from .table import bind, ttl
from .transactions import BUSY, ConditionFailed

log = logging.getLogger(__name__)

LAST = "last#"
LEFTOVER_SECONDS = 24 * 3600.0
"""How long after its end a run's item is left to the table to forget."""

CLOCK_SKEW_SECONDS = 300.0
"""AWS refuses requests of a clock that is wrong by more: a run that ended so long ago has ended by any clock."""


class DynamoDBRunStore(HaltItems):
    """`RunStore` on DynamoDB."""

    def __init__(
        self,
        settings: Settings,
        sleep: Callable[[float], None] = time_limits.sleep,
        clock: TableClock | None = None,
    ) -> None:
        super().__init__(settings, sleep, clock)
        self._last_item = bind(LastRunItem, settings)
        self._last = LAST + settings.scope

    def active(self, now: float) -> Sequence[Run]:
        found, now = self._read_scope(now)
        return [] if any(is_halt(raw) for raw in found) else _running(found, now)

    def running(self, now: float) -> Sequence[Run]:
        return _running(*self._read_scope(now))

    def last(self, experiment: str) -> Run | None:
        current = self._read(self._scope, self._item.sk == RUN + experiment)
        if current:
            return read_current(current[0])
        last = self._read(self._last, self._item.sk == experiment)
        run_id = last[0].get("run_id", {}).get("S") if last else None
        return self.find(run_id) if isinstance(run_id, str) and is_identifier(run_id) else None

    def start(self, run: Run, *, now: float, replaced: Run | None = None) -> Run | None:
        free = self._item.pk.does_not_exist() | self._is_over(now)
        if replaced:
            free |= self._is_current(replaced)

        def fill(transaction: TransactWrite) -> None:
            transaction.condition_check(self._halt_item, self._scope, HALT, condition=self._is_not_halted())
            transaction.save(self._current(run), condition=free, return_values="ALL_OLD")
            transaction.save(self._past(run))
            self._remember(transaction, run)
            if replaced and _is_in_history(replaced):
                self._record_end(transaction, replaced)

        try:
            self._transact(fill)
        except ConditionFailed as failed:
            return _in_the_way(failed, run, now)
        self._remove_leftovers(now)
        return None

    def stop(self, run: Run) -> bool:
        running = self._is_current(run)
        if not run.damaged:
            running &= self._is_running(run.ended_at or 0.0)
        in_history = _is_in_history(run)

        def fill(transaction: TransactWrite) -> None:
            self._remove(transaction, run, running)
            if in_history:
                self._record_end(transaction, run)

        try:
            self._transact(fill)
        except ConditionFailed as failed:
            return failed.again and (not in_history or self._is_ended_as(run))
        return True

    def record_defect(self, run: Run, defect: str) -> None:
        item = self._item
        actions: list[Action] = [item.defect.set(defect)]

        def fill(transaction: TransactWrite) -> None:
            without = self._is_current(run) & item.defect.does_not_exist()
            transaction.update(self._current_key(run), actions=actions, condition=without)
            transaction.update(self._past_key(run), actions=actions)

        try:
            self._transact(fill)
        except ConditionFailed:
            return

    def _read_scope(self, now: float) -> tuple[Sequence[Raw], float]:
        """What there is, and `now` as the read itself has corrected the clock that it is of."""
        before = self._clock.offset if self._clock else 0.0
        found = self._read(self._scope)
        return found, now + (self._clock.offset - before if self._clock else 0.0)

    def _is_current(self, run: Run) -> Condition:
        """The item is the run's; one whose id cannot be read has its key for an id."""
        item, key = self._item, RUN + run.experiment
        if run.run_id != key:
            return cast("Condition", item.run_id == run.run_id)
        return cast("Condition", item.pk.exists() & (~is_typed(item.run_id) | (item.run_id == key)))

    def _is_running(self, now: float) -> Condition:
        return cast("Condition", self._item.ended_at.does_not_exist() & (self._item.expires_at > now))

    def _is_over(self, now: float) -> Condition:
        """Format 1 wrote the end of a run into its item. (The embedded table must not compare a text to a number.)"""
        item = self._item
        has_ended = is_typed(item.ended_at) & (item.ended_at <= LATEST)
        return cast("Condition", has_ended | (is_typed(item.expires_at) & (item.expires_at <= now)))

    def _is_ended_as(self, run: Run) -> bool:
        recorded = self.find(run.run_id)
        return recorded is not None and recorded.end == run.end

    def _remove_leftovers(self, now: float) -> None:
        """Remove what is over from the scope's partition. Others do it where this fails."""
        try:
            found = _runs(self._read(self._scope))
        except StoreUnavailable as error:
            log.info("Items of runs that are over were left in the table; a later start removes them: %s", error)
            return
        for run in [run for run in found if not run.is_active(now - CLOCK_SKEW_SECONDS)]:
            try:
                self._transact(partial(self._remove, run=run, condition=self._is_current(run)), attempts=1)
            except (ConditionFailed, StoreUnavailable) as error:
                log.info("The item of run %s, which is over, was left in the table: %s", run.run_id, error)

    def _remove(self, transaction: TransactWrite, run: Run, condition: Condition) -> None:
        """Take the run out of the scope's partition; it stays the last one of its experiment."""
        transaction.delete(self._current_key(run), condition=condition)
        if _is_in_history(run):
            self._remember(transaction, run)

    def _remember(self, transaction: TransactWrite, run: Run) -> None:
        """It is the last run of its experiment. (An update: whoever may end runs needs no right to put items.)"""
        item = self._last_item
        kept = retention(run.expires_at if run.expires_at < FOREVER else run.ended_at or 0.0)
        actions: list[Action] = [item.run_id.set(run.run_id), item.ttl.set(kept)]
        transaction.update(item(self._last, run.experiment), actions=actions)

    def _current_key(self, run: Run) -> RunItem:
        return self._item(self._scope, RUN + run.experiment)

    def _current(self, run: Run) -> RunItem:
        kept = ttl(run.expires_at + LEFTOVER_SECONDS)
        return self._item(self._scope, RUN + run.experiment, ttl=kept, **attributes_of_run(run))


def _in_the_way(failed: ConditionFailed, run: Run, now: float) -> Run | None:
    """The run because of which this one did not start; None where it did, and its answer was lost.

    Raises Halted and StoreUnavailable.
    """
    stored = read_current(failed.stored) if failed.stored else None
    if failed.again and stored and stored.run_id == run.run_id:
        return None
    if failed.first:  # the check of the halt
        raise Halted("Everything is halted; nothing was started.")
    if stored and stored.is_active(now):
        return stored
    raise StoreUnavailable(BUSY)


def _is_in_history(run: Run) -> bool:
    """Whether it can be there: a key must not be empty, and an id that is damaged is none."""
    return bool(run.experiment) and is_identifier(run.run_id)


def _runs(found: Sequence[Raw]) -> list[Run]:
    return [read_current(raw) for raw in found if raw["sk"]["S"].startswith(RUN)]


def _running(found: Sequence[Raw], now: float) -> list[Run]:
    """Worked out here and not by the table, which would leave out what it cannot compare."""
    return [run for run in _runs(found) if run.is_active(now)]
