"""The pure decision: what the active runs do to one request."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..faults import Chance, Fault
from ..runs.run import Run

if TYPE_CHECKING:
    from ..experiments.base import Experiment

log = logging.getLogger(__name__)

LONGEST_DEFECT = 100


WHOLE = 100.0


@dataclass(frozen=True, slots=True)
class Defect:
    """The experiment raised an exception, so its run does not affect the request."""

    told: str
    order: ClassVar[int] = -1


@dataclass(frozen=True, slots=True)
class Hit:
    """One fault of one run, for one request."""

    run: Run
    fault: Fault | Defect


def installed() -> Mapping[str, "Experiment"]:
    """The installed experiments; they need pydantic, which a process in which nothing runs does without."""
    from ..experiments import catalogue  # noqa: PLC0415

    return catalogue.installed()


def decide(runs: Sequence[Run], chance: Chance, catalogue: Mapping[str, "Experiment"] | None = None) -> list[Hit]:
    """The hits in the order in which they are applied. A run of an unknown experiment hits nothing."""
    hits = []
    known = installed() if catalogue is None else catalogue
    for run in runs:
        if run.unreadable or run.experiment not in known:
            continue
        share = run.parameters["percentage"]
        if share < WHOLE and chance() * WHOLE >= share:
            continue
        try:
            experiment = known[run.experiment]
            parameters = experiment.Parameters.model_validate(dict(run.parameters))
            hits += [Hit(run, fault) for fault in experiment.faults(parameters, chance)]
        except Exception as error:
            log.exception(
                "Experiment %s raised an exception; its run %s does not affect this request",
                run.experiment,
                run.run_id,
            )
            hits.append(Hit(run, Defect(f"{type(error).__name__}: {error}"[:LONGEST_DEFECT])))
    hits.sort(key=lambda hit: hit.fault.order)
    return hits
