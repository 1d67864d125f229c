"""Renders what a run did, and the verdict on its hypothesis, for the API."""

from collections.abc import Iterator, Mapping
from typing import cast

from ..faults.answer import ERRORS, Answer
from ..faults.base import declared_counters
from ..faults.memory import HoldMemory
from ..faults.wait import Wait
from ..results.audit import findings
from ..results.dependencies import OfDependency, dependencies
from ..results.judgement import Efficacy, Figure, SideJudgement, efficacy, judge, met, recovery
from ..results.tally import (
    MATCHED,
    REQUESTS,
    SIDES,
    TEST_HIT,
    TEST_REQUESTS,
    UNREACHED,
    WITHOUT_KEY,
    WOULD_HIT,
    AfterPart,
    Phase,
    Side,
    Slice,
    Tally,
    upper_bound,
)
from ..runs.run import Run
from ..runs.target import OF_ENVIRONMENTS
from .shapes import (
    JudgedSide,
    JudgedSides,
    Results,
    ResultsOfDependency,
    ShownAfter,
    ShownBucket,
    ShownCounter,
    ShownFigure,
    ShownFinding,
    ShownHypothesis,
    ShownPhase,
    ShownPhases,
    ShownRecovery,
    ShownSide,
    ShownSlice,
    iso,
)

KINDS = (Answer, Wait, HoldMemory)
"""The kinds of fault whose counters every run has shown, from the first version on."""

UNREAD = Tally()
"""Instead of a tally that could not be read."""

NOT_READ = "The results could not be read from the table. Try again."
FLUSHED_SECONDS = 2.5
"""How long after the end of a run nothing counted means that there was nothing to count."""


def hypothesis(shown: Run, tally: Tally | None, now: float) -> ShownHypothesis | None:
    """What was expected, and the verdict on it; None without a hypothesis that this version can judge."""
    expected = shown.hypothesis
    if expected is None:
        return None
    judgement = judge(expected, tally or Tally(), shown, now)
    unread = NOT_READ if tally is UNREAD else ""
    advice = {side: _advice(shown, side, each) for side, each in judgement.sides.items()}
    sides = {side: _judged(each, unread or each.explanation + advice[side]) for side, each in judgement.sides.items()}
    judged: ShownHypothesis = {
        "verdict": judgement.verdict,
        "explanation": unread or "".join([judgement.explanation, *advice.values()]),
        "figures": next(iter(sides[side]["figures"] for side in reversed(SIDES) if side in sides), []),
        "sides": cast("JudgedSides", sides),
    }
    return cast("ShownHypothesis", {**shown.options["hypothesis"], **expected.model_dump(mode="json"), **judged})


NATURAL = (
    "Requests that do not call the dependency are untouched. To judge what the application answers where its calls are "
    'hit, start with "of": "hit" in hypothesis.'
)


def _advice(shown: Run, side: Side, judged: SideJudgement) -> str:
    """What to do where a run about outgoing calls leaves too few requests untouched."""
    is_natural = shown.dependency is not None and side == "untouched" and judged.verdict == "too_few_requests"
    return f" {NATURAL}" if is_natural else ""


def _judged(side: SideJudgement, explanation: str) -> JudgedSide:
    return {
        "verdict": side.verdict,
        "requests": side.requests,
        "explanation": explanation,
        "figures": [_figure(figure) for figure in side.figures],
    }


def _figure(figure: Figure) -> ShownFigure:
    return {
        "measure": figure.measure,
        "allowed": figure.allowed,
        "observed": _rounded(figure.observed),
        "low": _rounded(figure.low),
        "high": _rounded(figure.high),
        "verdict": figure.verdict,
        "needed": figure.needed,
        "reason": figure.reason,
    }


def results(shown: Run, tally: Tally | None, now: float, *, whole: bool) -> Results:
    """Empty where nothing is known yet. `whole` is with what happened when, and how long it took."""
    if tally is UNREAD or (tally is None and now < shown.over_at + FLUSHED_SECONDS):
        return {}
    counted = tally or Tally()
    made: Results = {**_counts(shown, counted, now), **_verdicts(shown, counted, now)}
    return {**made, **_course(shown, counted)} if whole else made


