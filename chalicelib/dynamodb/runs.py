"""Runs in the table. The scope's partition has only what runs, the halt, and whether calls are observed: every
environment reads all of it.

- What runs: one item a run, `pk` the scope, `sk` "run#<label>". A stop deletes it, a start in its place overwrites it.
  One whose time is up is overwritten by the next start of its label, deleted by the next start of another one, or
  forgotten by the table (`ttl`) a day later: no environment writes for it.
- Every run: an item in the history, for 90 days.
- The last run of an experiment, and of a label: an item with their ids, `pk` "last#<scope>", `sk` the experiment, or
  the label.
- The last start of all: in the same partition, `sk` "#starts".

A start and a stop write all of these in one transaction, on the condition that the first one is what it is meant to be:
of many that race, one wins. A start also demands that none was made since it counted what runs: so there are never more
than `MOST_RUNS`, however many start at once.
"""

import logging
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any, cast

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from ..errors import Halted, StoreUnavailable
from ..runs.observation import Observation
from ..runs.run import FOREVER, Run
from ..runs.store import Current, require_room
from .halt import HaltItems
from .items import (
    HALT,
    LATEST,
    OBSERVE,
    RUN,
    Raw,
    RunItem,
    attributes_of_run,
    is_halt,
    is_identifier,
    is_typed,
    read_current,
    read_observation,
    retention,
)
from .table import ttl
from .transactions import BUSY, Busy, ConditionFailed

log = logging.getLogger(__name__)

STARTS = "#starts"
"""Sort key of the last start of all: no experiment and no label has such a name."""

START_ATTEMPTS = 40
"""How often a start is tried anew that meets other ones: of those that begin at once, one succeeds at a time."""

LONGER = 0.25
"""By how much of the first pause each further one is longer, so that of many starts not all try again at once."""

MOST_WRITES = 100
"""How many items a transaction of DynamoDB can have."""

LEFTOVER_SECONDS = 24 * 3600.0
"""How long after its end a run's item is left to the table to forget."""

CLOCK_SKEW_SECONDS = 300.0
"""AWS refuses requests of a clock that is wrong by more: a run that ended so long ago has ended by any clock."""


