"""Plots of a report, as SVG that takes its colours from the page's style."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..results.tally import SIDES, STEPS_PER_DOUBLING

WIDTH, HEIGHT = 800, 260
LEFT, RIGHT, TOP, BOTTOM = 60, 10, 30, 40
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
DECADES = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
STEPS = 4
TIMES = 7
ROUND = (1, 2, 5, 10)
TICKS = [decade * step for decade in DECADES for step in (1, 2, 5)]
ERRORS = {"errors": ("untouched", "application errors"), "injected_errors": ("hit", "injected errors")}
"""By the name in a slice: whose colour they have, and what they are called."""

NOTHING = "<p>No requests were counted.</p>"


def distribution(buckets: Sequence[Mapping[str, Any]]) -> str:
    """How many requests took how long, hit and untouched beside each other; times on a logarithmic axis."""
    if not buckets:
        return NOTHING
    most = _round(max(bucket[side] for bucket in buckets for side in SIDES), least=STEPS)
    slot = PLOT_WIDTH / len(buckets)
    bars = [
        _bar(side, place, slot * number, slot, bucket[side] / most, f"{bucket[side]} {side}, up to {_time(upper)}")
        for number, (bucket, upper) in enumerate((bucket, bucket["up_to_seconds"]) for bucket in buckets)
        for place, side in enumerate(SIDES)
    ]
    hit, untouched = (sum(bucket[side] for bucket in buckets) for side in SIDES)
    title = f"Response times of {hit} hit and {untouched} untouched requests"
    return _svg(title, [_frame(most, "requests"), *bars, *_logarithmic(buckets)])


def _logarithmic(buckets: Sequence[Mapping[str, Any]]) -> list[str]:
    """The ticks of an axis from the first bucket's lower bound to the last one's upper bound."""
    first = math.log(buckets[0]["up_to_seconds"] / 2 ** (1 / STEPS_PER_DOUBLING))
    span = math.log(buckets[-1]["up_to_seconds"]) - first
    places = {tick: LEFT + PLOT_WIDTH * (math.log(tick) - first) / span for tick in TICKS}
    shown = [tick for tick, x in places.items() if LEFT <= x <= WIDTH - RIGHT]
    return [_tick(places[tick], _time(tick)) for tick in shown[:: max(1, len(shown) // 8)]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What is marked in a plot over time, in epoch seconds.

    `hits_from` is None without a baseline, `ended_at` where nothing is known of the time after the run.
    """

    started_at: float
    hits_from: float | None
    ended_at: float | None


class _Axis:
    """Time from left to right, from the first part that is shown to the end of the last one."""

    def __init__(self, parts: Sequence[Mapping[str, Any]]) -> None:
        self.first: float = min(map(_at, parts))
        self.last: float = max(_at(part) + part["seconds"] for part in parts)
        self._scale: float = PLOT_WIDTH / (self.last - self.first)

    def x(self, at: float) -> float:
        return min(max(LEFT + (at - self.first) * self._scale, LEFT), WIDTH - RIGHT)

    def width(self, part: Mapping[str, Any]) -> float:
        return float(part["seconds"]) * self._scale

    def middle(self, part: Mapping[str, Any]) -> float:
        return self.x(_at(part) + part["seconds"] / 2)


def over_time(slices: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], moments: Moments) -> str:
    """Errors, and mean response times, in each part of the run's life and of the time after it."""
    parts = [*slices, *map(_as_slice, after)]
    if not parts:
        return NOTHING
    axis = _Axis(parts)
    marks = [*_shades(axis, moments), *_ticks(axis)]
    return _errors(parts, axis, marks) + _means(parts, axis, marks)


