"""The history of a scope: an item a run or event, `pk` "history#<scope>", `sk` its id, which sorts by time."""

import logging
from collections.abc import Sequence
from functools import partial, reduce
from itertools import islice
from operator import and_

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from ..runs.event import Event, identifier
from ..runs.run import Run
from ..runs.store import HistoryPage
from .items import EventItem, Raw, RunItem, attributes_of_event, attributes_of_run, read_event, read_run, retention
from .transactions import Transactions

log = logging.getLogger(__name__)

SEARCHED_AT_ONCE = 100
"""How many items one read looks at, where only some of them are wanted."""

MOST_READS = 10
"""How many reads one page of the history costs at most."""


class HistoryItems(Transactions):
    """What of `RunStore` is about the history."""

    def record(self, event: Event) -> None:
        self._connection.call(self._event(event).save, writes=True)

    def find(self, run_id: str) -> Run | None:
        raw = self._read(self._history, self._item.sk == run_id)
        return read_run(raw[0]) if raw and "action" not in raw[0] else None

    def history(
        self,
        *,
        since: float,
        until: float,
        experiment: str | None,
        before: str | None,
        limit: int,
        label: str | None = None,
    ) -> HistoryPage:
        first, last = identifier(since, ""), identifier(until, "")
        last = min(last, before) if before else last
        if first > last:  # which DynamoDB refuses to be asked for
            return HistoryPage()
        only = self._only(experiment, label)
        read = partial(self._page, self._item.sk.between(first, last), only, last, limit)
        return self._connection.call(read)

    def _only(self, experiment: str | None, label: str | None) -> Condition | None:
        item = self._item
        wanted: list[Condition] = [item.experiment == experiment] if experiment else []
        if label:
            is_default = item.run_id.exists() & item.label.does_not_exist() & (item.experiment == label)
            wanted.append((item.label == label) | is_default)
        return reduce(and_, wanted) if wanted else None

    def _page(self, asked: Condition, only: Condition | None, last: str, limit: int) -> HistoryPage:
        """What can be read, the newest first; `between` includes its bounds, and `last` is not asked for.

        DynamoDB counts what a condition leaves out, too: a rare experiment is searched for in larger steps, and not in
        the whole history at once.
        """
        size = limit + 1 if only is None else max(limit + 1, SEARCHED_AT_ONCE)
        found: list[Run | Event] = []
        following = None
        for page in islice(
            self._connection.pages(self._history, asked, only, size=size, newest_first=True), MOST_READS
        ):
            for raw in page["Items"]:
                entry = _read_entry(raw)
                if entry and raw["sk"]["S"] < last:
                    found.append(entry)
                if len(found) == limit:
                    return HistoryPage(found, raw["sk"]["S"])
            following = page.get("LastEvaluatedKey")
        return HistoryPage(found, following and following["sk"]["S"])

    def _read(self, pk: str, asked: Condition | None = None, only: Condition | None = None) -> Sequence[Raw]:
        """Items of a partition, by a strongly consistent read."""
        return self._connection.call(lambda: list(self._connection.query(pk, asked, only)))

    def _is_recorded(self, event: Event) -> bool:
        return bool(self._read(self._history, self._item.sk == event.event_id))

    def _event(self, event: Event) -> EventItem:
        kept = retention(event.at)
        return self._event_item(self._history, event.event_id, ttl=kept, **attributes_of_event(event))

    def _past(self, run: Run) -> RunItem:
        """The run's item in the history."""
        return self._item(self._history, run.run_id, ttl=retention(run.expires_at), **attributes_of_run(run))

    def _record_end(self, transaction: TransactWrite, run: Run) -> None:
        """Record how the run ended, unless an end is recorded already."""
        item = self._item
        ends = (
            (item.ended_at, run.ended_at),
            (item.ended_by, run.ended_by),
            (item.ended_from, run.ended_from),
            (item.end_reason, run.end_reason),
            (item.aborted, run.aborted or None),
            (item.is_spent, run.is_spent or None),
        )
        actions: list[Action] = [attribute.set(attribute | value) for attribute, value in ends if value is not None]
        transaction.update(self._past_key(run), actions=actions)

    def _past_key(self, run: Run) -> RunItem:
        return self._item(self._history, run.run_id)


def _read_entry(raw: Raw) -> Run | Event | None:
    """None, logged, where it cannot be read, or is not what its key says."""
    entry, key = read_event(raw) if "action" in raw else read_run(raw), raw["sk"]["S"]
    if entry is None or key != (entry.event_id if isinstance(entry, Event) else entry.run_id):
        log.warning("Left out of the history: the item %s, which this version cannot read", key)
        return None
    return entry
