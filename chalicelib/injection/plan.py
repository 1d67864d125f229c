"""A run, compiled when the snapshot is read, so that a request only looks at what it needs."""

import logging
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING

from ..faults.base import Fault
from ..runs.run import Run

if TYPE_CHECKING:
    from ..experiments.base import Experiment

log = logging.getLogger(__name__)

WHOLE = 100.0
LONGEST_DEFECT = 100
BY_ORDER = attrgetter("order")


class Plan:
    """What a run does to the calls that it hits, and how many it hits: `share`, from 0 to 1."""

    __slots__ = ("aborts_itself", "expires_at", "faults", "run", "run_id", "share")

    def __init__(self, run: Run, share: float, faults: tuple[Fault, ...]) -> None:
        self.run = run
        self.run_id = run.run_id
        self.expires_at = run.expires_at
        self.aborts_itself = run.aborts_itself
        self.share = share
        self.faults = faults

    def is_active(self, now: float) -> bool:
        return now < self.expires_at


class Compiler:
    """From active runs to plans; each run is compiled once.

    A run that this version of the module cannot read is left out. One whose target is not this `environment` hits
    nothing, and its untouched calls are counted. One whose experiment raises has no faults, and `record_defect` is
    called with what it raised; it may block, and raise.
    """

    def __init__(
        self,
        catalogue: "Callable[[], Mapping[str, Experiment]]",
        record_defect: Callable[[Run, str], None],
        environment: str = "",
    ) -> None:
        self._catalogue = catalogue
        self._record_defect = record_defect
        self._environment = environment
        self._plans: dict[str, Plan | None] = {}

    def __call__(self, runs: Iterable[Run]) -> list[Plan]:
        known = self._plans
        self._plans = {run.run_id: known[run.run_id] if run.run_id in known else self._compile(run) for run in runs}
        return [plan for plan in self._plans.values() if plan]

    def _compile(self, run: Run) -> Plan | None:
        try:
            if run.unreadable:
                raise ValueError("another version of the module wrote it")  # noqa: TRY301 - as what the others raise
            experiment = self._catalogue()[run.experiment]
            parameters = experiment.Parameters.model_validate(run.parameters)
            share = parameters.percentage / WHOLE if self._is_targeted(run) else 0.0
        except Exception as error:  # noqa: BLE001 - whatever a validator raises, the other runs go on
            log.warning("Skipped run %s of %s, which this version cannot read: %s", run.run_id, run.experiment, error)
            return None
        try:
            faults = tuple(sorted(experiment.faults(parameters), key=BY_ORDER))
        except Exception as error:
            log.exception("Experiment %s raised an exception; its run %s hits nothing", run.experiment, run.run_id)
            self._record(run, f"{type(error).__name__}: {error}"[:LONGEST_DEFECT])
            faults = ()
        return Plan(run, share, faults)

    def _is_targeted(self, run: Run) -> bool:
        """Whether the run may hit anything here. Raises ValueError where its target cannot be read."""
        from ..runs.target import Target  # noqa: PLC0415 - pydantic, which a process in which nothing runs does without

        target = Target.stored(run.options.get("target"))
        return target is None or target.has_environment(run.run_id, self._environment)

    def _record(self, run: Run, defect: str) -> None:
        try:
            self._record_defect(run, defect)
        except Exception as error:  # noqa: BLE001 - the application's request goes on
            log.warning("Could not record the defect of run %s: %s", run.run_id, error)
