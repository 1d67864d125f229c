"""Untouched requests for a while after the end of a run that has a hypothesis: whether the application recovers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..runs.run import Run
from .served import ActivePlan
from .tally import AFTER_PART_SECONDS, AFTER_PARTS, SERVER_ERROR, SLOW_SHARE

STEADY_PARTS = 3
"""After how many parts in a row within the bounds nobody needs to count any more."""


@dataclass(slots=True, eq=False)
class _Part:
    requests: int = 0
    errors: int = 0
    slow: int = 0


@dataclass(slots=True, eq=False)
class Aftermath:
    """What comes after one run, in this process. `ended_at` is None as long as the run is known to be active."""

    plan: ActivePlan
    ended_at: float | None = None
    is_over: bool = False
    _parts: list[_Part] = field(default_factory=lambda: [_Part() for _ in range(AFTER_PARTS)])

    def part_of(self, began: float) -> int | None:
        """The part that a request belongs to; None where it is not after the run, or nobody counts any more."""
        run = self.plan.run
        ended_at = self.ended_at
        if ended_at is None:
            if began < run.expires_at:
                return None
            ended_at = self.ended_at = run.expires_at
        part = int(max(began - ended_at, 0.0) / AFTER_PART_SECONDS)
        self.is_over = self.is_over or part >= AFTER_PARTS or self._is_steady(part)
        return None if self.is_over else part

    def count(self, part: int, status: int | None, *, is_slow: bool) -> None:
        counted = self._parts[part]
        counted.requests += 1
        counted.errors += status is None or status // 100 == SERVER_ERROR // 100
        counted.slow += is_slow

    def _is_steady(self, part: int) -> bool:
        before = self._parts[max(part - STEADY_PARTS, 0) : part]
        return len(before) == STEADY_PARTS and all(map(self._is_within_bounds, before))

    def _is_within_bounds(self, part: _Part) -> bool:
        if not part.requests:
            return False
        return part.errors <= _error_rate(self.plan.run) * part.requests and part.slow <= SLOW_SHARE * part.requests


def _error_rate(run: Run) -> float:
    expected = run.options.get("hypothesis")
    allowed: Any = expected.get("max_error_rate") if isinstance(expected, Mapping) else None
    return float(allowed) if isinstance(allowed, int | float) else 1.0
