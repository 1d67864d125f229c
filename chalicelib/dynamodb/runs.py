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
from ..runs.run import Run
from ..settings import Settings
from .halt import HALT, HaltItems
from .items import LastRunItem, Raw, RunItem, attributes_of_run, read_run, retention
from .table import bind, ttl
from .transactions import BUSY, ConditionFailed

log = logging.getLogger(__name__)

RUN = "run#"
LAST = "last#"
UNREADABLE = (
    "The run of this experiment in the table was written by another version of the module, and cannot be read; nothing "
    "was changed. Stop it with that version, or wait until it ends."
)
LEFTOVER_SECONDS = 24 * 3600.0
"""How long after its end a run's item is left to the table to forget."""

CLOCK_SKEW_SECONDS = 300.0
"""AWS refuses requests of a clock that is wrong by more: a run that ended so long ago has ended by any clock."""


class DynamoDBRunStore(HaltItems):
    """`RunStore` on DynamoDB."""

    def __init__(self, settings: Settings, sleep: Callable[[float], None] = time_limits.sleep) -> None:
        super().__init__(settings, sleep)
        self._last_item = bind(LastRunItem, settings)
        self._last = LAST + settings.scope

    def active(self, now: float) -> Sequence[Run]:
        found = self._read(self._scope, only=self._is_running(now) | self._is_halted())
        return [] if any(raw["sk"]["S"] == HALT for raw in found) else _runs(found)

    def running(self, now: float) -> Sequence[Run]:
        return _runs(self._read(self._scope, only=self._is_running(now)))

    def last(self, experiment: str) -> Run | None:
        current = self._read(self._scope, self._item.sk == RUN + experiment)
        if current:
            return read_run(current[0])
        last = self._read(self._last, self._item.sk == experiment)
        return self.find(last[0]["run_id"]["S"]) if last else None

    def start(self, run: Run, *, now: float, replaced: Run | None = None) -> Run | None:
        free = self._item.pk.does_not_exist() | self._is_over(now)
        if replaced:
            free |= self._is_current(replaced)

        def fill(transaction: TransactWrite) -> None:
            transaction.condition_check(self._halt_item, self._scope, HALT, condition=self._is_not_halted())
            transaction.save(self._current(run), condition=free, return_values="ALL_OLD")
            transaction.save(self._past(run))
            self._remember(transaction, run)
            if replaced:
                self._record_end(transaction, replaced)

        try:
            self._transact(fill)
        except ConditionFailed as failed:
            return _in_the_way(failed, run, now)
        self._remove_leftovers(now)
        return None

    def stop(self, run: Run) -> bool:
        running = self._is_current(run) & self._is_running(run.ended_at or 0.0)

        def fill(transaction: TransactWrite) -> None:
            self._remove(transaction, run, running)
            self._record_end(transaction, run)

        try:
            self._transact(fill)
        except ConditionFailed as failed:
            return failed.again and self._is_ended_as(run)
        return True

    def record_defect(self, run: Run, defect: str) -> None:
        item = self._item
        actions: list[Action] = [item.defect.set(defect)]

        def fill(transaction: TransactWrite) -> None:
            without = self._is_current(run) & item.defect.does_not_exist()
            transaction.update(self._current(run), actions=actions, condition=without)
            transaction.update(self._past(run), actions=actions)

        try:
            self._transact(fill)
        except ConditionFailed:
            return

    def _is_current(self, run: Run) -> Condition:
        return cast("Condition", self._item.run_id == run.run_id)

    def _is_running(self, now: float) -> Condition:
        return cast("Condition", self._item.ended_at.does_not_exist() & (self._item.expires_at > now))

    def _is_over(self, now: float) -> Condition:
        """Format 1 wrote the end of a run into its item."""
        return cast("Condition", self._item.ended_at.exists() | (self._item.expires_at <= now))

    def _is_ended_as(self, run: Run) -> bool:
        recorded = self.find(run.run_id)
        return recorded is not None and recorded.end == run.end

    def _remove_leftovers(self, now: float) -> None:
        """Remove what is over from the scope's partition. Others do it where this fails."""
        over = self._is_over(now - CLOCK_SKEW_SECONDS)
        try:
            for run in _runs(self._read(self._scope, only=over)):
                self._transact(partial(self._remove, run=run, condition=self._is_current(run)), attempts=1)
        except (ConditionFailed, StoreUnavailable) as error:
            log.info("Items of runs that are over were left in the table; a later start removes them: %s", error)

    def _remove(self, transaction: TransactWrite, run: Run, condition: Condition) -> None:
        """Take the run out of the scope's partition; it stays the last one of its experiment."""
        transaction.delete(self._current(run), condition=condition)
        self._remember(transaction, run)

    def _remember(self, transaction: TransactWrite, run: Run) -> None:
        """It is the last run of its experiment. (An update: whoever may end runs needs no right to put items.)"""
        item = self._last_item
        actions: list[Action] = [item.run_id.set(run.run_id), item.ttl.set(retention(run.expires_at))]
        transaction.update(item(self._last, run.experiment), actions=actions)

    def _current(self, run: Run) -> RunItem:
        kept = ttl(run.expires_at + LEFTOVER_SECONDS)
        return self._item(self._scope, RUN + run.experiment, ttl=kept, **attributes_of_run(run))


def _in_the_way(failed: ConditionFailed, run: Run, now: float) -> Run | None:
    """The run because of which this one did not start; None where it did, and its answer was lost.

    Raises Halted and StoreUnavailable.
    """
    stored = read_run(failed.stored) if failed.stored else None
    if failed.again and stored and stored.run_id == run.run_id:
        return None
    if failed.first:  # the check of the halt
        raise Halted("Everything is halted; nothing was started.")
    if stored and stored.is_active(now):
        return stored
    raise StoreUnavailable(UNREADABLE if failed.stored and not stored else BUSY)


def _runs(found: Sequence[Raw]) -> list[Run]:
    return [run for raw in found if raw["sk"]["S"].startswith(RUN) and (run := read_run(raw))]
