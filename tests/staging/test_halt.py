"""The lever, pressed while many environments serve."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.staging.fleet import Fleet, Stage, Tell, everywhere, feels, spared
from tests.staging.test_agreement import last, told

pytestmark = pytest.mark.timeout(900)

API = "/chaos_experiments"
REFRESH_SECONDS = 1.0
NAMES = ("latency_injection", "error_injection", "resource_exhaustion")
HARMLESS: dict[str, Any] = {"duration_seconds": 600, "percentage": 0.001}


def halt(stage: Stage) -> dict[str, Any]:
    status, content, _ = stage.call("POST", f"{API}/halt", reason="a rehearsal")
    assert status == 200, content
    result: dict[str, Any] = content["resultset"]
    return result


def resume(stage: Stage) -> None:
    status, content, _ = stage.call("POST", f"{API}/resume", reason="a rehearsal")
    assert status == 200, content


def active(stage: Stage) -> list[Any]:
    return list(stage.call("GET", f"{API}/list")[1]["resultset"]["active_experiments"])


def test_a_halt_is_obeyed_by_every_environment_within_a_second(
    stage: Stage, fleet: Fleet, rounds: int, tell: Tell
) -> None:
    measured: list[float] = []
    moments = itertools.cycle((0.13, 0.71, 0.42, 0.95, 0.28))  # between the environments' reads
    for _ in range(rounds):
        run = stage.start("latency_injection", delay_seconds=0.02, duration_seconds=600)
        fleet.wait_until(everywhere(feels("latency_injection")), since=time.time())
        time.sleep(next(moments))
        assert halt(stage)["ended_runs"] == [run["run_id"]]
        halted = time.time()
        fleet.wait_until(everywhere(spared("latency_injection")), since=halted)
        time.sleep(0.5)
        measured += last(fleet.answers(halted), feels("latency_injection"), since=halted)
        resume(stage)
    tell(told("halt", measured))
    assert max(measured) <= REFRESH_SECONDS


def test_no_start_slips_through_after_a_halt_answered(stage: Stage, rounds: int, tell: Tell) -> None:
    tries, started, refused, busy = 5 * rounds, 0, 0, 0
    for _ in range(tries):
        answered = float("inf")

        def starts(name: str) -> list[tuple[float, int, str]]:
            """Start after start, from before the halt until after it."""
            seen = []
            while time.time() < answered + 0.1:  # noqa: B023 - it waits for the halt of this try
                sent = time.time()
                body = {"experiment_name": name, "restart": True, **HARMLESS}
                body |= {"memory_mb": 1} if name == "resource_exhaustion" else {}
                status, content, _ = stage.call("POST", f"{API}/start", **body)
                seen.append((sent, status, content.get("code", "")))
            return seen

        with ThreadPoolExecutor(len(NAMES)) as pool:
            racing = [pool.submit(starts, name) for name in NAMES]
            time.sleep(0.2)  # so that some starts were answered before
            halt(stage)
            answered = time.time()
            seen = [each for future in racing for each in future.result()]
        assert {status for _, status, _ in seen} <= {200, 423, 503}, seen
        assert [each for each in seen if each[0] > answered and each[1] == 200] == []
        assert active(stage) == []
        resume(stage)
        assert active(stage) == []
        started += sum(status == 200 for _, status, _ in seen)
        refused += sum(status == 423 for _, status, _ in seen)
        busy += sum(status == 503 for _, status, _ in seen)
    tell(f"{tries} halts among starts: {started} started before, {refused} refused, {busy} met another change")
    assert started
    assert refused
