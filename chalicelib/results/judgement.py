"""The judgement of a hypothesis: whether the requests that no fault hit were as an operator expects."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from .tally import Tally

if TYPE_CHECKING:
    from ..runs.options import Hypothesis

Measure = Literal["error_rate", "p95_seconds"]
Verdict = Literal["held", "failed", "too_few_requests"]
WORST_LAST: tuple[Verdict, ...] = ("held", "too_few_requests", "failed")
WORDS = {"held": "held", "failed": "failed", "too_few_requests": "no verdict, too few requests"}

SLOW_SHARE = 0.05
"""The share of requests that may take longer than a 95th percentile."""

BY_CHANCE = 1e-4
"""How likely a run whose hypothesis holds is aborted nevertheless, however often it is judged."""

ODDS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)
"""By how much the odds of a failure may have grown, where the hypothesis does not hold."""

Z = 1.96
"""How many standard deviations a 95 % interval reaches to each side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One bound, and what was seen; `low` and `high` are what the number of requests allows, to 95 %."""

    measure: Measure
    allowed: float
    observed: float | None
    low: float | None
    high: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on a hypothesis: the worst of its figures'."""

    verdict: Verdict
    explanation: str
    figures: tuple[Figure, ...]


def judge(hypothesis: "Hypothesis", tally: Tally) -> Judgement:
    """Held where what was seen is within the bounds, failed where it is outside by more than chance explains."""
    requests = tally.requests("untouched")
    bounds = _bounds(hypothesis, tally)
    figures = tuple(_figure(bound, tally, requests, hypothesis.min_requests) for bound in bounds)
    explanation = f"Untouched requests counted: {requests}; a verdict needs at least {hypothesis.min_requests}."
    if requests >= hypothesis.min_requests:
        explanation = " ".join(_sentence(*each, requests) for each in zip(bounds, figures, strict=True))
    verdict = max((figure.verdict for figure in figures), key=WORST_LAST.index, default=WORST_LAST[0])
    return Judgement(verdict=verdict, explanation=explanation, figures=figures)


def fails_beyond_chance(hypothesis: "Hypothesis", tally: Tally) -> bool:
    """Whether to end the run now. It may be called any number of times without getting more likely to err."""
    answered = tally.requests("untouched")
    if answered < hypothesis.min_requests:
        return False
    begun = answered + sum(
        number for each in tally.open_calls for name, number in each.calls.items() if name.startswith("untouched.")
    )
    found = [evidence(bound.failures, begun, bound.allowed_share) for bound in _bounds(hypothesis, tally)]
    return max(found) >= len(found) / BY_CHANCE


def evidence(failures: int, requests: int, allowed: float) -> float:
    """How many times likelier the failures are if more than `allowed` of all requests fail than if no more do.

    A mixture of likelihood ratios: under the hypothesis it is a supermartingale, so that by Ville's inequality it ever
    reaches 1/p with a probability of at most p, however often it is computed.
    """
    if allowed >= 1 or failures == 0:
        return 0.0
    if allowed <= 0:
        return math.inf
    logs = []
    for growth in ODDS:
        share = growth * allowed / (1 - allowed + growth * allowed)
        if share >= 1:  # of a bound next to 1, which nothing exceeds
            return 0.0
        passed = (requests - failures) * math.log((1 - share) / (1 - allowed))
        logs.append(failures * math.log(share / allowed) + passed)
    highest = max(logs)
    if highest > math.log(1 / BY_CHANCE) * len(ODDS):  # far beyond, and soon beyond what a float holds
        return math.inf
    return math.exp(highest) * sum(math.exp(each - highest) for each in logs) / len(ODDS)


def interval(successes: int, requests: int) -> tuple[float, float]:
    """Within which the true share lies, to 95 % (Wilson's)."""
    if not requests:
        return 0.0, 1.0
    share = successes / requests
    spread = 1 + Z**2 / requests
    middle = (share + Z**2 / (2 * requests)) / spread
    half = Z * math.sqrt(share * (1 - share) / requests + Z**2 / (4 * requests**2)) / spread
    low = 0.0 if successes == 0 else max(middle - half, 0.0)
    return low, 1.0 if successes == requests else min(middle + half, 1.0)


class _Bound(NamedTuple):
    """One bound of a hypothesis, as a share of requests that may fail it, and how many do."""

    measure: Measure
    allowed: float
    allowed_share: float
    failures: int
    observe: Callable[[Tally, int], tuple[float | None, float | None, float | None]]
    """From a tally and its number of requests to what was seen, and to the interval in which the truth lies."""
    name: str
    failed: str
    """In words, what a request did that failed the bound."""


def _bounds(hypothesis: "Hypothesis", tally: Tally) -> list[_Bound]:
    """The bounds that the hypothesis has, one or both."""
    share, p95 = hypothesis.max_error_rate, hypothesis.p95_seconds
    bounds = []
    if share is not None:
        errors = tally.untouched_errors
        bounds.append(_Bound("error_rate", share, share, errors, _error_rate, "Error rate", "failed"))
    if p95 is not None:
        slow = f"took longer than {p95:g} s"
        bounds.append(_Bound("p95_seconds", p95, SLOW_SHARE, tally.slow, _percentile, "Response times", slow))
    return bounds


def _figure(bound: _Bound, tally: Tally, requests: int, min_requests: int) -> Figure:
    observed, low, high = bound.observe(tally, requests) if requests else (None, None, None)
    return Figure(
        measure=bound.measure,
        allowed=bound.allowed,
        observed=observed,
        low=low,
        high=high,
        verdict=_verdict(bound.failures, requests, bound.allowed_share, min_requests),
    )


def _error_rate(tally: Tally, requests: int) -> tuple[float, float, float]:
    return (tally.untouched_errors / requests, *interval(tally.untouched_errors, requests))


def _percentile(tally: Tally, requests: int) -> tuple[float | None, float | None, float | None]:
    """The 95th percentile. Its interval is by order statistics: the ranks between which it lies, to 95 %."""
    share = 1 - SLOW_SHARE
    half = Z * math.sqrt(share * (1 - share) / requests)
    high = share + half
    return (
        tally.percentile("untouched", share),
        tally.percentile("untouched", max(share - half, 0.0)),
        tally.percentile("untouched", high) if high < 1 else None,
    )


def _verdict(failures: int, requests: int, allowed: float, least: int) -> Verdict:
    if requests < least:
        return "too_few_requests"
    if failures / requests <= allowed:
        return "held"
    return "failed" if interval(failures, requests)[0] > allowed else "too_few_requests"


def _sentence(bound: _Bound, figure: Figure, requests: int) -> str:
    low, high = interval(bound.failures, requests)
    return (
        f"{bound.name}: {WORDS[figure.verdict]}. {bound.failures} of {requests} untouched requests {bound.failed}, "
        f"{percent(bound.failures / requests)} (95 % confidence interval {percent(low)} to {percent(high)}); "
        f"the limit is {percent(bound.allowed_share)}."
    )


def percent(share: float) -> str:
    return f"{share * 100:.3g} %"
