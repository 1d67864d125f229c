"""One suite for the port, run on every store."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.dynamodb.seen import DynamoDBSeenStore
from chalicelib.results.seen import SeenCalls, SeenKey
from chalicelib.results.store import SeenStore
from chalicelib.settings import Settings
from tests.support import NOW, FakeSeenStore

KEY = SeenKey(NOW, "urllib3", "payments.example:443")
FAULTS = frozenset({"dns", "timeout"})


@pytest.fixture(params=["fake", "dynamodb"])
def store(request: pytest.FixtureRequest) -> SeenStore:
    if request.param == "fake":
        return FakeSeenStore()
    settings: Settings = request.getfixturevalue("settings")
    return DynamoDBSeenStore(settings)


def calls(number: int = 1, errors: int = 0, faults: frozenset[str] = FAULTS, bucket: int = 40) -> SeenCalls:
    return SeenCalls(number, errors, {bucket: number}, faults)


def test_nothing_is_seen_before_anything_was_called(store: SeenStore) -> None:
    assert store.seen(0.0) == {}


def test_what_environments_add_is_added_up(store: SeenStore) -> None:
    store.add(KEY, calls(3, 1), addition="a")
    store.add(KEY, calls(2, 2, frozenset({"dns", "tls"}), bucket=41), addition="b")
    both = SeenCalls(5, 3, {40: 3, 41: 2}, FAULTS | {"tls"})
    assert store.seen(NOW) == {KEY: both}


def test_what_is_sent_twice_is_added_once(store: SeenStore) -> None:
    for _ in range(2):
        store.add(KEY, calls(3), addition="a")
    assert store.seen(NOW) == {KEY: calls(3)}


def test_observations_clients_and_dependencies_are_kept_apart(store: SeenStore) -> None:
    others = [
        KEY._replace(observation=NOW + 600),
        KEY._replace(client="httpx"),
        KEY._replace(dependency="dynamodb:PutItem"),
        KEY._replace(client="grpc", dependency=""),
        KEY._replace(dependency="[::1]:80"),
    ]
    for number, key in enumerate([KEY, *others]):
        store.add(key, calls(number + 1), addition="a")
    assert store.seen(NOW) == {key: calls(number + 1) for number, key in enumerate([KEY, *others])}
    assert set(store.seen(NOW + 1)) == {others[0]}


def test_a_client_without_calls_is_seen(store: SeenStore) -> None:
    key = KEY._replace(client="grpc", dependency="")
    store.add(key, SeenCalls(), addition="a")
    assert store.seen(NOW) == {key: SeenCalls()}


def test_many_that_add_at_once_lose_nothing(store: SeenStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.add(KEY, calls(), addition=str(number)), range(40)))
    assert store.seen(NOW) == {KEY: calls(40)}
