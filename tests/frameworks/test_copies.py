"""Copies of a process that Python's hooks of a fork do not know of: of uWSGI, and from a snapshot of SnapStart."""

import gc
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from chalicelib.bootstrap import Chaos, bootstrap
from chalicelib.frameworks import copies
from chalicelib.frameworks.module import ChaosModule
from chalicelib.injection.current import CURRENT
from chalicelib.results.recorder import in_a_thread
from chalicelib.settings import Settings
from tests.injection.support import FakeCall
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run


@pytest.fixture
def results() -> FakeResultStore:
    return FakeResultStore()


@pytest.fixture
def wire(clock: Clock, results: FakeResultStore) -> Callable[..., Chaos]:
    runs = FakeRunStore({"latency_injection": a_run(delay_seconds=0.0, now=clock.now, percentage=50.0)})
    return partial(
        bootstrap,
        Settings(stage="qa", in_lambda=True),
        runs=runs,
        results=results,
        tokens=FakeTokenStore(),
        clock=clock,
        sleep=clock.sleep,
    )


@pytest.fixture(autouse=True)
def _hooks_anew() -> Iterator[None]:
    """As in a process in which nothing is hooked yet."""
    for hook in (copies._hook_uwsgi, copies._hook_snapshots):
        hook.cache_clear()
    yield
    for hook in (copies._hook_uwsgi, copies._hook_snapshots):
        hook.cache_clear()


def serve(module: ChaosModule, requests: int = 1) -> list[bool]:
    """Which of them were hit."""
    hit = []
    for _ in range(requests):
        injection = module.injection()
        assert injection
        result = injection.arrive(FakeCall("/orders", SimpleNamespace(get_remaining_time_in_millis=lambda: 900_000.0)))
        assert result
        injection.apply(result)
        injection.finish(result, 200)
        hit.append(bool(result.hits))
    return hit


@pytest.fixture
def snapshots(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Callable[[], None]]]:
    """In the place of Lambda's package: its two functions, and a function in which there is SnapStart."""
    hooks: dict[str, list[Callable[[], None]]] = {"before": [], "after": []}
    package: Any = ModuleType("snapshot_restore_py")
    package.register_before_snapshot = hooks["before"].append
    package.register_after_restore = hooks["after"].append
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", package)
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    return hooks


def test_a_snapshot_has_no_counts_and_each_restored_process_a_name_and_a_chance_of_its_own(
    wire: Callable[..., Chaos], results: FakeResultStore, snapshots: dict[str, list[Callable[[], None]]]
) -> None:
    module = ChaosModule(wire=wire)
    primed = len(serve(module, 10))
    (run_id,) = results.tallies
    assert results.tallies[run_id].get("requests") < primed
    (before,), (after,) = snapshots["before"], snapshots["after"]
    before()
    assert results.tallies[run_id].get("requests") == primed
    restored = []
    for _ in range(2):
        after()
        engine = module.get().engine
        restored.append((engine.process.name, engine.recorder._process, *serve(module, 32)))
        before()
    first, second = restored
    assert first[0] != second[0]
    assert first[1] != second[1]
    assert first[2:] != second[2:]
    assert results.tallies[run_id].get("requests") == primed + 64


def test_without_snapstart_nothing_of_lambdas_is_imported(
    wire: Callable[..., Chaos], snapshots: dict[str, list[Callable[[], None]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    ChaosModule(wire=wire).get()
    assert snapshots == {"before": [], "after": []}


def test_a_runtime_without_the_hooks_serves_all_the_same(
    wire: Callable[..., Chaos], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", None)
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    assert ChaosModule(wire=wire).get()


def test_a_worker_that_uwsgi_forks_is_wired_anew_and_the_hook_of_the_host_is_called(
    wire: Callable[..., Chaos], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    uwsgi = SimpleNamespace(has_threads=1, post_fork_hook=lambda: called.append("the host's"))
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    module = ChaosModule(wire=wire)
    name = module.get().engine.process.name
    uwsgi.post_fork_hook()
    assert module.get().engine.process.name != name
    assert called == ["the host's"]


def test_where_uwsgi_has_its_decorators_the_hook_is_in_their_list(
    wire: Callable[..., Chaos], monkeypatch: pytest.MonkeyPatch
) -> None:
    decorators = SimpleNamespace(postfork_chain=[])
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(has_threads=1))
    monkeypatch.setitem(sys.modules, "uwsgidecorators", decorators)
    module = ChaosModule(wire=wire)
    name = module.get().engine.process.name
    (hook,) = decorators.postfork_chain
    hook()
    assert module.get().engine.process.name != name


def test_no_thread_is_left_behind_in_a_process_that_uwsgi_is_about_to_fork(
    wire: Callable[..., Chaos],
    results: FakeResultStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It lets other threads run while it forks: a worker that is forked while one runs never gets the interpreter."""
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(has_threads=1, masterpid=os.getpid))
    scheduled: list[object] = []
    in_its_master = partial(bootstrap, Settings(stage="qa"), **{**wire.keywords, "schedule": scheduled.append})  # type: ignore[attr-defined]
    serve(ChaosModule(wire=in_its_master))
    assert (bool(results.writes), scheduled, caplog.text) == (True, [], "")


@pytest.mark.parametrize(("has_threads", "flushes"), [(0, True), (1, False)])
def test_requests_flush_where_uwsgi_has_no_threads_and_the_log_says_so(
    wire: Callable[..., Chaos],
    results: FakeResultStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    has_threads: int,
    flushes: bool,
) -> None:
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(has_threads=has_threads))
    on_a_server = partial(bootstrap, Settings(stage="qa"), **{**wire.keywords, "schedule": lambda *_: None})  # type: ignore[attr-defined]
    serve(ChaosModule(wire=on_a_server))
    assert bool(results.writes) is flushes
    assert ("Start it with --enable-threads" in caplog.text) is flushes


def test_a_request_in_which_the_host_forks_is_counted_by_its_process_alone(wire: Callable[..., Chaos]) -> None:
    module = ChaosModule(wire=wire)
    injection = module.injection()
    assert injection
    result = injection.arrive(FakeCall("/orders", SimpleNamespace(get_remaining_time_in_millis=lambda: 900_000.0)))
    assert result
    injection.apply(result)
    token = CURRENT.set((injection, result))
    counted: list[object] = []
    try:
        pid = os.fork()
        if pid == 0:
            try:
                injection.engine.recorder.count = lambda *call: counted.append(call)  # type: ignore[method-assign]
                injection.finish(result, 200)
                os._exit(1 if counted or CURRENT.get() else 0)
            finally:
                os._exit(2)
    finally:
        CURRENT.reset(token)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_application_may_seed_its_chance(wire: Callable[..., Chaos]) -> None:
    import random  # noqa: PLC0415

    drawn = []
    for _ in range(2):
        random.seed(0)
        drawn.append([wire().engine.process.chance() for _ in range(8)])
    assert drawn[0] != drawn[1]


def test_nothing_of_a_module_that_the_application_has_dropped_is_left(clock: Clock) -> None:
    """Neither the hooks of forks and exits keep it, nor does a thread."""
    wired = partial(
        bootstrap,
        Settings(stage="qa"),
        runs=FakeRunStore(),
        results=FakeResultStore(),
        tokens=FakeTokenStore(),
        schedule=in_a_thread,
    )
    module = ChaosModule(wire=wired)
    left = [weakref.ref(module), weakref.ref(module.get().engine.recorder), weakref.ref(module.get().engine)]
    del module
    gc.collect()
    assert [each() for each in left] == [None, None, None]  # which a thread of ours would hold, too
