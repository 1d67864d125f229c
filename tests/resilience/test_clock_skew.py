"""Machines whose clocks are wrong: starts, stops and ends are those of a machine whose clock is right."""

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from tests.contract.servers import SERVERS, Server, gunicorn, serving
from tests.loopback import until

API = "/chaos_experiments"
LATENCY = {"experiment_name": "latency_injection", "delay_seconds": 0.0, "duration_seconds": 600}
STOP = {"experiment_name": "latency_injection"}
UNNOTICED_SECONDS = 1.6
"""How far off a clock may stay that the table's `Date` corrects: its second, and what is not corrected."""

SKEWED = """
import os, time
real = time.time
time.time = lambda: real() + float(os.environ["SKEW_SECONDS"])
"""


class Asked(NamedTuple):
    """A request: when it was sent and answered, on the monotonic clock, and whether it was hit."""

    sent: float
    answered: float
    felt: bool


def ask(servers: list[Server]) -> list[Asked]:
    asked = []
    for server in servers:
        sent = time.monotonic()
        answer = server.call("GET", "/orders/7")
        assert answer.status_code == 201
        asked.append(Asked(sent, time.monotonic(), "X-Chaos-Run" in answer.headers))
    return asked


class Machines:
    """One that is right, and one of each framework whose clock is `skew` seconds ahead."""

    def __init__(self, right: Server, skewed: list[Server], skew: float) -> None:
        self.right = right
        self.skewed = skewed
        self.skew = skew

    def wait_until_felt(self, servers: list[Server], *, felt: bool) -> None:
        """Until each of them did, or did not any more, three times in a row."""
        in_a_row = 0

        def is_so() -> bool:
            nonlocal in_a_row
            in_a_row = in_a_row + 1 if all(each.felt == felt for each in ask(servers)) else 0
            return in_a_row == 3

        until(is_so)


@pytest.fixture(
    scope="module", params=[-3600.0, -2.0, 2.0, 3600.0], ids=["1 h behind", "2 s behind", "2 s ahead", "1 h ahead"]
)
def machines(
    request: pytest.FixtureRequest, dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machines]:
    shared = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url, "CHAOS_TABLE": f"skew-{uuid.uuid4().hex[:8]}"}
    with ExitStack() as stack:
        right = stack.enter_context(serving(gunicorn, tmp_path_factory.mktemp("right"), **shared))
        skewed = []
        for command in SERVERS.values():
            folder = tmp_path_factory.mktemp("skewed")
            (folder / "sitecustomize.py").write_text(SKEWED)
            skewed.append(stack.enter_context(serving(command, folder, SKEW_SECONDS=str(request.param), **shared)))
        yield Machines(right, skewed, request.param)


@pytest.mark.timeout(180)
def test_starts_and_stops_and_ends_are_as_ever_whosever_clock_is_wrong(machines: Machines) -> None:
    everyone = [machines.right, *machines.skewed]
    for starting, stopping in ((machines.right, machines.skewed[0]), (machines.skewed[1], machines.right)):
        assert starting.call("POST", f"{API}/start", json=LATENCY).status_code == 200
        machines.wait_until_felt(everyone, felt=True)
        stopped = stopping.call("POST", f"{API}/stop", json=STOP)
        assert (stopped.status_code, stopped.json()["resultset"]["status"]) == (200, "stopped")
        machines.wait_until_felt(everyone, felt=False)

    duration = 10.0
    for starting in (machines.right, machines.skewed[2]):
        sent = time.monotonic()
        started = starting.call("POST", f"{API}/start", json={**LATENCY, "duration_seconds": duration})
        answered = time.monotonic()
        assert started.json()["resultset"]["remaining_seconds"] == duration
        machines.wait_until_felt(everyone, felt=True)
        for server in everyone:
            (listed,) = server.call("GET", f"{API}/list").json()["resultset"]["active_experiments"]
            assert 0 < listed["remaining_seconds"] <= duration
        asked: list[Asked] = []
        while not asked or asked[-1].sent < answered + duration + 2 * UNNOTICED_SECONDS:
            asked += ask(everyone)
        assert [each for each in asked if each.answered < sent + duration - UNNOTICED_SECONDS and not each.felt] == []
        assert [each for each in asked if each.sent > answered + duration + UNNOTICED_SECONDS and each.felt] == []
        for server in everyone:
            status = server.call("GET", f"{API}/status", params=STOP).json()["resultset"]
            assert (status["status"], status["remaining_seconds"]) == ("completed", 0.0)


def test_nobody_can_start_what_runs_nor_see_it_as_over(machines: Machines) -> None:
    assert machines.right.call("POST", f"{API}/start", json={**LATENCY, "duration_seconds": 60}).status_code == 200
    assert [server.call("POST", f"{API}/start", json=LATENCY).status_code for server in machines.skewed] == [409] * 3
    halted = machines.skewed[0].call("POST", f"{API}/halt", json={"reason": "enough"})
    assert len(halted.json()["resultset"]["ended_runs"]) == 1
    status = machines.right.call("GET", f"{API}/status", params=STOP).json()["resultset"]
    assert status["status"] == "stopped"
    assert status["start_time"] <= status["end_time"]
    assert machines.right.call("POST", f"{API}/resume", json={}).status_code == 200
