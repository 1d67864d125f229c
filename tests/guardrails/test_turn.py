"""Who asks CloudWatch: one environment for all, whatever happens to it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count, pairwise

import pytest

from chalicelib.dynamodb.lease import DynamoDBLease
from chalicelib.errors import StoreUnavailable
from chalicelib.faults.base import Chance
from chalicelib.guardrails.alarms import alarm_condition
from chalicelib.guardrails.base import Guardrails
from chalicelib.guardrails.turn import HANDOVER_SECONDS, Lease, OwnTurn, SharedTurn
from chalicelib.settings import Settings
from tests.support import NOW, Clock, FakeAlarms, FakeRunStore, a_run, with_options

INTERVAL = 10.0
REFRESH = 1.0
GOLDEN = 0.6180339887
"""Spreads any number of moments evenly."""

RUN = with_options(a_run(duration_seconds=3600), alarms=["orders-5xx"])


@dataclass
class FakeLease:
    """A `Lease` that counts its calls, and fails while `broken`."""

    until: float = 0.0
    broken: bool = False
    asked: int = 0
    taken: list[str] = field(default_factory=list)

    def take(self, *, now: float, until: float, by: str) -> float | None:
        self.asked += 1
        if self.broken:
            raise StoreUnavailable("The table does not answer.")
        if now < self.until <= until + (until - now):
            return self.until
        self.until = until
        self.taken.append(by)
        return None


@pytest.fixture(params=["fake", "dynamodb"])
def lease(request: pytest.FixtureRequest) -> Lease:
    return FakeLease() if request.param == "fake" else DynamoDBLease(request.getfixturevalue("settings"))


def test_one_has_it_until_its_time_is_up(lease: Lease) -> None:
    assert lease.take(now=NOW, until=NOW + 10, by="a") is None
    assert lease.take(now=NOW, until=NOW + 10, by="b") == NOW + 10
    assert lease.take(now=NOW + 9.999, until=NOW + 19.999, by="b") == NOW + 10
    assert lease.take(now=NOW + 10, until=NOW + 20, by="b") is None
    assert lease.take(now=NOW + 10, until=NOW + 20, by="a") == NOW + 20


def test_what_a_fast_clock_has_taken_for_an_hour_is_taken_over(lease: Lease) -> None:
    assert lease.take(now=NOW + 3600, until=NOW + 3610, by="fast") is None
    assert lease.take(now=NOW, until=NOW + 10, by="right") is None
    assert lease.take(now=NOW, until=NOW + 10, by="other") == NOW + 10


def test_of_two_that_find_it_free_one_has_it(settings: Settings) -> None:
    leases = [DynamoDBLease(settings) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(each.take, now=NOW, until=NOW + 10, by=str(id(each))) for each in leases]
        answers = [each.result() for each in asked]
    assert sorted(answers, key=lambda answer: answer or 0) == [None, *[NOW + 10] * 7]


def test_one_whose_answer_got_lost_has_it(settings: Settings) -> None:
    lease = DynamoDBLease(settings)
    assert lease.take(now=NOW, until=NOW + 10, by="one") is None
    assert lease.take(now=NOW, until=NOW + 10, by="one") is None


def test_the_scopes_partition_has_nothing_of_it(settings: Settings) -> None:
    """Every environment reads all of that, every second."""
    lease = DynamoDBLease(settings)
    lease.take(now=NOW, until=NOW + 10, by="a")
    assert list(lease._connection.query(settings.scope)) == []


def chance(number: int) -> Chance:
    """Of one environment: spread evenly over all of them."""
    numbers = count(number)
    return lambda: next(numbers) * GOLDEN % 1


class Environment:
    def __init__(self, number: int, store: FakeRunStore, lease: Lease | None, alarms: FakeAlarms) -> None:
        self.clock = Clock()
        self.alarms = alarms
        self.is_dead = False
        turn = (
            SharedTurn(lease, self.clock, chance(number), interval_seconds=INTERVAL, environment=str(number))
            if lease
            else OwnTurn(self.clock, INTERVAL)
        )
        self.guardrails = Guardrails(store, [alarm_condition(alarms)], turn, self.clock, environment=str(number))

    def refresh(self, now: float) -> None:
        self.clock.now = now
        self.guardrails.enforce([RUN])


class Fleet:
    """Environments that refresh once a second, each at its own moment of it."""

    def __init__(self, size: int, lease: Lease | None) -> None:
        self.alarms = FakeAlarms({"orders-5xx": None})
        self.environments = [Environment(number, FakeRunStore(), lease, self.alarms) for number in range(size)]
        self.moments = sorted((number * GOLDEN % REFRESH, number) for number in range(size))

    def run(self, seconds: int, *, since: float = NOW) -> list[float]:
        """When CloudWatch was asked, in seconds from `since` on."""
        asked = []
        for second in range(seconds):
            for moment, number in self.moments:
                before, environment = self.alarms.asked, self.environments[number]
                if not environment.is_dead:
                    environment.refresh(since + second * REFRESH + moment)
                asked += [second + moment] * (self.alarms.asked - before)
        return asked


def gaps(asked: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(asked)]


@pytest.mark.parametrize("size", [1, 2, 500])
def test_a_fleet_asks_once_an_interval(size: int) -> None:
    lease = FakeLease()
    asked = Fleet(size, lease).run(300)
    assert 300 / (INTERVAL + REFRESH) - 1 <= len(asked) <= 300 / INTERVAL
    assert max(gaps(asked)) <= INTERVAL + REFRESH
    assert lease.asked <= size * (300 / INTERVAL + 1)


def test_a_fleet_does_not_ask_for_the_lease_at_once() -> None:
    lease = FakeLease()
    fleet = Fleet(1000, lease)
    fleet.run(60)
    busiest = 0
    for second in range(60, 90):
        before = lease.asked
        fleet.run(1, since=NOW + second)
        busiest = max(busiest, lease.asked - before)
    assert busiest <= 1000 / (INTERVAL / 2) * 1.5


def test_without_a_lease_each_asks_for_itself() -> None:
    assert len(Fleet(500, None).run(50)) == 500 * 50 / INTERVAL


@pytest.mark.parametrize("size", [2, 500])
def test_when_the_one_that_asks_dies_another_one_takes_over(size: int) -> None:
    lease = FakeLease()
    fleet = Fleet(size, lease)
    fleet.run(25)
    longest = int(1.5 * INTERVAL + 2 * REFRESH)
    for turn in range(min(size - 1, 20)):
        fleet.environments[int(lease.taken[-1])].is_dead = True
        assert fleet.run(longest, since=NOW + 25 + turn * longest), f"nobody took over within {longest} s"


def test_one_that_cannot_ask_leaves_it_to_others() -> None:
    lease = FakeLease()
    fleet = Fleet(2, lease)
    _, first = fleet.moments[0]
    fleet.environments[first].guardrails = Guardrails(
        FakeRunStore(),
        [alarm_condition(FakeAlarms(broken=True))],
        SharedTurn(lease, fleet.environments[first].clock, chance(0), interval_seconds=INTERVAL, environment="cut off"),
        fleet.environments[first].clock,
        environment="cut off",
    )
    asked = fleet.run(100)
    assert lease.taken[:2] == ["cut off", str(1 - first)]
    assert len(asked) >= 8
    assert asked[0] <= 1.5 * INTERVAL + HANDOVER_SECONDS


def test_where_nobody_can_agree_each_asks_for_itself() -> None:
    asked = Fleet(20, FakeLease(broken=True)).run(50)
    assert len(asked) == 20 * 50 / INTERVAL


def test_without_alarms_nobody_takes_it(clock: Clock) -> None:
    lease = FakeLease()
    turn = SharedTurn(lease, clock, chance(0), interval_seconds=INTERVAL, environment="a")
    Guardrails(FakeRunStore(), [alarm_condition(FakeAlarms())], turn, clock, environment="a").enforce([a_run()])
    assert lease.asked == 0
