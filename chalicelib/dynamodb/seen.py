"""What environments call, in the table: counters that DynamoDB adds to, an item for each client and dependency.

`pk` is "dependencies#<scope>", `sk` when the observation began, "#", the client, "#" and the dependency's name.
`last` names the addition that was made last, so that one whose answer was lost is not made again. Items are small,
since the table bills a write by the whole item; a day later it forgets them.
"""

from collections.abc import Mapping
from itertools import chain, islice
from typing import Any

from botocore.exceptions import ClientError

from ..results.seen import Seen, SeenCalls, SeenKey
from ..results.tally import LAST_BUCKET
from ..settings import Settings
from .items import MOST_DIGITS
from .table import CONDITION_FAILED, Connection, Item, bind, ttl

SEEN = "dependencies#"
KEPT_SECONDS = 24 * 3600
MOST_READ = 2000
"""How many items one question reads at most."""

BUCKET = "b"


class DynamoDBSeenStore:
    """`SeenStore` on DynamoDB: one UpdateItem adds, one Query reads."""

    def __init__(self, settings: Settings) -> None:
        self._item = bind(Item, settings)
        self._connection = Connection(self._item, settings)
        self._table = settings.table
        self._partition = SEEN + settings.scope

    def add(self, key: SeenKey, calls: SeenCalls, *, addition: str) -> None:
        sk = f"{key.observation:010.0f}#{key.client}#{key.dependency}"
        asked = update(key, calls, addition)

        def add() -> None:
            try:
                self._connection.client.update_item(
                    TableName=self._table, Key={"pk": {"S": self._partition}, "sk": {"S": sk}}, **asked
                )
            except ClientError as error:
                if error.response["Error"]["Code"] not in CONDITION_FAILED:
                    raise
                # It was added before, and the answer got lost.

        self._connection.call(add, writes=True)

    def seen(self, since: float) -> Seen:
        return self._connection.call(lambda: self._read(since))

    def _read(self, since: float) -> Seen:
        pages = self._connection.pages(self._partition, self._item.sk >= f"{since:010.0f}", newest_first=True)
        items = islice(chain.from_iterable(page["Items"] for page in pages), MOST_READ)
        return {key: _calls(raw) for raw in items if (key := _key(raw))}


def update(key: SeenKey, calls: SeenCalls, addition: str) -> Mapping[str, Any]:
    """The arguments of UpdateItem, but for the key."""
    counts = {"calls": calls.calls, "errors": calls.errors}
    counts |= {f"{BUCKET}{number}": count for number, count in calls.buckets.items()}
    names = {"#last": "last", "#ttl": "ttl"}
    values = {":last": {"S": addition}, ":ttl": {"N": str(int(ttl(key.observation + KEPT_SECONDS).timestamp()))}}
    added = []
    for position, (name, count) in enumerate(counts.items()):
        names[f"#{position}"], values[f":{position}"] = name, {"N": str(count)}
        added.append(f"#{position} :{position}")
    if calls.faults:
        names["#faults"], values[":faults"] = "faults", {"SS": sorted(calls.faults)}  # type: ignore[dict-item]
        added.append("#faults :faults")
    return {
        "UpdateExpression": f"SET #last = :last, #ttl = :ttl ADD {', '.join(added)}",
        "ConditionExpression": "attribute_not_exists(#last) OR #last <> :last",
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def _key(raw: Mapping[str, Any]) -> SeenKey | None:
    """None for what no version known here wrote."""
    began, _, rest = raw["sk"]["S"].partition("#")
    client, separator, dependency = rest.partition("#")
    return SeenKey(float(began), client, dependency) if began.isdecimal() and separator else None


def _calls(raw: Mapping[str, Any]) -> SeenCalls:
    buckets = {number: count for number in range(LAST_BUCKET + 1) if (count := _count(raw, f"{BUCKET}{number}"))}
    faults = frozenset(raw.get("faults", {}).get("SS", ()))
    return SeenCalls(_count(raw, "calls"), _count(raw, "errors"), buckets, faults)


def _count(raw: Mapping[str, Any], name: str) -> int:
    """0 for one that is damaged, so that it spoils none of the others."""
    number = str(raw.get(name, {}).get("N", ""))
    return int(number) if number.isdecimal() and len(number) <= MOST_DIGITS else 0
