from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.results.judgement import (
    Recovery,
    Verdict,
    efficacy,
    fails_beyond_chance,
    judge,
    judge_sides,
    met,
    recovery,
    sides_fail_beyond_chance,
)
from chalicelib.results.tally import AfterPart, Block, OpenCalls, Phase, SideCounts, Tally
from chalicelib.runs.options import Hypothesis
from tests.support import NOW, a_run

RUN = a_run(duration_seconds=60.0)
ONE_PERCENT = Hypothesis(max_error_rate=0.01)
NONE = Hypothesis(max_error_rate=0.0)
P95 = Hypothesis(p95_seconds=1.0)


def counted(requests: int, errors: int = 0, slow: int = 0, **more: Any) -> SideCounts:
    """A side whose failures come evenly, in 60 blocks of 5 s."""

    def share(number: int, total: int) -> int:
        return total * (number + 1) // 60 - total * number // 60

    blocks = tuple(
        Block(began=share(each, requests), errors=share(each, errors), slow=share(each, slow)) for each in range(60)
    )
    return SideCounts(
        **{
            "requests": requests,
            "errors": errors,
            "slow": slow,
            "blocks": blocks,
            "block_seconds": 5.0,
            "buckets": {27: requests - slow, 60: slow},
            **more,
        }
    )


def in_blocks(*failures: int, began: int = 100) -> SideCounts:
    blocks = tuple(Block(began=began, errors=each, slow=0) for each in failures)
    return counted(began * len(failures), sum(failures), blocks=blocks)


def verdict(hypothesis: Hypothesis, counts: SideCounts) -> Verdict:
    return judge_sides(hypothesis, {"untouched": counts}).verdict


def aborts(hypothesis: Hypothesis, counts: SideCounts) -> bool:
    return sides_fail_beyond_chance(hypothesis, {"untouched": counts})


# Verdicts


def test_it_held_where_the_whole_interval_is_within_the_bound_and_says_what_it_saw() -> None:
    judgement = judge_sides(ONE_PERCENT, {"untouched": counted(1500, 3, died=2)})
    assert judgement.verdict == "held"
    assert judgement.explanation == (
        "Error rate: held. 3 of 1,500 untouched requests failed (2 of them never answered), 0.2 % "
        "(95 % confidence interval 0.0394 % to 0.595 %); the limit is 1 %."
    )
    (figure,) = judgement.sides["untouched"].figures
    assert figure.observed == 0.002
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < 0.002 < figure.high < 0.01
    assert (figure.needed, figure.reason) == (None, None)


@pytest.mark.parametrize("requests", [50, 367])
def test_few_requests_without_a_failure_do_not_hold_and_it_says_how_many_more_do(requests: int) -> None:
    judgement = judge_sides(ONE_PERCENT, {"untouched": counted(requests)})
    (figure,) = judgement.sides["untouched"].figures
    assert (judgement.verdict, figure.needed) == ("too_few_requests", 368 - requests)
    assert judgement.explanation.endswith(f"About {368 - requests} more requests make it held, if this goes on.")
    assert verdict(ONE_PERCENT, counted(368)) == "held"


def test_what_is_within_the_bound_as_seen_but_may_be_outside_is_no_verdict() -> None:
    assert verdict(ONE_PERCENT, counted(1000, 9)) == "too_few_requests"
    assert verdict(ONE_PERCENT, counted(1000, 12)) == "too_few_requests"


def test_it_failed_where_the_whole_interval_is_outside() -> None:
    judgement = judge_sides(ONE_PERCENT, {"untouched": counted(1000, 40)})
    assert judgement.verdict == "failed"
    assert "failed. 40 of 1,000 untouched requests failed, 4 %" in judgement.explanation
    assert judgement.failures == judgement.explanation


def test_what_more_requests_will_not_hold_says_so() -> None:
    (figure,) = judge_sides(ONE_PERCENT, {"untouched": counted(1000, 10)}).sides["untouched"].figures
    assert (figure.verdict, figure.needed) == ("too_few_requests", None)
    assert figure.reason is not None
    assert "more requests like these do not make it held" in figure.reason
    assert figure.reason in figure.explanation


