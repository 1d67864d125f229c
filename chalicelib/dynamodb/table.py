"""One table a stage: how it is reached, how it is read, how it is made, and how its failures are described."""

import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar, cast

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
)
from botocore.parsers import ResponseParserError
from botocore.session import Session
from pynamodb.attributes import TTLAttribute, UnicodeAttribute
from pynamodb.constants import PAY_PER_REQUEST_BILLING_MODE
from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.condition import Condition
from pynamodb.models import Model

from .. import aws
from ..errors import StoreUnavailable
from ..lazy import cached_property
from ..own_calls import own_calls
from ..settings import Settings
from ..time_limits import NoTimeLeft, TimeLimitExceeded, pass_on, within
from .clock import TableClock
from .failures import IN_USE, MISSING, NO_CREDENTIALS, NO_REGION, cause_of, error_code, explain

log = logging.getLogger(__name__)

T = TypeVar("T")
ItemT = TypeVar("ItemT", bound="Item")

NEVER_SENT: tuple[type[Exception], ...] = (ConnectTimeoutError, EndpointConnectionError, *NO_CREDENTIALS, *NO_REGION)
"""Failures after which the table certainly knows nothing of the call."""

FAILURES: tuple[type[Exception], ...] = (PynamoDBException, BotoCoreError, ClientError, ResponseParserError)
"""What the driver raises."""

TIMEOUTS = 2
"""How many time-outs a call may take for all of its way."""

LEEWAY_SECONDS = 0.05
"""What a call may take beyond its time-outs, so that these say what it was that did not answer."""

LAMBDA_SECONDS = 2.0
"""The least that a call may take in Lambda. A cold environment has a fraction of a CPU, and computes meanwhile."""

CREATION_SECONDS = 30.0
"""How long the creation of the table waits for each answer."""

GARBLED: tuple[type[Exception], ...] = (LookupError, ValueError, TypeError, AttributeError)
"""What botocore and pynamodb fail with on half an answer, or on one that is not DynamoDB's."""

CONDITION_FAILED = {"ConditionalCheckFailedException", "TransactionCanceledException"}
"""DynamoDB's answers that the caller of an operation handles."""

RETENTION_SECONDS = 90 * 24 * 3600
"""How long the table remembers runs, events and results."""


def ttl(epoch_seconds: float) -> datetime:
    """The moment from which the table may forget an item."""
    return datetime.fromtimestamp(math.ceil(epoch_seconds), UTC)


class Item(Model):
    """What every item has: two keys, and when the table may forget it."""

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    ttl = TTLAttribute(null=True)


class _ThreadSessions(threading.local):
    """What pynamodb keeps its sessions in, one for each thread; here they are made by `aws`."""

    def __init__(self, settings: Settings, clock: TableClock | None) -> None:
        self._settings = settings
        self._clock = clock

    @cached_property
    def session(self) -> Session:
        session = aws.table_session(self._settings)
        if self._clock:
            self._clock.watch(session)
        return session


def bind(item: type[ItemT], settings: Settings, clock: TableClock | None = None) -> type[ItemT]:
    """The item's model, bound to the table that the settings name: short timeouts, no hidden retries.

    The clock learns from the table's answers what time it is there.
    """

    class Meta:
        table_name = settings.table
        host = settings.endpoint_url
        connect_timeout_seconds = settings.table_timeout_seconds
        read_timeout_seconds = settings.table_timeout_seconds
        max_retry_attempts = 0

    bound = cast("type[ItemT]", type(item.__name__, (item,), {"Meta": Meta}))
    connection = _connection(bound)
    connection.region = None  # the session's, whatever a settings file of pynamodb's says
    connection._local = _ThreadSessions(settings, clock)  # noqa: SLF001 - pynamodb has no public way
    return bound


def _connection(item: type[Item]) -> Any:  # noqa: ANN401 - pynamodb's own, of which we use what is not public
    return item._get_connection().connection  # noqa: SLF001 - pynamodb has no public way


