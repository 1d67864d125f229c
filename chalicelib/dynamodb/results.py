"""What environments saw, in the table: counters that DynamoDB adds to, so that nobody reads before writing.

The counts of a run are spread over items with different partition keys, `pk` "results#<scope>#<number>", `sk` the run's
id; an environment always adds to the same one. Beside the counters an item has, for each environment that adds to it,
the number of what it added last: what is sent twice, because its answer was lost, is added once. And it has, for each
environment that has some, the calls that have begun there and are not answered.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from ..errors import StoreUnavailable
from ..results.tally import OpenCalls, Tally
from ..runs.run import Run
from ..settings import Settings
from .items import MOST_DIGITS
from .table import CONDITION_FAILED, RETENTION_SECONDS, Connection, Item, bind, ttl

RESULTS = "results#"
SPREAD = 8
"""Over how many items: each takes some hundred environments that write every second."""

ENVIRONMENT = "e."
COUNTER = "c."
OPEN = "o."
PROCESS = "."
"""In an environment's name, before what tells its processes apart."""

PER_READ = 100

Key = Mapping[str, Mapping[str, str]]


class Counted(NamedTuple):
    """One item: counts, the environments that they are of, and what is open there."""

    run_id: str
    counts: Mapping[str, int]
    environments: set[str]
    open_calls: list[OpenCalls]


def addition(
    run: Run, counts: Mapping[str, int], *, environment: str, number: int, open_calls: OpenCalls | None = None
) -> dict[str, Any]:
    """The arguments of UpdateItem. The expression is short: DynamoDB takes 4 KB of it."""
    kept_until = int(ttl(run.expires_at + RETENTION_SECONDS).timestamp())
    names = {"#e": ENVIRONMENT + environment, "#t": "ttl", "#o": OPEN + environment}
    values = {":e": {"N": str(number)}, ":t": {"N": str(kept_until)}}
    changed = " REMOVE #o"
    if open_calls:
        changed, values[":o"] = ",#o=:o", {"S": _written(open_calls)}
    for position, (name, count) in enumerate(counts.items()):
        names[f"#{position}"] = COUNTER + name
        values[f":{position}"] = {"N": str(count)}
    added = ",".join(f"#{position} :{position}" for position in range(len(counts)))
    return {
        "UpdateExpression": f"SET #e=:e,#t=:t{changed}{' ADD ' if added else ''}{added}",
        "ConditionExpression": "attribute_not_exists(#e) OR #e < :e",
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


class DynamoDBResultStore:
    """`ResultStore` on DynamoDB: one UpdateItem adds, one BatchGetItem reads what runs."""

    def __init__(self, settings: Settings) -> None:
        item = bind(Item, settings)
        self._table = settings.table
        self._scope = settings.scope
        self._flush_seconds = settings.refresh_seconds
        self._connection = Connection(item, settings)

    def add(
        self,
        run: Run,
        counts: Mapping[str, int],
        *,
        environment: str,
        number: int,
        open_calls: OpenCalls | None = None,
    ) -> None:
        key = self._key(run.run_id, zlib.crc32(environment.encode()) % SPREAD)
        asked = addition(run, counts, environment=environment, number=number, open_calls=open_calls)

        def update() -> None:
            try:
                self._connection.client.update_item(TableName=self._table, Key=key, **asked)
            except ClientError as error:
                if error.response["Error"]["Code"] not in CONDITION_FAILED:
                    raise
                # It was added before, and the answer got lost.

        self._connection.call(update, writes=True)

    def results(self, runs: Sequence[Run]) -> Mapping[str, Tally]:
        keys = [self._key(run.run_id, number) for run in runs for number in range(SPREAD)]
        found: dict[str, Tally] = {}
        environments: dict[str, set[str]] = {}
        while keys:
            some, keys = keys[:PER_READ], keys[PER_READ:]
            read, left = self._connection.call(lambda asked=some: self._read(asked))  # type: ignore[misc]
            if len(left) == len(some):
                raise StoreUnavailable("DynamoDB throttled the read; nothing was changed. Try again.")
            keys += left
            for each in read:
                tally = found.setdefault(each.run_id, Tally(flush_seconds=self._flush_seconds))
                tally.merge(each.counts)
                tally.open_calls += each.open_calls
                environments.setdefault(each.run_id, set()).update(each.environments)
        for run_id, tally in found.items():
            tally.environments = len(environments[run_id])
        return found

    def _read(self, keys: Sequence[Key]) -> tuple[list[Counted], Sequence[Key]]:
        """What the items say, and the keys of those whose read was throttled."""
        asked = {self._table: {"Keys": keys, "ConsistentRead": True}}
        answer = self._connection.client.batch_get_item(RequestItems=asked)
        left = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
        return [_counted(item) for item in answer["Responses"][self._table]], left

    def _key(self, run_id: str, number: int) -> Key:
        return {"pk": {"S": f"{RESULTS}{self._scope}#{number}"}, "sk": {"S": run_id}}


def _counted(item: Mapping[str, Any]) -> Counted:
    opened = map(_read_open, _of(item, OPEN).values())
    return Counted(
        run_id=item["sk"]["S"],
        counts={name: count for name, value in _of(item, COUNTER).items() if (count := _whole(value))},
        environments={name.partition(PROCESS)[0] for name in _of(item, ENVIRONMENT)},
        open_calls=list(filter(None, opened)),
    )


def _of(item: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The attributes of one kind, by what follows in their names."""
    return {name.removeprefix(kind): value for name, value in item.items() if name.startswith(kind)}


def _written(open_calls: OpenCalls) -> str:
    return json.dumps({"until": round(open_calls.until, 1), **open_calls.calls}, separators=(",", ":"))


def _read_open(value: Mapping[str, str]) -> OpenCalls | None:
    """None for what no version known here wrote: it spoils no other count."""
    try:
        calls = json.loads(value["S"])
        until = float(calls.pop("until"))
        return OpenCalls(until=until, calls={name: int(number) for name, number in calls.items()})
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def _whole(value: Mapping[str, Any]) -> int:
    """A count; 0 for one that is damaged, so that it spoils none of the others."""
    number = str(value.get("N", ""))
    return int(number) if number.isdecimal() and len(number) <= MOST_DIGITS else 0