def test_with_fewer_requests_than_it_wants_there_is_no_verdict() -> None:
    judgement = judge_sides(ONE_PERCENT, {"untouched": counted(49, 49)})
    assert judgement.verdict == "too_few_requests"
    assert judgement.explanation.endswith("A verdict needs at least 50 requests.")
    assert not aborts(ONE_PERCENT, in_blocks(*[1] * 40, began=1))


def test_without_any_request_there_are_no_figures_and_it_says_how_many_it_takes() -> None:
    judgement = judge_sides(Hypothesis(max_error_rate=0.01, p95_seconds=1.0), {"untouched": counted(0)})
    assert judgement.verdict == "too_few_requests"
    assert judgement.explanation == "No untouched requests were counted; a verdict needs at least 368."
    assert {(each.observed, each.low, each.high) for each in judgement.sides["untouched"].figures} == {(None,) * 3}


def test_where_none_may_fail_the_least_number_without_a_failure_holds_and_one_fails() -> None:
    assert verdict(NONE, counted(49)) == "too_few_requests"
    assert verdict(NONE, counted(50)) == "held"
    assert verdict(NONE, counted(200, 1)) == "failed"
    assert aborts(NONE, counted(200, 1, blocks=()))


def test_where_all_may_fail_none_is_too_many() -> None:
    assert verdict(Hypothesis(max_error_rate=1.0), counted(200, 200)) == "held"
    assert not aborts(Hypothesis(max_error_rate=1.0), counted(6000, 6000))


def test_one_outage_of_a_block_is_no_verdict_and_says_how_little_it_weighs() -> None:
    outage = in_blocks(*[0] * 8, 100, *[0] * 51)
    assert verdict(Hypothesis(max_error_rate=0.05), outage) == "too_few_requests"
    explanation = judge_sides(ONE_PERCENT, {"untouched": outage}).explanation
    assert "They came in bursts: the requests weigh as much as" in explanation


def test_one_of_twenty_may_be_slower_than_the_95th_percentile() -> None:
    assert verdict(P95, counted(1000, slow=20)) == "held"
    assert verdict(P95, counted(1000, slow=49)) == "too_few_requests"
    judgement = judge_sides(P95, {"untouched": counted(1000, slow=90)})
    assert judgement.verdict == "failed"
    assert "90 of 1,000 untouched requests took longer than 1 s, 9 %" in judgement.explanation
    assert aborts(P95, counted(6000, slow=3000))


def test_a_percentile_lies_between_two_that_were_seen() -> None:
    (figure,) = judge_sides(P95, {"untouched": counted(1000, slow=45)}).sides["untouched"].figures
    assert figure.observed is not None
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < figure.observed < 1.0 < figure.high
    (few,) = judge_sides(P95, {"untouched": counted(60)}).sides["untouched"].figures
    assert (few.verdict, few.needed, few.high) == ("too_few_requests", 12, None)


def test_times_that_leave_a_queue_out_can_fail_and_cannot_hold_while_errors_are_judged() -> None:
    both = Hypothesis(max_error_rate=0.01, p95_seconds=1.0)
    judgement = judge_sides(both, {"untouched": counted(1000, times_leave_out_queue=True)})
    rate, times = judgement.sides["untouched"].figures
    assert (rate.verdict, times.verdict, judgement.verdict) == ("held", "cannot_tell", "cannot_tell")
    assert times.reason is not None
    assert "queue" in times.reason
    assert times.reason in judgement.explanation
    assert (rate.reason, times.needed) == (None, None)
    assert verdict(P95, counted(20, times_leave_out_queue=True)) == "cannot_tell"
    assert verdict(P95, counted(1000, slow=500, times_leave_out_queue=True)) == "failed"


