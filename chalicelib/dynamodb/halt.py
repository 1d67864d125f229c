"""The halt of a scope: one item beside the runs, `sk` "halt", so that the read of what runs reads the halt, too."""

from collections.abc import Callable
from typing import cast

from pynamodb.expressions.condition import Condition
from pynamodb.transactions import TransactWrite

from ..runs.event import Event
from .history import HistoryItems
from .items import HALT, attributes_of_event, is_halt, is_typed, read_halt
from .transactions import URGENT_ATTEMPTS, ConditionFailed


class HaltItems(HistoryItems):
    """What of `RunStore` is about the halt."""

    def halted(self) -> Event | None:
        raw = self._read(self._scope, self._halt_item.sk == HALT)
        return read_halt(raw[0]) if raw and is_halt(raw[0]) else None

    def halt(self, event: Event) -> bool:
        item = self._halt_item(self._scope, HALT, **attributes_of_event(event))

        def fill(transaction: TransactWrite) -> None:
            transaction.save(item, condition=self._is_not_halted())
            transaction.save(self._event(event))

        return self._change(fill, event)

    def resume(self, event: Event) -> bool:
        def fill(transaction: TransactWrite) -> None:
            transaction.delete(self._halt_item(self._scope, HALT), condition=self._is_halted())
            transaction.save(self._event(event))

        return self._change(fill, event)

    def _change(self, fill: Callable[[TransactWrite], None], event: Event) -> bool:
        """Whether this call changed it. Starts that are under way delay it for a moment, and do not prevent it."""
        try:
            self._transact(fill, attempts=URGENT_ATTEMPTS)
        except ConditionFailed as failed:
            return failed.again and self._is_recorded(event)
        return True

    def _is_halted(self) -> Condition:
        """An item that is there, whatever is in it, unless format 1 has written that it was resumed from."""
        item = self._halt_item
        return cast("Condition", item.pk.exists() & ~is_typed(item.resumed_at))

    def _is_not_halted(self) -> Condition:
        item = self._halt_item
        return cast("Condition", item.pk.does_not_exist() | is_typed(item.resumed_at))
