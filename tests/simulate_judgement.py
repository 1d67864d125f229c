"""Simulations of verdicts and of aborts: how often they err, and how soon they are right.

`make simulations` prints the figures that docs/statistics.md has; the same seed gives the same figures.
"""

import math
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from multiprocessing import Pool
from time import perf_counter
from typing import Any, NamedTuple

from chalicelib.results.judgement import BY_CHANCE, judge_sides, percent
from chalicelib.results.statistics import Part, exceeds
from chalicelib.results.tally import Block, SideCounts
from chalicelib.runs.options import Hypothesis

BLOCKS = 60
"""In each run, and therefore 5 minutes of blocks of 5 s."""

Chance = random.Random
Source = Callable[[Chance, float], list[Part]]
"""Makes one run, of which a share of the requests fails on average: what its blocks have counted."""


# Random numbers. The standard library has no binomial ones before Python 3.12.


@lru_cache(maxsize=4096)
def _cumulative(requests: int, share: float) -> list[float]:
    """The probabilities of at most so many failures."""
    sums, total = [], 0.0
    for failures in range(requests + 1):
        choices = math.lgamma(requests + 1) - math.lgamma(failures + 1) - math.lgamma(requests - failures + 1)
        total += math.exp(choices + failures * math.log(share) + (requests - failures) * math.log1p(-share))
        sums.append(total)
        if total > 1 - 1e-13:
            break
    sums[-1] = 1.0
    return sums


def binomial(chance: Chance, requests: int, share: float) -> int:
    """How many of the requests fail, each independently."""
    if share <= 0:
        return 0
    if share >= 1:
        return requests
    if round(share, 6) != share:  # one of many shares, of which no table is worth while
        return sum(chance.random() < share for _ in range(requests))
    return bisect_left(_cumulative(requests, share), chance.random())


# Where failures come from


def independent(requests: int = 100, blocks: int = BLOCKS) -> Source:
    """Each request fails by itself."""

    def run(chance: Chance, share: float) -> list[Part]:
        cumulative, number = _cumulative(requests, share), chance.random
        return [Part(requests, bisect_left(cumulative, number())) for _ in range(blocks)]

    return run