def _as_slice(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part of the time after the run, in which nothing is hit, as one of the run's life."""
    return {
        **part,
        "injected_errors": 0,
        "hit_mean_seconds": None,
        "untouched_mean_seconds": part["mean_seconds"],
    }


def _errors(parts: Sequence[Mapping[str, Any]], axis: _Axis, marks: Sequence[str]) -> str:
    most = _round(max(part[error] for part in parts for error in ERRORS), least=STEPS)
    bars = [_error_bar(part, place, axis, most) for part in parts for place in range(len(ERRORS))]
    own, injected = (sum(part[error] for part in parts) for error in ERRORS)
    title = f"Errors over time: {own} application errors, {injected} injected errors"
    return _svg(title, [*marks, _frame(most, "errors", dict(ERRORS.values())), *bars])


def _error_bar(part: Mapping[str, Any], place: int, axis: _Axis, most: float) -> str:
    error, (side, name) = list(ERRORS.items())[place]
    title = f"{part[error]} {name}, {part['at']}"
    return _bar(side, place, axis.x(_at(part)) - LEFT, axis.width(part), part[error] / most, title)


def _bar(side: str, place: int, at: float, slot: float, share: float, title: str) -> str:  # noqa: PLR0917 - a shape
    """The first or second bar of a slot, `share` of the plot high; nothing for a share of nothing."""
    height = PLOT_HEIGHT * share
    box = f'x="{LEFT + at + slot * (0.05 + 0.45 * place):.1f}" y="{TOP + PLOT_HEIGHT - height:.1f}"'
    size = f'width="{slot * 0.45:.1f}" height="{height:.1f}"'
    return f'<rect class="{side}" {box} {size}><title>{title}</title></rect>' if share else ""


def _means(parts: Sequence[Mapping[str, Any]], axis: _Axis, marks: Sequence[str]) -> str:
    most = _round(max(part[f"{side}_mean_seconds"] or 0.0 for part in parts for side in SIDES), least=0.004)
    lines = [_line(side, _points(f"{side}_mean_seconds", parts, axis, most)) for side in SIDES]
    return _svg("Mean response times over time", [*marks, _frame(most, "mean response time (s)"), *lines])


def _points(name: str, parts: Sequence[Mapping[str, Any]], axis: _Axis, most: float) -> list[tuple[float, float]]:
    """Where a value is, in the middle of each part that has one."""
    known = [part for part in parts if part[name] is not None]
    return [(axis.middle(part), TOP + PLOT_HEIGHT * (1 - part[name] / most)) for part in known]


def _line(side: str, points: Sequence[tuple[float, float]]) -> str:
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle class="{side}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points)
    return f'<polyline class="line {side}" points="{line}"/>{dots}'


def _shades(axis: _Axis, moments: Moments) -> Iterator[str]:
    """The times in which nothing is hit, behind everything else: before, if it was measured, and after the run."""
    if moments.hits_from:
        yield _shade(axis, moments.started_at, moments.hits_from, "before")
    if moments.ended_at:
        yield _shade(axis, moments.ended_at, axis.last, "after the run")


def _shade(axis: _Axis, since: float, until: float, name: str) -> str:
    left, right = axis.x(since), axis.x(until)
    if right - left < 1:
        return ""
    box = f'x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" height="{PLOT_HEIGHT}"'
    text = f'<text x="{left + 4:.1f}" y="{TOP + 12}">{name}</text>'
    return f'<rect class="shade" {box}><title>{name}</title></rect>{text}'


def _ticks(axis: _Axis) -> list[str]:
    """Evenly spread."""
    step = (axis.last - axis.first) / TIMES
    moments = [axis.first + step * (number + 0.5) for number in range(TIMES)]
    return [_tick(axis.x(at), f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}") for at in moments]


def _at(part: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(part["at"]).timestamp()


def _frame(most: float, unit: str, names: Mapping[str, str] | None = None) -> str:
    """Axes, what they count, and what the colours mean."""
    names = names or {side: side for side in SIDES}
    parts = []
    for part in range(STEPS + 1):
        y = TOP + PLOT_HEIGHT * (1 - part / STEPS)
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{most * part / STEPS:.3g}</text>')
    parts.append(f'<text x="{LEFT}" y="14">{unit}</text>')
    for place, side in enumerate(SIDES):
        x = WIDTH - RIGHT - 330 + 180 * place
        parts.append(f'<rect class="{side}" x="{x}" y="4" width="12" height="12"/>')
        parts.append(f'<text x="{x + 18}" y="14">{names[side]}</text>')
    return "".join(parts)


def _round(most: float, *, least: float) -> float:
    """What an axis ends at, so that its steps are round."""
    step = max(most, least) / STEPS
    power = 10.0 ** math.floor(math.log10(step))
    return STEPS * power * next(round_one for round_one in ROUND if step <= round_one * power * (1 + 1e-9))


def _tick(x: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{text}</text>'


def _svg(title: str, parts: Sequence[str]) -> str:
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}"'
    return f"<svg {box}><title>{title}</title>{''.join(parts)}</svg>"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
