"""What outgoing calls show of the time-outs and the retries of their clients: counters, and the findings in them.

Counters are named `f|<finding>|<client>|<dependency>|<place>|<what>`, and are whole numbers that can be added up. What
is judged from samples (`SAMPLED`) is counted of sound clients, too.
"""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Literal, NamedTuple, cast

from ..faults.base import Fail, Failure
from .dependencies import LONGEST_NAME, has_failed
from .remedies import TIMEOUTS, explanation, remedy
from .served import Passage
from .tally import Tally

log = logging.getLogger(__name__)

Finding = Literal[
    "write_repeated",
    "no_timeout",
    "waits_too_long",
    "retry_amplification",
    "no_backoff",
    "retry_after_ignored",
    "no_jitter",
]

PREFIX = "f"
MOST_FINDINGS = 20
"""Of a run and process, so that the table's items stay small; of those that are judged from samples as many again."""

AT_ONCE_SECONDS = 0.01
"""A pause that is none. A client's own work between two attempts takes a few ms, and the shortest sound pauses that are
common, of botocore for DynamoDB, 12 ms and then 25 ms on average."""

RETRIES_AT_ONCE = 2
"""How many retries in a row come at once without a back-off. The first one alone may: urllib3's Retry does so."""

LEAST_AT_ONCE, SHARE_AT_ONCE = 5, 0.8
"""Of how many calls that were retried so often, at least, which share must have had no pause: pauses that are drawn at
random are short now and then."""

LEAST_PAUSES, LEAST_VARIATION = 20, 0.03
"""Of how many pauses the standard deviation is looked at, and which share of their mean it is with any jitter worth the
name: 6 % with one of 10 % up and down, 58 % where the pause is drawn from 0 on."""

PAUSE_UNIT = 10_000
"""Pauses are counted in units of 100 µs."""

MOST_ATTEMPTS = 6
"""How often one call may be made. Three attempts are usual, and the clients' own policies stay within it: botocore's
has 3, or 5 in its older mode, urllib3's Retry usually 4, and aiohttp makes each once more whose connection breaks.
More is two policies on top of each other, or one that does not end."""

RETRY_AFTER_SHARE = 0.9
"""Which share of Retry-After has to pass: clocks differ a little."""

LONGEST_ROUND_SECONDS = 60.0
"""How long after a failure a call without a request is still its retry."""

MOST_FLOWS = 1000
"""Of how many threads and tasks the last failures are remembered."""

SAMPLED: frozenset[Finding] = frozenset({"no_backoff", "no_jitter"})
GIVEN_UP = frozenset({"CancelledError", "Cancelled"})
"""Exceptions, by name, of a call whose caller does not wait any longer: there is a time limit above the client's."""
UNKNOWN_OUTCOME = frozenset({"lost_reply", "timeout"})
"""After these nobody knows whether a write was done."""


NOTHING = ("", "", 0)
"""What is known of what a call says, where its client's file knows nothing of it."""


class Attempt(NamedTuple):
    """What is looked at of one outgoing call."""

    client: str
    dependency: str
    place: str
    what: tuple[str, str, int]
    """Method, path, and a hash of the rest."""
    flow: object
    began: float
    ended: float
    timeout_seconds: float
    left_seconds: float
    is_repeatable: bool
    heeds_retry_after: bool
    """Whether its client is to heed Retry-After: that of AWS does not know it, whatever the application does."""
    failure: Failure | None
    """How it was made to fail."""
    has_failed: bool
    is_limited: bool
    """Whether there is a time limit above its client's."""

    @property
    def key(self) -> object:
        """Equal for the attempts of one call."""
        return self.client, self.dependency, self.place, self.what, self.flow

    @property
    def is_told_apart(self) -> bool:
        """Whether it can be told from its neighbours, which would be taken for its retries."""
        return self.what != NOTHING

    @property
    def whom(self) -> str:
        """The service or the host."""
        return self.dependency.partition(":")[0]

    @property
    def waits_seconds(self) -> float:
        """For how long its client would have waited: a time-out that is injected may be cut short."""
        lasted = self.ended - self.began
        if self.failure is None or self.failure.way != "timeout" or math.isinf(self.timeout_seconds):
            return lasted
        return max(lasted, self.timeout_seconds)

    @property
    def retry_after_seconds(self) -> float:
        return self.failure.retry_after_seconds if self.failure and self.heeds_retry_after else 0.0


class Count(NamedTuple):
    """A number that is added to what a finding is judged by."""

    finding: Finding
    at: Attempt
    numbers: Mapping[str, int]

    @property
    def subject(self) -> str:
        """The beginning of its counters' names."""
        names = (self.at.client, self.at.dependency)
        cut = (name.replace("|", "/")[:LONGEST_NAME] for name in names)
        return "|".join((PREFIX, self.finding, *cut, self.at.place.replace("|", "/")[-LONGEST_NAME:]))