def test_the_worst_bound_decides_and_each_says_what_it_saw() -> None:
    judgement = judge_sides(Hypothesis(max_error_rate=0.5, p95_seconds=1.0), {"untouched": counted(1000, 1, slow=500)})
    assert judgement.verdict == "failed"
    assert [figure.verdict for figure in judgement.sides["untouched"].figures] == ["held", "failed"]
    assert "Error rate: held" in judgement.explanation
    assert judgement.failures.startswith("Response times: failed. 500 of 1,000")


def test_the_worst_side_decides_and_each_has_its_own_verdict() -> None:
    judgement = judge_sides(ONE_PERCENT, {"untouched": counted(1000), "hit": counted(1000, 100)})
    assert judgement.verdict == "failed"
    assert {side: each.verdict for side, each in judgement.sides.items()} == {"untouched": "held", "hit": "failed"}
    assert "100 of 1,000 hit requests that reached the application failed" in judgement.explanation
    assert judgement.sides["hit"].explanation in judgement.explanation


# The abort


def test_what_was_aborted_has_failed_whatever_the_interval_says() -> None:
    one_in_1000 = Hypothesis(max_error_rate=0.001, abort=True)
    counts = in_blocks(
        0, 100, 0, 100
    )  # so few blocks, and so different ones, that the interval is from 0.09 % to 99.9 %
    assert aborts(one_in_1000, counts)
    judgement = judge_sides(one_in_1000, {"untouched": counts})
    low = judgement.sides["untouched"].figures[0].low
    assert low is not None
    assert low < 0.001
    assert judgement.verdict == "failed"


def test_two_bounds_and_two_sides_share_the_probability_of_an_error() -> None:
    edge = next(number for number in range(100) if aborts(ONE_PERCENT, in_blocks(*[number] * 12)))
    both = Hypothesis(max_error_rate=0.01, p95_seconds=1.0)
    counts = in_blocks(*[edge] * 12)
    assert not aborts(both, counts)
    assert not sides_fail_beyond_chance(ONE_PERCENT, {"untouched": counts, "hit": counted(100)})
    more = in_blocks(*[2 * edge] * 12)
    assert aborts(both, more)
    assert sides_fail_beyond_chance(ONE_PERCENT, {"untouched": counted(6000), "hit": more})


# From a tally


class Counted(Tally):
    """A tally of which both sides are given."""

    sides: dict[str, SideCounts]

    def side_counts(self, side: Any, run: Any, now: float) -> SideCounts:
        return self.sides[side]


@pytest.mark.parametrize(
    ("of", "sides"), [("untouched", ["untouched"]), ("hit", ["hit"]), ("both", ["untouched", "hit"])]
)
def test_the_sides_are_those_that_the_hypothesis_is_of(of: Any, sides: list[str]) -> None:
    tally = Counted()
    tally.sides = {"untouched": counted(6000, 60), "hit": counted(6000, 6000)}
    hypothesis = Hypothesis(max_error_rate=0.01, of=of)
    judgement = judge(hypothesis, tally, RUN, NOW)
    assert list(judgement.sides) == sides
    assert judgement.verdict == ("failed" if "hit" in sides else "too_few_requests")
    assert fails_beyond_chance(hypothesis, tally, RUN, NOW) == ("hit" in sides)


# Whether it hit


def efficacy_of(hit: int, untouched: int, before: int = 0, **parameters: Any) -> str:
    tally = Phased({"requests": hit + untouched + before, "hit.2xx": hit, "untouched.2xx": untouched + before})
    tally.before = before
    return efficacy(tally, replace(RUN, parameters={**RUN.parameters, **parameters}), NOW)


class Phased(Tally):
    before = 0

    def phases(self) -> dict[str, Phase]:
        return {"before": Phase(requests=self.before, errors=0, p95_seconds=None)}


