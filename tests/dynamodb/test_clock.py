"""What the table's answers say of this machine's clock."""

import json
import logging
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

import pytest

from chalicelib.access import Caller, Role
from chalicelib.api.http import Request
from chalicelib.bootstrap import bootstrap
from chalicelib.dynamodb.clock import TableClock
from chalicelib.dynamodb.runs import DynamoDBRunStore
from chalicelib.settings import Settings
from tests.support import NOW, Clock, a_run


class Machine:
    """A clock that is `skew` seconds ahead, and answers that take a while."""

    def __init__(self, skew: float = 0.0) -> None:
        self.true = Clock()
        self.skew = skew
        self.clock = TableClock(lambda: self.true.now + self.skew, lambda: self.true.now)

    def ask(self, *, seconds: float = 0.02, date: str | None = None) -> None:
        sent_at = self.clock.local(), self.clock.timer()
        self.true.now += seconds
        self.clock.learn(date or formatdate(int(self.true.now), usegmt=True), sent_at=sent_at)

    @property
    def error(self) -> float:
        return self.clock() - self.true.now


@pytest.mark.parametrize("skew", [-3600.0, -60.0, -2.0, 2.0, 60.0, 3600.0])
@pytest.mark.parametrize("phase", [0.0, 0.25, 0.5, 0.75, 0.95])
def test_a_clock_that_is_wrong_is_corrected_by_the_first_answer(
    skew: float, phase: float, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(skew)
    machine.true.now += phase
    machine.ask()
    assert abs(machine.error) < 1.02
    for _ in range(20):
        machine.true.now += 1.13
        machine.ask()
    assert abs(machine.error) < 0.6
    (logged,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "This machine's clock is not the table's: from now on" in logged.getMessage()


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.9, 5.0])
def test_a_clock_that_is_right_is_left_alone(seconds: float) -> None:
    machine = Machine()
    for _ in range(50):
        machine.true.now += 0.37
        machine.ask(seconds=seconds)
        assert machine.clock.offset == 0.0


def test_a_date_that_is_a_little_old_corrects_nothing() -> None:
    """As of servers that write a new one once a second."""
    machine = Machine()
    for _ in range(50):
        machine.true.now += 0.37
        machine.ask(date=formatdate(int(machine.true.now - 0.4), usegmt=True))
    assert machine.clock.offset == 0.0


def test_a_clock_that_steps_is_corrected_by_the_next_answer_and_one_that_is_set_right_is_left_alone_again() -> None:
    machine = Machine()
    machine.ask()
    for skew in (3600.0, -60.0):
        machine.skew = skew
        machine.ask()
        assert abs(machine.error) < 1.02
    machine.skew = 0.0
    machine.ask()
    assert machine.clock.offset == 0.0


def test_a_date_that_stands_still_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    frozen = formatdate(NOW - 600, usegmt=True)
    machine.ask(date=frozen)
    assert abs(machine.clock.offset + 600) < 1
    for _ in range(10):
        machine.true.now += 1
        machine.ask(date=frozen)
    assert machine.clock.offset == 0.0
    assert "a Date that stands still; it is ignored" in caplog.text
    machine.skew = 60.0
    machine.ask()
    assert abs(machine.error) < 1.02


@pytest.mark.parametrize("date", ["", "soon", "Mon, 01 Jan 1990 00:00:00 GMT", "Mon, 99 Jan 2027 00:00:00 GMT"])
def test_what_is_no_time_of_a_table_corrects_nothing(date: str) -> None:
    machine = Machine()
    machine.clock.learn(date, sent_at=(machine.clock.local(), 0.0))
    assert machine.clock.offset == 0.0


@pytest.mark.parametrize(
    "parsed",
    [
        {},
        {"ResponseMetadata": {}},
        {"ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {}}},
        {"ResponseMetadata": {"HTTPStatusCode": 502, "HTTPHeaders": {"date": formatdate(NOW - 600)}}},
    ],
)
def test_an_answer_without_a_date_or_one_of_a_proxy_corrects_nothing(parsed: Mapping[str, Any]) -> None:
    machine = Machine()
    context: dict[str, Any] = {}
    machine.clock._sent(context=context)
    machine.clock._answered(parsed=parsed, context=context)
    assert machine.clock.offset == 0.0


@pytest.mark.parametrize("skew", [-3600.0, 3600.0])
def test_a_store_learns_from_what_it_reads_and_judges_by_it_at_once(settings: Settings, skew: float) -> None:
    right, wrong = TableClock(), TableClock(lambda: time.time() + skew)
    DynamoDBRunStore(settings, clock=right).start([a_run(now=time.time(), duration_seconds=60)], now=time.time())
    assert right.offset == 0.0
    store = DynamoDBRunStore(settings, clock=wrong)
    assert len(store.active(wrong())) == 1
    assert abs(wrong() - time.time()) < 5
    assert len(store.running(wrong())) == 1


def test_a_start_by_a_wrong_clock_has_the_tables_times(settings: Settings) -> None:
    chaos = bootstrap(settings, clock=TableClock(lambda: time.time() + 3600.0), schedule=lambda _, __: None)
    body = json.dumps({"experiment_name": "latency_injection", "duration_seconds": 30}).encode()
    caller = Caller("ada", Role.OPERATOR)
    answer = chaos.api().handle(
        Request(method="POST", path="/start", headers={"content-type": "application/json"}, body=body, caller=caller)
    )
    assert answer.status == 200
    run = chaos.runs.last("latency_injection")
    assert run is not None
    assert run.started_at == pytest.approx(time.time(), abs=10)
    assert run.duration_seconds == 30
    assert answer.content["resultset"]["remaining_seconds"] == 30


def test_a_halt_that_is_the_first_thing_that_a_process_does_has_the_tables_time_too(settings: Settings) -> None:
    """As that of the command line, on a machine whose clock is wrong."""
    DynamoDBRunStore(settings).start([a_run(now=time.time(), duration_seconds=60)], now=time.time())
    for skew in (-3600.0, 3600.0):
        chaos = bootstrap(settings, clock=TableClock(lambda ahead=skew: time.time() + ahead))  # type: ignore[misc]
        caller, body = Caller("ada", Role.OPERATOR), b'{"reason": "enough"}'
        answer = chaos.api().handle(
            Request(method="POST", path="/halt", headers={"content-type": "application/json"}, body=body, caller=caller)
        )
        assert len(answer.content["resultset"]["ended_runs"]) == (1 if skew < 0 else 0)
        halt = chaos.runs.halted()
        assert halt is not None
        assert halt.at == pytest.approx(time.time(), abs=10)
        run = chaos.runs.last("latency_injection")
        assert run is not None
        assert run.status(time.time()) == "stopped"
        assert run.ended_at == pytest.approx(time.time(), abs=10)
