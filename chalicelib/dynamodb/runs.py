"""Runs in the table.

One item an experiment, its current or last run, in the scope's partition: `pk` scope, `sk` "run#<experiment>". And one
item a run in the scope's history: `pk` "history#<scope>", `sk` the run's id. Both are written in one transaction.
The last halt is an item beside the runs, `sk` "halt", so that the read that gives the runs gives it too. Other events
are in the history, `sk` the event's id.
"""

import json
import logging
import random
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, cast

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import TransactWriteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from ..errors import Halted, StoreUnavailable
from ..runs.event import Action as EventAction
from ..runs.event import Event, identifier
from ..runs.run import Run
from ..settings import Settings
from .table import Connection, Item, bind, ttl

log = logging.getLogger(__name__)

RUN = "run#"
HALT = "halt"
HISTORY = "history#"
KEPT_SECONDS = 90 * 24 * 3600
UNREADABLE = (
    "The run of this experiment in the table was written by another version of the module, and cannot be read; nothing "
    "was changed. Stop it with that version, or wait until it ends."
)
MAYBE = "DynamoDB did not confirm the change, so it may have been made. Check what is running before you try again."
BUSY = "Another change was made at the same time; nothing was changed. Try again."
ATTEMPTS = 4
"""How often a change is sent that meets another one."""

URGENT_ATTEMPTS = 40
PAUSE_SECONDS = 0.05
FAILED = "ConditionalCheckFailed"


class RunItem(Item):
    run_id = UnicodeAttribute()
    experiment = UnicodeAttribute()
    parameters = UnicodeAttribute()
    started_at = NumberAttribute()
    expires_at = NumberAttribute()
    started_by = UnicodeAttribute()
    started_from = UnicodeAttribute(null=True)
    reason = UnicodeAttribute(null=True)
    alarms = UnicodeAttribute(null=True)
    hypothesis = UnicodeAttribute(null=True)
    ended_at = NumberAttribute(null=True)
    ended_by = UnicodeAttribute(null=True)
    ended_from = UnicodeAttribute(null=True)
    end_reason = UnicodeAttribute(null=True)
    aborted = BooleanAttribute(null=True)
    defect = UnicodeAttribute(null=True)


class EventItem(Item):
    event_id = UnicodeAttribute(null=True)
    action = UnicodeAttribute(null=True)
    at = NumberAttribute(null=True)
    by = UnicodeAttribute(null=True)
    source = UnicodeAttribute(null=True)
    reason = UnicodeAttribute(null=True)
    experiment = UnicodeAttribute(null=True)
    details = UnicodeAttribute(null=True)


class HaltItem(EventItem):
    """In effect as long as nobody resumed."""

    resumed_at = NumberAttribute(null=True)


class HistoryItem(EventItem, RunItem):
    """A run, or an event where there is an action."""


class _Refused(Exception):
    """What the table has is not what a transaction asked for. `again`: it was sent twice."""

    def __init__(self, stored: Run | None, *, again: bool, first: bool) -> None:
        """`first`: it is the first condition that does not hold; pynamodb sends checks of other items before writes."""
        super().__init__()
        self.stored = stored
        self.again = again
        self.first = first


class _Busy(StoreUnavailable):
    """Another change was made at the same moment; this one was not."""