def _counts(shown: Run, tally: Tally, now: float) -> Results:
    requests = tally.get(REQUESTS)
    sides = [tally.side_counts(side, shown, now) for side in SIDES]
    return {
        "requests": requests,
        "requests_hit": tally.requests("hit"),
        "requests_untouched": tally.requests("untouched"),
        "matched": tally.get(MATCHED) if _names_calls(shown) or shown.dependency is not None else None,
        "without_key": tally.get(WITHOUT_KEY) if _has_key(shown) else None,
        "would_hit": tally.get(WOULD_HIT) if shown.is_dry else None,
        "unreached": None if shown.dependency is None else tally.get(UNREACHED),
        "dependencies": None if shown.dependency is None else list(map(_dependency, dependencies(tally.counts))),
        "environments": tally.environments,
        "died": sum(side.died for side in sides),
        "open": sum(side.open for side in sides),
        "test": {"requests": tally.get(TEST_REQUESTS), "hit": tally.get(TEST_HIT)},
        "actual_error_rate": _rounded(tally.get(ERRORS) / requests) if requests else None,
        **_of_each_run(tally),
        "audit": None if shown.dependency is None else _audit(tally),
        "counters": _counters(tally),
        "hit": _side(tally, "hit"),
        "untouched": _side(tally, "untouched"),
    }


def _dependency(each: OfDependency) -> ResultsOfDependency:
    return {
        "name": each.called.name,
        "client": each.called.client,
        "calls": each.calls,
        "calls_hit": each.calls_hit,
        "errors": each.errors,
        "unreached": each.unreached,
        "requests": {"hit": each.hit.requests, "untouched": each.untouched.requests},
        "calls_per_request": {
            "hit": _rounded(each.hit.calls_per_request),
            "untouched": _rounded(each.untouched.calls_per_request),
        },
        "amplification": _rounded(each.amplification),
        "survived": each.survived,
        "degraded": each.degraded,
        "failed": each.failed,
        "effective_error_rate": _rounded(each.effective_error_rate),
    }


def _audit(tally: Tally) -> list[ShownFinding]:
    return [cast("ShownFinding", found._asdict()) for found in findings(tally.counts)]


def _names_calls(shown: Run) -> bool:
    target = shown.options.get("target")
    return isinstance(target, Mapping) and bool(target.keys() - OF_ENVIRONMENTS)


def _has_key(shown: Run) -> bool:
    first = shown.options.get("first")
    return bool(shown.options.get("sticky") or (isinstance(first, Mapping) and first.get("key")))


def _of_each_run(tally: Tally) -> Results:
    """What the results of every run have, whatever its faults."""
    return cast("Results", {counter.name: counter.value(tally.counts) for kind in KINDS for counter in kind.counters})


def _counters(tally: Tally) -> list[ShownCounter]:
    """What faults have counted."""
    return [
        {"name": counter.name, "title": counter.title, "unit": counter.unit, "value": value}
        for counter in declared_counters()
        if (value := counter.value(tally.counts))
    ]


def _side(tally: Tally, side: Side) -> ShownSide:
    return {
        "requests": tally.requests(side),
        "statuses": tally.statuses(side),
        "p50_seconds": _rounded(tally.percentile(side, 0.5)),
        "p95_seconds": _rounded(tally.percentile(side, 0.95)),
        "p99_seconds": _rounded(tally.percentile(side, 0.99)),
    }


def _verdicts(shown: Run, tally: Tally, now: float) -> Results:
    hits = efficacy(tally, shown, now)
    return {
        "efficacy": hits,
        "efficacy_explanation": f"{_in_words(hits, *met(tally, shown, now), shown, now)}{_why_not(shown, tally)}",
        "phases": _phases(shown, tally, now),
        "recovery": _recovery(shown, tally, now),
    }


def _in_words(hits: Efficacy, calls: int, hit: int, shown: Run, now: float) -> str:
    """Whether the run hit requests, or outgoing calls, as a sentence."""
    were, was = ("would have been",) * 2 if shown.is_dry else ("were", "was")
    several = "requests" if shown.dependency is None else f"calls to {shown.dependency}"
    counts = f"{hit} of {calls} {several} {were} hit"
    if hits == "confirmed":
        return f"{counts}."
    if hits == "too_few":
        only = "Only " if hit < calls else ""
        return f"{only}{counts}: too few to say that the run did what it was to do."
    so_far = " so far" if shown.is_active(now) else ""
    several = f"{several[0].upper()}{several[1:]}"
    return f"{several} came ({calls}), but none {was} hit{so_far}." if calls else _nothing(shown, so_far)


