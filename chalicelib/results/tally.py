"""What a run did to the requests that were served while it was active, in counts that can be added up.

A tally is a mapping from a counter's name to a number, so that adding two is adding number by number: in this process,
and in the table, which adds without reading. Times are counted in whole microseconds.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..faults.answer import ERRORS
from ..faults.wait import MICROSECONDS
from ..runs.run import NEVER, Run

Side = Literal["hit", "untouched"]
"""Requests that the run hit, and those that no run did. What only another run hit is on neither side."""

Group = Literal["hit", "untouched", "injected", "displaced", "before", "after", "neither"]
"""Where one request is counted. `injected` and `displaced` were hit, too, and answered in the application's place: by a
fault of this run, or of another one. `before` and `after` are untouched, and began before the run hit anything, or
after its end."""

SIDES: tuple[Side, ...] = ("hit", "untouched")
PARTS_OF: Mapping[Side, tuple[Group, ...]] = {"hit": ("hit", "injected", "displaced"), "untouched": ("untouched",)}
SHOWN_WITH: Mapping[Side, tuple[Group, ...]] = {"hit": PARTS_OF["hit"], "untouched": ("untouched", "before")}
"""The groups whose requests the timeline shows for a side."""

GROUPS: tuple[Group, ...] = ("hit", "untouched", "injected", "displaced", "before", "after")
NOT_JUDGED = ("injected", "displaced")
REQUESTS = "requests"
TEST_REQUESTS = "test.requests"
TEST_HIT = "test.hit"
"""The counters of requests for the test endpoint, which are on neither side of any figure."""

BUSY = "busy_processes"
"""The counter of processes in which injected delays occupied a considerable share of the workers."""

MATCHED = "matched"
"""The counter of requests that the run's target matched."""

WITHOUT_KEY = "without_key"
"""The counter of requests that were not hit because they have no key to decide by."""

UNREACHED = "unreached"
"""The counter of outgoing calls that were to meet a fault which their client library cannot be made to meet."""

WOULD_HIT = "would_hit"
"""The counter of requests that a dry run would have hit."""

SMALLEST_SECONDS = 0.0001
STEPS_PER_DOUBLING = 4
LAST_BUCKET = 96
"""Of 27 minutes, more than a Lambda invocation lasts."""

SLICES = 60
"""Into how many parts the life of a run is divided, for what began when."""

SHORTEST_SLICE_SECONDS = 1.0
AFTER_SECONDS = 60.0
"""For how long untouched requests are counted after the end of a run, at most."""

SLOW_SHARE = 0.05
"""The share of requests that may take longer than a 95th percentile."""

AFTER_PART_SECONDS = 5.0
AFTER_PARTS = int(AFTER_SECONDS / AFTER_PART_SECONDS)
SERVER_ERROR = 500
SETTLING_FLUSHES = 2
"""How many flush intervals after its end a slice is closed: by then whoever could add to it has flushed."""


def upper_bound(number: int) -> float:
    """The longest time that belongs to a bucket, in seconds. Buckets are a fourth of a doubling wide."""
    return float(SMALLEST_SECONDS * 2.0 ** (number / STEPS_PER_DOUBLING))


BUCKET_BOUNDS = tuple(upper_bound(number) for number in range(LAST_BUCKET))

STATUS_COUNTERS = {group: tuple(f"{group}.{number}xx" for number in range(10)) for group in GROUPS}
BUCKET_COUNTERS = {group: tuple(f"{group}.b{number}" for number in range(LAST_BUCKET + 1)) for group in GROUPS}
SLICE_COUNTERS = {group: tuple(f"t{number}.{group}" for number in range(SLICES)) for group in GROUPS}
"""The names of the counters, made once. What a slice counts besides its requests follows after a dot."""


def bucket(seconds: float) -> int:
    """The number of the bucket that a response time belongs to."""
    return bisect_left(BUCKET_BOUNDS, seconds)