class Connection:
    """Calls of one model. Each takes at most two time-outs for all of its way: credentials, names, connection, answer.

    A call on a dead pooled connection is made once more on a fresh one. In development a table that is missing is
    made, and the call made once more.
    """

    def __init__(self, item: type[Item], settings: Settings) -> None:
        self._item = item
        self._settings = settings
        self._limit_seconds = TIMEOUTS * settings.table_timeout_seconds + LEEWAY_SECONDS
        if settings.in_lambda:
            self._limit_seconds = max(self._limit_seconds, LAMBDA_SECONDS)
        self._opening = threading.Lock()
        self._client: Any = None

    @own_calls()
    def call(self, operation: Callable[[], T], *, writes: bool = False) -> T:
        """What the operation gives. Raises StoreUnavailable; the driver's own where the table refuses a condition.

        An operation that writes must be idempotent: it may be carried out twice.
        """
        try:
            client = self._open()
        except FAILURES + GARBLED as error:  # an endpoint that is no address, for instance
            pass_on(error)
            raise self._unavailable(error, may_be_made=False) from error
        try:
            return within(self._limit_seconds, partial(self._call, client, operation, writes=writes))
        except TimeLimitExceeded as error:
            may_be_made = writes and not isinstance(error, NoTimeLeft)
            raise self._unavailable(error, may_be_made=may_be_made) from error

    def _call(self, client: Any, operation: Callable[[], T], *, writes: bool) -> T:  # noqa: ANN401 - botocore's
        again = False
        try:
            try:
                return operation()
            except (PynamoDBException, BotoCoreError, ClientError) as error:
                if _pooled_connection_died(cause_of(error)):
                    again = True
                    client.close()
                elif error_code(error) == MISSING and self._settings.development:
                    create_table(self._settings, timeout_seconds=self._settings.table_timeout_seconds, wait=False)
                else:
                    raise
                return operation()
        except FAILURES as error:
            if error_code(error) in CONDITION_FAILED:
                raise
            raise self._unavailable(error, may_be_made=writes and (again or _may_be_made(error))) from error
        except GARBLED as error:
            log.exception("The table's answer cannot be parsed")
            raise self._unavailable(error, may_be_made=writes) from error

    def _unavailable(self, error: Exception, *, may_be_made: bool) -> StoreUnavailable:
        return StoreUnavailable(explain(error, self._settings, may_be_made=may_be_made))

    @property
    def client(self) -> Any:  # noqa: ANN401 - botocore's clients have no type
        """For what pynamodb has no words for, within `call`."""
        return self._open()

    @property
    def low_level(self) -> Any:  # noqa: ANN401 - as `_connection`
        """What pynamodb's transactions are made on, within `call`."""
        return _connection(self._item)

    def query(
        self, pk: str, keys: Condition | None = None, only: Condition | None = None
    ) -> Iterator[Mapping[str, Mapping[str, Any]]]:
        """Items of a partition as DynamoDB gives them, by strongly consistent reads, within `call`."""
        for page in self.pages(pk, keys, only):
            yield from page["Items"]

    def pages(
        self,
        pk: str,
        keys: Condition | None = None,
        only: Condition | None = None,
        *,
        size: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Mapping[str, Any]]:
        """DynamoDB's answers, one a read. Each has read `size` items at most; `only` leaves out some of these."""
        following = None
        while True:
            page = self.low_level.query(
                self._settings.table,
                pk,
                range_key_condition=keys,
                filter_condition=only,
                consistent_read=True,
                exclusive_start_key=following,
                scan_index_forward=not newest_first,
                limit=size,
            )
            yield page
            following = page.get("LastEvaluatedKey")
            if not following:
                return

    def _open(self) -> Any:  # noqa: ANN401 - botocore's clients have no type
        if self._client is None:
            with self._opening:  # botocore's clients are safe to share, but not to make
                self._client = _connection(self._item).client
        return self._client


def _pooled_connection_died(cause: Exception) -> bool:
    """Silence or a reset on an open connection, as after a freeze; not a failure to open one."""
    return isinstance(cause, HTTPClientError) and not isinstance(cause, NEVER_SENT)


def _may_be_made(error: Exception) -> bool:
    """Whether the table may have carried out what it was asked for, although it did not say so."""
    code = error_code(error)
    if code:
        refused = code.endswith("Exception") and code != "TransactionInProgressException"
        return not refused and code != "RequestLimitExceeded"
    return not isinstance(cause_of(error), NEVER_SENT)


@own_calls()
def create_table(settings: Settings, *, timeout_seconds: float = CREATION_SECONDS, wait: bool = True) -> bool:
    """Make the table that the settings name when it is missing, with its TTL. Whether this call made it.

    Outside of development it is the table of the stack's template: recoverable to any moment of the last 35 days, and
    encrypted with a key whose use the account can audit. Unless it does `wait`, the table may not be ready yet.
    Raises StoreUnavailable.
    """
    item = bind(Item, replace(settings, table_timeout_seconds=timeout_seconds))
    try:
        return not item.exists() and _create(item, settings, wait=wait)
    except FAILURES + GARBLED as error:
        pass_on(error)
        raise StoreUnavailable(explain(error, settings, may_be_made=False)) from error


def _create(item: type[Item], settings: Settings, *, wait: bool) -> bool:
    client = _connection(item).client
    name = settings.table
    keys = {item.pk.attr_name: "HASH", item.sk.attr_name: "RANGE"}
    encryption = {} if settings.development else {"SSESpecification": {"Enabled": True, "SSEType": "KMS"}}
    made = True
    try:
        client.create_table(
            TableName=name,
            BillingMode=PAY_PER_REQUEST_BILLING_MODE,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
            **encryption,
        )
    except ClientError as error:
        if error_code(error) != IN_USE:
            raise
        made = False  # another process was first
    if wait:
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    if made:
        client.update_time_to_live(
            TableName=name, TimeToLiveSpecification={"AttributeName": item.ttl.attr_name, "Enabled": True}
        )
        if not settings.development:
            client.update_continuous_backups(
                TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
            )
    return made
