"""Conditions that end a run before its time. Who reads the active runs checks them; one write ends a run for all."""

import logging
from collections.abc import Callable, Mapping, Sequence

from ..errors import ChaosError
from ..runs.run import Run
from ..runs.store import RunStore
from .turn import Turn

log = logging.getLogger(__name__)

LONGEST_END_REASON = 200
"""In characters."""

Condition = Callable[[Sequence[Run]], Mapping[str, str]]
"""From active runs to those that are to end, by id, and why. May raise ChaosError where it cannot be checked."""


class Guardrails:
    """Ends active runs that name alarms, for which a condition holds. An environment checks when it is its turn."""

    def __init__(
        self,
        store: RunStore,
        conditions: Sequence[Condition],
        turn: Turn,
        clock: Callable[[], float],
        *,
        environment: str,
    ) -> None:
        self._store = store
        self._conditions = conditions
        self._turn = turn
        self._clock = clock
        self._environment = environment
        self._over: dict[str, str] = {}

    def enforce(self, runs: Sequence[Run]) -> Sequence[Run]:
        """The runs that continue. Never raises: where a condition cannot be checked, runs continue.

        A run whose end cannot be written is over in this environment all the same; each check tries again to end it.
        """
        guarded = {run.run_id: run for run in runs if run.alarms}
        if guarded and self._turn.is_mine():
            self._check(guarded)
        return [run for run in runs if run.run_id not in self._over] if self._over else runs

    def _check(self, runs: Mapping[str, Run]) -> None:
        over = {run_id: why for run_id, why in self._over.items() if run_id in runs}
        for condition in self._conditions:
            found = _checked(condition, list(runs.values()))
            if found is None:
                self._turn.failed()
            over |= found or {}
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


def _checked(condition: Condition, runs: Sequence[Run]) -> Mapping[str, str] | None:
    """What the condition ends; None where it cannot be checked."""
    try:
        return condition(runs)
    except ChaosError as error:
        log.warning("Could not check the guardrails, so active runs continue: %s", error)
    except Exception:
        log.exception("A guardrail raised an exception; active runs continue")
    return None


def abort(store: RunStore, run: Run, *, now: float, reason: str, source: str) -> bool:
    """End the run for all. False where somebody else was first."""
    ended = run.ended(now=now, by="guardrail", reason=reason, source=source, aborted=True)
    if not store.stop(ended):
        return False
    log.warning("Aborted run %s of %s: %s", run.run_id, run.experiment, reason, extra={"run_id": run.run_id})
    return True
