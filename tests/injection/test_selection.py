"""Which calls a run hits: the order of what decides, keys, seeds, ramps and turns; the share is what was asked."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import pytest

from chalicelib.faults.base import Chance
from chalicelib.injection.selection import Criterion, Draws, Selector, draw, selector
from chalicelib.runs.run import Run
from tests.injection.support import FakeCall, unnoted
from tests.support import NOW, Clock, a_run, with_hypothesis, with_options

KEY = {"header": "x-user"}


@dataclass
class FakeCheck:
    """One criterion: the path."""

    allowed: str
    name: str = "target.paths"

    def matches(self, call: Any) -> bool:
        return bool(call.name == self.allowed)

    def seen(self, call: Any) -> Any:
        return call.name


@dataclass
class FakeMatcher:
    """A target that names one path."""

    path: str = "/orders"
    criteria: tuple[FakeCheck, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.criteria = (FakeCheck(self.path),)

    def matches(self, call: Any) -> bool:
        return all(check.matches(call) for check in self.criteria)


@dataclass
class Chances:
    """Draws these numbers, again and again, and counts how often it is asked."""

    drawn: Sequence[float] = (0.0,)
    asked: int = 0

    def __call__(self) -> float:
        self.asked += 1
        return self.drawn[(self.asked - 1) % len(self.drawn)]


def made(
    share: float = 1.0,
    matcher: Any = None,
    *,
    run: Run | None = None,
    clock: Clock | None = None,
    **options: Any,
) -> Selector:
    found = selector(with_options(run or a_run(), **options), share, matcher, clock=clock or Clock())
    assert found
    return found


def by(user: str) -> FakeCall:
    return FakeCall("/orders", x_user=user)


def hits(chosen: Selector, call: FakeCall, chance: Chance | None = None) -> tuple[bool, list[str]]:
    """Whether it is hit, and the counters that it adds to."""
    notes: list[str] = []
    is_hit = chosen.select(call, chance or Chances(), lambda _run, name: notes.append(name)) is not None
    return is_hit, notes


# What there is


@pytest.mark.parametrize(
    "options", [{}, {"reason": "why"}, {"max_requests": 3}, {"first": {"requests": 2}}, {"dry_run": True}]
)
def test_an_ordinary_run_has_none(options: dict[str, Any]) -> None:
    assert selector(with_options(a_run(), **options), 0.5, None, clock=Clock()) is None


@pytest.mark.parametrize(
    "options",
    [{"every": 0}, {"every": "3"}, {"ramp_seconds": -1.0}, {"sticky": {}}, {"sticky": {"cookie": "id"}}, {"seed": 7}],
)
def test_options_that_cannot_be_read_are_refused_lest_they_hit_too_much(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        made(**options)


# In which order


def test_a_call_that_the_target_does_not_match_takes_no_turn_draws_nothing_and_is_not_counted() -> None:
    chance = Chances()
    chosen = made(0.5, FakeMatcher(), every=2, sticky=KEY)
    for _ in range(3):
        assert hits(chosen, FakeCall("/health"), chance) == (False, [])
    assert chance.asked == 0
    assert [hits(chosen, by("ada"))[0] for _ in range(4)] in ([False, True, False, True], [False] * 4)


def test_what_matched_is_counted_before_the_key_and_the_key_before_the_turn() -> None:
    chosen = made(1.0, FakeMatcher(), every=2, sticky=KEY)
    assert hits(chosen, by("ada")) == (False, ["matched"])
    assert hits(chosen, FakeCall("/orders")) == (False, ["matched", "without_key"])
    assert hits(chosen, by("ada")) == (True, ["matched"]), "the call without a key took no turn"


def test_a_turn_is_taken_only_by_calls_that_the_share_would_hit() -> None:
    chosen = made(0.5, every=3)
    drawn = Chances((0.9, 0.1))
    assert [hits(chosen, by("ada"), drawn)[0] for _ in range(12)] == ([False] * 5 + [True]) * 2


def test_an_empty_key_is_none() -> None:
    assert hits(made(sticky=KEY), by("")) == (False, ["without_key"])


def test_by_chance_the_faults_are_drawn_by_the_same_chance() -> None:
    chance = Chances()
    assert made(every=1).select(by("ada"), chance, unnoted) is chance


# Keys and seeds


def test_the_same_key_has_the_same_verdict_whatever_chance_says() -> None:
    run = a_run()
    one, other = made(0.5, run=run, sticky=KEY), made(0.5, FakeMatcher(), run=run, sticky=KEY)
    for number in range(1000):
        first = hits(one, by(f"user-{number}"), Chances((0.0,)))[0]
        assert hits(other, by(f"user-{number}"), Chances((0.999,)))[0] is first
        assert hits(one, by(f"user-{number}"))[0] is first


def test_the_verdict_of_a_key_is_part_of_the_contract() -> None:
    """Another version that hashed another way would, during a rolling deploy, hit other users."""
    chosen = made(0.5, sticky=KEY, seed="2026-11-25")
    assert "".join("01"[hits(chosen, by(f"user-{number}"))[0]] for number in range(40)) == VERDICTS


VERDICTS = "1011000000010011100110001001000111011010"


def test_runs_hit_other_keys_and_two_with_the_same_seed_the_same_ones() -> None:
    def hit(token: str, **options: Any) -> set[int]:
        chosen = made(0.5, run=a_run(token=token), sticky=KEY, **options)
        return {number for number in range(400) if hits(chosen, by(str(number)))[0]}

    assert hit("1") != hit("2")
    assert 100 < len(hit("1") & hit("2")) + len(set(range(400)) - hit("1") - hit("2")) < 300
    assert hit("1", seed="today") == hit("2", seed="today") != hit("1", seed="tomorrow")


def test_a_seed_without_a_key_replays_the_verdicts_in_order_of_the_matching_calls() -> None:
    def replay(*, seed: str, others: bool) -> list[bool]:
        chosen, found = made(0.3, FakeMatcher(), run=a_run(token=str(others)), seed=seed), []
        for _ in range(300):
            if others:
                assert not hits(chosen, FakeCall("/health"))[0]
            found.append(hits(chosen, by("ada"), Chances((0.5,)))[0])
        return found

    assert replay(seed="today", others=False) == replay(seed="today", others=True) != replay(seed="x", others=False)


def test_the_faults_own_shares_come_from_the_key_too_and_do_not_depend_on_whether_it_is_hit() -> None:
    chosen, found = made(0.5, sticky=KEY), []
    for number in range(2000):
        drawn = chosen.select(by(str(number)), Chances((0.999,)), unnoted)
        again = chosen.chance_of(by(str(number)))
        if drawn and again:
            values = [drawn() for _ in range(20)]
            assert values == [again() for _ in range(20)]
            assert len(set(values)) == 20
            found.append(values[0])
    for least in (0.0, 0.25, 0.5, 0.75):
        assert abs(sum(least <= value < least + 0.25 for value in found) - len(found) / 4) < 4 * sqrt(len(found) / 4)


def test_what_a_digest_has_is_never_1() -> None:
    assert draw(bytes(8)) == 0.0
    assert draw(b"\xff" * 8) == 1 - 2.0**-53 < 1.0
    assert max(Draws(b"\xff" * 64, 0)() for _ in range(3)) < 1.0


def test_a_key_may_be_any_text() -> None:
    for key in ("ü", "\udcff", "x" * 8000):
        assert hits(made(sticky=KEY), by(key))[0]


# The share


PERCENTAGES = (0.01, 0.1, 1.0, 2.5, 10.0, 33.3, 50.0, 66.6, 90.0, 97.5, 99.0, 99.9, 99.99)
CALLS = 100_000
ONE_IN_A_THOUSAND = 10.83
"""What chi-squared with one degree of freedom exceeds so often; with 13 of them 34.53."""


def chi_squared(hit: int, share: float, calls: int = CALLS) -> float:
    expected = calls * share
    return (hit - expected) ** 2 / expected + (hit - expected) ** 2 / (calls - expected)


def by_key(share: float) -> int:
    chosen = made(share, sticky=KEY, seed="chi-squared")
    return sum(hits(chosen, by(f"user-{number}"))[0] for number in range(CALLS))


def by_seed(share: float) -> int:
    chosen, call = made(share, seed="chi-squared"), by("ada")
    return sum(hits(chosen, call)[0] for _ in range(CALLS))


def by_chance(share: float) -> int:
    chosen, call, chance = made(share, every=1), by("ada"), random.Random(15).random  # noqa: S311
    return sum(chosen.select(call, chance, unnoted) is not None for _ in range(CALLS))


@pytest.mark.parametrize("count", [by_key, by_seed, by_chance])
def test_the_share_that_is_hit_is_the_one_that_was_asked_for(count: Callable[[float], int]) -> None:
    found = {percentage: chi_squared(count(percentage / 100), percentage / 100) for percentage in PERCENTAGES}
    assert max(found.values()) < ONE_IN_A_THOUSAND, found


# Ramps


def test_a_ramp_grows_from_nothing_to_the_share_exactly() -> None:
    clock = Clock()
    chosen = made(0.8, clock=clock, ramp_seconds=40.0)
    shares = {-5.0: 0.0, 0.0: 0.0, 10.0: 0.2, 20.0: 0.4, 30.0: 0.6, 40.0: 0.8, 400.0: 0.8}
    for passed, share in shares.items():
        clock.now = NOW + passed
        assert chosen.share() == pytest.approx(share)
        assert hits(chosen, by("ada"), Chances((max(share - 1e-9, 0.0),)))[0] is (share > 0)
        assert not hits(chosen, by("ada"), Chances((share + 1e-9,)))[0]


def test_a_ramp_begins_when_the_baseline_is_over() -> None:
    clock = Clock(NOW + 15)
    run = with_hypothesis(a_run(), max_error_rate=0.1, baseline_seconds=10.0)
    assert made(1.0, clock=clock, run=run, ramp_seconds=10.0).share() == pytest.approx(0.5)


def test_a_key_that_a_ramp_has_reached_remains_hit_with_the_same_faults() -> None:
    clock = Clock()
    chosen = made(1.0, clock=clock, sticky=KEY, ramp_seconds=30.0)
    known: dict[int, float] = {}
    numbers = []
    for second in range(31):
        clock.now = NOW + second
        found = {n: drawn() for n in range(500) if (drawn := chosen.select(by(str(n)), Chances(), unnoted))}
        assert known.items() <= found.items()
        known = found
        numbers.append(len(found))
    assert (numbers[0], numbers[-1]) == (0, 500)
    assert abs(numbers[15] - 250) < 4 * sqrt(125)


# Turns


def test_each_third_is_hit_exactly_also_by_threads() -> None:
    chosen, call = made(1.0, every=3), by("ada")
    assert [hits(chosen, call)[0] for _ in range(9)] == [False, False, True] * 3
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: hits(chosen, call)[0], range(3000), chunksize=50))
    assert Counter(found) == {True: 1000, False: 2000}


# For a preview


def test_it_explains_what_decides_and_counts_nothing() -> None:
    chance = Chances()
    chosen = made(0.2, FakeMatcher(), every=2)
    expected = [
        Criterion("target.paths", "/orders", "/orders", 1.0),
        Criterion("percentage", 20.0, None, 0.2),
        Criterion("every", 2, None, 0.5),
    ]
    for _ in range(3):
        assert chosen.explain(by("ada")) == expected
    assert chosen.explain(FakeCall("/"))[0] == Criterion("target.paths", "/orders", "/", 0.0)
    assert [hits(chosen, by("ada"), chance)[0] for _ in range(4)] == [False, True, False, True]


def test_of_a_key_it_knows_the_verdict() -> None:
    chosen = made(0.5, sticky=KEY)
    for number in range(100):
        call = by(str(number))
        assert chosen.explain(call) == [Criterion("sticky", KEY, str(number), float(hits(chosen, call)[0]))]
    assert chosen.explain(FakeCall("/")) == [Criterion("sticky", KEY, None, 0.0)]
    assert chosen.chance_of(FakeCall("/")) is made(every=2).chance_of(by("ada")) is None