@pytest.mark.parametrize(
    ("hit", "untouched", "parameters", "expected"),
    [
        (0, 0, {"percentage": 20.0}, "never_hit"),
        (0, 5000, {"percentage": 20.0}, "never_hit"),
        (4, 16, {"percentage": 20.0}, "too_few"),
        (5, 20, {"percentage": 20.0}, "confirmed"),
        (200, 800, {"percentage": 20.0}, "confirmed"),
        (50, 950, {"percentage": 20.0}, "too_few"),  # a quarter of what it was to hit
        (100, 900, {"percentage": 100.0, "error_rate": 0.1}, "confirmed"),
        (10, 0, {}, "confirmed"),
    ],
)
def test_it_hit_what_it_was_to_hit(hit: int, untouched: int, parameters: dict[str, float], expected: str) -> None:
    assert efficacy_of(hit, untouched, **parameters) == expected


def test_requests_before_the_first_hit_do_not_count_and_a_target_may_be_rare() -> None:
    assert efficacy_of(200, 800, before=50_000, percentage=20.0) == "confirmed"
    tally = Tally({"requests": 10_000, "hit.2xx": 10, "untouched.2xx": 9990})
    targeted = replace(RUN, options={"target": {"environments_percentage": 1}})
    assert efficacy(tally, targeted, NOW) == "confirmed"


UNKNOWN_SHARES: list[dict[str, Any]] = [
    {"target": {"paths": ["/orders"]}},
    {"sticky": {"header": "x-user"}},
    {"every": 100},
    {"first": {"requests": 100}},
    {"max_requests": 100},
    {"ramp_seconds": 3600.0},
]


@pytest.mark.parametrize("options", UNKNOWN_SHARES, ids=lambda options: next(iter(options)))
def test_of_a_run_that_says_more_than_a_percentage_nobody_knows_which_share_it_is_to_hit(options: Any) -> None:
    tally = Tally({"requests": 10_000, "hit.2xx": 10, "untouched.2xx": 9990})
    assert efficacy(tally, replace(RUN, options=options), NOW) == "confirmed"
    assert efficacy(tally, replace(RUN, options={"seed": "today"}), NOW) == "too_few"
    assert efficacy(Tally({"requests": 10_000, "hit.2xx": 4}), replace(RUN, options=options), NOW) == "too_few"


@pytest.mark.parametrize(
    ("options", "hits", "expected"),
    [
        ({"max_requests": 3}, 3, "confirmed"),
        ({"max_requests": 3}, 2, "too_few"),
        ({"first": {"requests": 2}}, 2, "confirmed"),
        ({"first": {"requests": 2, "key": {"header": "x-order"}}}, 2, "confirmed"),
        ({"first": {"requests": 2}, "max_requests": 3}, 1, "too_few"),
        ({"first": {"requests": 2}, "max_requests": 3}, 0, "never_hit"),
        ({"max_requests": 100}, 4, "too_few"),
    ],
)
def test_what_is_to_hit_but_a_few_has_done_so_with_a_few(options: Any, hits: int, expected: str) -> None:
    tally = Tally({"requests": 100, "hit.2xx": hits, "untouched.2xx": 100 - hits})
    assert efficacy(tally, replace(RUN, options=options), NOW) == expected


@pytest.mark.parametrize(("would_hit", "expected"), [(0, "never_hit"), (3, "too_few"), (20, "confirmed")])
def test_a_dry_run_has_done_what_it_was_to_do_where_it_would_have_hit(would_hit: int, expected: str) -> None:
    tally = Tally({"requests": 100, "untouched.2xx": 100, "would_hit": would_hit})
    dry = replace(RUN, options={"dry_run": True}, parameters={**RUN.parameters, "percentage": 20.0})
    assert efficacy(tally, dry, NOW) == expected
    assert met(tally, dry, NOW) == (100, would_hit)


def test_a_run_whose_requests_died_has_hit_them() -> None:
    """Such as a delay that may exceed the time-out of the workers."""
    tally = Tally({"hit.died": 4}, open_calls=[OpenCalls(until=NOW, calls={"hit.0": 2, "untouched.0": 1})])
    assert met(tally, RUN, NOW + 1) == (7, 6)
    assert met(tally, RUN, NOW - 1) == (4, 4)
    assert efficacy(tally, RUN, NOW + 1) == "confirmed"


