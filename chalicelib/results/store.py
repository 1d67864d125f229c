"""The port to the results of the runs of one scope."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..runs.run import Run
from .tally import Tally


class ResultStore(Protocol):
    """What the environments of one scope counted while runs were active. Every method may raise StoreUnavailable."""

    def add(self, run: Run, counts: Mapping[str, int], *, environment: str, number: int) -> None:
        """Add to the run's counts. Each environment numbers what it adds, from 1 on: nothing is added twice."""

    def results(self, runs: Sequence[Run]) -> Mapping[str, Tally]:
        """All that was added, by the run's id; nothing for a run without any counts."""