class DynamoDBRunStore:
    """`RunStore` on DynamoDB. A start and a stop are one transaction each; of many that race, one wins."""

    def __init__(self, settings: Settings, sleep: Callable[[float], None] = time.sleep) -> None:
        self._item = bind(RunItem, settings)
        self._halt_item = bind(HaltItem, settings)
        self._event_item = bind(EventItem, settings)
        self._history_item = bind(HistoryItem, settings)
        self._connection = Connection(self._item, settings)
        self._scope = settings.scope
        self._sleep = sleep

    def latest(self) -> Sequence[Run]:
        return _runs(self._items())

    def active(self, now: float) -> Sequence[Run]:
        # The table leaves out what has ended: a process in which nothing runs need not know any experiment.
        running = self._item.ended_at.does_not_exist() & (self._item.expires_at > now)
        items = self._items(running | self._in_effect())
        if any(item.sk == HALT for item in items):
            return []
        return _runs(items)

    def halted(self) -> Event | None:
        def query() -> list[HaltItem]:
            item = self._halt_item
            found = item.query(self._scope, item.sk == HALT, filter_condition=self._in_effect(), consistent_read=True)
            return list(found)

        items = self._connection.call(query)
        return _event(items[0]) if items else None

    def _in_effect(self) -> Condition:
        item = self._halt_item
        return cast("Condition", item.event_id.exists() & item.resumed_at.does_not_exist())

    def _going(self) -> Condition:
        item = self._halt_item
        return cast("Condition", item.event_id.does_not_exist() | item.resumed_at.exists())

    def _items(self, condition: Condition | None = None) -> Sequence[RunItem]:
        """What there is in the scope's partition."""
        return self._connection.call(
            lambda: list(self._item.query(self._scope, filter_condition=condition, consistent_read=True))
        )

    def start(self, run: Run, *, now: float, replaced: Run | None = None) -> Run | None:
        item = self._item
        if replaced:
            free = item.run_id == replaced.run_id
        else:
            free = item.pk.does_not_exist() | item.ended_at.exists() | (item.expires_at <= now)

        def fill(transaction: TransactWrite) -> None:
            transaction.condition_check(self._halt_item, self._scope, HALT, condition=self._going())
            transaction.save(self._current(run), condition=free, return_values="ALL_OLD")
            transaction.save(self._history(run))
            if replaced:
                self._end(transaction, self._history(replaced), replaced)

        try:
            self._transact(fill)
        except _Refused as refused:
            stored = refused.stored
            if refused.again and stored and stored.run_id == run.run_id:
                return None
            if refused.first:  # the check of the halt
                raise Halted("Everything is halted; nothing was started.") from None
            if stored and stored.is_active(now):
                return stored
            raise StoreUnavailable(BUSY if stored else UNREADABLE) from None
        return None

    def stop(self, run: Run) -> bool:
        item = self._item
        running = (item.run_id == run.run_id) & item.ended_at.does_not_exist() & (item.expires_at > run.ended_at)

        def fill(transaction: TransactWrite) -> None:
            self._end(transaction, self._current(run), run, condition=running)
            self._end(transaction, self._history(run), run)

        try:
            self._transact(fill)
        except _Refused as refused:
            stored = refused.stored
            return refused.again and stored is not None and stored.end == run.end
        return True

    def record_defect(self, run: Run, defect: str) -> None:
        item = self._item

        def fill(transaction: TransactWrite) -> None:
            undefective = (item.run_id == run.run_id) & item.defect.does_not_exist()
            transaction.update(
                self._current(run), actions=[item.defect.set(defect)], condition=undefective, return_values="ALL_OLD"
            )
            transaction.update(self._history(run), actions=[item.defect.set(defect)])

        try:
            self._transact(fill)
        except _Refused:
            return

    def halt(self, event: Event) -> bool:
        item = self._halt_item(self._scope, HALT, **_attributes(event))

        def fill(transaction: TransactWrite) -> None:
            transaction.save(item, condition=self._going())
            transaction.save(self._as_item(event))

        return self._lever(fill, event)

    def resume(self, event: Event) -> bool:
        item = self._halt_item

        def fill(transaction: TransactWrite) -> None:
            resumed: list[Action] = [item.resumed_at.set(event.at), item.ttl.set(ttl(event.at + KEPT_SECONDS))]
            transaction.update(item(self._scope, HALT), actions=resumed, condition=self._in_effect())
            transaction.save(self._as_item(event))

        return self._lever(fill, event)

    def _lever(self, fill: Callable[[TransactWrite], None], event: Event) -> bool:
        """Whether it moved. A start that is under way may be in its way for a moment, but not keep it."""
        try:
            self._transact(fill, attempts=URGENT_ATTEMPTS)
        except _Refused as refused:
            return refused.again and self._recorded(event)
        return True

    def _recorded(self, event: Event) -> bool:
        item = self._event_item
        kept = self._connection.call(
            lambda: list(item.query(HISTORY + self._scope, item.sk == event.event_id, consistent_read=True))
        )
        return bool(kept)

    def record(self, event: Event) -> None:
        self._connection.call(self._as_item(event).save, writes=True)

    def find(self, run_id: str) -> Run | None:
        item = self._history_item

        def query() -> list[HistoryItem]:
            return list(item.query(HISTORY + self._scope, item.sk == run_id, consistent_read=True))

        found = [each for each in self._connection.call(query) if not each.action]
        return _run(found[0]) if found else None

    def history(
        self, *, since: float, until: float, experiment: str | None, before: str | None, limit: int
    ) -> Sequence[Run | Event]:
        item = self._history_item
        last = min(identifier(until, ""), before) if before else identifier(until, "")
        asked = item.sk.between(identifier(since, ""), last)
        only = item.experiment == experiment if experiment else None

        def query() -> list[Run | Event]:
            found: list[Run | Event] = []
            for each in item.query(
                HISTORY + self._scope, asked, filter_condition=only, scan_index_forward=False, consistent_read=True
            ):
                kept = _event(each) if each.action else _run(each)
                if kept and each.sk < last:
                    found.append(kept)
                if len(found) == limit:
                    break
            return found

        return self._connection.call(query)

    def _as_item(self, event: Event) -> EventItem:
        kept = ttl(event.at + KEPT_SECONDS)
        return self._event_item(HISTORY + self._scope, event.event_id, ttl=kept, **_attributes(event))

    def _end(self, transaction: TransactWrite, stored: RunItem, run: Run, condition: Condition | None = None) -> None:
        """Record how the run ended, unless an end is recorded already."""
        item = self._item
        ends = (
            (item.ended_at, run.ended_at),
            (item.ended_by, run.ended_by),
            (item.ended_from, run.ended_from),
            (item.end_reason, run.end_reason),
            (item.aborted, run.aborted or None),
        )
        actions: list[Action] = [attribute.set(attribute | value) for attribute, value in ends if value is not None]
        transaction.update(stored, actions=actions, condition=condition, return_values="ALL_OLD")

    def _transact(self, fill: Callable[[TransactWrite], None], attempts: int = ATTEMPTS) -> None:
        """Raises _Refused where a condition does not hold. What met another change is sent anew."""
        for left in reversed(range(attempts)):
            try:
                self._transact_once(fill)
            except _Busy:
                if not left:
                    raise
                self._sleep(PAUSE_SECONDS * random.random())  # noqa: S311 - not for secrets
            else:
                return

    def _transact_once(self, fill: Callable[[TransactWrite], None]) -> None:
        """Where an answer got lost, the same transaction is sent once more.

        DynamoDB knows it by its token; an emulator may not, and refuses it for what it did the first time: the stored
        run is then the caller's own.
        """
        token = str(uuid.uuid4())
        attempts = 0

        def commit() -> None:
            nonlocal attempts
            attempts += 1
            connection = self._item._get_connection().connection  # noqa: SLF001 - pynamodb has no public way
            with TransactWrite(connection=connection, client_request_token=token) as transaction:
                fill(transaction)

        try:
            self._connection.call(commit, writes=True)
        except TransactWriteError as error:
            again = attempts > 1
            codes = [reason and reason.code for reason in error.cancellation_reasons]
            if FAILED in codes:
                items = [reason.raw_item for reason in error.cancellation_reasons if reason and reason.raw_item]
                stored = _run(self._item.from_raw_data(items[0])) if items else None
                raise _Refused(stored, again=again, first=codes[0] == FAILED) from error
            told = ", ".join(code for code in codes if code)
            if again:
                raise StoreUnavailable(f"{MAYBE} ({told})") from error
            raise _Busy(f"{BUSY} ({told})") from error

    def _current(self, run: Run) -> RunItem:
        return self._stored(self._scope, RUN + run.experiment, run)

    def _history(self, run: Run) -> RunItem:
        return self._stored(HISTORY + self._scope, run.run_id, run)

    def _stored(self, pk: str, sk: str, run: Run) -> RunItem:
        return self._item(
            pk,
            sk,
            ttl=ttl(run.expires_at + KEPT_SECONDS),
            run_id=run.run_id,
            experiment=run.experiment,
            parameters=json.dumps(run.parameters),
            started_at=run.started_at,
            expires_at=run.expires_at,
            started_by=run.started_by,
            started_from=run.started_from or None,
            reason=run.reason,
            alarms=json.dumps(run.alarms) if run.alarms else None,
            hypothesis=json.dumps(run.options["hypothesis"]) if run.options.get("hypothesis") else None,
        )


