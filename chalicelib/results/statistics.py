"""The statistics of verdicts: intervals for a share, and a test that may be repeated. Counts and shares, nothing else.

Requests that fail together count as fewer: both the intervals and the test hold where failures come in bursts.
`docs/statistics.md` has the assumptions, the proof and simulations. Only `math`, because it is loaded at cold starts.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

OUTSIDE = 0.025
"""How likely the true share is above an interval, and how likely below it."""

Z = 1.959964
"""How many standard deviations a normal variable is within with a probability of 95 %."""

BURST_SECONDS = 5.0
"""How long a burst of failures may last, for the error probability of `exceeds` to hold."""

FEWEST_GROUPS = 6
"""Into how few groups blocks may be joined to see how much the share of failures varies."""

MOST_BLOCKS = 60
"""Into how many blocks a run is divided, at most."""


class Player(NamedTuple):
    """Bets a part of its wealth on failures. It gets wealth at the start and, in equal parts, before each block."""

    bet: float
    at_start: float
    later: float


PLAYERS = (Player(0.2, 0.15, 0.0), Player(0.6, 0.1, 0.08), Player(0.99, 0.0, 0.67))
"""Who plays the test. Small bets win where blocks have few requests, wealth that comes later where failures do.

All that they get is 1 together.
"""

MANY_DEGREES = 1000
PRECISION = 1e-10
BISECTIONS = 24
MOST_STEPS = 100
MOST_TERMS = 20_000
MORE_THAN_ANYBODY_SENDS = 10_000_000


class Part(NamedTuple):
    """Requests that began in one block of time, and how many of them failed."""

    requests: int
    failures: int


class Interval(NamedTuple):
    """Within which the true share lies, to 95 %."""

    low: float
    high: float


# Intervals


def interval(failures: float, requests: float) -> Interval:
    """Clopper and Pearson's, of independent requests. It takes fractions, as an effective number of requests has.

    More failures than requests, of counts that are damaged or were read while they were written, are all of them.
    """
    if requests <= 0:
        return Interval(0.0, 1.0)
    failures = min(failures, requests)
    passed = requests - failures
    low = 0.0 if failures <= 0 else beta_quantile(OUTSIDE, failures, passed + 1)
    high = 1.0 if passed <= 0 else beta_quantile(1 - OUTSIDE, failures + 1, passed)
    return Interval(low, high)


class Spread(NamedTuple):
    """How much more the share of failures varies between groups of blocks than that of independent requests would."""

    design_effect: float = 1.0
    groups: int = 0

    def effective(self, requests: float, growth: float = 1.0) -> float:
        """The number of independent requests that would say as much; of `growth` times as many groups.

        Never more than there are. Few groups are a poor estimate: hence Student's t instead of the normal distribution.
        """
        if self.groups < 2:  # noqa: PLR2004 - one group varies from nothing
            return requests
        poor = student(round(self.groups * growth) - 1) / Z
        return requests / max(1.0, self.design_effect * poor * poor)


def spread(blocks: Sequence[Part], block_seconds: float) -> Spread:
    """The design effect of a ratio estimate over groups of blocks, each as long as a burst where there are enough.

    What two neighbouring groups have in common is added: a burst may lie in both.
    """
    busy = sum(block.requests > 0 for block in blocks)
    groups = [group for group in joined(blocks, _group_size(busy, block_seconds)) if group.requests]
    requests, failures = (sum(numbers) for numbers in zip(*groups, strict=True)) if groups else (0, 0)
    if len(groups) < 2 or not 0 < failures < requests:  # noqa: PLR2004 - one group varies from nothing
        return Spread()
    share = failures / requests
    variance = _variance([group.failures - share * group.requests for group in groups])
    return Spread(max(1.0, variance / (requests * share * (1 - share))), len(groups))


def _variance(excess: Sequence[float]) -> float:
    """Of the sum, from how many more failures than on the average each group has."""
    alone = sum(each * each for each in excess)
    neighbours = 2 * sum(one * another for one, another in pairwise(excess))
    return max(alone, alone + neighbours) * len(excess) / (len(excess) - 1)


def joined(blocks: Sequence[Part], size: int) -> list[Part]:
    """Each `size` neighbouring blocks as one; without the last few, if they make no whole one."""
    whole = len(blocks) - len(blocks) % size
    starts = range(0, whole, size)
    return [Part(*(sum(each) for each in zip(*blocks[at : at + size], strict=True))) for at in starts]


def _group_size(busy: int, block_seconds: float) -> int:
    wanted = math.ceil(BURST_SECONDS / block_seconds) if block_seconds > 0 else 1
    return max(1, min(wanted, busy // FEWEST_GROUPS))


def quantile_ranks(share: float, requests: float) -> tuple[float, float | None]:
    """Between which quantiles of what was observed the true quantile lies, to 95 %: order statistics.

    The true 95th percentile is above the observed 93rd, say, if 7 % of the requests are too many to be 5 % by chance.
    No upper one (None) where there are so few requests that all may be below.
    """
    above = 1 - share

    def at_least(part: float) -> float:  # how likely at least, or more than, this part of the requests is above
        return beta_probability(above, part * requests, (1 - part) * requests + 1)

    def at_most(part: float) -> float:
        return 1 - beta_probability(above, part * requests + 1, (1 - part) * requests)

    high = None if at_most(0.0) > OUTSIDE else 1 - _where(lambda part: at_most(part) <= OUTSIDE, 0.0, above)
    return 1 - _where(lambda part: at_least(part) > OUTSIDE, above, 1.0), high


def _where(is_so: Callable[[float], bool], low: float, high: float) -> float:
    """Up to where something is so that is so at `low`."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_so(middle) else (low, middle)
    return low


