"""Runs in the table.

One item an experiment, its current or last run, in the scope's partition: `pk` scope, `sk` "run#<experiment>". And one
item a run in the scope's history: `pk` "history#<scope>", `sk` the run's id. Both are written in one transaction.
"""

import logging
import uuid
from collections.abc import Callable, Sequence

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import TransactWriteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from ..errors import StoreUnavailable
from ..runs.run import Run
from ..settings import Settings
from .table import Connection, Item, bind, ttl

log = logging.getLogger(__name__)

RUN = "run#"
HISTORY = "history#"
KEPT_SECONDS = 90 * 24 * 3600
UNREADABLE = "What the table keeps of this experiment cannot be read by this version; nothing was changed."
MAYBE = "The table did not say what became of the change: look before trying again."
BUSY = "Another start or stop of this experiment was made at the same moment; nothing was changed. Try again."


class RunItem(Item):
    run_id = UnicodeAttribute()
    experiment = UnicodeAttribute()
    parameters = UnicodeAttribute()
    started_at = NumberAttribute()
    expires_at = NumberAttribute()
    started_by = UnicodeAttribute()
    reason = UnicodeAttribute(null=True)
    ended_at = NumberAttribute(null=True)
    ended_by = UnicodeAttribute(null=True)
    end_reason = UnicodeAttribute(null=True)


class _Refused(Exception):
    """What the table has is not what a transaction asked for. `again`: it was sent twice."""

    def __init__(self, stored: Run | None, *, again: bool) -> None:
        super().__init__()
        self.stored = stored
        self.again = again


class DynamoDBRunStore:
    """`RunStore` on DynamoDB. A start and a stop are one transaction each; of many that race, one wins."""

    def __init__(self, settings: Settings) -> None:
        self._item = bind(RunItem, settings)
        self._connection = Connection(self._item)
        self._scope = settings.scope

    def latest(self) -> Sequence[Run]:
        return self._query()

    def active(self, now: float) -> Sequence[Run]:
        # The table leaves out what has ended: a process in which nothing runs need not know any experiment.
        return self._query(self._item.ended_at.does_not_exist() & (self._item.expires_at > now))

    def _query(self, condition: Condition | None = None) -> Sequence[Run]:
        def query() -> list[RunItem]:
            own = self._item.sk.startswith(RUN)
            return list(self._item.query(self._scope, own, filter_condition=condition, consistent_read=True))

        return [run for item in self._connection.call(query) if (run := _run(item))]

    def start(self, run: Run, *, now: float, replaced: Run | None = None) -> Run | None:
        item = self._item
        if replaced:
            free = item.run_id == replaced.run_id
        else:
            free = item.pk.does_not_exist() | item.ended_at.exists() | (item.expires_at <= now)

        def fill(transaction: TransactWrite) -> None:
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
            return refused.again and refused.stored == run
        return True

    def _end(self, transaction: TransactWrite, stored: RunItem, run: Run, condition: Condition | None = None) -> None:
        """Record how the run ended, unless an end is recorded already."""
        item = self._item
        ends = ((item.ended_at, run.ended_at), (item.ended_by, run.ended_by), (item.end_reason, run.end_reason))
        actions: list[Action] = [attribute.set(attribute | value) for attribute, value in ends if value is not None]
        transaction.update(stored, actions=actions, condition=condition, return_values="ALL_OLD")

    def _transact(self, fill: Callable[[TransactWrite], None]) -> None:
        """Raises _Refused where the condition does not hold.

        Where an answer got lost, the same transaction is sent once more. DynamoDB knows it by its token; an emulator
        may not, and refuses it for what it did the first time: the stored run is then the caller's own.
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
            reasons = [reason for reason in error.cancellation_reasons if reason]
            for reason in reasons:
                if reason.code == "ConditionalCheckFailed":
                    stored = _run(self._item.from_raw_data(reason.raw_item)) if reason.raw_item else None
                    raise _Refused(stored, again=again) from error
            told = ", ".join(reason.code for reason in reasons)
            raise StoreUnavailable(f"{MAYBE if again else BUSY} ({told})") from error

    def _current(self, run: Run) -> RunItem:
        return self._stored(self._scope, RUN + run.experiment.name, run)

    def _history(self, run: Run) -> RunItem:
        return self._stored(HISTORY + self._scope, run.run_id, run)

    def _stored(self, pk: str, sk: str, run: Run) -> RunItem:
        return self._item(
            pk,
            sk,
            ttl=ttl(run.expires_at + KEPT_SECONDS),
            run_id=run.run_id,
            experiment=run.experiment.name,
            parameters=run.parameters.model_dump_json(),
            started_at=run.started_at,
            expires_at=run.expires_at,
            started_by=run.started_by,
            reason=run.reason,
        )


def _run(item: RunItem) -> Run | None:
    """The run that an item keeps; None, logged, where it is of a version that knows other experiments."""
    from ..experiments import EXPERIMENTS  # noqa: PLC0415 - as bootstrap's Api: where nothing runs, not needed

    try:
        experiment = EXPERIMENTS[item.experiment]
        return Run(
            run_id=item.run_id,
            experiment=experiment,
            parameters=experiment.Parameters.model_validate_json(item.parameters),
            started_at=float(item.started_at),
            expires_at=float(item.expires_at),
            started_by=item.started_by,
            reason=item.reason,
            ended_at=None if item.ended_at is None else float(item.ended_at),
            ended_by=item.ended_by,
            end_reason=item.end_reason,
        )
    except (KeyError, TypeError, ValueError) as error:
        log.warning("Left out the item %s, which this version cannot read: %s", item.sk, error)
        return None