def slice_seconds(run: Run) -> float:
    return max(run.duration_seconds / SLICES, SHORTEST_SLICE_SECONDS)


Key = tuple[Group, int | None, int, int, bool]
"""All that tells one counted request from another: group, class of status (None: it died), bucket, slice, slow."""

Cells = MutableMapping[Key, list[float]]
"""By key how many requests there were, and how many seconds they took together."""


class Counting:
    """What counting a request needs to know of its run: made once a run, used by each request."""

    __slots__ = ("hits_from", "slice_starts", "slow_above")

    def __init__(self, run: Run) -> None:
        width = slice_seconds(run)
        bound = run.slow_after_seconds
        self.slice_starts = tuple(run.started_at + number * width for number in range(1, SLICES))
        """Of the second slice and those after it: what is earlier is in the first one, what is later in the last."""
        self.slow_above = math.inf if bound is None else bound
        hits_from = run.hits_from
        self.hits_from = hits_from if hits_from > run.started_at else NEVER
        """Before this nothing is hit; always in the past where the run hits from its start on."""

    def group_of_untouched(self, began: float) -> Group:
        return "untouched" if began >= self.hits_from else "before"

    def slice_of(self, began: float) -> int:
        return bisect_right(self.slice_starts, began)

    def add(self, cells: Cells, group: Group | None, status: int | None, began: float, seconds: float) -> None:
        """Count one request; of no group: one that no run did anything to.

        Every request passes here while the run is active, so this must stay cheap.
        """
        key: Key = (
            group or ("untouched" if began >= self.hits_from else "before"),  # `group_of_untouched`, without a call
            None if status is None else status // 100,
            bisect_left(BUCKET_BOUNDS, seconds),
            bisect_right(self.slice_starts, began),
            seconds > self.slow_above,
        )
        cell = cells.get(key)
        if cell is None:
            cells[key] = [1, seconds]
        else:
            cell[0] += 1
            cell[1] += seconds

    def add_after(self, cells: Cells, status: int | None, part: int, seconds: float) -> bool:
        """Count an untouched request that began after the end of the run, in a part of its own. Whether it was slow."""
        status_class, is_slow = None if status is None else status // 100, seconds > self.slow_above
        key: Key = ("after", status_class, bucket(seconds), part, is_slow)
        cell = cells.setdefault(key, [0, 0.0])
        cell[0] += 1
        cell[1] += seconds
        return is_slow


def counters_of(cells: Cells) -> dict[str, int]:
    """The counters that the cells add to, and how much."""
    tally = Tally()
    for key, (number, seconds) in cells.items():
        tally.add_cell(key, int(number), seconds)
    return tally.counts


@dataclass(slots=True, eq=False)
class Served:
    """One request that was served while the run was active. It began `at`; `seconds` is until its response.

    `counters` are what the faults that hit it report, by the names of `Tally.counts`: `{"delay": 2_000_000}`. A
    `status` of None: it died.
    """

    at: float
    seconds: float
    status: int | None
    side: Side | None
    counters: Mapping[str, int] = field(default_factory=dict)


class OpenCalls(NamedTuple):
    """The calls of one process that have begun and are not answered, by group and slice: `untouched.12`.

    After `until` the process cannot be alive without having renewed this, so they have died.
    """

    until: float
    calls: Mapping[str, int]


class Block(NamedTuple):
    """A part of the run's life, by when the requests *began*. Only what is judged is in it, as in `SideCounts`.

    A request that is still open has begun and has not failed, so a later look finds more failures, never fewer.
    """

    began: int
    errors: int
    slow: int
    """How many took longer than the hypothesis' p95, those that died included."""


