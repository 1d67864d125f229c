from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.errors import StoreUnavailable
from chalicelib.guardrails.hypothesis import CHECKING_ENVIRONMENTS, REMEMBERED_RUNS, HypothesisGuard
from chalicelib.results.tally import Block, Counting, Served, Side, SideCounts, Tally
from chalicelib.runs.run import Run
from tests.support import NOW, Clock, FakeResultStore, FakeRunStore, a_run, with_hypothesis


class InBlocks(Tally):
    """A tally of which the blocks are given, of the sides that the hypothesis names."""

    block: Block
    sides: list[str]

    def side_counts(self, side: Side, run: Run, now: float) -> SideCounts:
        self.sides = [*getattr(self, "sides", ()), side]
        blocks = (self.block,) * 12
        errors = sum(block.errors for block in blocks)
        return SideCounts(
            requests=sum(block.began for block in blocks), errors=errors, slow=0, blocks=blocks, block_seconds=5.0
        )


class Watched:
    """A run with a hypothesis, and what environments have told of it."""

    def __init__(
        self, clock: Clock, hypothesis: dict[str, Any] | None, *, chance: float = 0.0, duration: float = 600
    ) -> None:
        run = a_run(duration_seconds=duration)
        self.run = with_hypothesis(run, **hypothesis) if hypothesis else run
        self.store, self.results, self.aborted = FakeRunStore(), FakeResultStore(), 0
        self.store.start([self.run], now=NOW)
        self.guard = HypothesisGuard(
            self.store,
            self.results,
            clock,
            lambda: chance,
            environment="here",
            on_abort=self._note,
            is_table_settled=lambda: self.settled,
        )

    settled = True

    def _note(self) -> None:
        self.aborted += 1

    def told(self, requests: int, errors: int, environments: int = 8) -> Run:
        """Of twelve blocks of 5 s, in each of which so many requests began and failed."""
        counts = {"requests": 12 * requests, "untouched.2xx": 12 * (requests - errors), "untouched.5xx": 12 * errors}
        tally = InBlocks(counts, environments)
        tally.block = Block(began=requests, errors=errors, slow=0)
        self.results.tallies[self.run.run_id] = tally
        self.guard(self.run, counts)
        return self.store.runs["latency_injection"]


FEW_ERRORS = {"max_error_rate": 0.01, "abort": True}


def test_a_hypothesis_that_fails_beyond_chance_ends_the_run_for_all_and_says_why(clock: Clock) -> None:
    watched = Watched(clock, FEW_ERRORS)
    assert watched.told(200, 3).ended_at is None
    clock.now += 5
    aborted = watched.told(200, 40)
    assert (aborted.status(clock.now), aborted.ended_at, watched.aborted) == ("aborted", NOW + 5, 1)
    assert aborted.end_reason is not None
    assert "480 of 2,400 untouched requests failed, 20 %" in aborted.end_reason


def test_nothing_is_aborted_until_all_have_written_again_after_the_table_failed(clock: Clock) -> None:
    """Until then calls of processes that live seem to have died."""
    watched = Watched(clock, FEW_ERRORS)
    watched.settled = False
    assert watched.told(200, 200).ended_at is None
    watched.settled = True
    assert watched.told(200, 200).ended_at == NOW


@pytest.mark.parametrize("hypothesis", [None, {"max_error_rate": 0.01}])
def test_a_hypothesis_that_is_not_to_end_the_run_is_not_looked_at(
    clock: Clock, hypothesis: dict[str, Any] | None
) -> None:
    assert Watched(clock, hypothesis).told(1000, 1000).ended_at is None


def test_a_run_that_is_over_is_not_looked_at(clock: Clock) -> None:
    watched = Watched(clock, FEW_ERRORS)
    clock.now += 600
    assert watched.told(1000, 1000).ended_at is None


def test_a_table_that_does_not_tell_what_was_seen_ends_nothing(clock: Clock) -> None:
    watched = Watched(clock, FEW_ERRORS)
    watched.results.broken = True
    with pytest.raises(StoreUnavailable):
        watched.told(1000, 1000)
    assert watched.store.runs["latency_injection"].ended_at is None


