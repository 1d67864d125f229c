"""What an operator expects of the requests that no fault hit, and whether a run bears it out."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .tally import BEGUN, Tally

if TYPE_CHECKING:
    from ..runs.options import Hypothesis

Verdict = Literal["held", "failed", "too_few_requests"]

SLOW_SHARE = 0.05
"""The share of requests that may take longer than a 95th percentile."""

BY_CHANCE = 1e-4
"""How likely a run whose hypothesis holds is aborted nevertheless, however often one looks."""

ODDS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)
"""By how much the odds of a failure may have grown, where the hypothesis does not hold."""

Z = 1.96
"""Of a 95 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One bound, and what was seen; `low` and `high` are what the number of requests allows, to 95 %."""

    measure: Literal["error_rate", "p95_seconds"]
    allowed: float
    observed: float | None
    low: float | None
    high: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    verdict: Verdict
    explanation: str
    figures: tuple[Figure, ...]


def judge(hypothesis: "Hypothesis", tally: Tally) -> Judgement:
    """Held where what was seen is within the bounds, failed where it is outside by more than chance explains."""
    requests = tally.requests("untouched")
    figures = []
    if hypothesis.max_error_rate is not None:
        errors = tally.untouched_errors
        low, high = interval(errors, requests) if requests else (None, None)
        figures.append(
            Figure(
                measure="error_rate",
                allowed=hypothesis.max_error_rate,
                observed=errors / requests if requests else None,
                low=low,
                high=high,
                verdict=_verdict(errors, requests, hypothesis.max_error_rate, hypothesis.min_requests),
            )
        )
    if hypothesis.p95_seconds is not None:
        low, high = _percentile_interval(tally, requests) if requests else (None, None)
        figures.append(
            Figure(
                measure="p95_seconds",
                allowed=hypothesis.p95_seconds,
                observed=tally.percentile("untouched", 1 - SLOW_SHARE),
                low=low,
                high=high,
                verdict=_verdict(tally.slow, requests, SLOW_SHARE, hypothesis.min_requests),
            )
        )
    verdicts = [figure.verdict for figure in figures]
    verdict = next((worst for worst in ("failed", "too_few_requests") if worst in verdicts), "held")
    return Judgement(
        verdict=verdict,  # type: ignore[arg-type]
        explanation=_explained(hypothesis, tally, figures),
        figures=tuple(figures),
    )


def fails_beyond_chance(hypothesis: "Hypothesis", tally: Tally) -> bool:
    """Whether to end the run now. It may be called any number of times without getting more likely to err."""
    answered = tally.requests("untouched")
    if answered < hypothesis.min_requests:
        return False
    begun = max(answered, tally.get(BEGUN))
    found = []
    if hypothesis.max_error_rate is not None:
        found.append(evidence(tally.untouched_errors, begun, hypothesis.max_error_rate))
    if hypothesis.p95_seconds is not None:
        found.append(evidence(tally.slow, begun, SLOW_SHARE))
    return max(found) >= len(found) / BY_CHANCE


def evidence(failures: int, requests: int, allowed: float) -> float:
    """How many times likelier the failures are if more than `allowed` of all requests fail than if no more do.

    A mixture of likelihood ratios: under the hypothesis it is a supermartingale, so that by Ville's inequality it ever
    reaches 1/p with a probability of at most p, at whatever moments one looks.
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


def _verdict(failures: int, requests: int, allowed: float, least: int) -> Verdict:
    if requests < least:
        return "too_few_requests"
    if failures / requests <= allowed:
        return "held"
    return "failed" if interval(failures, requests)[0] > allowed else "too_few_requests"


def _percentile_interval(tally: Tally, requests: int) -> tuple[float | None, float | None]:
    """Order statistics: the ranks between which the 95th percentile lies, to 95 %."""
    share = 1 - SLOW_SHARE
    half = Z * math.sqrt(share * (1 - share) / requests)
    high = share + half
    return (
        tally.percentile("untouched", max(share - half, 0.0)),
        tally.percentile("untouched", high) if high < 1 else None,
    )


def _explained(hypothesis: "Hypothesis", tally: Tally, figures: list[Figure]) -> str:
    requests = tally.requests("untouched")
    if requests < hypothesis.min_requests:
        return f"Untouched requests counted: {requests}; a verdict needs at least {hypothesis.min_requests}."
    return " ".join(_sentence(figure, tally, requests) for figure in figures)


WORDS = {"held": "held", "failed": "failed", "too_few_requests": "no verdict, too few requests"}


def _sentence(figure: Figure, tally: Tally, requests: int) -> str:
    if figure.measure == "error_rate":
        name, what, allowed = "Error rate", "failed", figure.allowed
        failures = tally.untouched_errors
    else:
        name, what, allowed = "Response times", f"took longer than {figure.allowed:g} s", SLOW_SHARE
        failures = tally.slow
    low, high = interval(failures, requests)
    return (
        f"{name}: {WORDS[figure.verdict]}. {failures} of {requests} untouched requests {what}, "
        f"{percent(failures / requests)} (95 % confidence interval {percent(low)} to {percent(high)}); "
        f"the limit is {percent(allowed)}."
    )


def percent(share: float) -> str:
    return f"{share * 100:.3g} %"
