"""One suite for the port, run on every store."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.dynamodb.budgets import DynamoDBBudgetStore
from chalicelib.runs.store import BudgetStore, Exchange, Lease
from chalicelib.settings import Settings
from tests.support import FakeBudgetStore, a_run

RUN, OTHER = a_run(token="1"), a_run(token="2")


@pytest.fixture(params=["fake", "dynamodb"])
def store(request: pytest.FixtureRequest) -> BudgetStore:
    if request.param == "fake":
        return FakeBudgetStore()
    settings: Settings = request.getfixturevalue("settings")
    return DynamoDBBudgetStore(settings)


def asking(number: int, wanted: int, *, used: int = 0, returned: int = 0, environment: str = "here") -> Exchange:
    return Exchange(environment=environment, number=number, wanted=wanted, used=used, returned=returned)


def test_as_many_are_reserved_as_are_wanted_or_none(store: BudgetStore) -> None:
    assert store.lease(RUN, 10, asking(1, 6)) == Lease(granted=6, taken=6, used=0)
    assert store.lease(RUN, 10, asking(2, 5, used=6)) == Lease(granted=0, taken=6, used=0)
    assert store.lease(RUN, 10, asking(3, 4, used=6)) == Lease(granted=4, taken=10, used=6)
    assert store.lease(RUN, 10, asking(4, 1, used=4)) == Lease(granted=0, taken=10, used=6)
    assert store.lease(RUN, 10, asking(5, 0, used=4)) == Lease(granted=0, taken=10, used=10)


def test_what_is_given_back_can_be_reserved_by_others(store: BudgetStore) -> None:
    store.lease(RUN, 10, asking(1, 10))
    assert store.lease(RUN, 10, asking(2, 0, used=3, returned=7)) == Lease(granted=0, taken=3, used=3)
    assert store.lease(RUN, 10, asking(1, 7, environment="there")) == Lease(granted=7, taken=10, used=3)


def test_what_an_environment_asks_twice_is_carried_out_once(store: BudgetStore) -> None:
    first, back = asking(1, 4), asking(2, 0, used=1, returned=3)
    assert store.lease(RUN, 10, first) == store.lease(RUN, 10, first) == Lease(granted=4, taken=4, used=0)
    assert store.lease(RUN, 10, back) == store.lease(RUN, 10, back) == Lease(granted=0, taken=1, used=1)
    store.lease(RUN, 10, first)  # late
    assert store.lease(RUN, 10, asking(1, 0, environment="there")) == Lease(granted=0, taken=1, used=1)


def test_what_one_without_a_name_asks_twice_is_counted_twice(store: BudgetStore) -> None:
    asked = asking(1, 1, used=1, environment="")
    assert [store.lease(RUN, 2, asked).granted for _ in range(3)] == [1, 1, 0]


def test_each_run_has_its_own(store: BudgetStore) -> None:
    store.lease(RUN, 10, asking(1, 10))
    assert store.lease(OTHER, 10, asking(1, 10)).granted == 10
    assert (store.claim(RUN, "key", 1), store.claim(OTHER, "key", 1)) == (1, 1)


def test_many_that_race_never_have_more(store: BudgetStore) -> None:
    def serve(environment: int) -> int:
        wanted = environment % 3 + 1
        return sum(store.lease(RUN, 40, asking(n, wanted, environment=f"{environment}")).granted for n in range(1, 9))

    with ThreadPoolExecutor(8) as pool:
        granted = sum(pool.map(serve, range(8)))
    assert granted == store.lease(RUN, 40, asking(1, 0, environment="last")).taken
    assert 38 <= granted <= 40


def test_a_key_has_so_many_hits_numbered_from_one_on(store: BudgetStore) -> None:
    assert [store.claim(RUN, "key", 2) for _ in range(4)] == [1, 2, None, None]
    assert store.claim(RUN, "other", 2) == 1


def test_many_that_race_for_a_key_each_have_their_own_hit(store: BudgetStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda _: store.claim(RUN, "key", 5), range(16)))
    assert sorted(filter(None, claimed)) == [1, 2, 3, 4, 5]
    assert claimed.count(None) == 11
