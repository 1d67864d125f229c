"""What a run did to the requests that were served while it was active, in counts that can be added up.

A tally is a mapping from a counter's name to a number, so that adding two is adding number by number: in this process,
and in the table, which adds without reading. Times are counted in whole microseconds.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..faults.answer import ERRORS
from ..faults.wait import DELAY, MICROSECONDS
from ..runs.run import Run

Side = Literal["hit", "untouched"]
"""Requests that the run hit, and those that no run did. What only another run hit is on neither side."""

SIDES: tuple[Side, ...] = ("hit", "untouched")
REQUESTS = "requests"
SLOW = "untouched.slow"
BEGUN = "begun"
"""The counter of untouched requests that have begun, with which failures are compared where a hypothesis may abort the
run: errors are often answered sooner than successes, so that of the *answered* requests too many may have failed.

A request must be counted here no later than its failure is flushed. So a server counts it when it begins, and Lambda,
where a flush follows the answer, counts one request ahead.
"""

SMALLEST_SECONDS = 0.0001
STEPS_PER_DOUBLING = 4
LAST_BUCKET = 96
"""Of 27 minutes, more than a Lambda invocation lasts."""

SLICES = 30
"""Into how many parts the life of a run is divided, for what happened when."""

SHORTEST_SLICE_SECONDS = 1.0
SERVER_ERROR = 500


def upper_bound(number: int) -> float:
    """The longest time that belongs to a bucket, in seconds. Buckets are a fourth of a doubling wide."""
    return float(SMALLEST_SECONDS * 2.0 ** (number / STEPS_PER_DOUBLING))


BUCKET_BOUNDS = tuple(upper_bound(number) for number in range(LAST_BUCKET))

STATUS_COUNTERS = {side: tuple(f"{side}.{number}xx" for number in range(10)) for side in SIDES}
BUCKET_COUNTERS = {side: tuple(f"{side}.b{number}" for number in range(LAST_BUCKET + 1)) for side in SIDES}
SLICE_COUNTERS = {
    side: tuple((f"s{number}.{side}", f"s{number}.{side}.us") for number in range(SLICES)) for side in SIDES
}
SLICE_ERRORS = tuple((f"s{number}.errors", f"s{number}.{ERRORS}") for number in range(SLICES))
"""The names of the counters, made once: every request that is counted needs half a dozen of them."""


def bucket(seconds: float) -> int:
    """The number of the bucket that a response time belongs to."""
    return bisect_left(BUCKET_BOUNDS, seconds)


def slice_seconds(run: Run) -> float:
    return max(run.duration_seconds / SLICES, SHORTEST_SLICE_SECONDS)


class Counting:
    """What counting a request needs to know of its run: made once a run, used by each `Tally.record`."""

    __slots__ = ("slice_starts", "slow_above")

    def __init__(self, run: Run) -> None:
        width = slice_seconds(run)
        bound = run.slow_after_seconds
        self.slice_starts = tuple(run.started_at + number * width for number in range(1, SLICES))
        """Of the second slice and those after it: what is earlier is in the first one, what is later in the last."""
        self.slow_above = math.inf if bound is None else bound


@dataclass(slots=True)
class Served:
    """One request that was served while the run was active. `seconds` is until its response, delay included.

    `counters` are what the faults that hit it report, by the names of `Tally.counts`: `{"delay": 2_000_000}`.
    Not frozen: that would more than double the time that it takes to make one.
    """

    at: float
    seconds: float
    status: int
    side: Side | None
    counters: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """Counts of one run. Not safe to share between threads."""

    counts: dict[str, int] = field(default_factory=dict)
    environments: int = 0

    def add(self, name: str, number: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + number

    def merge(self, counts: Mapping[str, int]) -> None:
        for name, number in counts.items():
            self.add(name, number)

    def record(self, counting: Counting, served: Served) -> None:
        """Count one request. Every request passes here while the run is active, so this must stay cheap."""
        counts, side, seconds = self.counts, served.side, served.seconds
        counts[REQUESTS] = counts.get(REQUESTS, 0) + 1
        if side is None:
            return
        number = bisect_right(counting.slice_starts, served.at)
        requests, microseconds = SLICE_COUNTERS[side][number]
        for name in (
            STATUS_COUNTERS[side][served.status // 100 % 10],  # of a number that is no status, too
            BUCKET_COUNTERS[side][bisect_left(BUCKET_BOUNDS, seconds)],
            requests,
        ):
            counts[name] = counts.get(name, 0) + 1
        counts[microseconds] = counts.get(microseconds, 0) + round(seconds * MICROSECONDS)
        errors, injected_errors = SLICE_ERRORS[number]
        if side == "hit":
            self.merge(served.counters)
            if ERRORS in served.counters:
                self.add(injected_errors, served.counters[ERRORS])
            return
        if served.status >= SERVER_ERROR:
            self.add(errors)
        if seconds > counting.slow_above:
            self.add(SLOW)

    # What can be read from it

    def get(self, name: str) -> int:
        return self.counts.get(name, 0)

    def statuses(self, side: Side) -> dict[str, int]:
        """How many were answered with each class of status: "2xx"."""
        return {name[-3:]: self.counts[name] for name in STATUS_COUNTERS[side] if name in self.counts}

    def requests(self, side: Side) -> int:
        return sum(self.statuses(side).values())

    def buckets(self, side: Side) -> dict[int, int]:
        """How many belong to each bucket of response times, the fastest first."""
        return {number: self.counts[name] for number, name in enumerate(BUCKET_COUNTERS[side]) if name in self.counts}

    def percentile(self, side: Side, share: float) -> float | None:
        """The time within which a share of the requests was answered, in seconds, to the width of a bucket."""
        buckets = self.buckets(side)
        rank = share * sum(buckets.values())
        seen = 0
        for number, count in buckets.items():
            if seen + count >= rank:
                within = (rank - seen) / count
                return upper_bound(number) * math.pow(2.0, (within - 1) / STEPS_PER_DOUBLING)
            seen += count
        return None

    @property
    def untouched_errors(self) -> int:
        """The application's own server errors."""
        return self.get("untouched.5xx")

    @property
    def slow(self) -> int:
        """How many untouched requests took longer than the run's hypothesis allows 95 of 100 to take."""
        return self.get(SLOW)

    @property
    def delay_seconds(self) -> float:
        return self.get(DELAY) / MICROSECONDS

    def timeline(self, run: Run) -> Iterator["Slice"]:
        """The parts of the run's life in which there was a request."""
        slices = (self._slice(run, number) for number in range(SLICES))
        return (part for part in slices if part.hit or part.untouched)

    def side_counts(self, side: Side, run: Run, now: float) -> "SideCounts":
        """What a hypothesis is judged by."""
        del run, now
        untouched = side == "untouched"
        return SideCounts(
            requests=self.requests(side),
            errors=self.untouched_errors if untouched else 0,
            slow=self.slow if untouched else 0,
            buckets=self.buckets(side),
        )

    def phases(self, run: Run) -> Mapping[str, "Phase"]:
        del self, run
        return {}

    def after(self, run: Run) -> tuple["AfterPart", ...]:
        del self, run
        return ()

    def _slice(self, run: Run, number: int) -> "Slice":
        width = slice_seconds(run)
        errors, injected_errors = SLICE_ERRORS[number]
        hit, untouched = (SLICE_COUNTERS[side][number] for side in SIDES)
        return Slice(
            at=run.started_at + number * width,
            seconds=width,
            hit=self.get(hit[0]),
            untouched=self.get(untouched[0]),
            errors=self.get(errors),
            injected_errors=self.get(injected_errors),
            hit_mean_seconds=self._mean(*hit),
            untouched_mean_seconds=self._mean(*untouched),
        )

    def _mean(self, requests: str, microseconds: str) -> float | None:
        count = self.get(requests)
        return self.get(microseconds) / MICROSECONDS / count if count else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A part of a run's life. `errors` are the application's own, of untouched requests."""

    at: float
    seconds: float
    hit: int
    untouched: int
    errors: int
    injected_errors: int
    hit_mean_seconds: float | None
    untouched_mean_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A part of a run's life, by when the requests began, of which every environment has flushed all."""

    began: int
    errors: int
    slow: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SideCounts:
    """The requests of one side that a hypothesis judges: those that the application answered itself, or that died."""

    requests: int
    errors: int
    slow: int
    died: int = 0
    open: int = 0
    blocks: tuple[Block, ...] = ()
    block_seconds: float = 5.0
    times_leave_out_queue: bool = False
    buckets: Mapping[int, int] = field(default_factory=dict, hash=False)

    def percentile(self, share: float) -> float | None:
        counts = {BUCKET_COUNTERS["hit"][number]: count for number, count in self.buckets.items()}
        return Tally(counts).percentile("hit", share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """The untouched requests before, during or after a run's faults."""

    requests: int
    errors: int
    p95_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterPart:
    """A part of the time after a run's end."""

    at: float
    seconds: float
    requests: int
    errors: int
    slow: int
    mean_seconds: float | None