def attempt(passage: Passage) -> Attempt:
    call, outcome = passage.call, passage.result.outcome
    failure = outcome.failure if isinstance(outcome, Fail) else None
    return Attempt(
        client=call.client,
        dependency=call.name,
        place=passage.place,
        what=(call.method, call.path, passage.content),
        flow=passage.flow,
        began=passage.began,
        ended=passage.ended,
        timeout_seconds=call.timeout_seconds,
        left_seconds=passage.left_seconds,
        is_repeatable=call.is_repeatable,
        heeds_retry_after=not call.service,
        failure=failure,
        has_failed=has_failed(passage),
        is_limited=passage.is_limited or (passage.error is not None and passage.error.__name__ in GIVEN_UP),
    )


# What is counted


def counts_of_request(attempts: Sequence[Attempt]) -> Iterator[Count]:
    """Of the outgoing calls of one request."""
    for each in attempts:
        yield from _counts_of_each(each)
    spent = 0.0
    for call in calls(attempts):
        waits = sum(each.waits_seconds for each in call) + sum(_pauses(call))
        limit = call[0].left_seconds + spent
        if max(waits, *(_finite(each.timeout_seconds) for each in call)) > limit:
            yield Count("waits_too_long", call[0], {"n": 1})
        spent += call[-1].ended - call[0].began
        if len(call) > 1:
            yield from _counts_of_retries(call, attempts)


def _finite(seconds: float) -> float:
    return 0.0 if math.isinf(seconds) else seconds


def _counts_of_each(each: Attempt) -> Iterator[Count]:
    if math.isinf(each.timeout_seconds):
        yield Count("no_timeout", each, {"limited" if each.is_limited else "n": 1})


def _counts_of_retries(call: Sequence[Attempt], among: Sequence[Attempt]) -> Iterator[Count]:
    for earlier, later in pairwise(call):
        yield from _counts_of_pair(earlier, later, among)
    pauses = _pauses(call)
    if len(pauses) >= RETRIES_AT_ONCE:
        yield _at_once(call[0], pauses)
    if len(call) > MOST_ATTEMPTS:
        yield Count("retry_amplification", call[0], {"n": 1, "attempts": len(call)})
    for earlier, pause in zip(call, pauses, strict=False):
        if pause >= AT_ONCE_SECONDS:  # the first one that is one
            if not earlier.retry_after_seconds:
                units = round(pause * PAUSE_UNIT)
                yield Count("no_jitter", call[0], {"n": 1, "sum": units, "squares": units * units})
            return


def _at_once(at: Attempt, pauses: Sequence[float]) -> Count:
    return Count("no_backoff", at, {"of": 1, "n": int(max(pauses) < AT_ONCE_SECONDS)})


def _counts_of_pair(earlier: Attempt, later: Attempt, among: Sequence[Attempt] = ()) -> Iterator[Count]:
    if later.began - earlier.ended < earlier.retry_after_seconds * RETRY_AFTER_SHARE:
        yield Count("retry_after_ignored", later, {"n": 1})
    is_unknown = earlier.failure is not None and earlier.failure.way in UNKNOWN_OUTCOME
    if is_unknown and not later.is_repeatable and not any(_asks_between(each, earlier, later) for each in among):
        yield Count("write_repeated", later, {"n": 1})


def _asks_between(each: Attempt, earlier: Attempt, later: Attempt) -> bool:
    """Whether it may have asked what has become of the earlier one, before that was repeated."""
    return (
        not each.has_failed
        and earlier.ended <= each.began
        and each.ended <= later.began
        and (each.client, each.flow, each.whom) == (later.client, later.flow, later.whom)
    )


def _pauses(call: Sequence[Attempt]) -> list[float]:
    return [later.began - earlier.ended for earlier, later in pairwise(call)]


def calls(attempts: Iterable[Attempt]) -> list[list[Attempt]]:
    """What the application called, each call as its attempts. A retry is a call like another one that has failed before
    it began, on the same thread or task, and that nothing else is the retry of: neighbours are none of each other.
    """
    found: list[list[Attempt]] = []
    failed: dict[object, list[Attempt]] = {}
    for each in sorted(attempts, key=lambda attempt: attempt.began):
        key = each.key
        before = failed.get(key)
        if before and each.is_told_apart and before[-1].ended <= each.began:
            before.append(each)
        else:
            before = [each]
            found.append(before)
        if each.has_failed:
            failed[key] = before
        elif failed.get(key) is before:
            del failed[key]
    return found


