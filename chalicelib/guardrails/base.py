"""Conditions that end a run before its time. Who reads the active runs checks them; one write ends a run for all."""

import logging
from collections.abc import Callable, Mapping, Sequence

from ..errors import ChaosError
from ..runs.run import NEVER, Run
from ..runs.store import RunStore

log = logging.getLogger(__name__)

LONGEST_END_REASON = 200
"""In characters."""

Condition = Callable[[Sequence[Run]], Mapping[str, str]]
"""From active runs to those that are to end, by id, and why. May raise ChaosError where it cannot be checked."""


class Guardrails:
    """Ends active runs for which a condition holds. An environment checks at most once per interval."""

    def __init__(
        self,
        store: RunStore,
        conditions: Sequence[Condition],
        clock: Callable[[], float],
        *,
        interval_seconds: float,
        environment: str,
    ) -> None:
        self._store = store
        self._conditions = conditions
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._environment = environment
        self._checked_at = NEVER
        self._over: dict[str, str] = {}

    def enforce(self, runs: Sequence[Run]) -> Sequence[Run]:
        """The runs that continue. Never raises: where a condition cannot be checked, runs continue.

        A run whose end cannot be written is over in this environment all the same; each check tries again to end it.
        """
        now = self._clock()
        if runs and not self._checked_at <= now < self._checked_at + self._interval_seconds:
            self._checked_at = now
            self._check({run.run_id: run for run in runs})
        return [run for run in runs if run.run_id not in self._over] if self._over else runs

    def _check(self, runs: Mapping[str, Run]) -> None:
        over = {run_id: why for run_id, why in self._over.items() if run_id in runs}
        for condition in self._conditions:
            over |= _checked(condition, list(runs.values()))
        self._over = over
        for run_id, why in over.items():
            self._abort(runs[run_id], why)

    def _abort(self, run: Run, reason: str) -> None:
        try:
            abort(self._store, run, now=self._clock(), reason=reason, source=f"environment {self._environment}")
        except ChaosError as error:
            log.warning(
                "Could not abort run %s in the table; it is over in this environment, and the abort is tried again: %s",
                run.run_id,
                error,
                extra={"run_id": run.run_id},
            )


def _checked(condition: Condition, runs: Sequence[Run]) -> Mapping[str, str]:
    """What the condition ends; nothing where it cannot be checked."""
    try:
        return condition(runs)
    except ChaosError as error:
        log.warning("Could not check the guardrails, so active runs continue: %s", error)
    except Exception:
        log.exception("A guardrail raised an exception; active runs continue")
    return {}


def abort(store: RunStore, run: Run, *, now: float, reason: str, source: str) -> bool:
    """End the run for all. False where somebody else was first."""
    ended = run.ended(now=now, by="guardrail", reason=reason, source=source, aborted=True)
    if not store.stop(ended):
        return False
    log.warning("Aborted run %s of %s: %s", run.run_id, run.experiment, reason, extra={"run_id": run.run_id})
    return True
