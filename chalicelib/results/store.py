"""The ports to the results of the runs of one scope, and to what its processes saw of their outgoing calls."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..runs.run import Run
from .seen import Seen, SeenCalls, SeenKey
from .tally import OpenCalls, Tally


class ResultStore(Protocol):
    """What the environments of one scope counted while runs were active. Every method may raise StoreUnavailable."""

    def add(
        self,
        run: Run,
        counts: Mapping[str, int],
        *,
        environment: str,
        number: int,
        open_calls: OpenCalls | None = None,
    ) -> None:
        """Add to the run's counts, and replace what the environment has open, at once.

        Each environment numbers what it adds, from 1 on: nothing is added twice. There are at most `MOST_COUNTERS`.
        """

    def results(self, runs: Sequence[Run]) -> Mapping[str, Tally]:
        """All that was added, by the run's id; nothing for a run without any counts."""


MOST_COUNTERS = 250
"""How many counters can be added at once: an expression of DynamoDB has at most 4 KB and 300 operators."""


class SeenStore(Protocol):
    """What the environments of one scope call while somebody asks. Every method may raise StoreUnavailable."""

    def add(self, key: SeenKey, calls: SeenCalls, *, addition: str) -> None:
        """Add to what is known there. `addition` names it: sent twice in a row, it is added once."""

    def seen(self, since: float) -> Seen:
        """All that was added of observations that began since, the newest first where it is too much."""
