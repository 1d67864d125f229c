"""What a stage permits, checked once more where faults are applied: who wrote a run may not have known it."""

from typing import TYPE_CHECKING

from ..runs.run import Run
from ..settings import Settings

if TYPE_CHECKING:
    from ..experiments.base import Parameters

ROUNDING_SECONDS = 0.002
"""By how much a run may seem longer than it was asked for: its times are kept to the millisecond."""


class StagePermits:
    """Says why a run must not hit anything in this process; None where it may.

    A start checks the same, with the settings of the process that answers it. Another process may have a lower limit,
    or another lock; a run may be older than a limit, or was written by other means.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, run: Run, parameters: "Parameters") -> str | None:
        settings = self._settings
        if settings.production_locked:
            return f"stage {settings.stage} is locked (CHAOS_ALLOW_PRODUCTION)"
        if run.propagates and not settings.propagation_key:
            return "CHAOS_PROPAGATION_KEY is not set in this environment"
        limits = parameters.limited(settings.limits)
        asked = {name: getattr(parameters, name) or 0 for name in limits}
        asked["duration_seconds"] = max(parameters.duration_seconds, run.duration_seconds - ROUNDING_SECONDS)
        name = next((name for name, limit in limits.items() if asked[name] > limit), None)
        return name and f"{name} {asked[name]:g} is above this stage's limit {limits[name]:g}"
