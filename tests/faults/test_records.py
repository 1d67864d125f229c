from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from chalicelib.faults.base import PROCEED, Applied
from chalicelib.faults.base import FailRecords as Failed
from chalicelib.faults.records import FailRecords, records_of
from tests.frameworks.events import dynamodb_event, kinesis_event, s3_event, sns_event, sqs_event


@dataclass
class Batch:
    """A call with an event, and what is drawn for its records."""

    event: Any
    drawn: Iterator[float]

    def chance(self) -> float:
        return next(self.drawn)


def applied(event: Any, *drawn: float, percentage: float = 50.0, after: bool = False) -> Applied:
    call: Any = Batch(event, iter(drawn))
    made = FailRecords(percentage=percentage, after=after).apply(call)
    assert isinstance(made, Applied)
    return made


def failed(event: Any, *drawn: float) -> list[str]:
    outcome = applied(event, *drawn).outcome
    return [*outcome.identifiers] if isinstance(outcome, Failed) else []


def test_a_share_of_the_records_fails_each_by_its_own_draw() -> None:
    assert failed(sqs_event("a", "b", "c"), 0.49, 0.5, 0.0) == ["m0", "m2"]


def test_of_a_fifo_queue_what_comes_later_in_the_group_fails_too() -> None:
    event = sqs_event("a", "b", "c", "d", groups=("x", "y", "x", "y"))
    assert failed(event, 0.0, 0.9, 0.9) == ["m0", "m2"]


def test_a_group_of_a_standard_queue_says_nothing_of_an_order() -> None:
    event = sqs_event("a", "b", groups=("x", "x"))
    for record in event["Records"]:
        record["eventSourceARN"] = record["eventSourceARN"].removesuffix(".fifo")
    assert failed(event, 0.0, 0.9) == ["m0"]


@pytest.mark.parametrize("event", [kinesis_event("a", "b", "c"), dynamodb_event(3)], ids=["Kinesis", "DynamoDB"])
def test_of_a_stream_all_that_comes_later_fails(event: Any) -> None:
    assert failed(event, 0.9, 0.0) == ["s1", "s2"]


def test_it_reports_how_many_and_does_nothing_where_none_fails() -> None:
    made = applied(sqs_event("a", "b"), 0.0, 0.9)
    assert (made.details, made.counters) == ({"records": 2, "failed": 1}, {"failed_records": 1})
    none = applied(sqs_event("a", "b"), 0.9, 0.9)
    assert (none.outcome, none.counters) == (PROCEED, {})


@pytest.mark.parametrize(
    "event",
    [
        None,
        "a",
        {},
        sns_event(),
        s3_event(),
        *({"Records": each} for each in ([], None, [{}], ["a"], [{"eventSource": "aws:sqs"}])),
    ],
)
def test_what_is_no_batch_is_not_concerned(event: Any) -> None:
    call: Any = Batch(event, iter(()))
    assert not records_of(event)
    assert not FailRecords(percentage=100.0).concerns(call)
