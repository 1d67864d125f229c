"""Who asks CloudWatch for all environments, and until when: `pk` "last#<scope>", `sk` "#alarms".

It is not in the scope's partition, which every environment reads every second, and no experiment has such a name.
"""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from ..lazy import cached_property
from ..settings import Settings
from .items import LAST
from .table import CONDITION_FAILED, Connection, Item, bind

ALARMS = "#alarms"
KEPT_SECONDS = 24 * 3600


class DynamoDBLease:
    """`Lease` on DynamoDB: one conditional write, which whoever may end runs is allowed.

    Each environment goes by its own clock. What one whose clock is fast has taken for longer than an interval is taken
    over at once.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key = {"pk": {"S": LAST + settings.scope}, "sk": {"S": ALARMS}}

    def take(self, *, now: float, until: float, by: str) -> float | None:
        def write() -> float | None:
            try:
                self._connection.client.update_item(
                    TableName=self._settings.table, Key=self._key, **_taking(now, until, by)
                )
            except ClientError as error:
                if error.response["Error"]["Code"] not in CONDITION_FAILED:
                    raise
                return _taken(error.response, by) or until
            return None

        free_at = self._connection.call(write, writes=True)
        return None if free_at == MINE else free_at

    @cached_property
    def _connection(self) -> Connection:
        """Made where a run has alarms."""
        return Connection(bind(Item, self._settings), self._settings)


MINE = -1.0
"""Instead of a moment: this environment itself has taken it, and the answer got lost."""


def _taken(response: Any, by: str) -> float | None:  # noqa: ANN401 - botocore's
    """Until when another environment has it, where the table says so."""
    item: Mapping[str, Any] = response.get("Item") or {}
    if item.get("by", {}).get("S") == by:
        return MINE
    return float(item["until"]["N"]) if "until" in item else None


def _taking(now: float, until: float, by: str) -> Mapping[str, Any]:
    """The arguments of UpdateItem."""
    return {
        "UpdateExpression": "SET #until = :until, #by = :by, #ttl = :ttl",
        "ConditionExpression": "attribute_not_exists(#until) OR #until <= :now OR #until > :latest",
        "ExpressionAttributeNames": {"#until": "until", "#by": "by", "#ttl": "ttl"},
        "ExpressionAttributeValues": {
            ":until": {"N": f"{until:.3f}"},
            ":now": {"N": f"{now:.3f}"},
            ":latest": {"N": f"{until + (until - now):.3f}"},
            ":by": {"S": by},
            ":ttl": {"N": str(int(until) + KEPT_SECONDS)},
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