class SideCounts(NamedTuple):
    """One side of a run as it is judged: what the application answered itself, or what died.

    `blocks` are all parts of the run's life from its start on, also those in which nothing began, up to the first one
    in which more may have begun than is known. Their places are times: the abort relies on how far they are apart.
    """

    requests: int
    errors: int
    """Server errors of the application, and those that died."""
    slow: int
    died: int = 0
    """Began and were never answered, for sure."""
    open: int = 0
    """Began, and have neither been answered nor died as far as is known."""
    blocks: tuple[Block, ...] = ()
    block_seconds: float = SHORTEST_SLICE_SECONDS
    times_leave_out_queue: bool = False
    """Whether injected delays occupied a considerable share of some process's workers, so that requests waited for
    one before their time began to be measured."""
    buckets: Mapping[int, int] = {}

    def percentile(self, share: float) -> float | None:
        """The time within which a share of the requests was answered; None where that many were not."""
        return percentile(self.buckets, share, died=self.died)


class Phase(NamedTuple):
    """Requests that no run hit: before the run hit anything, during it, or after its end."""

    requests: int
    errors: int
    p95_seconds: float | None


class AfterPart(NamedTuple):
    """A few seconds after the end of a run: requests that no run hit. Those that died have no time."""

    at: float
    seconds: float
    requests: int
    errors: int
    slow: int
    mean_seconds: float | None


def percentile(buckets: Mapping[int, int], share: float, *, died: int = 0) -> float | None:
    """The time within which a share was answered, in seconds, to the width of a bucket; what died never was."""
    rank = share * (sum(buckets.values()) + died)
    seen = 0
    for number, count in sorted(buckets.items()):
        if seen + count >= rank:
            within = (rank - seen) / count
            return upper_bound(number) * math.pow(2.0, (within - 1) / STEPS_PER_DOUBLING)
        seen += count
    return None


