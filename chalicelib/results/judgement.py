"""The judgement of a hypothesis, whether the run hit what it was to hit, and when the application had recovered.

A verdict is about a *side*: the requests that no run hit, or what the application answered to those that were hit.
The statistics are in `statistics.py`; `docs/statistics.md` says why they are sound.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..runs.run import Run
from .dependencies import calls_hit
from .statistics import Interval, Part, exceeds, interval, needed, quantile_ranks, spread
from .tally import AFTER_SECONDS, MATCHED, REQUESTS, SLOW_SHARE, WOULD_HIT, AfterPart, Side, SideCounts, Tally

if TYPE_CHECKING:
    from ..runs.options import Hypothesis

Measure = Literal["error_rate", "p95_seconds"]
Verdict = Literal["held", "too_few_requests", "cannot_tell", "failed"]
WORST_LAST: tuple[Verdict, ...] = ("held", "too_few_requests", "cannot_tell", "failed")
WORDS: Mapping[Verdict, str] = {
    "held": "held",
    "too_few_requests": "no verdict, too few requests",
    "cannot_tell": "no verdict",
    "failed": "failed",
}
SIDES: Mapping[str, tuple[Side, ...]] = {
    "untouched": ("untouched",),
    "hit": ("hit",),
    "both": ("untouched", "hit"),
}
"""The sides that `of` of a hypothesis names."""

NAMES: Mapping[Side, str] = {"untouched": "untouched requests", "hit": "hit requests that reached the application"}

BY_CHANCE = 1e-4
"""How likely a run whose hypothesis holds is aborted nevertheless, for any bound and side, at any time."""

QUEUED = (
    "Requests waited in a queue while delayed ones occupied the application's workers, and response times leave that "
    "wait out. Measure from the arrival (CHAOS_TRUST_REQUEST_START), or delay fewer requests"
)
UNEVEN = 0.5
"""Requests that weigh as much as fewer than this share of independent ones are said to do so."""

FEWEST_HITS = 5
LEAST_OF_ITS_SHARE = 0.5
"""The part of the requests that a run is to hit, of which it must have hit at least that many times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One bound, and what was seen; `low` to `high` is the 95 % confidence interval.

    `needed` is how many more requests it takes until the bound is held, if things go on as observed. `reason` says why
    more requests would not give a verdict. `finding` is what was seen, in words, and `explanation` all there is to say.
    """

    measure: Measure
    allowed: float
    observed: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    needed: int | None = None
    reason: str | None = None
    finding: str = ""
    explanation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideJudgement:
    """The verdict on one side: the worst of its figures'."""

    verdict: Verdict
    requests: int
    explanation: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on a hypothesis: the worst of its sides'."""

    verdict: Verdict
    explanation: str
    sides: Mapping[Side, SideJudgement]

    @property
    def failures(self) -> str:
        """Which bounds failed, in words."""
        figures = (figure for side in self.sides.values() for figure in side.figures)
        return " ".join(figure.finding for figure in figures if figure.verdict == "failed")


def judge(hypothesis: "Hypothesis", tally: Tally, run: Run, now: float) -> Judgement:
    """Held where the true shares lie within the bounds, failed where they lie outside, as far as can be known."""
    return judge_sides(hypothesis, _sides(hypothesis, tally, run, now))


def fails_beyond_chance(hypothesis: "Hypothesis", tally: Tally, run: Run, now: float) -> bool:
    """Whether to end the run now. It may be called any number of times without getting more likely to err."""
    return sides_fail_beyond_chance(hypothesis, _sides(hypothesis, tally, run, now))


def _sides(hypothesis: "Hypothesis", tally: Tally, run: Run, now: float) -> dict[Side, SideCounts]:
    return {side: tally.side_counts(side, run, now) for side in SIDES[hypothesis.of]}


