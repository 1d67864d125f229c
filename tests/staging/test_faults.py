"""Each experiment, in each of many environments."""

import math
import os
import signal
import time
from contextlib import suppress

import psutil
import pytest

from deployment.project import CONTROL_PLANE
from tests.staging.account import Account
from tests.staging.conftest import NAME
from tests.staging.fleet import PATIENCE_SECONDS, SIZE, Fleet, Stage, Tell, environments, everywhere, feels

pytestmark = pytest.mark.timeout(900)

MB = 1024 * 1024
REQUESTS = 4000
BY_CHANCE = 1e-7
"""How likely a count may be outside of its interval although the rate is right."""


def interval(count: int, rate: float, level: float = 1 - BY_CHANCE) -> tuple[int, int]:
    """What a binomial count stays within, with that probability."""
    below, low = 0.0, 0
    for hits in range(count + 1):
        choose = math.lgamma(count + 1) - math.lgamma(hits + 1) - math.lgamma(count - hits + 1)
        below += math.exp(choose + hits * math.log(rate) + (count - hits) * math.log1p(-rate))
        if below < (1 - level) / 2:
            low = hits + 1
        elif below >= 1 - (1 - level) / 2:
            return low, hits
    return low, count


def test_the_interval_is_the_binomial_one() -> None:
    assert interval(10, 0.5, 0.9) == (2, 8)
    assert interval(2000, 0.3, 0.999) == (533, 668)


def test_errors_come_at_their_rate_overall_and_in_each_environment(stage: Stage, fleet: Fleet, tell: Tell) -> None:
    stage.start("error_injection", error_rate=0.3, duration_seconds=600)
    started = time.time()
    fleet.wait_until(everywhere(lambda _: True), since=started + 5)
    felt_since = started + 5
    fleet.wait_until(lambda answers: len(answers) >= REQUESTS, since=felt_since, seconds=300)
    stage.stop("error_injection")

    answers = sorted(fleet.answers(felt_since), key=lambda answer: answer.received)[:REQUESTS]
    groups = {"all": answers, **environments(answers)}
    assert len(groups) > SIZE
    outside = []
    for name, group in groups.items():
        hits = sum(answer.status == 500 for answer in group)
        low, high = interval(len(group), 0.3)
        tell(f"{name:8} {hits:4} of {len(group):4} hit: {hits / len(group):.3f}, expected {low} to {high}")
        if not low <= hits <= high:
            outside.append(name)
        assert all(("error_injection" in answer.touched) == (answer.status == 500) for answer in group)
    assert outside == []


def test_memory_is_held_in_each_environment_and_given_back_in_each_without_a_request(
    stage: Stage, account: Account, tell: Tell
) -> None:
    def resident() -> dict[int, float]:
        found = {}
        for process in account.environments(NAME):
            with suppress(psutil.NoSuchProcess):
                found[process.pid] = process.memory_info().rss / MB
        return found

    def more() -> dict[int, float]:
        """Than before; an environment that there was not had what the smallest one had."""
        return {pid: now - before.get(pid, min(before.values())) for pid, now in resident().items()}

    with Fleet(stage) as fleet:
        fleet.wait_until(lambda answers: len(environments(answers)) >= SIZE, since=0, seconds=90)
        before = resident()
        stage.start("resource_exhaustion", memory_mb=64, duration_seconds=120)
        started = time.time()
        fleet.wait_until(everywhere(feels("resource_exhaustion")), since=started)
        served = len(environments(fleet.answers(started)))
    held = more()
    stage.stop("resource_exhaustion")
    stopped = time.time()
    deadline = time.time() + PATIENCE_SECONDS
    while time.time() < deadline and max(more().values()) > 16:
        time.sleep(0.05)
    tell(f"given back within {time.time() - stopped:.1f} s")
    kept = more()
    tell(f"MB held: {sorted(round(each) for each in held.values())}, kept: {sorted(map(round, kept.values()))}")
    assert sum(each >= 60 for each in held.values()) >= served >= SIZE
    assert max(kept.values()) <= 16


def test_environments_that_are_killed_in_mid_run_lose_nothing(stage: Stage, account: Account, fleet: Fleet) -> None:
    run = stage.start("latency_injection", delay_seconds=0.05, duration_seconds=60)
    started = time.time()
    fleet.wait_until(everywhere(feels("latency_injection")), since=started)
    old = set(environments(fleet.answers(started)))
    for process in account.environments(NAME):
        os.kill(process.pid, signal.SIGKILL)
    killed = time.time()

    def served_by_new_ones(answers: object) -> bool:
        del answers
        return len(set(environments(fleet.answers(killed + 1))) - old) >= SIZE

    fleet.wait_until(served_by_new_ones, since=killed)
    after = environments(fleet.answers(killed + 1))
    untouched = [answer for name in after.keys() - old for answer in after[name] if not answer.touched]
    assert untouched == []  # a new environment knows from its first request on
    status, content, _ = stage.call("GET", "/chaos_experiments/status?experiment_name=latency_injection")
    assert (status, content["resultset"]["run_id"], content["resultset"]["status"]) == (200, run["run_id"], "running")
    assert stage.stop("latency_injection")["run_id"] == run["run_id"]


def test_a_run_taken_out_of_the_table_is_over_as_fast_as_one_that_is_stopped(
    stage: Stage, account: Account, fleet: Fleet
) -> None:
    stage.start("latency_injection", delay_seconds=0.02, duration_seconds=60)
    fleet.wait_until(everywhere(feels("latency_injection")), since=time.time())
    key = {"pk": {"S": "app#staging"}, "sk": {"S": "run#latency_injection"}}
    account.client("dynamodb").delete_item(TableName=NAME, Key=key)
    deleted = time.time()
    time.sleep(1.5)
    fleet.wait_until(lambda answers: len(environments(answers)) >= SIZE, since=deleted + 1)
    assert not any(answer.touched for answer in fleet.answers(deleted + 1))


def test_of_fifty_starts_at_once_one_wins(stage: Stage, account: Account, tell: Tell) -> None:
    def start() -> tuple[int, str]:
        body = {"experiment_name": "latency_injection", "delay_seconds": 0, "duration_seconds": 60}
        status, content, _ = stage.call("POST", "/chaos_experiments/start", **body)
        return status, content["resultset"].get("run_id", content)

    function = f"{NAME}-{CONTROL_PLANE}"
    make_environments(stage, 50)
    answers = stage.at_once(50, start)
    stage.stop("latency_injection")
    tell(f"{len(account.environments(function))} environments served them")
    assert sorted(status for status, _ in answers) == [200, *[409] * 49], answers
    assert len({run for _, run in answers}) == 1
    for process in account.environments(function)[1:]:
        process.kill()  # more than the other tests need


def make_environments(stage: Stage, count: int) -> None:
    """Of the control plane, a few at a time: fifty that start at once take longer than an invocation may."""
    for size in range(SIZE, count + 1, SIZE):
        answers = stage.at_once(size, lambda: stage.call("GET", "/chaos_experiments/list"))
        assert {status for status, _, _ in answers} == {200}
