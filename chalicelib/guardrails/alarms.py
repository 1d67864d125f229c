"""Alarms that end the runs that name them."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from ..errors import UnknownAlarm
from ..runs.run import Run
from ..runs.store import RunStore
from .base import LONGEST_END_REASON, Condition, abort

log = logging.getLogger(__name__)


class Alarms(Protocol):
    """The port to the alarms of the application."""

    def firing(self, names: Sequence[str]) -> Mapping[str, str]:
        """Those of the alarms that are in ALARM, and why. Raises AlarmsUnavailable, and UnknownAlarm."""


def alarm_condition(alarms: Alarms) -> Condition:
    """A run ends when one of its alarms fires."""
    return partial(_fired, alarms)


def _fired(alarms: Alarms, runs: Sequence[Run]) -> Mapping[str, str]:
    names = sorted({name for run in runs for name in run.alarms})
    firing = _firing(alarms, names) if names else {}
    causes = ((run.run_id, name) for run in runs for name in reversed(run.alarms) if name in firing)
    return {run_id: alarm_reason(name, firing[name]) for run_id, name in causes}  # of several, a run's first alarm


def _firing(alarms: Alarms, names: Sequence[str]) -> Mapping[str, str]:
    """Also where one of them does not exist any more: the others still end what they guard."""
    try:
        return alarms.firing(names)
    except UnknownAlarm as error:
        if len(names) == 1:
            log.warning("A run continues although an alarm that it names does not exist: %s", error)
            return {}
        return {name: why for each in names for name, why in _firing(alarms, [each]).items()}


def alarm_reason(name: str, why: str) -> str:
    """Why a run ends, or does not start, because of an alarm."""
    return f"CloudWatch alarm {name} is in ALARM: {why}"[:LONGEST_END_REASON]


def abort_for(store: RunStore, alarm: str, why: str, *, now: float, source: str) -> list[str]:
    """End the active runs that name the alarm, which is in ALARM. The ids of the runs that this call ended."""
    reason = alarm_reason(alarm, why)
    named = [run for run in store.active(now) if alarm in run.alarms]
    return [run.run_id for run in named if abort(store, run, now=now, reason=reason, source=source)]
