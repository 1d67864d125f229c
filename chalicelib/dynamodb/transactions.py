"""Writes of several items at once: all of them are made or none is, and one whose answer was lost is recognised."""

import random
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from pynamodb.exceptions import TransactWriteError
from pynamodb.transactions import TransactWrite

from .. import time_limits
from ..errors import StoreUnavailable
from ..settings import Settings
from .clock import TableClock
from .items import HISTORY, LAST, EventItem, HaltItem, LastRunItem, ObservationItem, Raw, RunItem
from .table import Connection, bind

T = TypeVar("T")

MAYBE = "DynamoDB did not confirm the change, so it may have been made. Check what is running before you try again."
BUSY = "Another change was made at the same time; nothing was changed. Try again."
ATTEMPTS = 4
"""How often a change is sent that meets another one."""

URGENT_ATTEMPTS = 40
PAUSE_SECONDS = 0.05
CONDITION_FAILED = "ConditionalCheckFailed"


class ConditionFailed(Exception):
    """What the table has is not what a transaction asked for; `stored` is what it has, where it was asked to say.

    `again`: the transaction was sent twice, so that it may have met itself. `first`: the first condition does not hold;
    pynamodb sends checks of other items before writes.
    """

    def __init__(self, stored: Raw | None, *, again: bool, first: bool) -> None:
        super().__init__()
        self.stored = stored
        self.again = again
        self.first = first


class Busy(StoreUnavailable):
    """Another change was made at the same moment; this one was not."""


class Transactions:
    """The items of a store, its connection, and its transactions."""

    def __init__(
        self,
        settings: Settings,
        sleep: Callable[[float], None] = time_limits.sleep,
        clock: TableClock | None = None,
    ) -> None:
        self._item = bind(RunItem, settings, clock)
        self._event_item = bind(EventItem, settings)
        self._halt_item = bind(HaltItem, settings)
        self._last_item = bind(LastRunItem, settings)
        self._observation_item = bind(ObservationItem, settings)
        self._clock = clock
        self._connection = Connection(self._item, settings)
        self._scope = settings.scope
        self._history = HISTORY + settings.scope
        self._last = LAST + settings.scope
        self._sleep = sleep

    def _transact(self, fill: Callable[[TransactWrite], None], attempts: int = ATTEMPTS) -> None:
        """Raises ConditionFailed. A transaction that met another one is sent anew."""
        self._patiently(partial(self._transact_once, fill), attempts)

    def _patiently(self, change: Callable[[], T], attempts: int, longer: float = 0.0) -> T:
        """Make a change, anew where it met another one; after each attempt a pause that is `longer` than the last."""
        for number in range(attempts - 1):
            with suppress(Busy):
                return change()
            self._sleep(PAUSE_SECONDS * (1 + number * longer) * random.random())  # noqa: S311 - not for secrets
        return change()

    def _transact_once(self, fill: Callable[[TransactWrite], None]) -> None:
        """A transaction whose answer got lost is sent once more.

        DynamoDB knows it by its token; an emulator may not, and fails its conditions for what it did the first time.
        """
        token = str(uuid.uuid4())
        sent = 0

        def commit() -> None:
            nonlocal sent
            sent += 1
            with TransactWrite(connection=self._connection.low_level, client_request_token=token) as transaction:
                fill(transaction)

        try:
            self._connection.call(commit, writes=True)
        except TransactWriteError as error:
            raise _cancelled(error.cancellation_reasons, again=sent > 1) from error


def _cancelled(reasons: Any, *, again: bool) -> Exception:  # noqa: ANN401 - pynamodb's
    codes = [reason.code if reason else None for reason in reasons]
    if CONDITION_FAILED in codes:
        items = [reason.raw_item for reason in reasons if reason]
        return ConditionFailed(next(filter(None, items), None), again=again, first=codes[0] == CONDITION_FAILED)
    listed = ", ".join(filter(None, codes))
    return StoreUnavailable(f"{MAYBE} ({listed})") if again else Busy(f"{BUSY} ({listed})")
