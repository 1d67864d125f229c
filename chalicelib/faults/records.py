from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import base
from .base import PROCEED, Applied, Called, Counter, Fault, HitCall

FAILED = "failed_records"
"""Counter: records of batches that were reported as failed."""

WHOLE = 100.0
FIFO = ".fifo"


class Record(NamedTuple):
    """One of a batch, as a function may report it. After one that fails, those of its group fail, too."""

    identifier: str
    group: str | None
    """None where records are independent of each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailRecords(Fault):
    """Report a share of the records of a batch as failed, as a function may for SQS, Kinesis and DynamoDB streams."""

    percentage: float
    after: bool = False
    """Whether the handler gets those that fail, too: their work is done, and they come again."""
    kind = "records"
    applies_to = "invocation"
    order = 45
    counters = (Counter(name=FAILED, title="Failed records", unit="records"),)

    def concerns(self, call: Called) -> bool:
        return bool(records_of(call.event))

    def apply(self, call: HitCall) -> Applied:
        records, failed = records_of(call.event), []
        groups: set[str] = set()
        for record in records:
            if record.group in groups or call.chance() * WHOLE < self.percentage:
                failed.append(record.identifier)
                groups.update(() if record.group is None else (record.group,))
        outcome = base.FailRecords(tuple(failed), after=self.after) if failed else PROCEED
        details = {"records": len(records), "failed": len(failed)}
        return Applied(outcome=outcome, details=details, counters={FAILED: len(failed)} if failed else {})


def records_of(event: Any) -> Sequence[Record]:  # noqa: ANN401 - JSON
    """Those of an event that is a batch; none of every other one."""
    records = event.get("Records") if isinstance(event, Mapping) else None
    try:
        return [READERS[each["eventSource"]](each) for each in records or ()]
    except (LookupError, TypeError, AttributeError):
        return ()


def _of_queue(record: Mapping[str, Any]) -> Record:
    """A standard queue may have groups, too, which say nothing of an order."""
    is_ordered = str(record["eventSourceARN"]).endswith(FIFO)
    return Record(record["messageId"], record["attributes"]["MessageGroupId"] if is_ordered else None)


def _of_kinesis(record: Mapping[str, Any]) -> Record:
    """A batch is of one shard, and is read again from the first record that failed."""
    return Record(record["kinesis"]["sequenceNumber"], "shard")


def _of_dynamodb(record: Mapping[str, Any]) -> Record:
    """As of Kinesis."""
    return Record(record["dynamodb"]["SequenceNumber"], "shard")


READERS = {"aws:sqs": _of_queue, "aws:kinesis": _of_kinesis, "aws:dynamodb": _of_dynamodb}
"""By the source of an event."""
