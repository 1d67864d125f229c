"""What outgoing calls came to, for each dependency of a run: counted as `d|<client>|<name>|<what>`, and read again."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..faults.base import FAILED_CALLS, Fail
from .served import Passage
from .tally import SERVER_ERROR, UNREACHED, Tally

KIND = "d"
BETWEEN = "|"
MOST_DEPENDENCIES = 20
"""How many a process counts of one run, and results show. All further ones are one: `OTHERS`."""

LONGEST_NAME = 100
BAD_REQUEST, TOO_MANY_REQUESTS = 400, 429


class Called(NamedTuple):
    """Which dependency, by which client library."""

    client: str
    name: str


OTHERS = Called("", "others")


class Side(NamedTuple):
    """Requests that call the dependency, and how many calls they make together."""

    requests: int
    calls: int

    @property
    def calls_per_request(self) -> float | None:
        return self.calls / self.requests if self.requests else None


class OfDependency(NamedTuple):
    """What the calls to one dependency came to, each attempt of a client's retries being one.

    `hit` are the requests of which the run hit such a call, `untouched` those that call it and that no run hit. What
    the application answered to the hit ones: `survived` below 400, `degraded` 4xx, `failed` 5xx, or nothing.
    """

    called: Called
    calls: int
    calls_hit: int
    errors: int
    unreached: int
    hit: Side
    untouched: Side
    survived: int
    degraded: int
    failed: int

    @property
    def amplification(self) -> float | None:
        """How many times as many calls a request makes when they are hit; None where there is nothing to compare."""
        usual, under_fault = self.untouched.calls_per_request, self.hit.calls_per_request
        return under_fault / usual if usual and under_fault is not None else None

    @property
    def effective_error_rate(self) -> float | None:
        """The share of the hit requests that failed in the end, after all retries and fallbacks."""
        return self.failed / self.hit.requests if self.hit.requests else None


@dataclass(slots=True, eq=False)
class DependencyCounter:
    """Counts outgoing calls for one run in one process."""

    run_id: str
    _known: dict[Called, str] = field(default_factory=dict)

    def count_request(
        self, counters: Tally, passages: Sequence[Passage], status: int | None, *, is_untouched: bool
    ) -> None:
        """The calls of a request that is answered, or has died (None). `is_untouched`: no run hit it."""
        for prefix, calls in self._own(passages).items():
            hits = self._count_calls(counters, prefix, calls)
            if hits:
                counters.add(f"{prefix}hit.calls", len(calls))
                counters.add(f"{prefix}{_end(status)}")
            elif is_untouched:
                counters.add(f"{prefix}untouched.calls", len(calls))
                counters.add(f"{prefix}untouched.requests")

    def count_alone(self, counters: Tally, passage: Passage) -> None:
        """A call that serves no request."""
        for prefix, calls in self._own([passage]).items():
            self._count_calls(counters, prefix, calls)

    def _own(self, passages: Iterable[Passage]) -> dict[str, list[Passage]]:
        """Those that the run is about, by what the names of their counters begin with."""
        found: dict[str, list[Passage]] = {}
        for passage in passages:
            if any(plan.run_id == self.run_id for plan in passage.result.plans):
                found.setdefault(self._prefix(passage), []).append(passage)
        return found

    def _prefix(self, passage: Passage) -> str:
        call = passage.call
        called = Called(call.client, call.name[:LONGEST_NAME].replace(BETWEEN, "_"))
        known = self._known
        if called not in known and len(known) >= MOST_DEPENDENCIES:
            called = OTHERS
        if called not in known:
            known[called] = BETWEEN.join([KIND, *called, ""])
        return known[called]

    def _count_calls(self, counters: Tally, prefix: str, calls: Sequence[Passage]) -> int:
        """How many of them were hit."""
        hit = sum(map(self._is_hit, calls))
        counted = {
            "calls": len(calls),
            "calls_hit": hit,
            "errors": sum(map(has_failed, calls)),
            "unreached": sum(map(self._is_unreached, calls)),
        }
        for what, number in counted.items():
            if number:
                counters.add(f"{prefix}{what}", number)
        return hit

    def _is_hit(self, passage: Passage) -> bool:
        return any(hit.plan.run_id == self.run_id for hit in passage.result.hits)

    def _is_unreached(self, passage: Passage) -> bool:
        return any(run.run_id == self.run_id and name == UNREACHED for run, name in passage.result.notes)


def says_failure(status: int | None) -> bool:
    """Whether an answer's status says that the service failed, or refused for now."""
    return status is not None and (status >= SERVER_ERROR or status == TOO_MANY_REQUESTS)


def has_failed(passage: Passage) -> bool:
    """Whether the call ended without an answer, or with one that says that the service failed. A slow answer is one."""
    if passage.error is not None or says_failure(passage.status):
        return True
    outcome = passage.result.outcome
    if isinstance(outcome, Fail) and outcome.failure.way == "slow":
        return False
    return any(FAILED_CALLS in hit.applied.counters for hit in passage.result.hits)


def _end(status: int | None) -> str:
    """What became of a request in the end."""
    if status is None or status >= SERVER_ERROR:
        return "failed"
    return "degraded" if status >= BAD_REQUEST else "survived"


# Reading


def dependencies(counts: Mapping[str, int]) -> list[OfDependency]:
    """Those with the most hit calls first."""
    found: dict[Called, Tally] = {}
    for called, what, number in _parts(counts):
        found.setdefault(called, Tally()).add(what, number)
    others = found.pop(OTHERS, Tally())
    ordered = sorted(found, key=lambda called: _rank(called, found[called]))
    for called in ordered[MOST_DEPENDENCIES:]:
        others.merge(found[called].counts)
    shown = [_of(called, found[called]) for called in ordered[:MOST_DEPENDENCIES]]
    return [*shown, _of(OTHERS, others)] if others.counts else shown


def calls_hit(counts: Mapping[str, int]) -> int:
    """How many outgoing calls a run has hit."""
    return sum(number for _, what, number in _parts(counts) if what == "calls_hit")


def _parts(counts: Mapping[str, int]) -> Iterator[tuple[Called, str, int]]:
    for counter, number in counts.items():
        kind, _, rest = counter.partition(BETWEEN)
        if kind == KIND and rest.count(BETWEEN) == len(Called._fields):
            client, name, what = rest.split(BETWEEN)
            yield Called(client, name), what, number


def _rank(called: Called, tally: Tally) -> tuple[int, int, Called]:
    return -tally.get("calls_hit"), -tally.get("calls"), called


def _of(called: Called, tally: Tally) -> OfDependency:
    ends = {end: tally.get(end) for end in ("survived", "degraded", "failed")}
    return OfDependency(
        called=called,
        calls=tally.get("calls"),
        calls_hit=tally.get("calls_hit"),
        errors=tally.get("errors"),
        unreached=tally.get("unreached"),
        hit=Side(sum(ends.values()), tally.get("hit.calls")),
        untouched=Side(tally.get("untouched.requests"), tally.get("untouched.calls")),
        **ends,
    )
