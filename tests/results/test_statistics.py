import math

import pytest

from chalicelib.results.statistics import (
    PLAYERS,
    Part,
    Spread,
    beta_probability,
    exceeds,
    interval,
    joined,
    needed,
    quantile_ranks,
    spread,
    student,
)
from tests.simulate_judgement import (
    aborts,
    aborts_if_independent,
    held_of_a_fifth,
    held_of_fifty,
    seconds_of_outage,
    seconds_until_aborted,
    verdicts,
)

ONE_IN_10_000 = 1e-4


@pytest.mark.parametrize(
    ("failures", "requests", "low", "high"),
    [  # by R: binom.test(10, 100)
        (10, 100, 0.04900469, 0.17622260),
        (3, 1204, 0.00051414, 0.00726437),
        (0, 50, 0.0, 0.07112174),
        (0, 368, 0.0, 0.00997405),
        (50, 50, 0.92887826, 1.0),
        (500, 10**6, 0.00045714, 0.00054580),
    ],
)
def test_the_interval_is_clopper_and_pearsons(failures: int, requests: int, low: float, high: float) -> None:
    assert interval(failures, requests) == pytest.approx((low, high), abs=1e-8)


@pytest.mark.parametrize(("failures", "requests"), [(2, 1), (7, 5), (50, 3), (1.5, 1.0)])
def test_more_failures_than_requests_are_all_of_them(failures: float, requests: float) -> None:
    """What is counted can be read while it is written, and an item can be damaged."""
    assert interval(failures, requests) == interval(requests, requests)


def test_of_nothing_the_share_can_be_anything() -> None:
    assert interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("requests", "failures", "share"), [(20, 3, 0.1), (50, 0, 0.02), (200, 30, 0.2), (7, 6, 0.9)])
def test_the_beta_distribution_is_the_binomial_ones_tail(requests: int, failures: int, share: float) -> None:
    more = sum(
        math.comb(requests, each) * share**each * (1 - share) ** (requests - each)
        for each in range(failures + 1, requests + 1)
    )
    assert beta_probability(share, failures + 1, requests - failures) == pytest.approx(more, rel=1e-9)


@pytest.mark.parametrize(
    ("x", "a", "b"),
    [
        (0.3075816430671304, 6.0, 14.758185209616803),
        (0.0778233132304234, 2.122121498920882, 35.99595326971226),
        (0.6179693640743807, 41.05736910864436, 25.0),
    ],
)
def test_where_both_ways_converge_alike_one_is_taken(x: float, a: float, b: float) -> None:
    """Each of the two, by rounding, seems to be the slower one."""
    below, above = (beta_probability(x * factor, a, b) for factor in (1 - 1e-9, 1 + 1e-9))
    assert below < beta_probability(x, a, b) < above


@pytest.mark.parametrize(("degrees", "t"), [(1, 12.7062), (2, 4.3027), (5, 2.5706), (59, 2.0010), (5000, 1.9600)])
def test_few_groups_are_a_poor_estimate_of_how_much_they_vary(degrees: int, t: float) -> None:
    assert student(degrees) == pytest.approx(t, abs=1e-4)


def test_the_quantiles_between_which_a_percentile_lies_are_where_the_interval_of_a_share_begins_and_ends() -> None:
    low, high = quantile_ranks(0.95, 1000)
    assert high is not None
    assert interval((1 - low) * 1000, 1000).low == pytest.approx(0.05, abs=1e-6)
    assert interval((1 - high) * 1000, 1000).high == pytest.approx(0.05, abs=1e-6)
    assert quantile_ranks(0.95, 71)[1] is None
    assert quantile_ranks(0.95, 72)[1] is not None


# What blocks show


def test_requests_that_fail_evenly_weigh_as_much_as_independent_ones() -> None:
    even = spread([Part(100, 10)] * 60, 5.0)
    assert even.design_effect == 1.0
    assert 900 < even.effective(1000) < 1000
    assert spread([Part(100, 0)] * 60, 5.0).effective(6000) == 6000
    assert spread([Part(100, 100)] * 60, 5.0).effective(6000) == 6000
    assert spread([], 5.0).effective(1000) == 1000


def test_blocks_that_fail_as_a_whole_weigh_as_much_as_one_request_each() -> None:
    blocks = [Part(100, 100 * (number % 4 == 0)) for number in range(60)]
    assert spread(blocks, 5.0).effective(6000) == pytest.approx(60, rel=0.15)


def test_what_fails_in_two_neighbouring_blocks_weighs_less_than_what_fails_in_two_that_are_apart() -> None:
    apart = [Part(100, 50 * (number in (10, 40))) for number in range(60)]
    together = [Part(100, 50 * (number in (10, 11))) for number in range(60)]
    assert spread(together, 5.0).effective(6000) < 0.6 * spread(apart, 5.0).effective(6000)


def test_short_blocks_are_joined_to_the_length_of_a_burst_where_six_remain() -> None:
    assert joined([Part(1, 0), Part(2, 1), Part(3, 1), Part(9, 9), Part(5, 5)], 2) == [Part(3, 1), Part(12, 10)]
    blocks = [Part(10, int(number == 0)) for number in range(60)]
    assert spread(blocks, 1.0).groups == 12
    assert spread(blocks[:12], 1.0).groups == 6
    assert spread(blocks[:3], 1.0).groups == 3