# Recovery


class After(Tally):
    parts: tuple[AfterPart, ...] = ()

    def after(self, run: Any) -> tuple[AfterPart, ...]:
        return self.parts


def recovered(hypothesis: Hypothesis, *failed: Sequence[int], now: float = NOW + 300) -> Recovery | None:
    """Of parts of 5 s: requests, errors, slow ones."""
    tally = After()
    tally.parts = tuple(
        AfterPart(
            at=NOW + 60 + 5 * number, seconds=5.0, requests=part[0], errors=part[1], slow=part[2], mean_seconds=0.1
        )
        for number, part in enumerate(failed)
    )
    return recovery(hypothesis, tally, RUN, now)


BOTH = Hypothesis(max_error_rate=0.01, p95_seconds=1.0)


def test_it_recovered_when_the_bounds_were_kept_for_good() -> None:
    bad, good = (100, 30, 0), (100, 0, 2)
    found = recovered(BOTH, bad, good, bad, good, good)
    assert found == Recovery(
        recovered_after_seconds=15.0,
        explanation="Back within the bounds after 15 s of the 25 s that were counted after the run's end.",
    )


def test_both_bounds_must_be_kept() -> None:
    found = recovered(BOTH, (100, 0, 90), (100, 30, 0), (100, 0, 0))
    assert found is not None
    assert found.recovered_after_seconds == 10.0
    only_times = recovered(P95, (100, 0, 90), (100, 30, 0), (100, 0, 0))
    assert only_times is not None
    assert only_times.recovered_after_seconds == 5.0


def test_it_had_recovered_at_the_end_where_nothing_was_wrong() -> None:
    found = recovered(BOTH, (100, 0, 0), (100, 0, 0))
    assert found is not None
    assert found.recovered_after_seconds == 0.0
    assert (
        found.explanation == "Within the bounds from the beginning of the 10 s that were counted after the run's end."
    )


def test_a_failure_now_and_then_is_within_the_bounds_and_parts_without_requests_say_nothing() -> None:
    found = recovered(BOTH, (40, 20, 0), (40, 0, 0), (0, 0, 0), (20, 1, 0), (60, 0, 0), (20, 0, 2))
    assert found is not None
    assert found.recovered_after_seconds == 5.0


def test_a_good_end_does_not_outweigh_a_bad_part_nor_are_a_few_bad_ones_at_the_end_good() -> None:
    found = recovered(BOTH, (100, 30, 0), (10_000, 0, 0))
    assert found is not None
    assert found.recovered_after_seconds == 5.0
    worse = recovered(BOTH, (50, 0, 0), (3, 1, 0))
    assert worse is not None
    assert worse.recovered_after_seconds is None


def test_it_did_not_recover_where_the_last_part_is_outside() -> None:
    found = recovered(BOTH, (100, 0, 0), (100, 50, 0))
    assert found is not None
    assert found.recovered_after_seconds is None
    assert found.explanation.startswith("Not recovered: at the end of the 10 s")


def test_of_an_active_run_there_is_no_recovery_and_without_requests_it_is_not_known() -> None:
    assert recovered(BOTH, now=NOW + 30) is None
    early, late = recovered(BOTH, now=NOW + 70), recovered(BOTH, now=NOW + 300)
    assert early is not None
    assert early.explanation == "No request after the run's end is counted yet."
    assert late is not None
    assert late.recovered_after_seconds is None
    assert "not known" in late.explanation


def test_the_end_is_when_it_was_ended() -> None:
    tally = After()
    part = {"seconds": 5.0, "requests": 100, "slow": 0, "mean_seconds": 0.1}
    tally.parts = (AfterPart(at=NOW + 20, errors=50, **part), AfterPart(at=NOW + 25, errors=0, **part))
    stopped = RUN.ended(now=NOW + 20, by="ada", reason=None)
    found = recovery(BOTH, tally, stopped, NOW + 100)
    assert found is not None
    assert found.recovered_after_seconds == 5.0
