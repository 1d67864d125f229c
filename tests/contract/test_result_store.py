"""One suite for the port, run on every store."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.dynamodb.results import PER_READ, SPREAD, DynamoDBResultStore
from chalicelib.results.store import ResultStore
from chalicelib.results.tally import OpenCalls
from chalicelib.settings import Settings
from tests.support import FakeResultStore, a_run

RUN = a_run()


@pytest.fixture(params=["fake", "dynamodb"])
def store(request: pytest.FixtureRequest) -> ResultStore:
    if request.param == "fake":
        return FakeResultStore()
    settings: Settings = request.getfixturevalue("settings")
    return DynamoDBResultStore(settings)


def test_of_a_run_that_nobody_told_of_there_is_nothing(store: ResultStore) -> None:
    assert store.results([RUN]) == {}
    assert store.results([]) == {}


def test_what_eight_environments_tell_adds_up_exactly(store: ResultStore) -> None:
    def tell(environment: int) -> None:
        for number in range(1, 21):
            counts = {"requests": number, "hit.b17": 2, "s3.untouched.us": 10**12}
            store.add(RUN, counts, environment=f"env{environment}", number=number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tell, range(8)))
    tally = store.results([RUN])[RUN.run_id]
    assert tally.counts == {"requests": 8 * 210, "hit.b17": 8 * 40, "s3.untouched.us": 160 * 10**12}
    assert tally.environments == 8


def test_counters_may_have_the_names_of_hosts_and_operations_in_them(store: ResultStore) -> None:
    counts = {
        f"d|botocore|{name}|calls": 2 for name in ("dynamodb:PutItem", "payments.example:443", "::1", "a_b*", "é")
    }
    for number in (1, 2):
        store.add(RUN, counts, environment="here", number=number)
    assert store.results([RUN])[RUN.run_id].counts == dict.fromkeys(counts, 4)


def test_what_is_sent_twice_is_added_once(store: ResultStore) -> None:
    for number in (1, 1, 2, 1, 2):
        store.add(RUN, {"requests": 1}, environment="here", number=number)
    store.add(RUN, {"requests": 1}, environment="there", number=1)
    tally = store.results([RUN])[RUN.run_id]
    assert (tally.get("requests"), tally.environments) == (3, 2)


def test_runs_are_told_apart_also_more_than_one_read_gives(store: ResultStore) -> None:
    runs = [a_run(token=f"{number}") for number in range(2 * PER_READ // SPREAD)]
    for number, run in enumerate(runs):
        store.add(run, {"requests": number}, environment="here", number=1)
    told = store.results(runs)
    assert [told[run.run_id].get("requests") for run in runs] == list(range(len(runs)))


def test_what_is_open_in_an_environment_is_replaced_with_each_addition(store: ResultStore) -> None:
    first = OpenCalls(until=1_800_000_010.5, calls={"untouched.3": 2, "hit.0": 1})
    second, other = OpenCalls(until=1_800_000_012.0, calls={"hit.4": 1}), OpenCalls(until=1.0, calls={"before.0": 1})
    store.add(RUN, {}, environment="here", number=1, open_calls=first)
    store.add(RUN, {"requests": 1}, environment="there", number=1, open_calls=other)
    assert sorted(store.results([RUN])[RUN.run_id].open_calls, key=str) == sorted([first, other], key=str)
    store.add(RUN, {"requests": 1}, environment="here", number=2, open_calls=second)
    store.add(RUN, {}, environment="here", number=1, open_calls=first)  # late
    store.add(RUN, {}, environment="there", number=2)
    tally = store.results([RUN])[RUN.run_id]
    assert (tally.open_calls, tally.counts, tally.environments) == ([second], {"requests": 2}, 2)
