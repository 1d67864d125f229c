"""What environments tell, and what is made of it, in many environments at once."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from chalicelib.results.judgement import BY_CHANCE
from chalicelib.results.statistics import BURST_SECONDS, Part, exceeds
from tests.staging.fleet import SIZE, Answer, Fleet, Stage, Tell, environments, everywhere
from tests.stalls import Stalls

pytestmark = pytest.mark.timeout(1800)

REQUESTS = 2000
IDLE_SECONDS = 5.0
RUNS_A_ROUND = 5
CLOSED_AFTER_SECONDS = 2.0
"""A block is judged when the environments have flushed twice since."""


@pytest.fixture
def fails(project: Path) -> Iterator[Path]:
    """Where the share of /unreliable that fails is written."""
    share = project.parent / "handled.fails"
    yield share
    share.write_text("0.0")


def status(stage: Stage, name: str) -> dict[str, Any]:
    code, content, _ = stage.call("GET", f"/chaos_experiments/status?experiment_name={name}")
    assert code == 200, content
    run: dict[str, Any] = content["resultset"]
    return run


def test_the_tallies_are_what_the_clients_counted_to_the_request(stage: Stage, tell: Tell) -> None:
    with Fleet(stage) as fleet:
        fleet.wait_until(lambda answers: len(environments(answers)) >= SIZE, since=0, seconds=90)
    time.sleep(IDLE_SECONDS + 0.5)  # so that each reads at its next request, and knows the run from its first one on
    stage.start("error_injection", error_rate=0.5, percentage=50.0, duration_seconds=300)

    def ask() -> list[Answer]:
        with closing(stage.connect()) as connection:
            return [stage.where(connection) for _ in range(REQUESTS // SIZE)]

    answers = [answer for each in stage.at_once(SIZE, ask) for answer in each]
    stage.stop("error_injection")
    asked = set(environments(answers))
    deadline = time.time() + 60
    while (results := status(stage, "error_injection")["results"]).get("requests", 0) < REQUESTS:
        assert time.time() < deadline, results
        time.sleep(1.1)  # each tells what is left at its next request
        stage.at_once(SIZE, stage.where)
    hit = sum(bool(answer.touched) for answer in answers)
    tell(f"{len(asked)} environments, {results['requests']} requests, {results['requests_hit']} hit; clients {hit}")
    assert results["requests"] == len(answers) == REQUESTS
    assert results["requests_hit"] == results["injected_errors"] == hit
    assert results["requests_untouched"] == REQUESTS - hit
    assert results["hit"]["statuses"] == {"5xx": hit}
    assert results["untouched"]["statuses"] == {"2xx": REQUESTS - hit}
    assert {side: sum(each[side] for each in results["distribution"]) for side in ("hit", "untouched")} == {
        "hit": hit,
        "untouched": REQUESTS - hit,
    }
    assert results["environments"] >= len(asked) >= 8


def test_a_hypothesis_that_fails_beyond_chance_ends_the_run_everywhere_soon(
    stage: Stage, fails: Path, rounds: int, tell: Tell
) -> None:
    took = []
    for _ in range(rounds):
        fails.write_text("0.0")
        with Stalls() as stalls, Fleet(stage, "/unreliable") as fleet:
            fleet.wait_until(lambda answers: len(environments(answers)) >= SIZE, since=0, seconds=90)
            expected = {"max_error_rate": 0.05, "min_requests": 20, "abort": True}
            started = time.time()
            stage.start(
                "latency_injection", delay_seconds=0, percentage=50.0, duration_seconds=300, hypothesis=expected
            )
            fleet.wait_until(everywhere_seen_since(fleet, started), since=started)
            fails.write_text("1.0")
            broke = time.time()
            fleet.wait_until(lambda _: status(stage, "latency_injection")["status"] == "aborted", since=broke)
            time.sleep(2.0)
        answers = fleet.answers(started)
        last = max(answer.sent for answer in answers if answer.touched)
        run = status(stage, "latency_injection")
        assert (run["status"], run["hypothesis"]["verdict"]) == ("aborted", "failed"), run
        assert "the hypothesis failed" in run["end_reason"]
        known = beyond_chance(answers, datetime.fromisoformat(run["start_time"]).timestamp(), 0.05)
        took.append(last - known - stalls.between(known, last))
    tell(f"ended everywhere after: median {sorted(took)[len(took) // 2]:.2f} s, longest {max(took):.2f} s")
    assert max(took) <= 3.0 + CLOSED_AFTER_SECONDS


def everywhere_seen_since(fleet: Fleet, started: float) -> Any:
    """Whether each environment has been hit by the run once."""
    return lambda _: len({answer.environment for answer in fleet.answers(started) if answer.touched}) >= SIZE


def beyond_chance(answers: Any, start: float, allowed: float) -> float:
    """When those parts of the run were over in which the clients themselves had seen enough."""
    parts: dict[int, list[bool]] = defaultdict(list)
    for answer in answers:
        if not answer.touched:
            parts[max(int((answer.sent - start) // BURST_SECONDS), 0)].append(answer.status == 500)
    blocks = [Part(len(parts[number]), sum(parts[number])) for number in range(max(parts) + 1)]
    for number in range(1, len(blocks) + 1):
        if exceeds(blocks[:number], BURST_SECONDS, allowed, BY_CHANCE):
            return start + number * BURST_SECONDS
    raise AssertionError("it never failed beyond chance")


def _seconds_for(requests: float, fleet: Fleet) -> float:
    """How long a run must last for so many requests, at the pace at which this machine's account answers now.

    A second more, since the counts of the last one are still on their way.
    """
    began = time.time()
    fleet.wait_until(lambda answers: len(answers) >= requests, since=began, seconds=90)
    return max(2.5, time.time() - began + 1)


def test_a_hypothesis_that_holds_never_ends_a_run(stage: Stage, fails: Path, rounds: int, tell: Tell) -> None:
    fails.write_text("0.04")
    # What touches next to nothing keeps all environments reading each second, so that short runs are felt.
    stage.start("error_injection", percentage=0.0001, duration_seconds=3000)
    expected = {"max_error_rate": 0.05, "p95_seconds": 30.0, "min_requests": 20, "abort": True}
    judged: list[str] = []
    requests = 0
    with Fleet(stage, "/unreliable") as fleet:
        fleet.wait_until(everywhere(lambda _: True), since=time.time() - 1, seconds=90)
        seconds = _seconds_for(4 * expected["min_requests"], fleet)
        for _ in range(RUNS_A_ROUND * rounds):
            body = {"delay_seconds": 0, "percentage": 20.0, "duration_seconds": seconds, "hypothesis": expected}
            stage.start("latency_injection", **body)
            time.sleep(seconds + 0.1)
            run = status(stage, "latency_injection")
            assert run["status"] == "completed", run["end_reason"]
            judged.append(run["hypothesis"]["verdict"])
            requests += run["results"].get("requests_untouched", 0)
    stage.stop("error_injection")
    counts = {verdict: judged.count(verdict) for verdict in sorted(set(judged))}
    tell(f"{len(judged)} runs, none aborted, {requests} untouched requests, of which 4 % fail: {counts}")
    assert requests / len(judged) > expected["min_requests"]