def test_of_many_environments_some_look(clock: Clock) -> None:
    watched = Watched(clock, FEW_ERRORS, chance=0.5)
    watched.told(200, 0, environments=4 * CHECKING_ENVIRONMENTS)
    assert watched.told(200, 200, environments=4 * CHECKING_ENVIRONMENTS).ended_at is None
    lucky = Watched(clock, FEW_ERRORS, chance=0.1)
    lucky.told(200, 0, environments=4 * CHECKING_ENVIRONMENTS)
    assert lucky.told(200, 200, environments=4 * CHECKING_ENVIRONMENTS).ended_at == NOW


def test_of_a_run_that_nobody_has_told_of_nothing_is_judged(clock: Clock) -> None:
    watched = Watched(clock, FEW_ERRORS)
    watched.guard(watched.run, {})
    assert watched.store.runs["latency_injection"].ended_at is None


def test_how_many_look_at_is_remembered_of_some_runs(clock: Clock) -> None:
    watched = Watched(clock, FEW_ERRORS)
    for number in range(REMEMBERED_RUNS + 1):
        run = replace(watched.run, run_id=str(number))
        watched.results.tallies[run.run_id] = Tally({"requests": 1}, 1)
        watched.guard(run, {})
    assert len(watched.guard._environments) == 1


def test_of_many_environments_some_look_at_each_of_several_runs(clock: Clock) -> None:
    watched = Watched(clock, FEW_ERRORS, chance=0.5)
    other = replace(watched.run, run_id="other")
    for run in (watched.run, other):
        watched.results.tallies[run.run_id] = Tally({"requests": 100}, 4 * CHECKING_ENVIRONMENTS)
        watched.guard(run, {})
    looks: list[str] = []
    watched.results.results = lambda runs: looks.append(runs[0].run_id) or {}  # type: ignore[assignment,func-returns-value,method-assign]
    for run in (watched.run, other):
        watched.guard(run, {})
    assert looks == []


def test_what_is_hit_ends_a_run_if_the_hypothesis_is_of_it(clock: Clock) -> None:
    watched = Watched(clock, {**FEW_ERRORS, "of": "hit"})
    assert watched.told(200, 40).ended_at == NOW
    assert set(watched.results.tallies[watched.run.run_id].sides) == {"hit"}  # type: ignore[attr-defined]


def test_the_reason_is_what_failed_and_not_what_held(clock: Clock) -> None:
    watched = Watched(clock, {**FEW_ERRORS, "p95_seconds": 1.0})
    reason = watched.told(200, 40).end_reason
    assert reason is not None
    assert "480 of 2,400" in reason
    assert "Response times" not in reason
    assert reason.endswith("the limit is 1 %.")


def seconds_until_ended(
    clock: Clock, fails: Callable[[int], bool], duration: float, hypothesis: dict[str, Any]
) -> float:
    """Twenty requests a second are served and counted, and each second the hypothesis is checked."""
    watched = Watched(clock, hypothesis, duration=duration)
    tally, counting = Tally(environments=1), Counting(watched.run)
    watched.results.tallies[watched.run.run_id] = tally
    while watched.store.runs["latency_injection"].is_active(clock.now):
        status = 500 if fails(int(clock.now - NOW)) else 200
        for _ in range(20):
            tally.record(counting, Served(at=clock.now, seconds=0.1, status=status, side=hypothesis["of"]))
        clock.now += 1.0
        watched.guard(watched.run, {})
    return clock.now - NOW


@pytest.mark.parametrize("side", ["untouched", "hit"])
@pytest.mark.parametrize(("duration", "latest"), [(300, 100 + 32), (60, 30 + 22)])
def test_an_application_that_fails_wholly_ends_its_run_within_half_a_minute(
    clock: Clock, side: str, duration: float, latest: float
) -> None:
    broken_from = duration / 3 if duration == 300 else 30
    expected = {**FEW_ERRORS, "of": side}
    assert broken_from + 10 < seconds_until_ended(clock, lambda at: at >= broken_from, duration, expected) <= latest


@pytest.mark.parametrize("duration", [60, 300])
def test_one_outage_of_five_seconds_ends_no_run(clock: Clock, duration: float) -> None:
    expected = {**FEW_ERRORS, "of": "untouched"}
    assert seconds_until_ended(clock, lambda at: 23 <= at < 28, duration, expected) == duration