@dataclass(slots=True)
class Tally:
    """Counts of one run. Not safe to share between threads.

    `open_calls` are those of each process that has some, `flush_seconds` how often processes add to it.
    """

    counts: dict[str, int] = field(default_factory=dict)
    environments: int = 0
    open_calls: list[OpenCalls] = field(default_factory=list)
    flush_seconds: float = 1.0

    def add(self, name: str, number: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + number

    def merge(self, counts: Mapping[str, int]) -> None:
        for name, number in counts.items():
            self.add(name, number)

    def record(self, counting: Counting, served: Served) -> None:
        """Count one request."""
        cells: Cells = {}
        group: Group = served.side or "neither"
        if served.side == "untouched":
            group = counting.group_of_untouched(served.at)
        elif served.side == "hit" and ERRORS in served.counters:
            group = "injected"
        counting.add(cells, group, served.status, served.at, served.seconds)
        self.merge(counters_of(cells))
        self.merge(served.counters)

    def add_cell(self, key: Key, number: int, seconds: float) -> None:
        """Add what the requests with one key count for."""
        group, status_class, bucket_number, part, is_slow = key
        if status_class is None:
            if group != "neither":
                self.add(f"{group}.died", number)
                self.add(f"{_place(group, part)}.died", number)
            return
        if group != "after":
            self.add(REQUESTS, number)
        if group == "neither":
            return
        place = _place(group, part)
        status_class %= 10  # of a number that is no status, too
        self.add(STATUS_COUNTERS[group][status_class], number)
        self.add(BUCKET_COUNTERS[group][bucket_number], number)
        self.add(place, number)
        self.add(f"{place}.us", round(seconds * MICROSECONDS))
        if group in NOT_JUDGED:
            return
        if status_class == SERVER_ERROR // 100:
            self.add(f"{place}.errors", number)
        if is_slow:
            self.add(f"{place}.slow", number)
            self.add(f"{group}.slow", number)

    # What can be read from it

    def get(self, name: str) -> int:
        return self.counts.get(name, 0)

    def statuses(self, side: Side) -> dict[str, int]:
        """How many were answered with each class of status: "2xx"."""
        names = [[STATUS_COUNTERS[group][number] for group in PARTS_OF[side]] for number in range(10)]
        found = {each[0][-3:]: sum(map(self.get, each)) for each in names}
        return {name: number for name, number in found.items() if number}

    def requests(self, side: Side) -> int:
        """How many were answered."""
        return sum(self.statuses(side).values())

    def buckets(self, side: Side) -> dict[int, int]:
        """How many belong to each bucket of response times, the fastest first."""
        return self._buckets(*PARTS_OF[side])

    def percentile(self, side: Side, share: float) -> float | None:
        """The time within which a share of the requests was answered, in seconds, to the width of a bucket."""
        return percentile(self.buckets(side), share)

    @property
    def untouched_errors(self) -> int:
        """The application's own server errors."""
        return self.get("untouched.5xx")

    @property
    def slow(self) -> int:
        """How many untouched requests took longer than the run's hypothesis allows 95 of 100 to take."""
        return self.get("untouched.slow")

    # What is judged

    def side_counts(self, side: Side, run: Run, now: float) -> SideCounts:
        """The side as it is judged: without the requests that a fault answered, with those that died."""
        dead, alive = self._unanswered(now)
        died = self.get(f"{side}.died") + sum(dead.get(f"{side}.{number}", 0) for number in range(SLICES))
        return SideCounts(
            requests=self._answered(side) + died,
            errors=self.get(f"{side}.5xx") + died,
            slow=self.get(f"{side}.slow") + (0 if run.slow_after_seconds is None else died),
            died=died,
            open=sum(alive.get(f"{side}.{number}", 0) for number in range(SLICES)),
            blocks=tuple(self._blocks(side, run, now)),
            block_seconds=slice_seconds(run),
            times_leave_out_queue=self.get(BUSY) > 0,
            buckets=self._buckets(side),
        )

    def phases(self, now: float = NEVER) -> Mapping[str, Phase]:
        """What no run hit, before, during and after the run. With `now`, what is open and over by then has died."""
        dead, _ = self._unanswered(now)
        groups: Mapping[str, Group] = {"before": "before", "during": "untouched", "after": "after"}
        return {name: self._phase(group, dead) for name, group in groups.items()}

    def after(self, run: Run) -> tuple[AfterPart, ...]:
        """The first minute after the end of the run, in parts in which there was a request."""
        parts = (self._after_part(run.over_at, number) for number in range(AFTER_PARTS))
        return tuple(part for part in parts if part.requests)

    def timeline(self, run: Run) -> Iterator["Slice"]:
        """The parts of the run's life in which a request began."""
        if self._is_of_format_1:
            slices = (self._slice_of_format_1(run, number) for number in range(SLICES_OF_FORMAT_1))
        else:
            slices = (self._slice(run, number) for number in range(SLICES))
        return (part for part in slices if part.hit or part.untouched)

    def _answered(self, group: Group) -> int:
        return sum(map(self.get, STATUS_COUNTERS[group]))

    def _buckets(self, *groups: Group) -> dict[int, int]:
        found = {
            number: sum(self.get(BUCKET_COUNTERS[group][number]) for group in groups)
            for number in range(LAST_BUCKET + 1)
        }
        return {number: count for number, count in found.items() if count}

    def _unanswered(self, now: float) -> tuple[dict[str, int], dict[str, int]]:
        """By group and slice: those that have died with their process, and those of processes that live."""
        dead, alive = Tally(), Tally()
        for each in self.open_calls:
            (dead if each.until < now else alive).merge(each.calls)
        return dead.counts, alive.counts

    def _blocks(self, side: Side, run: Run, now: float) -> Iterator[Block]:
        dead, alive = self._unanswered(now)
        width = slice_seconds(run)
        closed_until = now - SETTLING_FLUSHES * self.flush_seconds
        is_slow = run.slow_after_seconds is not None
        for number, name in enumerate(SLICE_COUNTERS[side]):
            if run.started_at + (number + 1) * width > closed_until:
                return
            key = f"{side}.{number}"
            died = self.get(f"{name}.died") + dead.get(key, 0)
            yield Block(
                began=self.get(name) + died + alive.get(key, 0),
                errors=self.get(f"{name}.errors") + died,
                slow=self.get(f"{name}.slow") + is_slow * died,
            )

    def _phase(self, group: Group, dead: Mapping[str, int]) -> Phase:
        died = self.get(f"{group}.died") + sum(dead.get(f"{group}.{number}", 0) for number in range(SLICES))
        return Phase(
            requests=self._answered(group) + died,
            errors=self.get(f"{group}.5xx") + died,
            p95_seconds=percentile(self._buckets(group), 0.95, died=died),
        )

    def _after_part(self, end: float, number: int) -> AfterPart:
        name = _place("after", number)
        answered, died = self.get(name), self.get(f"{name}.died")
        return AfterPart(
            at=end + number * AFTER_PART_SECONDS,
            seconds=AFTER_PART_SECONDS,
            requests=answered + died,
            errors=self.get(f"{name}.errors") + died,
            slow=self.get(f"{name}.slow") + died,
            mean_seconds=self._mean(answered, self.get(f"{name}.us")),
        )

    def _slice(self, run: Run, number: int) -> "Slice":
        width = slice_seconds(run)
        hit, untouched = (self._shown(side, number) for side in SIDES)
        return Slice(
            at=run.started_at + number * width,
            seconds=width,
            hit=hit[0],
            untouched=untouched[0],
            errors=self._sum("untouched", number, ".errors", ".died"),
            injected_errors=self.get(SLICE_COUNTERS["injected"][number]),
            hit_mean_seconds=self._mean(*hit),
            untouched_mean_seconds=self._mean(*untouched),
        )

    def _shown(self, side: Side, number: int) -> tuple[int, int]:
        """How many requests of a side began in a slice, and how many microseconds they took."""
        return self._sum(side, number, ""), self._sum(side, number, ".us")

    def _sum(self, side: Side, number: int, *counters: str) -> int:
        places = [SLICE_COUNTERS[group][number] for group in SHOWN_WITH[side]]
        return sum(self.get(f"{place}{counter}") for place in places for counter in counters)

    @staticmethod
    def _mean(count: int, microseconds: int) -> float | None:
        return microseconds / MICROSECONDS / count if count else None

    # What versions before this one counted: by when requests were answered, in 30 parts

    @property
    def _is_of_format_1(self) -> bool:
        old = (f"s{number}.{side}" for number in range(SLICES_OF_FORMAT_1) for side in SIDES)
        new = (name for group in GROUPS for name in SLICE_COUNTERS[group])
        return any(map(self.get, old)) and not any(map(self.get, new))

    def _slice_of_format_1(self, run: Run, number: int) -> "Slice":
        width = max(run.duration_seconds / SLICES_OF_FORMAT_1, SHORTEST_SLICE_SECONDS)
        hit, untouched = (
            (self.get(f"s{number}.{side}"), self.get(f"s{number}.{side}.us")) for side in ("hit", "untouched")
        )
        return Slice(
            at=run.started_at + number * width,
            seconds=width,
            hit=hit[0],
            untouched=untouched[0],
            errors=self.get(f"s{number}.errors"),
            injected_errors=self.get(f"s{number}.{ERRORS}"),
            hit_mean_seconds=self._mean(*hit),
            untouched_mean_seconds=self._mean(*untouched),
        )


SLICES_OF_FORMAT_1 = 30


def _place(group: Group, part: int) -> str:
    """The counter of a group in one part of the run's life, or of the minute after it."""
    return f"a{part}" if group == "after" else SLICE_COUNTERS[group][part]


class Slice(NamedTuple):
    """A part of a run's life, by when requests began. `errors` are the application's own, of untouched requests."""

    at: float
    seconds: float
    hit: int
    untouched: int
    errors: int
    injected_errors: int
    hit_mean_seconds: float | None
    untouched_mean_seconds: float | None
