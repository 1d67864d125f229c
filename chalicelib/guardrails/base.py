"""Conditions that end a run. Who reads the active runs checks them now and then; one write ends a run for all."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ..errors import ChaosError, UnknownAlarm
from ..faults import Chance
from ..results.judgement import fails_beyond_chance, judge
from ..runs.run import NEVER, Run
from ..runs.store import ResultStore, RunStore

log = logging.getLogger(__name__)

LONGEST_REASON = 200


class Alarms(Protocol):
    def firing(self, names: Sequence[str]) -> Mapping[str, str]:
        """Those of the alarms that are in ALARM, and why. Raises AlarmsUnavailable, and UnknownAlarm."""


Condition = Callable[[Sequence[Run]], Mapping[str, str]]
"""From active runs to those that are to end, by id, and why. May raise ChaosError where it cannot tell."""


def alarm_condition(alarms: Alarms) -> Condition:
    """A run ends when one of its alarms fires."""

    def fired(runs: Sequence[Run]) -> Mapping[str, str]:
        names = sorted({name for run in runs for name in run.alarms})
        firing = _firing(alarms, names) if names else {}
        causes = {run.run_id: next((name for name in run.alarms if name in firing), None) for run in runs}
        return {run_id: told(name, firing[name]) for run_id, name in causes.items() if name}

    return fired


def _firing(alarms: Alarms, names: Sequence[str]) -> Mapping[str, str]:
    """Also where one of them is not there any more: it must not keep the others from ending what they guard."""
    try:
        return alarms.firing(names)
    except UnknownAlarm as error:
        if len(names) == 1:
            log.warning("A run continues although an alarm that it names does not exist: %s", error)
            return {}
        return {name: why for each in names for name, why in _firing(alarms, [each]).items()}


def told(name: str, why: str) -> str:
    return f"CloudWatch alarm {name} is in ALARM: {why}"[:LONGEST_REASON]


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
        self._looked_at = NEVER
        self._over: dict[str, str] = {}

    def keep(self, runs: Sequence[Run]) -> Sequence[Run]:
        """The runs that continue. Never raises: where a condition cannot be checked, runs continue.

        A run whose end cannot be written is over in this environment all the same, and is tried again to be ended.
        """
        now = self._clock()
        if not self._looked_at <= now < self._looked_at + self._interval_seconds and runs:
            self._looked_at = now
            self._look(runs)
        return [run for run in runs if run.run_id not in self._over] if self._over else runs

    def _look(self, runs: Sequence[Run]) -> None:
        over: dict[str, str] = {}
        for condition in self._conditions:
            try:
                over |= condition(runs)
            except ChaosError as error:
                log.warning("Could not check the guardrails, so active runs continue: %s", error)
            except Exception:
                log.exception("A guardrail raised an exception; active runs continue")
        known = {run.run_id: run for run in runs}
        self._over = {**{run_id: why for run_id, why in self._over.items() if run_id in known}, **over}
        for run_id, why in self._over.items():
            self._abort(known[run_id], why)

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


LOOKERS = 8
"""How many environments an interval look at what all of them saw, where there are more."""

REMEMBERED_RUNS = 16


class HypothesisGuard:
    """Ends a run whose hypothesis fails beyond chance. Called by an environment that has just flushed its counts."""

    def __init__(
        self,
        runs: RunStore,
        results: ResultStore,
        clock: Callable[[], float],
        chance: Chance,
        *,
        environment: str,
        on_abort: Callable[[], None],
    ) -> None:
        self._runs = runs
        self._results = results
        self._clock = clock
        self._chance = chance
        self._environment = environment
        self._on_abort = on_abort
        self._environments: dict[str, int] = {}

    def __call__(self, run: Run, _told: Mapping[str, int]) -> None:
        """Raises StoreUnavailable where nobody can tell; the run goes on."""
        hypothesis, now = run.hypothesis, self._clock()
        if hypothesis is None or not hypothesis.abort or not run.is_active(now):
            return
        if self._chance() * self._environments.get(run.run_id, 1) >= LOOKERS:
            return
        tally = self._results.results([run]).get(run.run_id)
        if tally is None:
            return
        if len(self._environments) >= REMEMBERED_RUNS:
            self._environments.clear()
        self._environments[run.run_id] = tally.environments
        if fails_beyond_chance(hypothesis, tally):
            why = f"the hypothesis failed: {judge(hypothesis, tally).explanation}"[:LONGEST_REASON]
            abort(self._runs, run, now=now, reason=why, source=f"environment {self._environment}")
            self._on_abort()


def abort(store: RunStore, run: Run, *, now: float, reason: str, source: str) -> bool:
    """End the run for all. False where somebody else was first."""
    ended = run.ended(now=now, by="guardrail", reason=reason, source=source, aborted=True)
    if not store.stop(ended):
        return False
    log.warning("Aborted run %s of %s: %s", run.run_id, run.experiment.name, reason, extra={"run_id": run.run_id})
    return True


def abort_for(store: RunStore, alarm: str, why: str, *, now: float, source: str) -> list[str]:
    """End what runs and names the alarm, which is in ALARM. The ids of the runs that this call ended."""
    named = [run for run in store.active(now) if alarm in run.alarms]
    return [run.run_id for run in named if abort(store, run, now=now, reason=told(alarm, why), source=source)]
