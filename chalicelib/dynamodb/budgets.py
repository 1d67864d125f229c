"""How many hits of runs are taken, in the table: by one conditional UpdateItem each, without reading before.

`pk` is "budget#<scope>#<number>", so that no partition gets hot.

- Of a whole run: `sk` is the run's id. `taken` and `used` are added to, and there is for each environment the number of
  what it asked last: what is sent twice, because its answer was lost, is carried out once.
- Of a key: `sk` is the run's id, "#" and what stands for the key. `hits` is added to; `last` stands for the hit that
  was added last, so that this one is not added twice.
"""

import secrets
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from ..lazy import cached_property
from ..runs.run import Run
from ..runs.store import Exchange, Lease
from ..settings import Settings
from .table import CONDITION_FAILED, Connection, Item, bind, ttl

BUDGET = "budget#"
SPREAD = 8
KEPT_SECONDS = 24 * 3600
"""How long after a run's time the table remembers how many hits were taken."""

ENVIRONMENT = "e."


class DynamoDBBudgetStore:
    """`BudgetStore` on DynamoDB."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def lease(self, run: Run, most: int, asked: Exchange) -> Lease:
        answer = self._update(run.run_id, exchange(run, most, asked))
        is_done = answer.is_done or bool(asked.environment and answer.number(_name(asked)) >= asked.number)
        return Lease(asked.wanted if is_done else 0, answer.number("taken"), answer.number("used"))

    def claim(self, run: Run, key: str, most: int) -> int | None:
        this_one = secrets.token_hex(4)
        answer = self._update(f"{run.run_id}#{key}", addition(run, most, this_one))
        is_done = answer.is_done or answer.item.get("last", {}).get("S") == this_one
        return answer.number("hits") if is_done else None

    def _update(self, sk: str, asked: Mapping[str, Any]) -> "Answer":
        def update() -> Answer:
            client = self._connection.client
            try:
                answer = client.update_item(TableName=self._settings.table, Key=self._key(sk), **asked)
            except ClientError as error:
                if error.response["Error"]["Code"] not in CONDITION_FAILED:
                    raise
                return Answer(_stored(error.response), is_done=False)
            return Answer(answer["Attributes"], is_done=True)

        return self._connection.call(update, writes=True)

    def _key(self, sk: str) -> Mapping[str, Mapping[str, str]]:
        pk = f"{BUDGET}{self._settings.scope}#{zlib.crc32(sk.encode()) % SPREAD}"
        return {"pk": {"S": pk}, "sk": {"S": sk}}

    @cached_property
    def _connection(self) -> Connection:
        """Made where a run has a budget."""
        return Connection(bind(Item, self._settings), self._settings)


class Answer(NamedTuple):
    """What the item has: after what was asked for, or, where that is refused or was done before, instead of it."""

    item: Mapping[str, Any]
    is_done: bool

    def number(self, name: str) -> int:
        return int(self.item.get(name, {}).get("N", 0))


def _stored(response: Any) -> Mapping[str, Any]:  # noqa: ANN401 - botocore's
    item: Mapping[str, Any] = response.get("Item") or {}
    return item


def exchange(run: Run, most: int, asked: Exchange) -> Mapping[str, Any]:
    """The arguments of UpdateItem, but for the key."""
    added = asked.wanted - asked.returned
    update = "ADD #taken :taken, #used :used SET #ttl = :ttl"
    condition = "(attribute_not_exists(#taken) OR #taken <= :free)"
    names = {"#taken": "taken", "#used": "used"}
    values = {":taken": added, ":used": asked.used, ":free": most - added}
    if asked.environment:
        update += ", #e = :number"
        condition += " AND (attribute_not_exists(#e) OR #e < :number)"
        names["#e"], values[":number"] = _name(asked), asked.number
    return _arguments(run, update, condition, names, values)


def addition(run: Run, most: int, this_one: str) -> Mapping[str, Any]:
    """The same, for a hit of a key."""
    update = "ADD #hits :one SET #ttl = :ttl, #last = :last"
    condition = "attribute_not_exists(#hits) OR (#hits < :most AND #last <> :last)"
    values: Mapping[str, int | str] = {":one": 1, ":most": most, ":last": this_one}
    return _arguments(run, update, condition, {"#hits": "hits", "#last": "last"}, values)


def _arguments(
    run: Run, update: str, condition: str, names: Mapping[str, str], values: Mapping[str, int | str]
) -> Mapping[str, Any]:
    kept_until = int(ttl(run.expires_at + KEPT_SECONDS).timestamp())
    return {
        "UpdateExpression": update,
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {**names, "#ttl": "ttl"},
        "ExpressionAttributeValues": {name: _typed(value) for name, value in {**values, ":ttl": kept_until}.items()},
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def _typed(value: int | str) -> Mapping[str, str]:
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


def _name(asked: Exchange) -> str:
    return ENVIRONMENT + asked.environment
