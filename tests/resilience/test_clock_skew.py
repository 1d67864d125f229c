"""Machines whose clocks are two seconds off: starts and stops as ever, an end as much off as the clock."""

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contract.servers import IDLE_SECONDS, REFRESH_SECONDS, SERVERS, Server, gunicorn, serving

API = "/chaos_experiments"
LATENCY = {"experiment_name": "latency_injection", "delay_seconds": 0.0, "duration_seconds": 600}
STOP = {"experiment_name": "latency_injection"}
NOISE_SECONDS = 0.5
SKEWED = """
import os, time
real = time.time
time.time = lambda: real() + float(os.environ["SKEW_SECONDS"])
"""


class Machines:
    """One that is right, and one of each framework whose clock is `skew` seconds ahead."""

    def __init__(self, right: Server, skewed: list[Server], skew: float) -> None:
        self.right = right
        self.skewed = skewed
        self.skew = skew

    def wait_until_felt(self, servers: list[Server], *, felt: bool, seconds: float) -> float:
        """How long it took until each of them did, or did not any more, three times in a row."""
        began = time.monotonic()
        in_a_row = 0
        while in_a_row < 3:
            answers = [server.call("GET", "/orders/7") for server in servers]
            assert {answer.status_code for answer in answers} == {201}
            in_a_row = in_a_row + 1 if all(("X-Chaos-Run" in answer.headers) == felt for answer in answers) else 0
            assert time.monotonic() - began < seconds, f"not within {seconds} s"
        return time.monotonic() - began


@pytest.fixture(scope="module", params=[-2.0, 2.0], ids=["behind", "ahead"])
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
def test_starts_and_stops_are_as_ever_and_an_end_is_as_much_off_as_the_clock(machines: Machines) -> None:
    everyone = [machines.right, *machines.skewed]
    soon = max(IDLE_SECONDS, REFRESH_SECONDS) + 2
    for starting, stopping in ((machines.right, machines.skewed[0]), (machines.skewed[1], machines.right)):
        assert starting.call("POST", f"{API}/start", json=LATENCY).status_code == 200
        machines.wait_until_felt(everyone, felt=True, seconds=soon)
        stopped = stopping.call("POST", f"{API}/stop", json=STOP)
        assert (stopped.status_code, stopped.json()["resultset"]["status"]) == (200, "stopped")
        machines.wait_until_felt(everyone, felt=False, seconds=soon)

    duration = 4.0
    machines.right.call("POST", f"{API}/start", json={**LATENCY, "duration_seconds": duration})
    began = time.monotonic()
    machines.wait_until_felt(everyone, felt=True, seconds=soon)
    by_the_clock = duration - machines.skew
    machines.wait_until_felt(machines.skewed, felt=False, seconds=by_the_clock + 1)
    assert time.monotonic() - began == pytest.approx(by_the_clock, abs=NOISE_SECONDS)
    machines.wait_until_felt(everyone, felt=False, seconds=duration + 1)


def test_nobody_else_can_start_what_runs_by_a_right_clock(machines: Machines) -> None:
    """A clock that is ahead takes a run for ended: it may start it anew; one that is behind is told that it runs."""
    assert machines.right.call("POST", f"{API}/start", json={**LATENCY, "duration_seconds": 1.0}).status_code == 200
    again = machines.skewed[0].call("POST", f"{API}/start", json=LATENCY)
    assert again.status_code == (200 if machines.skew > 0 else 409)
    status = machines.right.call("GET", f"{API}/status", params=STOP).json()["resultset"]
    assert status["status"] == "running"