def _nothing(shown: Run, so_far: str) -> str:
    if shown.dependency is not None:
        return f"No call has matched {shown.dependency}{so_far}."
    return f"No request has reached the application{so_far}." if so_far else NOBODY


def _why_not(shown: Run, tally: Tally) -> str:
    """What kept requests, or calls, from being hit, as further sentences."""
    if shown.dependency is not None:
        return "".join(f" {each}" for each in _why_no_call(shown, tally))
    if _names_calls(shown) and tally.get(REQUESTS) and not tally.get(MATCHED):
        return " The target matched none of them."
    without_key = tally.get(WITHOUT_KEY) if _has_key(shown) else 0
    return f" {without_key} of them had no key to decide by." if without_key else ""


def _why_no_call(shown: Run, tally: Tally) -> Iterator[str]:
    if not tally.get(MATCHED):
        yield "GET /dependencies shows what the application calls."
        if shown.parameters.get("scope_of_calls") != "process":
            yield "Calls that serve no request of the target are not looked at, unless scope_of_calls is process."
    if unreached := tally.get(UNREACHED):
        yield f"{unreached} of them could not be hit: their client library cannot be made to meet this fault."
    if _has_key(shown) and (without_key := tally.get(WITHOUT_KEY)):
        yield f"{without_key} of them had no key to decide by."


NOBODY = "No request reached the application while the run was active."


def _phases(shown: Run, tally: Tally, now: float) -> ShownPhases:
    found = tally.phases(now)
    has_baseline, is_over = shown.hits_from > shown.started_at, not shown.is_active(now)
    return {
        "before": _phase(found["before"]) if has_baseline else None,
        "during": _phase(found["during"]),
        "after": _phase(found["after"]) if is_over else None,
    }


def _phase(phase: Phase) -> ShownPhase:
    return {
        "requests": phase.requests,
        "errors": phase.errors,
        "error_rate": _rounded(phase.errors / phase.requests) if phase.requests else None,
        "p95_seconds": _rounded(phase.p95_seconds),
    }


def _recovery(shown: Run, tally: Tally, now: float) -> ShownRecovery | None:
    expected = None if shown.is_active(now) else shown.hypothesis
    found = recovery(expected, tally, shown, now) if expected else None
    if found is None:
        return None
    return {"recovered_after_seconds": _rounded(found.recovered_after_seconds), "explanation": found.explanation}


def _course(shown: Run, tally: Tally) -> Results:
    return {
        "distribution": _distribution(tally),
        "timeline": [_slice(part) for part in tally.timeline(shown)],
        "after": [_after(part) for part in tally.after(shown)],
    }


def _distribution(tally: Tally) -> list[ShownBucket]:
    """From the first bucket that has something to the last one."""
    hit, untouched = tally.buckets("hit"), tally.buckets("untouched")
    numbers = hit.keys() | untouched.keys()
    if not numbers:
        return []
    return [
        {"up_to_seconds": round(upper_bound(n), 6), "hit": hit.get(n, 0), "untouched": untouched.get(n, 0)}
        for n in range(min(numbers), max(numbers) + 1)
    ]


def _slice(part: Slice) -> ShownSlice:
    return {
        "at": iso(part.at),
        "seconds": round(part.seconds, 3),
        "hit": part.hit,
        "untouched": part.untouched,
        "errors": part.errors,
        "injected_errors": part.injected_errors,
        "hit_mean_seconds": _rounded(part.hit_mean_seconds),
        "untouched_mean_seconds": _rounded(part.untouched_mean_seconds),
    }


def _after(part: AfterPart) -> ShownAfter:
    return {
        "at": iso(part.at),
        "seconds": round(part.seconds, 3),
        "requests": part.requests,
        "errors": part.errors,
        "slow": part.slow,
        "mean_seconds": _rounded(part.mean_seconds),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
