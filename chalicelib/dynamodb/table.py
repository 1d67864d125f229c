"""One table a stage: how it is reached, how it is made, and how its failures are told."""

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
)
from botocore.parsers import ResponseParserError
from pynamodb.attributes import TTLAttribute, UnicodeAttribute
from pynamodb.constants import PAY_PER_REQUEST_BILLING_MODE
from pynamodb.exceptions import PynamoDBException
from pynamodb.models import Model

from ..errors import StoreUnavailable
from ..settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")
ItemT = TypeVar("ItemT", bound="Item")

NEVER_SENT = (ConnectTimeoutError, EndpointConnectionError, NoCredentialsError, NoRegionError)
"""Failures after which the table certainly knows nothing of the call."""

PATIENCE_SECONDS = 30.0
"""How long making the table may wait for each answer."""

GARBLED = (LookupError, ValueError, TypeError, AttributeError)
"""What botocore and pynamodb fail with on half an answer, or on one that is not DynamoDB's."""

REFUSED = {"ConditionalCheckFailedException", "TransactionCanceledException"}
"""The table's answers that are the caller's to read."""


def ttl(epoch_seconds: float) -> datetime:
    """The moment from which the table may forget an item."""
    return datetime.fromtimestamp(math.ceil(epoch_seconds), UTC)


class Item(Model):
    """What every item has: two keys, and when the table may forget it."""

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    ttl = TTLAttribute(null=True)


def bind(item: type[ItemT], settings: Settings) -> type[ItemT]:
    """The item's model, bound to the table that the settings name: short timeouts, no hidden retries."""
    local = settings.development and not settings.has_credentials

    class Meta:
        table_name = settings.table
        host = settings.endpoint_url
        region = settings.region or ("us-east-1" if settings.development else None)
        connect_timeout_seconds = settings.table_timeout_seconds
        read_timeout_seconds = settings.table_timeout_seconds
        max_retry_attempts = 0
        aws_access_key_id = "local" if local else None
        aws_secret_access_key = "local" if local else None

    return cast("type[ItemT]", type(item.__name__, (item,), {"Meta": Meta}))


class Connection:
    """Calls of one model: a call on a dead pooled connection is made once more on a fresh one."""

    def __init__(self, item: type[Item]) -> None:
        self._item = item
        self._opening = threading.Lock()
        self._client: Any = None

    def call(self, operation: Callable[[], T], *, writes: bool = False) -> T:
        """What the operation gives. Raises StoreUnavailable; the driver's own where the table refuses a condition.

        An operation that writes must be idempotent: it may be carried out twice.
        """
        again = False
        try:
            try:
                client = self._open()
                return operation()
            except (PynamoDBException, BotoCoreError) as error:
                if not _pooled_connection_died(_cause(error)):
                    raise
                again = True
                client.close()
                return operation()
        except (PynamoDBException, BotoCoreError, ClientError, ResponseParserError) as error:
            if _code(error) in REFUSED:
                raise
            raise StoreUnavailable(_told(error, may_be_made=writes and (again or _may_be_made(error)))) from error
        except GARBLED as error:
            log.exception("The table's answer cannot be understood")
            raise StoreUnavailable(_told(error, may_be_made=writes)) from error

    @property
    def client(self) -> Any:  # noqa: ANN401 - botocore's clients have no type
        """For what pynamodb has no words for, within `call`."""
        return self._open()

    def _open(self) -> Any:  # noqa: ANN401 - botocore's clients have no type
        if self._client is None:
            with self._opening:  # botocore's clients are safe to share, but not to make
                self._client = self._item._get_connection().connection.client  # noqa: SLF001 - pynamodb has no public way
        return self._client


def _pooled_connection_died(cause: Exception) -> bool:
    """Silence or a reset on an open connection, as after a freeze; not a failure to open one."""
    return isinstance(cause, HTTPClientError) and not isinstance(cause, NEVER_SENT)


def _cause(error: Exception) -> Exception:
    """What botocore said, where pynamodb wrapped it."""
    return (isinstance(error, PynamoDBException) and error.cause) or error


def _code(error: Exception) -> str | None:
    """The table's own word for what is wrong, where it had one. (pynamodb's property fails on a time-out.)"""
    cause = _cause(error)
    return cause.response.get("Error", {}).get("Code") if isinstance(cause, ClientError) else None


def _may_be_made(error: Exception) -> bool:
    """Whether the table may have carried out what it was asked for, although it did not say so."""
    code = _code(error)
    if code:
        refused = code.endswith("Exception") and code != "TransactionInProgressException"
        return not refused and code != "RequestLimitExceeded"
    return not isinstance(_cause(error), NEVER_SENT)


def _told(error: Exception, *, may_be_made: bool = False) -> str:
    """The failure in a sentence, with what became of the change that was asked for."""
    if _code(error) == "ResourceNotFoundException":
        make = f"python -m {__package__.partition('.')[0]} table create --stage …"
        return f"There is no such table (ResourceNotFoundException); nothing was changed. Make it: {make}"
    if _code(error) == "AccessDeniedException":
        return (
            "The table refuses (AccessDeniedException); nothing was changed. Whose credentials are these, and may they?"
        )
    outcome = "the change may have been made: look before trying again" if may_be_made else "nothing was changed"
    return f"The table does not answer ({_code(error) or type(_cause(error)).__name__}); {outcome}."


def create_table(settings: Settings) -> bool:
    """Make the table that the settings name when it is missing, with its TTL. Whether this call made it.

    Outside of development it is the table of the stack's template: recoverable to any moment of the last 35 days, and
    encrypted with a key whose use the account can audit. Raises StoreUnavailable.
    """
    item = bind(Item, replace(settings, table_timeout_seconds=PATIENCE_SECONDS))
    name = settings.table
    keys = {item.pk.attr_name: "HASH", item.sk.attr_name: "RANGE"}
    encryption = {} if settings.development else {"SSESpecification": {"Enabled": True, "SSEType": "KMS"}}
    try:
        if item.exists():
            return False
        client: Any = item._get_connection().connection.client  # noqa: SLF001 - pynamodb has no public way
        client.create_table(
            TableName=name,
            BillingMode=PAY_PER_REQUEST_BILLING_MODE,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
            **encryption,
        )
        _wait_for_table(client, name)
        client.update_time_to_live(
            TableName=name, TimeToLiveSpecification={"AttributeName": item.ttl.attr_name, "Enabled": True}
        )
        if not settings.development:
            client.update_continuous_backups(
                TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
            )
    except (PynamoDBException, BotoCoreError, ClientError) as error:
        if _code(error) != "ResourceInUseException":  # another process was first
            raise StoreUnavailable(_told(error)) from error
        _wait_for_table(client, name)
        return False
    return True


def _wait_for_table(client: Any, name: str) -> None:  # noqa: ANN401 - botocore's clients have no type
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
