"""What a page of the history costs, and that its cursor misses nothing."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from chalicelib.dynamodb.history import MOST_READS, SEARCHED_AT_ONCE
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.runs.event import Event
from chalicelib.settings import Settings
from tests.support import NOW, an_event

RECORDED = 1300
RARE = (7, 640, 1299)
"""Which of them, from the oldest on, are about an experiment that the others are not about."""


@pytest.fixture(scope="module")
def recorded() -> list[Event]:
    return [
        an_event(
            "refusal",
            now=NOW + number,
            token=str(number),
            experiment="error_injection" if number in RARE else "latency_injection",
            details={"body": "x" * 500},
        )
        for number in range(RECORDED)
    ]


@pytest.fixture
def store(settings: Settings, recorded: list[Event]) -> DynamoDBRunStore:
    store = DynamoDBRunStore(settings)
    with store._event_item.batch_write() as batch:
        for event in recorded:
            batch.save(store._event(event))
    return store


@pytest.fixture
def read(store: DynamoDBRunStore) -> list[int]:
    """How many items each read of the table has looked at."""
    scanned: list[int] = []
    client = store._item._get_connection().connection.client
    client.meta.events.register(
        "after-call.dynamodb.Query", lambda parsed, **_: scanned.append(parsed["ScannedCount"]), unique_id="read"
    )
    return scanned


def pages(store: DynamoDBRunStore, limit: int, experiment: str | None = None) -> Iterator[list[str]]:
    asked: dict[str, Any] = {"since": NOW, "until": NOW + RECORDED, "experiment": experiment, "limit": limit}
    before = None
    while True:
        page = store.history(before=before, **asked)
        yield [entry.event_id for entry in page.entries if isinstance(entry, Event)]
        before = page.next
        if before is None:
            return


def test_a_page_reads_what_it_shows(store: DynamoDBRunStore, recorded: list[Event], read: list[int]) -> None:
    first = next(pages(store, 20))
    assert first == [event.event_id for event in reversed(recorded[-20:])]
    assert read == [21]


def test_the_pages_together_are_the_history(store: DynamoDBRunStore, recorded: list[Event], read: list[int]) -> None:
    shown = [each for page in pages(store, 100) for each in page]
    assert shown == [event.event_id for event in reversed(recorded)]
    assert max(read) == 101
    assert all(newer > older for newer, older in pairwise(shown))


def test_a_rare_experiment_is_searched_for_in_bounded_steps(
    store: DynamoDBRunStore, recorded: list[Event], read: list[int]
) -> None:
    found = []
    costs = []
    for page in pages(store, 20, "error_injection"):
        found += page
        costs.append((len(read), sum(read)))
        read.clear()
    assert found == [recorded[number].event_id for number in reversed(RARE)]
    assert costs[0] == (MOST_READS, MOST_READS * SEARCHED_AT_ONCE)
    assert len(costs) == 2


def test_before_what_is_older_than_all_that_is_asked_for_there_is_nothing(
    store: DynamoDBRunStore, read: list[int]
) -> None:
    page = store.history(since=NOW, until=NOW + 9, experiment=None, before="!", limit=20)
    assert (page.entries, page.next, read) == ((), None, [])
