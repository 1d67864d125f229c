"""The hypothesis that ends its run."""

from collections.abc import Callable, Mapping

from ..faults.base import Chance
from ..results.store import ResultStore
from ..results.tally import Tally
from ..runs.run import Run
from ..runs.store import RunStore
from .base import LONGEST_END_REASON, abort

CHECKING_ENVIRONMENTS = 8
"""How many environments per interval check what all of them counted, where there are more."""

REMEMBERED_RUNS = 64


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
        is_table_settled: Callable[[], bool] = lambda: True,
    ) -> None:
        """While the table is not settled nothing is aborted: who could not write there seems to have died."""
        self._runs = runs
        self._results = results
        self._clock = clock
        self._chance = chance
        self._environment = environment
        self._on_abort = on_abort
        self._is_table_settled = is_table_settled
        self._environments: dict[str, int] = {}

    def __call__(self, run: Run, _counts: Mapping[str, int]) -> None:
        """Raises StoreUnavailable where the results cannot be read; the run goes on."""
        if not run.aborts_itself or not run.is_active(self._clock()):
            return
        if not self._is_table_settled() or not self._is_its_turn(run):
            return
        tally = self._results.results([run]).get(run.run_id)
        if tally:
            self._remember(run, tally)
            self._judge(run, tally)

    def _is_its_turn(self, run: Run) -> bool:
        return self._chance() * self._environments.get(run.run_id, 1) < CHECKING_ENVIRONMENTS

    def _remember(self, run: Run, tally: Tally) -> None:
        if len(self._environments) >= REMEMBERED_RUNS:
            self._environments.clear()
        self._environments[run.run_id] = tally.environments

    def _judge(self, run: Run, tally: Tally) -> None:
        from ..results.judgement import fails_beyond_chance, judge  # noqa: PLC0415 - only where a run may be aborted

        hypothesis, now = run.hypothesis, self._clock()
        if hypothesis and fails_beyond_chance(hypothesis, tally, run, now):
            why = f"the hypothesis failed: {judge(hypothesis, tally, run, now).failures}"[:LONGEST_END_REASON]
            abort(self._runs, run, now=now, reason=why, source=f"environment {self._environment}")
            self._on_abort()