@contextmanager
def _unless_it_raises() -> Iterator[None]:
    """What is counted besides must not cost the counts of requests."""
    try:
        yield
    except Exception:
        log.exception("Could not audit outgoing calls")


class Audit:
    """What the outgoing calls of one run in one process add to its counters."""

    def __init__(self) -> None:
        self._subjects: dict[bool, set[str]] = {False: set(), True: set()}
        self._background: dict[object, list[Attempt]] = {}

    def count_request(self, passages: Sequence[Passage], run_id: str, counters: Tally) -> None:
        """Count the outgoing calls of one request that the run is about."""
        with _unless_it_raises():
            about = (each for each in passages if any(plan.run_id == run_id for plan in each.result.plans))
            self._add(counts_of_request([attempt(each) for each in about if each.call.client in TIMEOUTS]), counters)

    def count_in_background(self, passage: Passage, counters: Tally) -> None:
        """Count an outgoing call that serves no request. The next round of what runs for ever looks like a retry, so
        only what no round may do is judged there.
        """
        with _unless_it_raises():
            if passage.call.client in TIMEOUTS:
                self._count_round(attempt(passage), counters)

    def _count_round(self, each: Attempt, counters: Tally) -> None:
        self._add(_counts_of_each(each), counters)
        if not each.is_told_apart:
            return
        key = each.key
        before = self._background.pop(key, [])
        if before and each.began - before[-1].ended > LONGEST_ROUND_SECONDS:
            before = []
        if before:
            self._add(_counts_of_pair(before[-1], each), counters)
        call = [*before, each][-RETRIES_AT_ONCE - 1 :]
        if len(call) > RETRIES_AT_ONCE:
            self._add([_at_once(each, _pauses(call))], counters)
        if each.has_failed:
            self._background[key] = call
            if len(self._background) > MOST_FLOWS:
                del self._background[next(iter(self._background))]

    def _add(self, counts: Iterable[Count], counters: Tally) -> None:
        for count in counts:
            subject = count.subject
            known = self._subjects[count.finding in SAMPLED]
            if subject in known or len(known) < MOST_FINDINGS:
                known.add(subject)
                counters.merge({f"{subject}|{what}": number for what, number in count.numbers.items() if number})


# What is found


class Found(NamedTuple):
    """One finding. `calls` are those that show it."""

    finding: Finding
    client: str
    dependency: str
    place: str
    calls: int
    explanation: str
    remedy: str


def findings(counts: Mapping[str, int]) -> list[Found]:
    """What the counters of a run show, the worst first."""
    found: list[Found] = []
    for subject, numbers in _by_subject(counts).items():
        finding, client, dependency, place = subject
        if client in TIMEOUTS and finding in JUDGED and JUDGED[finding](numbers):
            of = numbers.get("n", 0)
            found.append(
                Found(finding, client, dependency, place, of, explanation(finding, numbers), remedy(finding, client))
            )
    order = list(JUDGED)
    return sorted(found, key=lambda each: (order.index(each.finding), -each.calls))[:MOST_FINDINGS]


def _by_subject(counts: Mapping[str, int]) -> dict[tuple[Finding, str, str, str], dict[str, int]]:
    subjects: dict[tuple[Finding, str, str, str], dict[str, int]] = {}
    for name, number in counts.items():
        parts = name.split("|")
        if parts[0] == PREFIX and len(parts) == PARTS:
            _, finding, client, dependency, place, what = parts
            subjects.setdefault((cast("Finding", finding), client, dependency, place), {})[what] = number
    return subjects


PARTS = 6


def _is_there(numbers: Mapping[str, int]) -> bool:
    return numbers.get("n", 0) > 0


def _has_no_limit(numbers: Mapping[str, int]) -> bool:
    return _is_there(numbers) and not numbers.get("limited")


def _comes_at_once(numbers: Mapping[str, int]) -> bool:
    of = numbers.get("of", 0)
    return of >= LEAST_AT_ONCE and numbers.get("n", 0) >= SHARE_AT_ONCE * of


def _hardly_differs(numbers: Mapping[str, int]) -> bool:
    number = numbers.get("n", 0)
    if number < LEAST_PAUSES:
        return False
    mean = numbers.get("sum", 0) / number
    variance = max(numbers.get("squares", 0) / number - mean * mean, 0.0)
    return math.sqrt(variance) < LEAST_VARIATION * mean


JUDGED = {
    "write_repeated": _is_there,
    "no_timeout": _has_no_limit,
    "waits_too_long": _is_there,
    "retry_amplification": _is_there,
    "no_backoff": _comes_at_once,
    "retry_after_ignored": _is_there,
    "no_jitter": _hardly_differs,
}
"""Which counts are a finding; the worst first."""
