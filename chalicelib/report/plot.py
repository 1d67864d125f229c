"""Plots of a report, as SVG that takes its colours from the page's style."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ..results.tally import SIDES, STEPS_PER_DOUBLING

WIDTH, HEIGHT = 800, 260
LEFT, RIGHT, TOP, BOTTOM = 60, 10, 30, 40
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
DECADES = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
STEPS = 4
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


def over_time(slices: Sequence[Mapping[str, Any]]) -> str:
    """Errors, and mean response times, in each part of the run's life."""
    return _errors(slices) + _means(slices) if slices else NOTHING


def _errors(slices: Sequence[Mapping[str, Any]]) -> str:
    most = _round(max(part[error] for part in slices for error in ERRORS), least=STEPS)
    slot = PLOT_WIDTH / _parts(slices)
    bars = [
        _bar(side, place, slot * _number(part, slices), slot, part[error] / most, f"{part[error]} {name}, {part['at']}")
        for part in slices
        for place, (error, (side, name)) in enumerate(ERRORS.items())
    ]
    own, injected = (sum(part[error] for part in slices) for error in ERRORS)
    title = f"Errors over time: {own} application errors, {injected} injected errors"
    return _svg(title, [_frame(most, "errors", dict(ERRORS.values())), *bars, *_times(slices)])


def _bar(side: str, place: int, at: float, slot: float, share: float, title: str) -> str:  # noqa: PLR0917 - a shape
    """The first or second bar of a slot, `share` of the plot high; nothing for a share of nothing."""
    height = PLOT_HEIGHT * share
    box = f'x="{LEFT + at + slot * (0.05 + 0.45 * place):.1f}" y="{TOP + PLOT_HEIGHT - height:.1f}"'
    size = f'width="{slot * 0.45:.1f}" height="{height:.1f}"'
    return f'<rect class="{side}" {box} {size}><title>{title}</title></rect>' if share else ""


def _means(slices: Sequence[Mapping[str, Any]]) -> str:
    most = _round(max(part[f"{side}_mean_seconds"] or 0.0 for part in slices for side in SIDES), least=0.004)
    lines = [_line(side, _points(f"{side}_mean_seconds", slices, most)) for side in SIDES]
    return _svg("Mean response times over time", [_frame(most, "mean response time (s)"), *lines, *_times(slices)])


def _points(name: str, slices: Sequence[Mapping[str, Any]], most: float) -> list[tuple[float, float]]:
    """Where a value is, in the middle of each part that has one."""
    slot = PLOT_WIDTH / _parts(slices)
    known = [part for part in slices if part[name] is not None]
    return [
        (LEFT + slot * (_number(part, slices) + 0.5), TOP + PLOT_HEIGHT * (1 - part[name] / most)) for part in known
    ]


def _line(side: str, points: Sequence[tuple[float, float]]) -> str:
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle class="{side}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points)
    return f'<polyline class="line {side}" points="{line}"/>{dots}'


def _times(slices: Sequence[Mapping[str, Any]]) -> list[str]:
    count = _parts(slices)
    first = datetime.fromisoformat(slices[0]["at"])
    step = PLOT_WIDTH / count
    return [
        _tick(LEFT + step * (n + 0.5), f"{first + n * timedelta(seconds=slices[0]['seconds']):%H:%M:%S}")
        for n in range(0, count, max(1, count // 8))
    ]


def _parts(slices: Sequence[Mapping[str, Any]]) -> int:
    """How many there are from the first to the last, with those in which there was no request."""
    return _number(slices[-1], slices) + 1


def _number(part: Mapping[str, Any], slices: Sequence[Mapping[str, Any]]) -> int:
    since = datetime.fromisoformat(part["at"]) - datetime.fromisoformat(slices[0]["at"])
    return round(since / timedelta(seconds=part["seconds"]))


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
