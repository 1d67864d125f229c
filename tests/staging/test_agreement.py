"""Many environments, one truth. What the design promises is measured in each of them, on the real clock."""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import pytest

from tests.staging.fleet import SIZE, Answer, Fleet, Stage, Tell, environments, everywhere, feels, spared

pytestmark = pytest.mark.timeout(900)

IDLE_SECONDS = 5.0
SHORT_SECONDS = 6.0
"""Of a run whose end is measured: it must have reached all environments before."""

REFRESH_SECONDS = 1.0
Delays = dict[str, list[float]]


def last(answers: Sequence[Answer], holds: Callable[[Answer], bool], *, since: float) -> list[float]:
    """In each environment, how long after `since` a request was sent for the last time that was answered so."""
    return [
        max([0.0, *(answer.sent - since for answer in each if holds(answer))])
        for each in environments(answers).values()
    ]


def test_starts_stops_and_expiries_reach_every_environment_in_time(
    stage: Stage, fleet: Fleet, rounds: int, tell: Tell
) -> None:
    measured: Delays = {"start, idle": [], "start, running": [], "stop": [], "expiry": []}
    moments = itertools.cycle((0.13, 0.71, 0.42, 0.95, 0.28))  # between the environments' reads
    stage.start(
        "latency_injection", delay_seconds=0, duration_seconds=120
    )  # the first one makes them import experiments
    fleet.wait_until(everywhere(feels("latency_injection")), since=time.time())
    stage.stop("latency_injection")
    time.sleep(IDLE_SECONDS)
    for _ in range(rounds):
        time.sleep(next(moments))

        stage.start("latency_injection", delay_seconds=0.02, duration_seconds=120)
        started = time.time()
        fleet.wait_until(everywhere(feels("latency_injection")), since=started)
        time.sleep(0.2)
        measured["start, idle"] += last(fleet.answers(started), spared("latency_injection"), since=started)

        run = stage.start("error_injection", error_rate=1.0, duration_seconds=SHORT_SECONDS)
        started = time.time()
        ends = datetime.fromisoformat(run["end_time"]).timestamp()
        fleet.wait_until(everywhere(feels("error_injection")), since=started)
        before = [answer for answer in fleet.answers(started) if answer.sent < ends - 0.2]
        measured["start, running"] += last(before, spared("error_injection"), since=started)
        time.sleep(max(0.0, ends + 0.5 - time.time()))
        fleet.wait_until(lambda answers: len(environments(answers)) >= SIZE, since=ends)
        measured["expiry"] += last(fleet.answers(ends), feels("error_injection"), since=ends)

        stage.stop("latency_injection")
        stopped = time.time()
        fleet.wait_until(everywhere(spared("latency_injection")), since=stopped)
        time.sleep(0.5)
        measured["stop"] += last(fleet.answers(stopped), feels("latency_injection"), since=stopped)

    for name, seconds in measured.items():
        tell(told(name, seconds))
    assert max(measured["start, idle"]) <= IDLE_SECONDS
    assert max(measured["start, running"]) <= REFRESH_SECONDS
    assert max(measured["stop"]) <= REFRESH_SECONDS
    assert max(measured["expiry"]) == 0


def told(name: str, seconds: list[float]) -> str:
    return (
        f"{name:16} {len(seconds):4} times an environment: median {statistics.median(seconds):.2f} s, "
        f"95 of 100 below {statistics.quantiles(seconds, n=20)[-1]:.2f} s, longest {max(seconds):.2f} s"
    )
