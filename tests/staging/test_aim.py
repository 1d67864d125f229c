"""Targets, keys and exact counts, in many environments that stand still between requests."""

import time
from collections.abc import Sequence
from contextlib import closing

import pytest

from chalicelib.injection.selection import selector
from tests.injection.support import FakeCall, unnoted
from tests.staging.fleet import SIZE, Answer, Fleet, Stage, Tell, environments, everywhere
from tests.support import a_run

pytestmark = pytest.mark.timeout(1800)

KEYS_A_ROUND = 200
SHARE = 0.3
STICKY, SEED = {"query": "user"}, "staging"
MOST = 30
IDLE_SECONDS = 5.5


def expected(keys: Sequence[str]) -> list[bool]:
    """The verdicts in any process."""
    chosen = selector(a_run(options={"sticky": STICKY, "seed": SEED}), SHARE, None, clock=time.time)
    assert chosen
    return [chosen.select(call_of(key), lambda: 0.0, unnoted) is not None for key in keys]


def call_of(key: str) -> FakeCall:
    call = FakeCall("/where")
    call.queries = {"user": [key]}
    return call


@pytest.fixture
def warm(stage: Stage) -> None:
    """There are many environments, and each reads at its next request."""
    with Fleet(stage) as fleet:
        fleet.wait_until(everywhere(lambda _: True), since=time.time() - 1, seconds=90)
    time.sleep(IDLE_SECONDS)


@pytest.mark.usefixtures("warm")
def test_a_key_has_the_same_verdict_as_in_every_other_process(stage: Stage, rounds: int, tell: Tell) -> None:
    keys = [f"user-{number}" for number in range(KEYS_A_ROUND * rounds)]
    share = {"percentage": 100 * SHARE, "sticky": STICKY, "seed": SEED}
    stage.start("latency_injection", delay_seconds=0, duration_seconds=600, **share)
    parts = iter([keys[number::SIZE] for number in range(SIZE)])

    def ask() -> list[tuple[str, Answer]]:
        with closing(stage.connect()) as connection:
            return [(key, stage.where(connection, f"/where?user={key}")) for key in next(parts)]

    answers = dict(each for part in stage.at_once(SIZE, ask) for each in part)
    stage.stop("latency_injection")
    tell(f"{len(keys)} keys in {len(environments(list(answers.values())))} environments")
    assert [bool(answers[key].touched) for key in keys] == expected(keys)


@pytest.mark.usefixtures("warm")
def test_as_many_calls_are_hit_as_asked_for_and_then_the_run_is_completed(stage: Stage, tell: Tell) -> None:
    stage.start("error_injection", error_rate=1, max_requests=MOST, duration_seconds=300)

    def ask() -> list[Answer]:
        with closing(stage.connect()) as connection:
            return [stage.where(connection) for _ in range(MOST)]

    answers = [answer for part in stage.at_once(SIZE, ask) for answer in part]
    hits = sum(answer.status == 500 for answer in answers)
    _, content, _ = stage.call("GET", "/chaos_experiments/status?experiment_name=error_injection")
    run = content["resultset"]
    tell(f"{hits} of {len(answers)} requests were hit in {len(environments(answers))} environments")
    assert (hits, run["status"], run["end_reason"]) == (MOST, "completed", f"max_requests: {MOST} calls were hit")
