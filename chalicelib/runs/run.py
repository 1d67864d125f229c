"""A run and its life. Pure: everything follows from what was stored and `now` (epoch seconds, UTC)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

from .event import identifier

if TYPE_CHECKING:
    from ..experiments.base import Experiment, Parameters
    from ..results.judgement import Hypothesis

NEVER = float("-inf")
"""Before any moment, in epoch seconds."""

Status = Literal["running", "completed", "stopped", "aborted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One started experiment. Times are epoch seconds, to the millisecond.

    `alarms` are CloudWatch's, any of which ends it; `defect` is what an environment found wrong with its experiment.
    """

    run_id: str
    experiment: "Experiment"
    parameters: "Parameters"
    started_at: float
    expires_at: float
    started_by: str
    started_from: str = ""
    reason: str | None = None
    alarms: tuple[str, ...] = ()
    hypothesis: "Hypothesis | None" = None
    ended_at: float | None = None
    ended_by: str | None = None
    ended_from: str | None = None
    end_reason: str | None = None
    aborted: bool = False
    defect: str | None = None

    @classmethod
    def started(
        cls,
        experiment: "Experiment",
        parameters: "Parameters",
        *,
        now: float,
        by: str,
        token: str,
        source: str = "",
        reason: str | None = None,
        alarms: Sequence[str] = (),
        hypothesis: "Hypothesis | None" = None,
    ) -> Self:
        """A new run. `token` makes its id unique; ids sort by the time of the start."""
        started_at = round(now, 3)
        return cls(
            run_id=identifier(started_at, token),
            experiment=experiment,
            parameters=parameters,
            started_at=started_at,
            expires_at=round(started_at + parameters.duration_seconds, 3),
            started_by=by,
            started_from=source,
            reason=reason,
            alarms=tuple(alarms),
            hypothesis=hypothesis,
        )

    def ended(
        self, *, now: float, by: str, reason: str | None, source: str | None = None, aborted: bool = False
    ) -> Self:
        return replace(self, ended_at=round(now, 3), ended_by=by, ended_from=source, end_reason=reason, aborted=aborted)

    @property
    def end(self) -> tuple[str, float | None, str | None]:
        """What tells one end of a run from another."""
        return self.run_id, self.ended_at, self.ended_by

    @property
    def aborts_itself(self) -> bool:
        """Whether it ends as soon as its hypothesis has failed beyond chance."""
        return self.hypothesis is not None and self.hypothesis.abort

    def is_active(self, now: float) -> bool:
        return self.ended_at is None and now < self.expires_at

    def status(self, now: float) -> Status:
        if self.ended_at is not None and self.ended_at < self.expires_at:
            return "aborted" if self.aborted else "stopped"
        return "running" if self.is_active(now) else "completed"

    def remaining_seconds(self, now: float) -> float:
        return round(self.expires_at - now, 3) if self.is_active(now) else 0.0