@pytest.mark.parametrize(("allowed", "requests"), [(0.001, 3688), (0.01, 368), (0.05, 72), (0.5, 6)])
def test_how_many_requests_without_a_failure_a_bound_needs(allowed: float, requests: int) -> None:
    assert needed(0, 0, allowed, Spread(), least=1) == requests
    assert interval(0, requests).high <= allowed < interval(0, requests - 1).high


def test_how_many_more_it_takes_if_things_go_on_as_observed() -> None:
    more = needed(3, 1000, 0.01, Spread(), least=50)
    assert more == 1
    more = needed(5, 1000, 0.01, Spread(), least=50)
    assert more is not None
    assert interval(0.005 * (1000 + more), 1000 + more).high <= 0.01
    assert interval(0.005 * (999 + more), 999 + more).high > 0.01
    bursts = needed(5, 1000, 0.01, Spread(3.0, 12), least=50)
    assert bursts is not None
    assert bursts > 3 * more


def test_what_is_at_the_bound_is_never_held_and_a_bound_of_none_needs_the_least() -> None:
    assert needed(10, 1000, 0.01, Spread(), least=50) is None
    assert needed(99_999, 10_000_000, 0.01, Spread(), least=50) is None
    assert needed(0, 20, 0.0, Spread(), least=50) == 30


# The test that may be repeated


def test_a_single_burst_is_no_evidence_however_bad_it_is() -> None:
    blocks = [Part(1000, 1000 * (number in (3, 4))) for number in range(60)]
    assert not exceeds(blocks, 5.0, 0.01, ONE_IN_10_000)
    assert exceeds([*blocks[:5], *[Part(1000, 1000)] * 5], 5.0, 0.01, ONE_IN_10_000)


def test_a_burst_is_no_evidence_where_blocks_are_short_either() -> None:
    blocks = [Part(100, 100 * (10 <= number < 16)) for number in range(60)]  # 5 s, in six blocks of 1 s
    assert not exceeds(blocks, 1.0, 0.01, ONE_IN_10_000)


def test_what_was_found_to_fail_stays_so() -> None:
    failing = [Part(100, 100)] * 6
    assert exceeds(failing, 5.0, 0.01, ONE_IN_10_000)
    assert exceeds([*failing, *[Part(100, 0)] * 500], 5.0, 0.01, ONE_IN_10_000)


def test_blocks_without_requests_say_nothing() -> None:
    assert not exceeds([Part(0, 0)] * 60, 5.0, 0.01, ONE_IN_10_000)
    busy = [Part(0, 0), Part(0, 0), Part(9, 9), Part(0, 0)]
    assert exceeds(busy * 4, 5.0, 0.01, ONE_IN_10_000)


def test_nothing_exceeds_a_bound_of_all_and_a_single_failure_exceeds_one_of_none() -> None:
    assert not exceeds([Part(100, 100)] * 60, 5.0, 1.0, ONE_IN_10_000)
    assert exceeds([Part(100, 0), Part(100, 1)], 5.0, 0.0, ONE_IN_10_000)
    assert not exceeds([Part(100, 0)] * 60, 5.0, 0.0, ONE_IN_10_000)


# What docs/statistics.md promises, of fewer runs than `make simulations`

BURSTY = ["ten at a time share their fate", "outages of up to 5 s", "outages of 5 s, blocks of 1 s"]


@pytest.mark.parametrize("failures", ["each request by itself", "the same, traffic rises and falls", *BURSTY])
def test_what_holds_is_not_aborted(failures: str) -> None:
    assert aborts(failures, 0.01, 1000) <= 1


@pytest.mark.parametrize("failures", BURSTY)
def test_the_same_runs_were_aborted_if_requests_were_taken_to_be_independent(failures: str) -> None:
    assert aborts_if_independent(failures, 0.01, 200) > 10


@pytest.mark.parametrize("failures", ["each request by itself", "ten at a time share their fate"])
def test_what_is_at_the_bound_is_held_and_fails_as_seldom_as_the_interval_says(failures: str) -> None:
    failed, held, _ = verdicts(failures, 0.05, 300)
    assert failed <= 0.05 * 300
    assert held <= 0.05 * 300


def test_fifty_requests_do_not_hold_what_fails_20_times_as_often_as_it_may() -> None:
    held, earlier = held_of_fifty(0.001, 500)
    assert held == 0
    assert earlier > 150


def test_a_fifth_of_the_bound_is_held_and_five_times_the_bound_is_aborted() -> None:
    assert held_of_a_fifth(360, 0.05, 200) >= 0.9 * 200
    assert seconds_until_aborted(20, 0.05, 50, 5.0) <= 90
    assert seconds_until_aborted(20, 0.01, 50, 5.0) <= 105


def test_an_outage_ends_a_run_within_half_a_minute_where_blocks_are_short() -> None:
    for before in (0, 20, 40):
        assert seconds_of_outage(0.01, 5.0, before) == 25
        assert seconds_of_outage(0.01, 1.0, before) <= 20
    assert seconds_of_outage(0.05, 1.0, 20) == 25


def test_all_that_the_players_get_is_what_a_fair_game_may_begin_with() -> None:
    assert sum(player.at_start + player.later for player in PLAYERS) <= 1 + 1e-12
    assert all(0 < player.bet < 1 for player in PLAYERS)
