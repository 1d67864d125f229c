"""When patches are there: while a run needs them, in a process with and without requests, and in its copies."""

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from urllib3.connectionpool import HTTPConnectionPool

from chalicelib.bootstrap import bootstrap
from chalicelib.frameworks.module import ChaosModule
from chalicelib.outgoing.effect import Patches
from chalicelib.outgoing.installation import INSTALLATION, Installation
from chalicelib.settings import Settings
from tests.injection.support import FakeCall
from tests.support import NOW, Clock, FakeBudgetStore, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

HUNG = 30
"""Seconds after which what should have happened is given up."""


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "chaos-patches"]


def wait_until(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + HUNG
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


class Service:
    """An application's module, with a table of its own."""

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self.runs = FakeRunStore()
        self.module = ChaosModule(
            wire=partial(
                bootstrap,
                Settings(stage="dev"),
                runs=self.runs,
                results=FakeResultStore(),
                tokens=FakeTokenStore(),
                budgets=FakeBudgetStore(),
                clock=clock,
                sleep=sleep,
                schedule=lambda _seconds, _call: None,
            )
        )
        self._clock = clock

    def start(self, **more: Any) -> None:
        run = {"dependency": "payments.example", "fault": "timeout", "duration_seconds": 60.0, **more}
        self.runs.runs["x"] = a_run("dependency_failure", now=self._clock(), **run)

    def stop(self) -> None:
        self.runs.runs.clear()

    def serve(self) -> None:
        injection = self.module.injection()
        assert injection
        injection.arrive(FakeCall("/orders"))

    def read(self) -> None:
        self.module.get().engine.snapshot.get_fresh()

    @property
    def patches(self) -> Patches:
        return self.module.get().engine.effect(Patches)


@pytest.fixture
def services(clock: Clock) -> Iterator[Callable[[], Service]]:
    """Make services whose watchers do not move the clock. Those of other tests have ended."""
    gc.collect()
    wait_until(lambda: not watchers())
    made = []

    def sleep(seconds: float) -> None:
        if threading.current_thread().name == "chaos-patches":
            time.sleep(0.01)
        else:
            clock.sleep(seconds)

    def make() -> Service:
        made.append(Service(clock, sleep))
        return made[-1]

    yield make
    for service in made:
        service.stop()
        service.read()
    wait_until(lambda: not watchers())


def test_nothing_is_installed_and_nobody_watches_before_a_run_needs_it(services: Callable[[], Service]) -> None:
    service = services()
    service.serve()
    service.runs.runs["x"] = a_run(now=NOW)
    service.read()
    assert (INSTALLATION.gates, service.patches.is_holding, watchers()) == ((), False, [])


def test_a_stop_is_obeyed_without_requests_and_then_nobody_reads(clock: Clock, services: Callable[[], Service]) -> None:
    service = services()
    service.start()
    service.serve()
    assert len(INSTALLATION.gates) == len(watchers()) == 1
    service.stop()
    clock.now += 1.0  # the interval of reads
    wait_until(lambda: not watchers())
    reads = service.runs.reads
    clock.now += 60
    time.sleep(0.1)
    assert (INSTALLATION.gates, service.runs.reads) == ((), reads)


@pytest.mark.parametrize("way", ["expiry", "halt", "unreachable table"])
def test_other_ends_are_obeyed_without_requests_too(clock: Clock, services: Callable[[], Service], way: str) -> None:
    service = services()
    service.start(duration_seconds=2.5)
    service.serve()
    if way == "halt":
        service.runs.halt_event = SimpleNamespace()  # type: ignore[assignment] # whatever it is
    if way == "unreachable table":
        service.runs.broken = True
    clock.now += 1.0 if way == "halt" else 2.5 if way == "expiry" else 3.0
    wait_until(lambda: not watchers())
    assert INSTALLATION.gates == ()
    service.runs.broken = False


def test_where_no_thread_runs_the_next_request_obeys(
    clock: Clock, services: Callable[[], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(has_threads=False))  # type: ignore[arg-type]
    service = services()
    service.start()
    service.serve()
    assert (len(INSTALLATION.gates), watchers()) == (1, [])
    service.stop()
    clock.now += 1.0
    service.serve()
    assert INSTALLATION.gates == ()


def test_a_process_that_may_have_no_more_threads_obeys_at_the_next_request(
    clock: Clock, services: Callable[[], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    service = services()
    service.start()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", cannot)
        service.serve()
    assert (len(INSTALLATION.gates), service.runs.reads) == (1, 1)
    service.stop()
    clock.now += 1.0
    service.serve()
    assert INSTALLATION.gates == ()


def test_a_run_that_has_not_begun_by_the_tables_clock_installs_nothing_yet(
    clock: Clock, services: Callable[[], Service]
) -> None:
    service = services()
    service.start()
    clock.now -= 10
    service.serve()
    assert INSTALLATION.gates == ()
    clock.now += 10
    service.serve()
    assert len(INSTALLATION.gates) == 1


def test_what_an_agent_had_wrapped_goes_with_the_next_read_after_its_wrapper(services: Callable[[], Service]) -> None:
    service, before = services(), dict(vars(HTTPConnectionPool))
    service.start()
    service.read()
    ours: Any = HTTPConnectionPool._make_request
    HTTPConnectionPool._make_request = lambda *given, **more: ours(*given, **more)  # type: ignore[method-assign] # noqa: PLW0108
    service.stop()
    service.read()
    HTTPConnectionPool._make_request = ours  # type: ignore[method-assign]
    service.read()
    assert dict(vars(HTTPConnectionPool)) == before


def test_two_modules_need_them_as_long_as_one_has_a_run(services: Callable[[], Service]) -> None:
    one, other = services(), services()
    for service in (one, other):
        service.start()
        service.read()
    assert len(INSTALLATION.gates) == 2
    one.stop()
    one.read()
    assert len(INSTALLATION.gates) == 1
    other.stop()
    other.read()
    assert INSTALLATION.gates == ()


def test_a_module_that_is_garbage_keeps_no_patches_and_no_watcher(clock: Clock) -> None:
    service = Service(clock, lambda _: time.sleep(0.01))
    service.start()
    service.read()
    assert len(INSTALLATION.gates) == len(watchers()) == 1
    del service
    gc.collect()
    wait_until(lambda: not watchers())
    gc.collect()
    assert INSTALLATION.gates == ()


def test_a_defect_is_logged_and_the_runs_are_known_all_the_same(
    services: Callable[[], Service], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_installation: Installation, _gate: Any) -> None:
        raise ZeroDivisionError("a defect")

    service = services()
    service.start()
    with monkeypatch.context() as patched:
        patched.setattr(Installation, "join", fails)
        service.read()
    assert "a defect" in caplog.text
    assert len(service.module.get().engine.snapshot.last_known()) == 1


def test_who_knows_of_an_older_view_changes_nothing(
    services: Callable[[], Service],
) -> None:
    service = services()
    service.start()
    service.read()
    outdated = service.module.get().engine.snapshot.last_known()
    service.stop()
    service.read()
    service.patches.settle(outdated)
    assert (INSTALLATION.gates, service.patches.is_holding) == ((), False)
    service.start()
    service.read()
    service.patches.settle(())
    assert (len(INSTALLATION.gates), service.patches.is_holding) == (1, True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="This system has no forks.")
def test_a_fork_has_clean_classes_and_joins_with_its_own_first_request(services: Callable[[], Service]) -> None:
    service = services()
    service.start()
    service.read()
    child = os.fork()
    if child == 0:
        try:
            inherited = len(INSTALLATION.gates)
            service.serve()
            os._exit(0 if (inherited, len(INSTALLATION.gates)) == (0, 1) else 1)
        finally:  # or a copy of pytest goes on
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert len(INSTALLATION.gates) == 1
