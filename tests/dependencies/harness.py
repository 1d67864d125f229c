"""A run of dependency_failure in this process, with stores in memory; and a request that is being served meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from chalicelib.api.results import results
from chalicelib.bootstrap import Chaos, bootstrap
from chalicelib.injection.current import CURRENT
from chalicelib.injection.drivers import SyncInjection
from chalicelib.injection.engine import BLOCKED, InjectionResult
from chalicelib.outgoing.installation import INSTALLATION
from chalicelib.results.recorder import Schedule
from chalicelib.results.tally import Tally
from chalicelib.runs.run import Run
from chalicelib.settings import Settings
from tests.injection.support import FakeCall
from tests.support import (
    NOW,
    Clock,
    FakeBudgetStore,
    FakeResultStore,
    FakeRunStore,
    FakeSeenStore,
    FakeTokenStore,
    a_run,
)


def never(_seconds: float, _call: object) -> None:
    """`Schedule` that calls nothing."""


class Dependencies:
    """The module, wired; the clock is a test's, so that delays take no time: `clock.slept` has them."""

    def __init__(self, *runs: Run, chance: float = 0.0, schedule: Schedule | None = never) -> None:
        self.chance = lambda: chance
        self.clock = Clock()
        self.started = runs
        self.store = FakeRunStore({run.label: run for run in runs})
        self.results = FakeResultStore()
        self.seen = FakeSeenStore()
        self.chaos: Chaos = bootstrap(
            Settings(stage="dev"),
            runs=self.store,
            results=self.results,
            seen=self.seen,
            tokens=FakeTokenStore(),
            budgets=FakeBudgetStore(),
            clock=self.clock,
            sleep=self._sleep,
            chance=lambda: self.chance(),  # noqa: PLW0108 - a test may change it
            schedule=schedule,  # type: ignore[arg-type]
        )

    def _sleep(self, seconds: float) -> None:
        """A thread that watches what is over must not move the clock."""
        if threading.current_thread().name.startswith("chaos-"):
            time.sleep(0.05)
        else:
            self.clock.sleep(seconds)

    def refresh(self) -> None:
        """Read which runs are active, and so install or take out the patches."""
        self.chaos.engine.snapshot.get_fresh()

    def stop(self) -> None:
        """End all runs, and what is observed, and obey that."""
        self.store.runs.clear()
        self.store.observation = None
        self.refresh()

    @contextmanager
    def request(self, call: FakeCall | None = None) -> Iterator[InjectionResult]:
        """A request is served meanwhile."""
        call = call or FakeCall("/orders")
        result = self.chaos.engine.arrive_now(call)
        if result is BLOCKED:  # something has been imported meanwhile, and may have to be patched
            self.refresh()
            result = self.chaos.engine.arrive_now(call)
        assert isinstance(result, InjectionResult)
        self.chaos.engine.decide(result)
        token = CURRENT.set((SyncInjection(self.chaos.engine), result))
        try:
            yield result
        finally:
            CURRENT.reset(token)

    def serve(self, status: int | None, work: Callable[[], Any], call: FakeCall | None = None) -> InjectionResult:
        """A request is served with this status (None: it dies), and counted. `work` is what the application does."""
        with self.request(call) as result:
            work()
        result.is_answered = True
        self.chaos.engine.count(result, status)
        return result

    @property
    def shown(self) -> Mapping[str, Any]:
        """The results of the only run, as the API shows them."""
        self.chaos.engine.recorder.flush()
        (run,) = self.started
        return results(run, self.results.tallies.get(run.run_id, Tally()), self.clock.now, whole=False)


@contextmanager
def failing(dependency: str, fault: str, **more: Any) -> Iterator[Dependencies]:
    """Calls to a dependency fail while the block lasts, whether or not they serve a request. `more`: parameters."""
    options = more.pop("options", None)
    parameters = {"dependency": dependency, "fault": fault, "scope_of_calls": "process", "duration_seconds": 60.0}
    made = Dependencies(a_run("dependency_failure", now=NOW, options=options, **{**parameters, **more}))
    made.refresh()
    try:
        yield made
    finally:
        made.stop()
        assert not INSTALLATION.gates, "The patches are still installed."