def needed(failures: int, requests: int, allowed: float, seen: Spread, least: int) -> int | None:
    """How many more requests it takes until the interval is within `allowed`, if things go on as observed.

    None where they never are enough, or more than anybody sends.
    """

    def is_enough(number: int) -> bool:
        growth = number / requests if requests else 1.0
        count = seen.effective(number, max(growth, 1.0))
        expected = failures * count / requests if requests else 0.0
        return beta_probability(allowed, expected + 1, count - expected) >= 1 - OUTSIDE  # is the upper end within?

    if failures and failures >= allowed * requests:
        return None
    if allowed <= 0:
        return max(least - requests, 1)
    smallest = max(least, requests, 1)
    number = _smallest(is_enough, smallest, MORE_THAN_ANYBODY_SENDS)
    return None if number is None else max(number - requests, 1)


def _smallest(is_enough: Callable[[int], bool], low: int, limit: int) -> int | None:
    """The smallest number from `low` that is enough. All above it are, too."""
    high = low
    while not is_enough(high):
        if high >= limit:
            return None
        low, high = high + 1, min(high * 2, limit)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle + 1, high)
    return high


# The test that may be repeated


def exceeds(blocks: Sequence[Part], block_seconds: float, allowed: float, error_probability: float) -> bool:
    """Whether more than `allowed` of the requests fail, beyond bursts and beyond chance.

    Of runs in which no more fail it says so, at any time, in at most the share `error_probability`.
    """
    if allowed >= 1:
        return False
    chains = list(_chains(blocks, block_seconds))
    enough = len(chains) / error_probability
    return any(_reaches(chain, allowed, enough) for chain in chains)


class _Chain(NamedTuple):
    """Blocks so far apart that no burst is in two of them, and how many there are when the run is over, at most."""

    blocks: Sequence[Part]
    most: int


def _chains(blocks: Sequence[Part], block_seconds: float) -> Iterator[_Chain]:
    """Each block is in one chain. Where blocks are short there are chains of longer ones, too."""
    for size in sorted({1, math.ceil(BURST_SECONDS / block_seconds)}):
        longer = joined(blocks, size)
        apart = 1 + math.ceil(BURST_SECONDS / (block_seconds * size))
        for first in range(apart):
            yield _Chain(longer[first::apart], math.ceil(MOST_BLOCKS / (size * apart)))


def _reaches(chain: _Chain, allowed: float, enough: float) -> bool:
    """Whether the players ever have `enough` together. If no more than `allowed` fail, their game is fair at best."""
    if allowed <= 0:
        return any(block.failures for block in chain.blocks)
    wealth = [player.at_start for player in PLAYERS]
    later = [player.later / chain.most for player in PLAYERS]
    for requests, failures in chain.blocks[: chain.most]:
        if requests:
            gain = min(failures / requests, 1.0) / allowed - 1
            wealth = [
                (each + more) * (1 + player.bet * gain)
                for each, more, player in zip(wealth, later, PLAYERS, strict=True)
            ]
            if failures and sum(wealth) >= enough:
                return True
    return False


# Distributions


@lru_cache(maxsize=256)
def student(degrees: int) -> float:
    """Student's t: within how many standard deviations 95 % lie."""
    if degrees > MANY_DEGREES:
        return Z
    share = beta_quantile(2 * OUTSIDE, degrees / 2, 0.5)
    return math.sqrt(degrees * (1 - share) / share)


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Where the beta distribution reaches a probability: by Newton's method, and by bisection where that leads away."""
    low, high, x = 0.0, 1.0, a / (a + b)
    for _ in range(MOST_STEPS):
        error = beta_probability(x, a, b) - probability
        low, high = (low, x) if error > 0 else (x, high)
        density = math.exp(_log_density(x, a, b))
        step = error / density if density else math.inf
        following = x - step if low < x - step < high else (low + high) / 2
        if abs(following - x) <= PRECISION * x:
            return following
        x = following
    return x


def beta_probability(x: float, a: float, b: float) -> float:
    """The beta distribution's probability of at most `x`: the regularized incomplete beta function."""
    if not 0 < x < 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # there the fraction of the mirrored one converges faster
        return 1 - _beta_probability(1 - x, b, a)
    return _beta_probability(x, a, b)


def _beta_probability(x: float, a: float, b: float) -> float:
    return math.exp(_log_density(x, a, b)) * x * (1 - x) * _continued_fraction(x, a, b) / a


def _log_density(x: float, a: float, b: float) -> float:
    constant = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return constant + (a - 1) * math.log(x) + (b - 1) * math.log1p(-x)


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Of the incomplete beta function, by Lentz's algorithm."""
    tiny = 1e-300
    d = 1 / _not_zero(1 - (a + b) * x / (a + 1), tiny)
    c, value = 1.0, d
    for m in range(1, MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _not_zero(1 + term * d, tiny)
            c = _not_zero(1 + term / c, tiny)
            value *= c * d
        if abs(c * d - 1) < 1e-12:  # noqa: PLR2004 - the precision
            break
    return value


def _not_zero(number: float, tiny: float) -> float:
    return number if abs(number) > tiny else tiny
