"""The pure decision: what the active runs do to one request."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..faults import Chance, Fault
from ..runs.run import Run

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


def decide(runs: Sequence[Run], chance: Chance) -> list[Hit]:
    """The hits in the order in which they are applied."""
    hits = []
    for run in runs:
        share = run.parameters.percentage
        if share < WHOLE and chance() * WHOLE >= share:
            continue
        try:
            hits += [Hit(run, fault) for fault in run.experiment.faults(run.parameters, chance)]
        except Exception as error:
            log.exception(
                "Experiment %s raised an exception; its run %s does not affect this request",
                run.experiment.name,
                run.run_id,
            )
            hits.append(Hit(run, Defect(f"{type(error).__name__}: {error}"[:LONGEST_DEFECT])))
    hits.sort(key=lambda hit: hit.fault.order)
    return hits
