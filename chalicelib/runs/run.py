"""A run and its life. Pure: everything follows from what was stored and `now` (epoch seconds, UTC).

A run is plain JSON inside: it can be listed, stopped and halted by a version that knows neither its experiment nor its
options.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from .event import identifier

if TYPE_CHECKING:
    from .options import Hypothesis

NEVER = float("-inf")
"""Before any moment, in epoch seconds."""

FOREVER = float("inf")
"""After any moment."""

CLOCKS_DIFFER_SECONDS = 2.0
"""How far two clocks may differ that the table corrects: by so much a run may be ahead of its start."""

Status = Literal["running", "completed", "stopped", "aborted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One started experiment. Times are epoch seconds, to the millisecond.

    `experiment` is its name; `label` tells it from others of the same experiment, and is unique among what runs;
    `scenario` is the id of those that were started together.
    `parameters` are complete, as validated at the start; `options` are `StartOptions` as
    stored, with whatever a newer version has added. `defect` is what an environment found wrong with its experiment.
    `unreadable`: another version wrote it, and this one cannot read its parameters and options. It can be listed,
    stopped and halted, and must not be injected. `damaged`: its envelope cannot be read, either; what is missing is
    empty, its start `NEVER` or its end `FOREVER`.
    """

    run_id: str
    experiment: str
    parameters: Mapping[str, Any] = field(hash=False)
    started_at: float
    expires_at: float
    started_by: str
    started_from: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    label: str = ""
    scenario: str | None = None
    unreadable: bool = False
    damaged: bool = False
    ended_at: float | None = None
    ended_by: str | None = None
    ended_from: str | None = None
    end_reason: str | None = None
    aborted: bool = False
    is_spent: bool = False
    """Whether it ended because it had hit as many calls as it was to hit."""
    defect: str | None = None

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.experiment)

    @classmethod
    def started(
        cls,
        experiment: str,
        parameters: Mapping[str, Any],
        *,
        now: float,
        by: str,
        token: str,
        source: str = "",
        options: Mapping[str, Any] | None = None,
        label: str | None = None,
        scenario: str | None = None,
    ) -> Self:
        """A new run. `token` makes its id unique; ids sort by the time of the start."""
        started_at = round(now, 3)
        return cls(
            run_id=identifier(started_at, token),
            experiment=experiment,
            parameters=parameters,
            started_at=started_at,
            expires_at=round(started_at + parameters["duration_seconds"], 3),
            started_by=by,
            started_from=source,
            options=options or {},
            label=label or experiment,
            scenario=scenario,
        )

    def ended(
        self, *, now: float, by: str, reason: str | None, source: str | None = None, aborted: bool = False
    ) -> Self:
        """As it ends at `now`; not before it started, where clocks differ."""
        at = round(max(now, self.started_at), 3)
        return replace(self, ended_at=at, ended_by=by, ended_from=source, end_reason=reason, aborted=aborted)

    def spent(self, *, now: float, by: str, reason: str) -> Self:
        """As it ends where it has hit as many calls as it was to hit: completed."""
        return replace(self.ended(now=now, by=by, reason=reason), is_spent=True)

    @property
    def duration_seconds(self) -> float:
        """How long it was to last."""
        return round(self.expires_at - self.started_at, 3)

    @property
    def hits_from(self) -> float:
        """When its baseline is over: before that it hits nothing."""
        baseline = self._expected.get("baseline_seconds")
        return self.started_at + (baseline if isinstance(baseline, int | float) else 0.0)

    @property
    def reason(self) -> str | None:
        return self.options.get("reason")

    @property
    def alarms(self) -> tuple[str, ...]:
        """Names of the CloudWatch alarms any of which ends the run."""
        names = self.options.get("alarms")
        return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()

    @property
    def hypothesis(self) -> "Hypothesis | None":
        """What is expected of the requests. Validated at each call: not for the path of a request."""
        if not self._expected:
            return None
        from .options import Hypothesis  # noqa: PLC0415 - pydantic, which a process in which nothing runs does without

        return Hypothesis.stored(self._expected)

    @property
    def dependency(self) -> str | None:
        """What the outgoing calls are to that it hits; None for a run that hits requests."""
        named = self.parameters.get("dependency")
        return named if isinstance(named, str) else None

    @property
    def is_dry(self) -> bool:
        """Whether its faults are decided and counted, and not applied."""
        return bool(self.options.get("dry_run"))

    @property
    def propagates(self) -> bool:
        """Whether its verdicts on requests travel between services."""
        return self.options.get("propagate") is True

    @property
    def aborts_itself(self) -> bool:
        """Whether it ends as soon as its hypothesis has failed beyond chance."""
        return self._expected.get("abort") is True

    @property
    def slow_after_seconds(self) -> float | None:
        """The response time that the hypothesis allows to 95 % of the judged requests."""
        bound = self._expected.get("p95_seconds")
        return bound if isinstance(bound, int | float) else None

    @property
    def _expected(self) -> Mapping[str, Any]:
        """The hypothesis as stored. Whatever another version has stored, nothing here raises."""
        stored = self.options.get("hypothesis")
        return stored if isinstance(stored, Mapping) else {}

    @property
    def order(self) -> tuple[float, str]:
        """By which runs are sorted: the one that was started last is the last one."""
        return self.started_at, self.run_id

    @property
    def end(self) -> tuple[str, float | None, str | None]:
        """The identity of an end: two ends of a run that differ were made by different requests."""
        return self.run_id, self.ended_at, self.ended_by

    @property
    def over_at(self) -> float:
        """When it ended, or is to end."""
        return self.expires_at if self.ended_at is None else min(self.ended_at, self.expires_at)

    def has_begun(self, now: float) -> bool:
        """Unless whoever started it had a clock that was ahead, and nobody corrected it."""
        return now >= self.started_at - CLOCKS_DIFFER_SECONDS

    def is_active(self, now: float) -> bool:
        return self.ended_at is None and now < self.expires_at

    def status(self, now: float) -> Status:
        if self.ended_at is not None and self.ended_at < self.expires_at:
            if self.is_spent:
                return "completed"
            return "aborted" if self.aborted else "stopped"
        return "running" if self.is_active(now) else "completed"

    def remaining_seconds(self, now: float) -> float:
        """Until its end; no more than its whole duration, where the clock of whoever started it was ahead."""
        if not self.is_active(now) or self.expires_at == FOREVER:
            return 0.0
        return max(0.0, round(min(self.expires_at - now, self.expires_at - self.started_at), 3))
