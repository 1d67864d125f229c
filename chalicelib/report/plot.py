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


def distribution(buckets: Sequence[Mapping[str, Any]]) -> str:
    """How many requests took how long, hit and untouched beside each other; times on a logarithmic axis."""
    if not buckets:
        return "<p>No requests were counted.</p>"
    first = math.log(buckets[0]["up_to_seconds"] / 2 ** (1 / STEPS_PER_DOUBLING))
    span = math.log(buckets[-1]["up_to_seconds"]) - first
    most = _round(max(bucket[side] for bucket in buckets for side in SIDES), least=STEPS)
    bar = PLOT_WIDTH / len(buckets)

    def x(seconds: float) -> float:
        return LEFT + PLOT_WIDTH * (math.log(seconds) - first) / span

    parts = [_frame(most, "requests")]
    for number, bucket in enumerate(buckets):
        for place, side in enumerate(SIDES):
            height = PLOT_HEIGHT * bucket[side] / most
            if height:
                left = LEFT + bar * (number + 0.05 + 0.45 * place)
                parts.append(
                    f'<rect class="{side}" x="{left:.1f}" y="{TOP + PLOT_HEIGHT - height:.1f}" '
                    f'width="{bar * 0.45:.1f}" height="{height:.1f}"><title>{bucket[side]} {side}, up to '
                    f"{_time(bucket['up_to_seconds'])}</title></rect>"
                )
    ticks = [decade * step for decade in DECADES for step in (1, 2, 5)]
    shown = [tick for tick in ticks if LEFT <= x(tick) <= WIDTH - RIGHT]
    parts += [_tick(x(tick), _time(tick)) for tick in shown[:: max(1, len(shown) // 8)]]
    counts = {side: sum(bucket[side] for bucket in buckets) for side in SIDES}
    return _svg(f"Response times of {counts['hit']} hit and {counts['untouched']} untouched requests", parts)


def over_time(slices: Sequence[Mapping[str, Any]]) -> str:
    """Errors, and mean response times, in each part of the run's life."""
    if not slices:
        return "<p>No requests were counted.</p>"
    return _errors(slices) + _means(slices)


def _errors(slices: Sequence[Mapping[str, Any]]) -> str:
    kinds = (("errors", "untouched", "application errors"), ("injected_errors", "hit", "injected errors"))
    most = _round(max(max(part[kind] for kind, _, _ in kinds) for part in slices), least=STEPS)
    parts = [_frame(most, "errors", {"untouched": "application errors", "hit": "injected errors"})]
    bar = PLOT_WIDTH / _parts(slices)
    for part in slices:
        number = _number(part, slices)
        for place, (kind, side, name) in enumerate(kinds):
            height = PLOT_HEIGHT * part[kind] / most
            if height:
                parts.append(
                    f'<rect class="{side}" x="{LEFT + bar * (number + 0.05 + 0.45 * place):.1f}" '
                    f'y="{TOP + PLOT_HEIGHT - height:.1f}" width="{bar * 0.45:.1f}" height="{height:.1f}">'
                    f"<title>{part[kind]} {name}, {part['at']}</title></rect>"
                )
    own, injected = (sum(part[kind] for part in slices) for kind, _, _ in kinds)
    title = f"Errors over time: {own} application errors, {injected} injected errors"
    return _svg(title, [*parts, *_times(slices)])


def _means(slices: Sequence[Mapping[str, Any]]) -> str:
    most = _round(max(part[f"{side}_mean_seconds"] or 0.0 for part in slices for side in SIDES), least=0.004)
    parts = [_frame(most, "mean response time (s)")]
    step = PLOT_WIDTH / _parts(slices)
    for side in SIDES:
        points = [
            (
                LEFT + step * (_number(part, slices) + 0.5),
                TOP + PLOT_HEIGHT * (1 - part[f"{side}_mean_seconds"] / most),
            )
            for part in slices
            if part[f"{side}_mean_seconds"] is not None
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line {side}" points="{line}"/>')
        parts += [f'<circle class="{side}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]
    return _svg("Mean response times over time", [*parts, *_times(slices)])


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
