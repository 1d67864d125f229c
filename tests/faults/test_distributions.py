"""What is drawn is what theory says: distances of Kolmogorov and Smirnov, and percentiles, of a seeded chance."""

import math
import random
import statistics
from bisect import bisect_right
from collections.abc import Callable, Sequence

import pytest

from chalicelib.faults.distributions import FITTED, LARGEST_RATIO, Exponential, Normal, Pareto, Uniform, fitted, spread

DRAWS = 100_000
LARGEST_DISTANCE = 1.95 / math.sqrt(DRAWS)
"""Which one sample in a thousand exceeds."""

Cumulative = Callable[[float], float]


def draws(quantile: Callable[[float], float], seed: str = "2026-11-25") -> list[float]:
    chance = random.Random(seed).random  # noqa: S311 - to be drawn again
    return sorted(quantile(chance()) for _ in range(DRAWS))


def distance(drawn: Sequence[float], cumulative: Cumulative) -> float:
    """The largest between how many draws are below a value and how many should be."""
    theory = [cumulative(each) for each in drawn]
    return max(max(abs(at - n / DRAWS), abs((n + 1) / DRAWS - at)) for n, at in enumerate(theory))


def percentile(drawn: Sequence[float], share: float) -> float:
    return drawn[round(share * DRAWS)]


CUMULATIVE: dict[str, tuple[Callable[[float], float], Cumulative]] = {
    "uniform": (spread("uniform", 2.0, 0.5), lambda x: (x - 1.5) / 1.0),
    "normal": (spread("normal", 2.0, 0.5), statistics.NormalDist(2.0, 0.5).cdf),
    "exponential": (spread("exponential", 2.0, None), lambda x: 1 - math.exp(-x / 2.0)),
    "pareto": (spread("pareto", 2.0, 1.0), lambda x: 1 - (2.0 * (1 - 1 / SHAPE) / x) ** SHAPE),
}
SHAPE = 1 + math.sqrt(1 + 2.0**2)
"""Of the distribution of Pareto whose mean is twice its standard deviation."""


@pytest.mark.parametrize("name", CUMULATIVE)
def test_what_is_drawn_is_distributed_as_it_should_be(name: str) -> None:
    quantile, cumulative = CUMULATIVE[name]
    assert distance(draws(quantile), cumulative) < LARGEST_DISTANCE


@pytest.mark.parametrize(("name", "deviation"), [("uniform", 0.5 / math.sqrt(3)), ("normal", 0.5), ("pareto", 0.5)])
def test_a_delay_and_a_jitter_are_mean_and_spread(name: str, deviation: float) -> None:
    drawn = draws(spread(name, 2.0, 0.5))
    assert statistics.fmean(drawn) == pytest.approx(2.0, rel=0.01)
    assert statistics.pstdev(drawn) == pytest.approx(deviation, rel=0.05)


def test_an_exponential_distribution_has_the_mean_that_it_is_given() -> None:
    assert statistics.fmean(draws(spread("exponential", 2.0, None))) == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize(
    ("name", "ratio"),
    [(name, ratio) for name in FITTED for ratio in (1.001, 1.5, 1.98, 6.6, 50, 600) if ratio <= LARGEST_RATIO[name]],
)
def test_a_fitted_distribution_has_the_percentiles_that_were_asked_for(name: str, ratio: float) -> None:
    quantile = fitted(name, 0.1, 0.1 * ratio)
    assert quantile(0.5) == pytest.approx(0.1)
    assert quantile(0.99) == pytest.approx(0.1 * ratio)
    drawn = draws(quantile)
    below = [bisect_right(drawn, 0.1) / DRAWS, bisect_right(drawn, 0.1 * ratio) / DRAWS]
    assert below == [pytest.approx(0.5, abs=0.006), pytest.approx(0.99, abs=0.0015)]


@pytest.mark.parametrize("name", FITTED)
def test_at_the_largest_ratio_hardly_a_delay_would_be_negative(name: str) -> None:
    quantile = fitted(name, 0.1, min(LARGEST_RATIO[name] * 0.1, 1e6))
    assert quantile(0.011) > -1e-9


@pytest.mark.parametrize("quantile", [Uniform(1.0, 2.0), Normal(1.0, 0.2), Exponential(1.0), Pareto.fitted(0.1, 60.0)])
def test_the_larger_the_chance_the_longer_the_delay_and_any_chance_has_one(
    quantile: Callable[[float], float],
) -> None:
    chances = [0.0, 1e-300, 0.25, 0.5, 0.99, 1 - 2.0**-53]
    drawn = [quantile(chance) for chance in chances]
    assert drawn == sorted(drawn)
    assert all(map(math.isfinite, drawn))