def batches(size: int, requests: int = 100, blocks: int = BLOCKS) -> Source:
    """So many requests at a time have the same fate."""

    def run(chance: Chance, share: float) -> list[Part]:
        return [Part(requests, size * binomial(chance, requests // size, share)) for _ in range(blocks)]

    return run


def diurnal(least: int = 5, most: int = 200, blocks: int = BLOCKS) -> Source:
    """Traffic rises and falls, and fluctuates; each request fails by itself."""

    def run(chance: Chance, share: float) -> list[Part]:
        phase = chance.random() * math.tau
        parts = []
        for number in range(blocks):
            wave = (1 + math.sin(phase + math.tau * number / blocks)) / 2
            requests = max(round((least + (most - least) * wave) * chance.uniform(0.5, 1.5)), 1)
            parts.append(Part(requests, binomial(chance, requests, share)))
        return parts

    return run


def outages(
    seconds: float,
    intensity: float = 1.0,
    *,
    varying: bool = False,
    requests: int = 100,
    blocks: int = BLOCKS,
    block_seconds: float = 5.0,
) -> Source:
    """Outages begin at any time, in which a share of the requests fails (`intensity`), and otherwise none.

    `varying`: they last anything up to so many seconds.
    """

    def run(chance: Chance, share: float) -> list[Part]:
        mean = seconds / 2 if varying else seconds
        rate = -math.log1p(-share / intensity) / mean  # so that an outage is on for share / intensity of the time
        on = _on(chance, rate, seconds, varying=varying, end=blocks * block_seconds)
        return [
            Part(requests, _failures(chance, part, intensity, requests)) for part in _covered(on, blocks, block_seconds)
        ]

    return run


def _on(chance: Chance, rate: float, seconds: float, *, varying: bool, end: float) -> list[tuple[float, float]]:
    """From when to when an outage is on, one or more at a time."""
    on: list[tuple[float, float]] = []
    at = -seconds + chance.expovariate(rate)
    while at < end:
        until = at + (chance.uniform(0, seconds) if varying else seconds)
        if on and at <= on[-1][1]:
            on[-1] = (on[-1][0], max(until, on[-1][1]))
        else:
            on.append((at, until))
        at += chance.expovariate(rate)
    return on


def _covered(on: Sequence[tuple[float, float]], blocks: int, block_seconds: float) -> list[float]:
    """During which part of each block an outage is on."""
    covered = [0.0] * blocks
    for start, until in on:
        for number in range(max(int(start // block_seconds), 0), min(int(until // block_seconds) + 1, blocks)):
            begin = number * block_seconds
            part = min(until, begin + block_seconds) - max(start, begin)
            covered[number] += max(part, 0.0) / block_seconds
    return [1.0 if part > 1 - 1e-9 else part for part in covered]


def _failures(chance: Chance, covered: float, intensity: float, requests: int) -> int:
    return binomial(chance, binomial(chance, requests, covered), intensity)


# What is decided


def is_aborted(parts: Sequence[Part], allowed: float, block_seconds: float = 5.0) -> bool:
    return exceeds(parts, block_seconds, allowed, BY_CHANCE)


def is_aborted_if_requests_were_independent(parts: Sequence[Part], allowed: float) -> bool:
    """The rule of version 1: a mixture of likelihood ratios of independent requests."""
    requests = failures = 0
    odds = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)
    shares = [each * allowed / (1 - allowed + each * allowed) for each in odds]
    for part in parts:
        requests, failures = requests + part.requests, failures + part.failures
        passed = requests - failures
        logs = [
            failures * math.log(share / allowed) + passed * math.log((1 - share) / (1 - allowed)) for share in shares
        ]
        highest = max(logs)
        if highest + math.log(sum(math.exp(each - highest) for each in logs)) > math.log(len(odds) / BY_CHANCE):
            return True
    return False


def verdict(parts: Sequence[Part], allowed: float, block_seconds: float = 5.0) -> str:
    counts = SideCounts(
        requests=sum(part.requests for part in parts),
        errors=sum(part.failures for part in parts),
        slow=0,
        blocks=tuple(Block(began=part.requests, errors=part.failures, slow=0) for part in parts),
        block_seconds=block_seconds,
    )
    return judge_sides(Hypothesis(max_error_rate=allowed), {"untouched": counts}).verdict


def runs(source: Source, share: float, number: int, seed: str) -> Iterator[list[Part]]:
    """So many runs of which a share of the requests fails; the same ones for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    return (source(chance, share) for _ in range(number))


# The figures


class Case(NamedTuple):
    """Failures of one kind, and how long the blocks are."""

    source: Source
    block_seconds: float = 5.0


CASES: dict[str, Case] = {
    "each request by itself": Case(independent()),
    "the same, 5 requests a block": Case(independent(5)),
    "the same, blocks of 1 s": Case(independent(20), 1.0),
    "the same, traffic rises and falls": Case(diurnal()),
    "ten at a time share their fate": Case(batches(10)),
    "whole blocks share their fate": Case(batches(100)),
    "outages of 5 s": Case(outages(5)),
    "outages of up to 5 s": Case(outages(5, varying=True)),
    "outages of 2 s": Case(outages(2)),
    "outages of 5 s, 30 % fail": Case(outages(5, 0.3)),
    "outages of 5 s, blocks of 1 s": Case(outages(5, requests=20, block_seconds=1.0), 1.0),
}
LONGER = {f"outages of {seconds} s": Case(outages(seconds)) for seconds in (10, 20, 60)}
"""Longer than the abort assumes."""

BOUNDS = (0.01, 0.05)


def aborts(name: str, bound: float, number: int) -> int:
    """Of so many runs whose truth is the bound, those that are aborted."""
    case = (CASES | LONGER)[name]
    return sum(is_aborted(parts, bound, case.block_seconds) for parts in runs(case.source, bound, number, name))


def aborts_if_independent(name: str, bound: float, number: int) -> int:
    """The same by the rule of version 1."""
    found = runs(CASES[name].source, bound, number, name)
    return sum(is_aborted_if_requests_were_independent(parts, bound) for parts in found)


def verdicts(name: str, bound: float, number: int) -> tuple[int, int, int]:
    """Of so many runs whose truth is the bound: failed; held; held, and there were failures."""
    case = (CASES | LONGER)[name]
    found = [
        (verdict(parts, bound, case.block_seconds), any(part.failures for part in parts))
        for parts in runs(case.source, bound, number, name)
    ]
    failed = sum(each == "failed" for each, _ in found)
    return failed, sum(each == "held" for each, _ in found), found.count(("held", True))


def held_of_fifty(bound: float, number: int) -> tuple[int, int]:
    """Of so many runs of 50 requests whose truth is 20 times the bound, those that are held; by version 1, too."""
    found = list(runs(independent(5, 10), 20 * bound, number, "fifty"))
    held = sum(verdict(parts, bound) == "held" for parts in found)
    return held, sum(not any(part.failures for part in parts) for parts in found)


def held_of_a_fifth(requests: int, bound: float, number: int) -> int:
    """Of so many runs of a minute, whose truth is a fifth of the bound, those that are held."""
    source = independent(requests // 12, 12)
    return sum(verdict(parts, bound) == "held" for parts in runs(source, bound / 5, number, "fifth"))


def seconds_until_aborted(per_second: int, bound: float, number: int, block_seconds: float) -> float:
    """After how many seconds nine of ten runs are aborted whose truth is five times the bound."""
    blocks = round(600 / block_seconds)
    source = independent(round(per_second * block_seconds), blocks)
    found = sorted(_first(parts, bound, block_seconds) for parts in runs(source, 5 * bound, number, "five times"))
    return found[math.ceil(0.9 * number) - 1]


def seconds_of_outage(bound: float, block_seconds: float) -> float:
    """After how many seconds a run is aborted in which every request fails."""
    return _first([Part(100, 100)] * 120, bound, block_seconds)


def _first(parts: Sequence[Part], bound: float, block_seconds: float) -> float:
    """What was found to fail stays so, and so the time can be bisected."""
    if not is_aborted(parts, bound, block_seconds):
        return math.inf
    blocks = range(1, len(parts) + 1)
    number = bisect_left(blocks, 1, key=lambda count: int(is_aborted(parts[:count], bound, block_seconds)))
    return blocks[number] * block_seconds


# What is printed

Job = tuple[Callable[..., Any], tuple[Any, ...]]

ABORTED, FEWER, JUDGED, POWER = 10_000, 200, 500, 300
"""How many runs are simulated for each figure."""


def jobs() -> list[Job]:
    """All that is to be simulated; each has a seed of its own, so that they can be done in any order."""
    cases = [(name, bound) for name in CASES for bound in BOUNDS]
    return [
        *((aborts, (*case, ABORTED)) for case in cases),
        *((aborts_if_independent, (*case, FEWER)) for case in cases),
        *((verdicts, (*case, JUDGED)) for case in cases),
        *((call, (name, bound, JUDGED)) for call in (aborts, verdicts) for name in LONGER for bound in BOUNDS),
        *((held_of_fifty, (bound, JUDGED)) for bound in (0.001,)),
        *((held_of_a_fifth, (round(18 / bound), bound, POWER)) for bound in BOUNDS),
        *((seconds_until_aborted, (each, bound, POWER, 5.0)) for bound in BOUNDS for each in PER_SECOND),
        *((seconds_of_outage, (bound, seconds)) for bound in OUTAGE_BOUNDS for seconds in OUTAGE_BLOCKS),
    ]


PER_SECOND = (2, 6, 20, 100)
OUTAGE_BOUNDS = (0.001, 0.01, 0.05, 0.1, 0.5)
OUTAGE_BLOCKS = (1.0, 5.0, 15.0, 60.0)


def done(job: Job) -> Any:
    call, given = job
    return call(*given)


def main() -> None:
    began = perf_counter()
    todo = jobs()
    with Pool() as pool:
        done_ones = pool.map(done, todo, 1)
    figures = {(call.__name__, *given): figure for (call, given), figure in zip(todo, done_ones, strict=True)}
    for show in (_show_aborts, _show_verdicts, _show_longer, _show_requests, _show_seconds):
        show(figures)
    print(f"{perf_counter() - began:.0f} s")


Figures = Mapping[tuple[Any, ...], Any]


def _show_aborts(figures: Figures) -> None:
    def cell(name: str, bound: float) -> str:
        earlier = figures["aborts_if_independent", name, bound, FEWER] / FEWER
        return f"{figures['aborts', name, bound, ABORTED]:,} ({percent(earlier)})"

    title = f"Aborted of {ABORTED:,} runs whose truth is the bound (by the rule of version 1)"
    table(title, ["failures", *_bounds()], [[name, *(cell(name, bound) for bound in BOUNDS)] for name in CASES])


def _show_verdicts(figures: Figures) -> None:
    def cells(name: str) -> Iterator[str]:
        for bound in BOUNDS:
            yield from (percent(number / JUDGED) for number in figures["verdicts", name, bound, JUDGED])

    kinds = ("failed", "held", "held though some failed")
    titles = ["failures", *(f"{bound}: {kind}" for bound in _bounds() for kind in kinds)]
    table(f"Verdicts on {JUDGED:,} runs whose truth is the bound", titles, [[name, *cells(name)] for name in CASES])


def _show_longer(figures: Figures) -> None:
    def cells(name: str) -> Iterator[str]:
        for bound in BOUNDS:
            yield percent(figures["aborts", name, bound, JUDGED] / JUDGED)
            yield from (percent(number / JUDGED) for number in figures["verdicts", name, bound, JUDGED][:2])

    titles = ["failures", *(f"{bound}: {kind}" for bound in _bounds() for kind in ("aborted", "failed", "held"))]
    rows = [[name, *cells(name)] for name in LONGER]
    table(f"Outages that last longer than assumed: {JUDGED:,} runs whose truth is the bound", titles, rows)


def _show_requests(figures: Figures) -> None:
    held, earlier = (percent(number / JUDGED) for number in figures["held_of_fifty", 0.001, JUDGED])
    print(f"50 requests, truth 20 times the bound of 0.1 %: held in {held} of {JUDGED:,} runs (version 1: {earlier})\n")
    rows = []
    for bound in BOUNDS:
        requests = round(18 / bound)
        rows.append(
            [percent(bound), f"{requests:,}", percent(figures["held_of_a_fifth", requests, bound, POWER] / POWER)]
        )
    table("Truth a fifth of the bound, runs of a minute", ["bound", "requests", "held"], rows)


def _show_seconds(figures: Figures) -> None:
    rows = [
        [percent(bound), *(f"{figures['seconds_until_aborted', each, bound, POWER, 5.0]:.0f} s" for each in PER_SECOND)]
        for bound in BOUNDS
    ]
    title = "Truth five times the bound, blocks of 5 s: until nine of ten runs are aborted"
    table(title, ["bound", *(f"{each} requests a second" for each in PER_SECOND)], rows)
    rows = [
        [percent(bound), *(f"{figures['seconds_of_outage', bound, each]:,.0f} s" for each in OUTAGE_BLOCKS)]
        for bound in OUTAGE_BOUNDS
    ]
    titles = ["bound", *(f"blocks of {each:.0f} s" for each in OUTAGE_BLOCKS)]
    table("Every request fails: until the run is aborted", titles, rows)


def _bounds() -> list[str]:
    return [f"bound {percent(bound)}" for bound in BOUNDS]


def table(title: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"{title}\n")
    for row in (titles, ["---"] * len(titles), *rows):
        print(f"| {' | '.join(row)} |")
    print()


if __name__ == "__main__":
    main()