def judge_sides(hypothesis: "Hypothesis", sides: Mapping[Side, SideCounts]) -> Judgement:
    """The verdict on what was counted of the sides that the hypothesis names."""
    by_chance = BY_CHANCE / len(sides)
    judged = {side: _judge_side(hypothesis, side, counts, by_chance) for side, counts in sides.items()}
    return Judgement(
        verdict=_worst(side.verdict for side in judged.values()),
        explanation=" ".join(side.explanation for side in judged.values()),
        sides=judged,
    )


def sides_fail_beyond_chance(hypothesis: "Hypothesis", sides: Mapping[Side, SideCounts]) -> bool:
    """Whether one of the sides fails one of its bounds beyond bursts and beyond chance."""
    by_chance = BY_CHANCE / len(sides)
    return any(
        _fails_beyond_chance(question, counts, by_chance)
        for counts in sides.values()
        if counts.requests >= hypothesis.min_requests
        for question in _questions(hypothesis, counts)
    )


def _worst(verdicts: Iterable[Verdict]) -> Verdict:
    return max(verdicts, key=WORST_LAST.index, default=WORST_LAST[0])


# One side


class _Question(NamedTuple):
    """One bound, as a share of requests that may fail it, and how many of one side do."""

    measure: Measure
    allowed: float
    allowed_share: float
    failures: int
    blocks: Sequence[Part]
    questions: int
    """How many there are of the side, which share the probability of an error."""
    name: str
    failed: str
    """In words, what a request did that failed the bound."""

    @property
    def is_of_times(self) -> bool:
        return self.measure == "p95_seconds"


def _questions(hypothesis: "Hypothesis", counts: SideCounts) -> list[_Question]:
    """The bounds that the hypothesis has, one or both."""
    rate, p95 = hypothesis.max_error_rate, hypothesis.p95_seconds
    both = (rate is not None) + (p95 is not None)
    found = []
    if rate is not None:
        blocks = [Part(block.began, block.errors) for block in counts.blocks]
        found.append(_Question("error_rate", rate, rate, counts.errors, blocks, both, "Error rate", "failed"))
    if p95 is not None:
        blocks = [Part(block.began, block.slow) for block in counts.blocks]
        slow = f"took longer than {p95:g} s"
        found.append(_Question("p95_seconds", p95, SLOW_SHARE, counts.slow, blocks, both, "Response times", slow))
    return found


def _judge_side(hypothesis: "Hypothesis", side: Side, counts: SideCounts, by_chance: float) -> SideJudgement:
    figures = tuple(
        _figure(question, side, counts, hypothesis.min_requests, by_chance)
        for question in _questions(hypothesis, counts)
    )
    explanation = " ".join(figure.explanation for figure in figures)
    if not counts.requests:
        wanted = max((figure.needed or 0 for figure in figures), default=0)
        explanation = f"No {NAMES[side]} were counted; a verdict needs at least {max(wanted, hypothesis.min_requests)}."
    return SideJudgement(
        verdict=_worst(figure.verdict for figure in figures),
        requests=counts.requests,
        explanation=explanation,
        figures=figures,
    )


def _figure(question: _Question, side: Side, counts: SideCounts, least: int, by_chance: float) -> Figure:
    seen = spread(question.blocks, counts.block_seconds)
    weight = seen.effective(counts.requests)
    share = question.failures / counts.requests if counts.requests else 0.0
    between = interval(share * weight, weight)
    verdict = _verdict(question, counts, between, least, by_chance)
    more = None
    if verdict == "too_few_requests":
        more = needed(question.failures, counts.requests, question.allowed_share, seen, least)
    reason = _reason(verdict, more, counts.requests, least)
    observed, low, high = _observed(question, counts, between, weight)
    finding = _sentence(question, side, counts, between, verdict)
    sentences = (
        finding,
        _weight(weight, counts.requests),
        f"About {more:,} more requests make it held, if this goes on." if more else "",
        f"{reason}." if reason else "",
    )
    return Figure(
        measure=question.measure,
        allowed=question.allowed,
        observed=observed,
        low=low,
        high=high,
        verdict=verdict,
        needed=more,
        reason=reason,
        finding=finding,
        explanation=" ".join(sentence for sentence in sentences if sentence),
    )


