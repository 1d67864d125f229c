"""A run of dependency_failure in this process, with stores in memory; and a request that is being served meanwhile."""

import http.server
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from chalicelib.api.results import results
from chalicelib.bootstrap import Chaos, bootstrap
from chalicelib.injection.current import CURRENT
from chalicelib.injection.drivers import SyncInjection
from chalicelib.injection.engine import InjectionResult
from chalicelib.outgoing.installation import INSTALLATION
from chalicelib.results.recorder import Schedule
from chalicelib.results.tally import Tally
from chalicelib.runs.run import Run
from chalicelib.settings import Settings
from tests.injection.support import FakeCall
from tests.loopback import until
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

    def __init__(
        self, *runs: Run, chance: float = 0.0, schedule: Schedule | None = never, settings: Settings | None = None
    ) -> None:
        self.chance = lambda: chance
        self.clock = Clock()
        self.started = runs
        self.store = FakeRunStore({run.label: run for run in runs})
        self.results = FakeResultStore()
        self.seen = FakeSeenStore()
        self.chaos: Chaos = bootstrap(
            settings or Settings(stage="dev"),
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

    def end(self) -> None:
        """Stop, and see that the patches are taken out, at which a watcher's thread may be."""
        self.stop()

        def is_taken_out() -> bool:
            self.refresh()
            return not INSTALLATION.gates

        until(is_taken_out, shown=lambda: "The patches are still installed.")

    @contextmanager
    def request(self, call: FakeCall | None = None) -> Iterator[InjectionResult]:
        """A request is served meanwhile."""
        injection = SyncInjection(self.chaos.engine, self._sleep)
        result = injection.arrive(call or FakeCall("/orders"))
        assert result
        injection.apply(result)
        token = CURRENT.set((injection, result))
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
        made.end()


@contextmanager
def answering(header: str) -> Iterator[tuple[str, list[str | None]]]:
    """The address of a server, and what each request has had as a header of this name."""
    got: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            got.append(self.headers[header])
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_GET  # noqa: N815 - as the base class has them

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", got
        server.shutdown()
