"""The pure decision: what the active runs do to one request."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ..faults import Chance, Fault
from ..runs.run import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hit:
    """One fault of one run, for one request."""

    run: Run
    fault: Fault


def decide(runs: Sequence[Run], chance: Chance) -> list[Hit]:
    """The hits in the order in which they are applied. A run whose experiment has a defect is left out, and logged."""
    hits = []
    for run in runs:
        try:
            hits += [Hit(run, fault) for fault in run.experiment.faults(run.parameters, chance)]
        except Exception:
            log.exception("Experiment %s failed to decide; its run %s is left out", run.experiment.name, run.run_id)
    hits.sort(key=lambda hit: hit.fault.order)
    return hits
