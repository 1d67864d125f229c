"""A run and its life. Pure: everything follows from what was stored and `now` (epoch seconds, UTC)."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from ..experiment import Experiment, Parameters

Status = Literal["running", "completed", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One started experiment. Times are epoch seconds, to the millisecond."""

    run_id: str
    experiment: "Experiment"
    parameters: "Parameters"
    started_at: float
    expires_at: float
    started_by: str
    reason: str | None = None
    ended_at: float | None = None
    ended_by: str | None = None
    end_reason: str | None = None

    @classmethod
    def started(
        cls,
        experiment: "Experiment",
        parameters: "Parameters",
        *,
        now: float,
        by: str,
        token: str,
        reason: str | None = None,
    ) -> Self:
        """A new run. `token` makes its id unique; ids sort by the time of the start."""
        started_at = round(now, 3)
        moment = datetime.fromtimestamp(started_at, UTC)
        return cls(
            run_id=f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z-{token}",
            experiment=experiment,
            parameters=parameters,
            started_at=started_at,
            expires_at=round(started_at + parameters.duration_seconds, 3),
            started_by=by,
            reason=reason,
        )

    def ended(self, *, now: float, by: str, reason: str | None) -> Self:
        return replace(self, ended_at=round(now, 3), ended_by=by, end_reason=reason)

    def is_active(self, now: float) -> bool:
        return self.ended_at is None and now < self.expires_at

    def status(self, now: float) -> Status:
        if self.ended_at is not None:
            return "stopped" if self.ended_at < self.expires_at else "completed"
        return "running" if now < self.expires_at else "completed"

    def remaining_seconds(self, now: float) -> float:
        return round(self.expires_at - now, 3) if self.is_active(now) else 0.0
