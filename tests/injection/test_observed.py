import sys
from types import ModuleType

import pytest

from chalicelib.injection.call import OutgoingCall
from chalicelib.injection.observed import MOST_NAMES, Observed
from chalicelib.results.seen import OTHER, SeenKey
from chalicelib.runs.observation import Observation
from tests.support import NOW, Clock, FakeSeenStore

FAULTS = frozenset({"dns"})


def call(host: str = "payments.example", port: int = 443, **more: str) -> OutgoingCall:
    made = OutgoingCall("urllib3", FAULTS, host=host, port=port)
    for name, value in more.items():
        setattr(made, name, value)
    return made


class House:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.store = FakeSeenStore()
        self.planned = 0
        self.observed = Observed(self.store, clock, self._plan)
        self.observed.notice(Observation.asked(clock.now))

    def _plan(self) -> None:
        self.planned += 1

    def count(self, *hosts: str) -> None:
        for host in hosts:
            self.observed.count(call(host), 0.01, 200, None)

    def calls(self) -> dict[str, int]:
        self.observed.flush(is_last=True)
        return {key.dependency: calls.calls for key, calls in self.store.counts.items() if calls.calls}


@pytest.fixture
def house(clock: Clock) -> House:
    return House(clock)


def test_it_is_on_for_as_long_as_the_observation_lasts(house: House) -> None:
    assert house.observed.is_on
    house.clock.now += 59.9
    assert house.observed.is_on
    house.clock.now += 0.1
    assert not house.observed.is_on


@pytest.mark.parametrize("until", [NOW + 10_000, NOW - 1])
def test_one_that_no_question_makes_is_none(house: House, until: float) -> None:
    house.observed.notice(Observation(NOW, until))
    assert not house.observed.is_on


def test_a_question_extends_an_observation_and_after_ten_minutes_begins_another() -> None:
    first = Observation.asked(NOW + 0.7)
    assert first == Observation(NOW, NOW + 60.7)
    assert Observation.asked(NOW + 50, first) == Observation(NOW, NOW + 110)
    assert Observation.asked(NOW + 70, first) == Observation(NOW + 70, NOW + 130)  # it was over
    assert Observation.asked(NOW + 600, Observation(NOW, NOW + 610)).began == NOW + 600


def test_names_are_of_services_and_hosts(house: House) -> None:
    aws = call("dynamodb.eu-west-1.amazonaws.com", service="dynamodb", operation="PutItem", path="/secret")
    house.observed.count(aws, 0.01, 200, None)
    house.count("a.example", "x" * 300)
    assert house.calls() == {"dynamodb:PutItem": 1, "a.example:443": 1, "x" * 100: 1}


def test_a_process_tells_a_hundred_names_apart_in_all(house: House) -> None:
    house.observed._known[1].clear()  # what this process happens to have imported
    house.count(*(f"{number}.example" for number in range(60)))
    assert len(house.calls()) == 60
    house.count(*(f"{number}.example" for number in range(150)))
    calls = house.calls()
    assert (len(calls), calls[OTHER], calls["0.example:443"]) == (MOST_NAMES + 1, 50, 2)
    assert {key.client for key in house.store.counts if key.dependency == OTHER} == {OTHER}
    house.observed.notice(Observation(NOW + 1, NOW + 61))
    house.count("149.example")
    assert SeenKey(NOW + 1, "urllib3", "149.example:443") in (house.calls() and house.store.counts)


def test_a_lost_answer_adds_nothing_twice_and_a_failure_loses_nothing(house: House) -> None:
    house.count("a.example", "b.example")
    house.store.loses_answers = True
    house.observed.flush()
    house.store.loses_answers, house.store.broken = False, True
    house.observed.flush(is_last=True)
    house.count("a.example")
    house.store.broken = False
    assert house.observed.is_pending
    assert house.calls() == {"a.example:443": 2, "b.example:443": 1}
    assert not house.observed.is_pending


def test_counts_of_an_observation_long_ago_are_forgotten(house: House) -> None:
    house.count("a.example")
    house.clock.now += 3600
    assert house.calls() == {}
    assert not house.observed.is_pending


def test_an_imported_library_out_of_reach_is_seen_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.calls()
    monkeypatch.setitem(sys.modules, "pycurl", ModuleType("pycurl"))
    planned = house.planned
    for _ in range(3):
        house.observed.notice(Observation(NOW, NOW + 60))
    assert house.planned == planned + 1
    writes = house.store.writes
    house.calls()
    assert house.store.writes == writes + 1
    assert house.store.counts[SeenKey(NOW, "pycurl", "")].calls == 0


def test_a_request_that_flushes_does_not_wait_for_all_of_it(house: House) -> None:
    house.count("a.example", "b.example")
    house.observed.flush(patience_seconds=0.0)
    assert house.store.writes == 0
    assert house.calls() == {"a.example:443": 1, "b.example:443": 1}


def test_a_defect_is_logged_and_does_not_reach_the_application(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(house.store, "add", lambda *_args, **_more: 1 / 0)
    house.count("a.example")
    house.observed.flush()
    assert "raised an exception" in caplog.text