def _verdict(question: _Question, counts: SideCounts, between: Interval, least: int, by_chance: float) -> Verdict:
    """What a run was aborted for has failed, whatever the interval says."""
    verdict: Verdict = "too_few_requests"
    if counts.requests >= least:
        if between.low > question.allowed_share or _fails_beyond_chance(question, counts, by_chance):
            return "failed"
        if between.high <= question.allowed_share or (question.allowed_share == 0 and not question.failures):
            verdict = "held"
    return "cannot_tell" if question.is_of_times and counts.times_leave_out_queue else verdict


def _fails_beyond_chance(question: _Question, counts: SideCounts, by_chance: float) -> bool:
    if question.allowed_share == 0:
        return question.failures > 0
    return exceeds(question.blocks, counts.block_seconds, question.allowed_share, by_chance / question.questions)


def _observed(
    question: _Question, counts: SideCounts, between: Interval, weight: float
) -> tuple[float | None, float | None, float | None]:
    """What was seen, and the interval in which the truth lies; of a percentile, by order statistics."""
    if not counts.requests:
        return None, None, None
    if not question.is_of_times:
        return question.failures / counts.requests, between.low, between.high
    low, high = quantile_ranks(1 - SLOW_SHARE, weight)
    return counts.percentile(1 - SLOW_SHARE), counts.percentile(low), None if high is None else counts.percentile(high)


# In words


def _sentence(question: _Question, side: Side, counts: SideCounts, between: Interval, verdict: Verdict) -> str:
    share = question.failures / counts.requests if counts.requests else 0.0
    died = f" ({counts.died:,} of them never answered)" if counts.died else ""
    return (
        f"{question.name}: {WORDS[verdict]}. {question.failures:,} of {counts.requests:,} {NAMES[side]} "
        f"{question.failed}{died}, {percent(share)} (95 % confidence interval {percent(between.low)} to "
        f"{percent(between.high)}); the limit is {percent(question.allowed_share)}."
    )


def _weight(weight: float, requests: int) -> str:
    if weight >= UNEVEN * requests:
        return ""
    return f"They came in bursts: the requests weigh as much as {weight:,.0f} independent ones."


def _reason(verdict: Verdict, more: int | None, requests: int, least: int) -> str | None:
    """Why there is no verdict, where not only some requests are missing."""
    if verdict == "cannot_tell":
        return QUEUED
    if verdict != "too_few_requests" or more:
        return None
    if requests < least:
        return f"A verdict needs at least {least:,} requests"
    return "What was seen is so near the limit, or beyond it, that more requests like these do not make it held"


def percent(share: float) -> str:
    return f"{share * 100:.3g} %"


# Whether it hit, and recovery


Efficacy = Literal["confirmed", "too_few", "never_hit"]


class Met(NamedTuple):
    """How many met the run, those that died included, and how many it hit; a dry run, would have hit.

    They are requests, or outgoing calls where the run is about these.
    """

    calls: int
    hits: int


def met(tally: Tally, run: Run, now: float) -> Met:
    """Also requests that began before the run hit anything."""
    if run.dependency is not None:
        return Met(tally.get(MATCHED), tally.get(WOULD_HIT) if run.is_dry else calls_hit(tally.counts))
    died: dict[Side, int] = {side: tally.side_counts(side, run, now).died for side in SIDES["both"]}
    hits = tally.get(WOULD_HIT) if run.is_dry else tally.requests("hit") + died["hit"]
    return Met(tally.get(REQUESTS) + sum(died.values()), hits)


def efficacy(tally: Tally, run: Run, now: float) -> Efficacy:
    """Whether the run hit what it was to hit: at least some requests, or calls, and about the share that was asked for.

    About: at least half of it, as far as chance allows to say. Of a run whose options say more than a percentage that
    share is not known.
    """
    calls, hits = met(tally, run, now)
    if hits < min(FEWEST_HITS, _most_hits(run)):
        return "too_few" if hits else "never_hit"
    before = 0 if run.dependency is not None else tally.phases()["before"].requests
    calls = max(calls - before, hits)
    return "confirmed" if interval(hits, calls).high >= LEAST_OF_ITS_SHARE * _share(run) else "too_few"