def _attributes(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "action": event.action,
        "at": event.at,
        "by": event.by,
        "source": event.source or None,
        "reason": event.reason,
        "experiment": event.experiment,
        "details": json.dumps(event.details) if event.details else None,
    }


def _event(item: EventItem) -> Event:
    return Event(
        event_id=item.event_id,
        at=float(item.at),
        action=cast("EventAction", item.action),
        by=item.by,
        source=item.source or "",
        reason=item.reason,
        experiment=item.experiment,
        details=json.loads(item.details or "{}"),
    )


def _runs(items: Sequence[RunItem]) -> list[Run]:
    return [run for item in items if item.sk.startswith(RUN) and (run := _run(item))]


def _run(item: RunItem) -> Run | None:
    """The run that an item keeps; None, logged, where it is of a version that knows other experiments."""
    try:
        options = {
            "reason": item.reason,
            "alarms": json.loads(item.alarms or "[]"),
            "hypothesis": json.loads(item.hypothesis or "null"),
        }
        return Run(
            run_id=item.run_id,
            experiment=item.experiment,
            parameters=json.loads(item.parameters),
            started_at=float(item.started_at),
            expires_at=float(item.expires_at),
            started_by=item.started_by,
            started_from=item.started_from or "",
            options={name: value for name, value in options.items() if value},
            ended_at=None if item.ended_at is None else float(item.ended_at),
            ended_by=item.ended_by,
            ended_from=item.ended_from,
            end_reason=item.end_reason,
            aborted=bool(item.aborted),
            defect=item.defect,
        )
    except (KeyError, TypeError, ValueError) as error:
        log.warning("Skipped the item %s, which this version cannot read: %s", item.sk, error)
        return None
