"""What a run did to the requests that were served while it was active, in counts that can be added up.

A tally is a mapping from a counter's name to a number, so that adding two is adding number by number: in this process,
and in the table, which adds without reading. Times are counted in whole microseconds.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..runs.run import Run

Side = Literal["hit", "untouched"]
"""Requests that the run hit, and those that no run did. What only another run hit is on neither side."""

SIDES: tuple[Side, ...] = ("hit", "untouched")
REQUESTS, ERRORS, DELAY, MEMORY = "requests", "injected_errors", "delay", "memory_mb"
BEGUN = "begun"
"""Untouched requests that have begun, where a hypothesis may abort the run.

An error is often answered sooner than a success: of the requests that are *answered* at some moment, too many may have
failed. So a failure is set against all that have begun, which is told not later than the failure: by a server when they
begin, in Lambda, where an environment serves one at a time and tells when it is answered, one ahead.
"""

MICROSECONDS = 1_000_000
SMALLEST_SECONDS = 0.0001
STEPS_PER_DOUBLING = 4
LAST_BUCKET = 96
"""Of 27 minutes, more than a Lambda invocation lasts."""

SLICES = 30
"""Into how many parts the life of a run is divided, for what happened when."""

SHORTEST_SLICE_SECONDS = 1.0
SERVER_ERROR = 500


def bucket(seconds: float) -> int:
    """The bucket of a response time: buckets are a fourth of a doubling wide."""
    if seconds <= SMALLEST_SECONDS:
        return 0
    return min(math.ceil(STEPS_PER_DOUBLING * math.log2(seconds / SMALLEST_SECONDS)), LAST_BUCKET)


def upper_bound(number: int) -> float:
    """The longest time that belongs to a bucket, in seconds."""
    return float(SMALLEST_SECONDS * 2.0 ** (number / STEPS_PER_DOUBLING))


def slice_seconds(run: Run) -> float:
    return max(run.duration_seconds / SLICES, SHORTEST_SLICE_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One request that was served while the run was active. `seconds` is until its response, delay included."""

    at: float
    seconds: float
    status: int
    side: Side | None
    injected_error: bool = False
    delay_seconds: float = 0.0


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

    def record(self, run: Run, served: Served) -> None:
        self.add(REQUESTS)
        side = served.side
        if side is None:
            return
        self.add(f"{side}.{served.status // 100}xx")
        self.add(f"{side}.b{bucket(served.seconds)}")
        part = max(0, min(int((served.at - run.started_at) / slice_seconds(run)), SLICES - 1))
        self.add(f"s{part}.{side}")
        self.add(f"s{part}.{side}.us", round(served.seconds * MICROSECONDS))
        if side == "hit":
            if served.injected_error:
                self.add(ERRORS)
                self.add(f"s{part}.{ERRORS}")
            if served.delay_seconds:
                self.add(DELAY, round(served.delay_seconds * MICROSECONDS))
            return
        if served.status >= SERVER_ERROR:
            self.add(f"s{part}.errors")
        slow_after = run.slow_after_seconds
        if slow_after is not None and served.seconds > slow_after:
            self.add("untouched.slow")

    # What it tells

    def get(self, name: str) -> int:
        return self.counts.get(name, 0)

    def statuses(self, side: Side) -> dict[str, int]:
        """How many were answered with each class of status: "2xx"."""
        prefix = f"{side}."
        found = {name.removeprefix(prefix): number for name, number in self.counts.items() if name.startswith(prefix)}
        return {name: found[name] for name in sorted(found) if name.endswith("xx")}

    def requests(self, side: Side) -> int:
        return sum(self.statuses(side).values())

    def buckets(self, side: Side) -> dict[int, int]:
        """How many belong to each bucket of response times, the fastest first."""
        prefix = f"{side}.b"
        found = {int(name.removeprefix(prefix)): n for name, n in self.counts.items() if name.startswith(prefix)}
        return dict(sorted(found.items()))

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
        return self.get("untouched.slow")

    @property
    def delay_seconds(self) -> float:
        return self.get(DELAY) / MICROSECONDS

    def timeline(self, run: Run) -> Iterator["Slice"]:
        """The parts of the run's life in which there was a request."""
        width = slice_seconds(run)
        for number in range(SLICES):
            counts = {side: self.get(f"s{number}.{side}") for side in SIDES}
            if any(counts.values()):
                yield Slice(
                    at=run.started_at + number * width,
                    seconds=width,
                    hit=counts["hit"],
                    untouched=counts["untouched"],
                    errors=self.get(f"s{number}.errors"),
                    injected_errors=self.get(f"s{number}.{ERRORS}"),
                    hit_mean_seconds=self._mean(number, "hit"),
                    untouched_mean_seconds=self._mean(number, "untouched"),
                )

    def _mean(self, part: int, side: Side) -> float | None:
        count = self.get(f"s{part}.{side}")
        return self.get(f"s{part}.{side}.us") / MICROSECONDS / count if count else None


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
