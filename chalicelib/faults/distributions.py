"""How long delays are, where they differ: each distribution is its quantile function, from a chance to seconds.

One draw takes one chance, so that the same key, or the same seed, has the same delay. What is below 0 or above a limit
is for the fault to cut off: no percentile between them moves by that.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

from .wait import Quantile

STANDARD = NormalDist()
MEDIAN, HIGH = 0.5, 0.99
"""The percentiles that a distribution is fitted to."""

SMALLEST = 1e-300
"""Instead of a chance of 0, of which a normal distribution has no quantile."""


@dataclass(frozen=True, slots=True)
class Uniform:
    """Each delay between two is as likely as any other."""

    low: float
    width: float

    @classmethod
    def spread(cls, mean: float, jitter: float) -> Self:
        """`jitter` is by how much a delay is shorter or longer than the mean, at most."""
        return cls(mean - jitter, 2 * jitter)

    @classmethod
    def fitted(cls, p50: float, p99: float) -> Self:
        width = (p99 - p50) / (HIGH - MEDIAN)
        return cls(p50 - width * MEDIAN, width)

    def __call__(self, chance: float) -> float:
        return self.low + self.width * chance


@dataclass(frozen=True, slots=True)
class Normal:
    """Delays around a mean, far ones rare on both sides."""

    mean: float
    deviation: float

    @classmethod
    def spread(cls, mean: float, jitter: float) -> Self:
        """`jitter` is the standard deviation."""
        return cls(mean, jitter)

    @classmethod
    def fitted(cls, p50: float, p99: float) -> Self:
        return cls(p50, (p99 - p50) / STANDARD.inv_cdf(HIGH))

    def __call__(self, chance: float) -> float:
        return self.mean + self.deviation * STANDARD.inv_cdf(chance or SMALLEST)


@dataclass(frozen=True, slots=True)
class Exponential:
    """Short delays are the most frequent, beginning with `least`; what is beyond has a mean of `scale`."""

    scale: float
    least: float = 0.0

    @classmethod
    def fitted(cls, p50: float, p99: float) -> Self:
        scale = (p99 - p50) / math.log((1 - MEDIAN) / (1 - HIGH))
        return cls(scale, p50 + scale * math.log(1 - MEDIAN))

    def __call__(self, chance: float) -> float:
        return self.least - self.scale * math.log1p(-chance)


@dataclass(frozen=True, slots=True)
class Pareto:
    """Most delays are about the least one, and a few very long: the heavy tail of real services."""

    least: float
    power: float
    """Minus the inverse of the shape."""

    @classmethod
    def spread(cls, mean: float, jitter: float) -> Self:
        """`jitter` is the standard deviation."""
        shape = 1 + math.sqrt(1 + (mean / jitter) ** 2)
        return cls(mean * (shape - 1) / shape, -1 / shape)

    @classmethod
    def fitted(cls, p50: float, p99: float) -> Self:
        power = -math.log(p99 / p50) / math.log((1 - MEDIAN) / (1 - HIGH))
        return cls(p50 * math.pow(1 - MEDIAN, -power), power)

    def __call__(self, chance: float) -> float:
        return self.least * math.pow(1.0 - chance, self.power)


Spread = type[Uniform] | type[Normal] | type[Pareto]
"""A distribution that a mean and a jitter say all of."""

SPREAD: dict[str, Spread] = {"uniform": Uniform, "normal": Normal, "pareto": Pareto}
FITTED: dict[str, Spread | type[Exponential]] = {**SPREAD, "exponential": Exponential}
LARGEST_RATIO = {
    "uniform": HIGH / MEDIAN,
    "normal": 2.0,
    "exponential": math.log(1 - HIGH) / math.log(1 - MEDIAN),
    "pareto": math.inf,
}
"""How many times the median the 99th percentile may be. With more, many delays would have to be negative."""


def spread(name: str, mean: float, jitter: float | None) -> Quantile:
    """The distribution of this name with a mean and, but for the exponential one, a jitter above 0."""
    return SPREAD[name].spread(mean, jitter) if jitter else Exponential(mean)


def fitted(name: str, p50: float, p99: float) -> Quantile:
    """The distribution of this name that has this median and this 99th percentile, which is the larger one."""
    return FITTED[name].fitted(p50, p99)