class DynamoDBRunStore(HaltItems):
    """`RunStore` on DynamoDB."""

    def current(self, now: float) -> Current:
        found, now = self._read_scope(now)
        observation = read_observation(found)
        return Current(
            runs=[] if any(is_halt(raw) for raw in found) else _running(found, now),
            observation=observation if observation and observation.is_active(now) else None,
        )

    def observe(self, observation: Observation) -> None:
        item = self._observation_item(self._scope, OBSERVE, ttl=ttl(observation.until))
        item.began, item.until = observation.began, observation.until
        self._connection.call(item.save, writes=True)

    def active(self, now: float) -> Sequence[Run]:
        return self.current(now).runs

    def running(self, now: float) -> Sequence[Run]:
        return _running(*self._read_scope(now))

    def last(self, experiment: str) -> Run | None:
        current = [run for run in _runs(self._read(self._scope)) if run.experiment == experiment]
        run_id = _identifier(self._pointer(experiment), "run_id")
        if run_id and run_id not in [run.run_id for run in current]:
            past = self.find(run_id)
            current += [past] if past and past.experiment == experiment else []
        return max(current, key=lambda run: run.order, default=None)

    def last_labelled(self, label: str) -> Run | None:
        current = self._read(self._scope, self._item.sk == RUN + label)
        if current:
            return read_current(current[0])
        pointer = self._pointer(label)
        run_id = _identifier(pointer, "labelled") or _identifier(pointer, "run_id")  # of a version before labels
        past = self.find(run_id) if run_id else None
        return past if past and past.label == label else None

    def start(self, runs: Sequence[Run], *, now: float, replaced: Sequence[Run] = ()) -> Run | None:
        return self._patiently(partial(self._start, runs, now, replaced), START_ATTEMPTS, LONGER)

    def _start(self, runs: Sequence[Run], now: float, replaced: Sequence[Run]) -> Run | None:
        """One attempt. Raises Busy where another start was made meanwhile."""
        last_start = self._pointer(STARTS)
        found, read_at = self._read_scope(now)
        labels = {run.label for run in runs}
        others = [run for run in _runs(found) if run.label not in labels]
        if any(is_halt(raw) for raw in found):
            raise Halted(HALTED)
        require_room(runs, _running(found, read_at))
        ends = {run.label: run for run in replaced}

        def fill(transaction: TransactWrite) -> None:
            transaction.condition_check(self._halt_item, self._scope, HALT, condition=self._is_not_halted())
            for run in runs:
                free = self._is_free(now, ends.get(run.label))
                transaction.save(self._current(run), condition=free, return_values="ALL_OLD")
                transaction.save(self._past(run))
            for ended in filter(_is_in_history, replaced):
                self._record_end(transaction, ended)
            self._follow(transaction, last_start, runs[-1])
            self._remember(transaction, runs, most=MOST_WRITES - 2 - 2 * len(runs) - len(replaced))

        try:
            self._transact(fill, attempts=1)
        except ConditionFailed as failed:
            return _in_the_way(failed, runs, now)
        self._remove_leftovers(others, now)
        return None

    def _pointer(self, name: str) -> Raw:
        """What the table remembers of the last runs by this name; empty where there were none."""
        found = self._read(self._last, self._item.sk == name)
        return found[0] if found else {}

    def _follow(self, transaction: TransactWrite, last_start: Raw, run: Run) -> None:
        """This start is the next one after the last that is known."""
        item = self._last_item
        known = last_start.get("run_id", {}).get("S")
        unchanged = ~is_typed(item.run_id) if known is None else item.run_id == known
        transaction.update(item(self._last, STARTS), actions=[item.run_id.set(run.run_id)], condition=unchanged)

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
        item, key = self._item, RUN + run.label
        if run.run_id != key:
            return cast("Condition", item.run_id == run.run_id)
        return cast("Condition", item.pk.exists() & (~is_typed(item.run_id) | (item.run_id == key)))

    def _is_running(self, now: float) -> Condition:
        return cast("Condition", self._item.ended_at.does_not_exist() & (self._item.expires_at > now))

    def _is_free(self, now: float, replaced: Run | None) -> Condition:
        """A run may be written there: nothing runs, or what is to be replaced."""
        free = self._item.pk.does_not_exist() | self._is_over(now)
        return cast("Condition", free | self._is_current(replaced) if replaced else free)

    def _is_over(self, now: float) -> Condition:
        """Format 1 wrote the end of a run into its item. (The embedded table must not compare a text to a number.)"""
        item = self._item
        has_ended = is_typed(item.ended_at) & (item.ended_at <= LATEST)
        return cast("Condition", has_ended | (is_typed(item.expires_at) & (item.expires_at <= now)))

    def _is_ended_as(self, run: Run) -> bool:
        recorded = self.find(run.run_id)
        return recorded is not None and recorded.end == run.end

    def _remove_leftovers(self, found: Sequence[Run], now: float) -> None:
        """Remove what is over from the scope's partition. Others do it where this fails."""
        for run in [run for run in found if not run.is_active(now - CLOCK_SKEW_SECONDS)]:
            try:
                self._transact(partial(self._remove, run=run, condition=self._is_current(run)), attempts=1)
            except (ConditionFailed, StoreUnavailable) as error:
                log.info("The item of run %s, which is over, was left in the table: %s", run.run_id, error)

    def _remove(self, transaction: TransactWrite, run: Run, condition: Condition) -> None:
        """Take the run out of the scope's partition.

        Its start has made it the last one of its experiment, unless a version did that knew no pointers. (An update:
        whoever may end runs needs no right to put items.)
        """
        transaction.delete(self._current_key(run), condition=condition)
        if _is_in_history(run):
            item = self._last_item
            actions: list[Action] = [item.run_id.set(item.run_id | run.run_id), item.ttl.set(item.ttl | _kept(run))]
            transaction.update(item(self._last, run.experiment), actions=actions)

    def _remember(self, transaction: TransactWrite, runs: Sequence[Run], most: int) -> None:
        """They are the last runs of their experiments and labels; each pointer is written once.

        Where a transaction cannot have so many items, pointers of experiments are left out: a stop writes those.
        """
        item = self._last_item
        pointers: dict[str, dict[str, Run]] = {}
        ordered = sorted(runs, key=lambda run: run.order)
        for run in ordered:
            pointers.setdefault(run.label, {})["labelled"] = run
        for run in ordered:
            pointers.setdefault(run.experiment, {})["run_id"] = run
        for name, lasts in islice(pointers.items(), most):
            actions: list[Action] = [getattr(item, pointer).set(run.run_id) for pointer, run in lasts.items()]
            actions.append(item.ttl.set(max(map(_kept, lasts.values()))))
            transaction.update(item(self._last, name), actions=actions)

    def _current_key(self, run: Run) -> RunItem:
        return self._item(self._scope, RUN + run.label)

    def _current(self, run: Run) -> RunItem:
        kept = ttl(run.expires_at + LEFTOVER_SECONDS)
        return self._item(self._scope, RUN + run.label, ttl=kept, **attributes_of_run(run))


HALTED = "Everything is halted; nothing was started."


def _in_the_way(failed: ConditionFailed, runs: Sequence[Run], now: float) -> Run | None:
    """The run because of which these did not start; None where they did, and the answer was lost.

    Raises Halted, and Busy.
    """
    stored = read_current(failed.stored) if failed.stored else None
    if failed.again and stored and stored.run_id in [run.run_id for run in runs]:
        return None
    if failed.first:  # the check of the halt
        raise Halted(HALTED)
    if stored and stored.is_active(now):
        return stored
    raise Busy(BUSY)


def _kept(run: Run) -> Any:  # noqa: ANN401 - as pynamodb types it
    """Until when it is remembered that the run was the last one."""
    return retention(run.expires_at if run.expires_at < FOREVER else run.ended_at or 0.0)


def _identifier(pointer: Raw, name: str) -> str | None:
    """The id of a run; None for what cannot be one."""
    run_id = pointer.get(name, {}).get("S")
    return run_id if isinstance(run_id, str) and is_identifier(run_id) else None


def _is_in_history(run: Run) -> bool:
    """Whether it can be there: a key must not be empty, and an id that is damaged is none."""
    return bool(run.experiment) and is_identifier(run.run_id)


def _runs(found: Sequence[Raw]) -> list[Run]:
    return [read_current(raw) for raw in found if raw["sk"]["S"].startswith(RUN)]


def _running(found: Sequence[Raw], now: float) -> list[Run]:
    """Worked out here and not by the table, which would leave out what it cannot compare."""
    return [run for run in _runs(found) if run.is_active(now)]
