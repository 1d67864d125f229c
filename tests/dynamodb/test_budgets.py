"""What is DynamoDB's own about budgets; the port's suite is in tests/contract."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.stub import Stubber

from chalicelib.dynamodb.budgets import KEPT_SECONDS, DynamoDBBudgetStore
from chalicelib.errors import StoreUnavailable
from chalicelib.runs.store import Exchange, Lease
from chalicelib.settings import Settings
from tests.fault_proxy import FaultProxy
from tests.support import a_run

RUN = a_run()
ASKED = Exchange(environment="here", number=1, wanted=3, used=0)


@pytest.fixture
def proxy(settings: Settings) -> Iterator[FaultProxy]:
    proxy = FaultProxy(settings.endpoint_url or "")
    yield proxy
    proxy.close()


@pytest.fixture
def behind(settings: Settings, proxy: FaultProxy) -> DynamoDBBudgetStore:
    return DynamoDBBudgetStore(replace(settings, endpoint_url=proxy.url, table_timeout_seconds=1.0))


@pytest.mark.parametrize(
    "code", ["ProvisionedThroughputExceededException", "InternalServerError", "AccessDeniedException"]
)
def test_what_the_table_refuses_is_its_silence_for_the_caller(settings: Settings, code: str) -> None:
    store = DynamoDBBudgetStore(settings)
    with Stubber(store._connection.client) as stubber:
        stubber.add_client_error("update_item", code)
        stubber.add_client_error("update_item", code)
        with pytest.raises(StoreUnavailable):
            store.lease(RUN, 10, ASKED)
        with pytest.raises(StoreUnavailable):
            store.claim(RUN, "key", 2)


def test_the_items_are_forgotten_a_day_after_the_runs_time_and_are_apart_from_what_all_read(settings: Settings) -> None:
    store = DynamoDBBudgetStore(settings)
    store.lease(RUN, 10, ASKED)
    store.claim(RUN, "0123", 2)
    items = everything(store, settings)
    assert {item["sk"]["S"] for item in items} == {RUN.run_id, f"{RUN.run_id}#0123"}
    for item in items:
        assert item["pk"]["S"][:-1] == f"budget#{settings.scope}#"
        assert 0 <= int(item["ttl"]["N"]) - KEPT_SECONDS - RUN.expires_at < 1


def everything(store: DynamoDBBudgetStore, settings: Settings) -> Any:
    return store._connection.client.scan(TableName=settings.table)["Items"]


@pytest.mark.parametrize("fault", ["reset", "half an answer"])
def test_where_an_answer_is_lost_what_is_asked_again_is_carried_out_once(
    behind: DynamoDBBudgetStore, settings: Settings, proxy: FaultProxy, fault: str
) -> None:
    proxy.fail(fault)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            behind.lease(RUN, 10, ASKED)
    with pytest.raises(StoreUnavailable):
        behind.claim(RUN, "key", 5)
    proxy.heal()
    assert behind.lease(RUN, 10, ASKED) == Lease(granted=3, taken=3, used=0)
    assert DynamoDBBudgetStore(settings).claim(RUN, "key", 5) == 2


def test_a_claim_that_the_connection_repeats_is_carried_out_once(settings: Settings) -> None:
    """As on a pooled connection that dies with the answer."""
    store = DynamoDBBudgetStore(settings)
    call = store._connection.call

    def twice(operation: Any, **options: Any) -> Any:
        call(operation, **options)
        return call(operation, **options)

    store._connection.call = twice  # type: ignore[method-assign]
    assert [store.claim(RUN, "key", 2) for _ in range(3)] == [1, 2, None]
    assert store.lease(RUN, 10, ASKED) == Lease(granted=3, taken=3, used=0)
