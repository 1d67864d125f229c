"""What is DynamoDB's own about results; the port's suite is in tests/contract."""

import pytest
from botocore.stub import Stubber

from chalicelib.dynamodb.results import DynamoDBResultStore, addition
from chalicelib.effects.memory import MEMORY
from chalicelib.errors import StoreUnavailable
from chalicelib.results.store import MOST_COUNTERS
from chalicelib.results.tally import (
    LAST_BUCKET,
    SIDES,
    SLICES,
    Counting,
    OpenCalls,
    Served,
    Tally,
    slice_seconds,
    upper_bound,
)
from chalicelib.settings import Settings
from tests.support import a_run, with_hypothesis

RUN = with_hypothesis(a_run(), p95_seconds=0.1)
OPEN = OpenCalls(until=RUN.expires_at, calls={"untouched.3": 2, "hit.4": 1})
MOST_BYTES = 4096
"""Of an expression, says DynamoDB."""


def fullest() -> Tally:
    """Every counter that there is: what an environment has to tell after a long silence of the table."""
    tally = Tally()
    tally.add(MEMORY, 64)
    for number in range(max(LAST_BUCKET + 1, SLICES * 5)):
        for side in SIDES:
            served = Served(
                at=RUN.started_at + (number % SLICES) * slice_seconds(RUN),
                seconds=upper_bound(number % (LAST_BUCKET + 1)),
                status=100 * (1 + number // SLICES),
                side=side,
                counters={"injected_errors": 1, "delay": 1_000_000} if side == "hit" else {},
            )
            tally.record(Counting(RUN), served)
    return tally


def most() -> dict[str, int]:
    return dict(list(fullest().counts.items())[:MOST_COUNTERS])


def test_what_is_added_at_once_is_an_expression_that_dynamodb_takes() -> None:
    assert len(fullest().counts) > len(most()) == MOST_COUNTERS
    asked = addition(RUN, most(), environment="x" * 8, number=10**6, open_calls=OPEN)
    assert len(asked["UpdateExpression"].encode()) <= MOST_BYTES


def test_amazons_own_table_takes_it(settings: Settings, pytestconfig: pytest.Config) -> None:
    if not pytestconfig.getoption("--dynamodb-local"):
        pytest.skip("moto's parser recurses too deeply: make conformance")
    store = DynamoDBResultStore(settings)
    store.add(RUN, most(), environment="here", number=1, open_calls=OPEN)
    tally = store.results([RUN])[RUN.run_id]
    assert (tally.counts, tally.open_calls) == (most(), [OPEN])


@pytest.mark.parametrize(
    "written", ["", "null", "[]", "{}", '{"until":"soon"}', '{"until":1,"hit.1":null}', "not JSON"]
)
def test_an_attribute_that_this_version_cannot_read_spoils_no_count(settings: Settings, written: str) -> None:
    store = DynamoDBResultStore(settings)
    store.add(RUN, {"requests": 1}, environment="here", number=1)
    key = store._key(RUN.run_id, 0)
    item = {**key, "c.requests": {"N": "7"}, "e.here": {"N": "1"}, "o.here": {"S": written}}
    with Stubber(store._connection.client) as stubber:
        stubber.add_response("batch_get_item", {"Responses": {settings.table: [item]}, "UnprocessedKeys": {}})
        tally = store.results([RUN])[RUN.run_id]
    assert (tally.counts, tally.open_calls) == ({"requests": 7}, [])


@pytest.mark.parametrize(
    "code", ["ProvisionedThroughputExceededException", "InternalServerError", "AccessDeniedException"]
)
def test_what_the_table_refuses_is_its_silence_for_the_caller(settings: Settings, code: str) -> None:
    store = DynamoDBResultStore(settings)
    with Stubber(store._connection.client) as stubber:
        stubber.add_client_error("update_item", code)
        stubber.add_client_error("batch_get_item", code)
        with pytest.raises(StoreUnavailable):
            store.add(RUN, {"requests": 1}, environment="here", number=1)
        with pytest.raises(StoreUnavailable):
            store.results([RUN])


def test_half_an_answer_is_its_silence_too(settings: Settings) -> None:
    store = DynamoDBResultStore(settings)
    with Stubber(store._connection.client) as stubber:
        stubber.add_response("batch_get_item", {})
        with pytest.raises(StoreUnavailable):
            store.results([RUN])


def test_an_environment_that_started_anew_is_one_and_loses_nothing(settings: Settings) -> None:
    store = DynamoDBResultStore(settings)
    for process in ("a.1", "a.2", "b.1"):
        store.add(RUN, {"requests": 1}, environment=process, number=1)
    tally = store.results([RUN])[RUN.run_id]
    assert (tally.get("requests"), tally.environments) == (3, 2)


def test_what_is_turned_away_is_asked_for_again_and_not_for_ever(settings: Settings) -> None:
    store = DynamoDBResultStore(settings)
    store.add(RUN, {"requests": 1}, environment="here", number=1)
    keys = [store._key(RUN.run_id, number) for number in range(8)]
    item = {**store._key(RUN.run_id, 0), "c.requests": {"N": "7"}, "e.here": {"N": "1"}}

    def answer(items: list[object], left: list[object]) -> dict[str, object]:
        unprocessed = {settings.table: {"Keys": left}} if left else {}
        return {"Responses": {settings.table: items}, "UnprocessedKeys": unprocessed}

    with Stubber(store._connection.client) as stubber:
        stubber.add_response("batch_get_item", answer([], keys[:3]))
        stubber.add_response("batch_get_item", answer([item], []))
        assert store.results([RUN])[RUN.run_id].get("requests") == 7
        stubber.add_response("batch_get_item", answer([], keys))
        with pytest.raises(StoreUnavailable, match=r"DynamoDB throttled the read; nothing was changed\. Try again\."):
            store.results([RUN])
