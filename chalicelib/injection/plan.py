"""A run, compiled when the snapshot is read, so that a request only looks at what it needs."""

import logging
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING

from ..faults.base import Fault
from ..runs.run import NEVER, Run

if TYPE_CHECKING:
    from ..experiments.base import Experiment

log = logging.getLogger(__name__)

WHOLE = 100.0
LONGEST_DEFECT = 100
BY_ORDER = attrgetter("order")


class Plan:
    """What a run does to the calls that it hits, and how many it hits: `share`, from 0 to 1.

    A run that first looks at what is normal has two plans: one that hits nothing, and then the other one.
    """

    __slots__ = ("active_from", "expires_at", "faults", "run", "run_id", "share")

    def __init__(self, run: Run, share: float, faults: tuple[Fault, ...], *, active_from: float = NEVER) -> None:
        self.run = run
        self.run_id = run.run_id
        self.active_from = active_from
        self.expires_at = run.expires_at
        self.share = share
        self.faults = faults

    @classmethod
    def baseline(cls, run: Run, until: float) -> "Plan":
        """The plan that hits nothing, as long as it lasts."""
        plan = cls(run, 0.0, ())
        plan.expires_at = min(until, run.expires_at)
        return plan

    def is_active(self, now: float) -> bool:
        return self.active_from <= now < self.expires_at


class Compiler:
    """From active runs to plans; each run is compiled once.

    A run that this version of the module cannot read is left out. One whose experiment raises has no faults, and
    `record_defect` is called with what it raised; it may block, and raise.
    """

    def __init__(
        self,
        catalogue: "Callable[[], Mapping[str, Experiment]]",
        record_defect: Callable[[Run, str], None],
    ) -> None:
        self._catalogue = catalogue
        self._record_defect = record_defect
        self._plans: dict[str, tuple[Plan, ...]] = {}

    def __call__(self, runs: Iterable[Run]) -> list[Plan]:
        known = self._plans
        self._plans = {run.run_id: known[run.run_id] if run.run_id in known else self._compile(run) for run in runs}
        return [plan for plans in self._plans.values() for plan in plans]

    def _compile(self, run: Run) -> tuple[Plan, ...]:
        try:
            if run.unreadable:
                raise ValueError("another version of the module wrote it")  # noqa: TRY301 - as what the others raise
            experiment = self._catalogue()[run.experiment]
            parameters = experiment.Parameters.model_validate(run.parameters)
        except Exception as error:  # noqa: BLE001 - whatever a validator raises, the other runs go on
            log.warning("Skipped run %s of %s, which this version cannot read: %s", run.run_id, run.experiment, error)
            return ()
        try:
            faults = tuple(sorted(experiment.faults(parameters), key=BY_ORDER))
        except Exception as error:
            log.exception("Experiment %s raised an exception; its run %s hits nothing", run.experiment, run.run_id)
            self._record(run, f"{type(error).__name__}: {error}"[:LONGEST_DEFECT])
            faults = ()
        hits_from: float = getattr(run, "hits_from", run.started_at)
        share = parameters.percentage / WHOLE
        if hits_from <= run.started_at:
            return (Plan(run, share, faults),)
        return Plan.baseline(run, hits_from), Plan(run, share, faults, active_from=hits_from)

    def _record(self, run: Run, defect: str) -> None:
        try:
            self._record_defect(run, defect)
        except Exception as error:  # noqa: BLE001 - the application's request goes on
            log.warning("Could not record the defect of run %s: %s", run.run_id, error)