def _most_hits(run: Run) -> float:
    """How many requests the run is to hit at most, as far as is known: there may be but one key."""
    first = run.options.get("first")
    most = (run.options.get("max_requests"), first.get("requests") if isinstance(first, Mapping) else None)
    return min((number for number in most if isinstance(number, int)), default=math.inf)


UNKNOWN_SHARE = ("sticky", "every", "first", "max_requests", "ramp_seconds", "propagate")
"""The options with which a run hits a share of the requests that depends on what comes, and when. So does a target,
except that it is known which outgoing calls are made for requests that match it."""


def _share(run: Run) -> float:
    """The share of the requests, or calls, that the run is to hit, as far as its own parameters say."""
    if any(map(run.options.get, UNKNOWN_SHARE)) or (run.options.get("target") and run.dependency is None):
        return 0.0
    percentage, rate = (run.parameters.get(name, whole) for name, whole in (("percentage", 100.0), ("error_rate", 1.0)))
    return float(percentage) / 100 * float(rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """When error rate and response times were back within the bounds for good, after the run's end; None: not known."""

    recovered_after_seconds: float | None
    explanation: str


def recovery(hypothesis: "Hypothesis", tally: Tally, run: Run, now: float) -> Recovery | None:
    """None while the run is active.

    Recovered is the application from the first part of the time after the run on of which two things are true: no later
    part is outside of the bounds by more than chance explains, and all of them together are within.
    """
    if run.is_active(now):
        return None
    ended = run.over_at
    parts = sorted((part for part in tally.after(run) if part.requests), key=lambda part: part.at)
    if not parts:
        return Recovery(recovered_after_seconds=None, explanation=_nothing_counted(now - ended))
    counted = f"of the {parts[-1].at + parts[-1].seconds - ended:.0f} s that were counted after the run's end"
    steady = _first_steady(hypothesis, parts)
    if steady is None:
        text = f"Not recovered: at the end {counted} the requests were not within the bounds."
        return Recovery(recovered_after_seconds=None, explanation=text)
    if steady == 0:
        return Recovery(recovered_after_seconds=0.0, explanation=f"Within the bounds from the beginning {counted}.")
    seconds = round(parts[steady].at - ended, 3)
    return Recovery(
        recovered_after_seconds=seconds, explanation=f"Back within the bounds after {seconds:g} s {counted}."
    )


def _nothing_counted(seconds: float) -> str:
    if seconds < AFTER_SECONDS:
        return "No request after the run's end is counted yet."
    return "No request was counted after the run's end, so it is not known whether the application recovered."


def _first_steady(hypothesis: "Hypothesis", parts: Sequence[AfterPart]) -> int | None:
    """The number of the first part from which on the bounds are kept."""
    first = None
    for number in reversed(range(len(parts))):
        if _is_outside(hypothesis, parts[number]):
            break
        if _are_within(hypothesis, parts[number:]):
            first = number
    return first


def _is_outside(hypothesis: "Hypothesis", part: AfterPart) -> bool:
    """By more than chance explains."""
    return any(interval(failures, part.requests).low > allowed for failures, allowed in _failures(hypothesis, [part]))


def _are_within(hypothesis: "Hypothesis", parts: Sequence[AfterPart]) -> bool:
    requests = sum(part.requests for part in parts)
    return all(failures <= allowed * requests for failures, allowed in _failures(hypothesis, parts))


def _failures(hypothesis: "Hypothesis", parts: Sequence[AfterPart]) -> Iterator[tuple[int, float]]:
    """How many requests fail each bound, and the share that may."""
    if hypothesis.max_error_rate is not None:
        yield sum(part.errors for part in parts), hypothesis.max_error_rate
    if hypothesis.p95_seconds is not None:
        yield sum(part.slow for part in parts), SLOW_SHARE
