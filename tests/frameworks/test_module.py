import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.api.http import Request
from chalicelib.bootstrap import Chaos, bootstrap
from chalicelib.errors import Misconfigured, ModuleOff, StoreUnavailable
from chalicelib.frameworks import module as module_
from chalicelib.frameworks.module import RETRY_SECONDS, ChaosModule, is_control_plane
from chalicelib.settings import Settings
from tests.contract.servers import PROJECT
from tests.injection.support import FakeCall
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore

PREFIX = "/chaos_experiments"


@pytest.fixture
def wire(clock: Clock) -> Callable[..., Chaos]:
    return partial(
        bootstrap,
        Settings(stage="qa"),
        runs=FakeRunStore(),
        results=FakeResultStore(),
        tokens=FakeTokenStore(),
        clock=clock,
        sleep=clock.sleep,
    )


def test_nothing_is_wired_before_it_is_needed_and_then_once(wire: Callable[..., Chaos]) -> None:
    wired: list[Chaos] = []

    def once(**options: Any) -> Chaos:
        wired.append(wire(**options))
        return wired[-1]

    module = ChaosModule(wire=once)
    assert (wired, module.is_wired, module.is_idle()) == ([], False, False)
    injection = module.injection()
    assert injection
    assert module.wired_engine is injection.engine is module.get().engine
    assert (len(wired), module.is_wired) == (1, True)


@pytest.mark.parametrize(
    "options",
    [
        {"prefix": "chaos"},
        {"prefix": "/chaos/"},
        {"prefix": ""},
        {"prefix": "/"},
        {"prefix": "/chaos//experiments"},
        {"prefix": "/chaos?"},
        {"prefix": "/chaos*"},
        {"excluded_paths": "/health"},
        {"excluded_paths": ["/ok", "health"]},
        {"excluded_paths": [""]},
        {"excluded_paths": ["/or*ders"]},
        {"excluded_paths": ["/orders*"]},
        {"excluded_paths": ["/orders?page=1"]},
        {"excluded_paths": ["//orders"]},
        {"allowed_origins": "https://admin.example"},
        {"allowed_origins": ["*"]},
        {"allowed_origins": ["https://admin.example/"]},
        {"allowed_origins": ["admin.example"]},
    ],
)
def test_a_prefix_excluded_paths_and_origins_that_cannot_be_are_refused_at_once(
    wire: Callable[..., Chaos], options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must .*; got"):
        ChaosModule(wire=wire, **options)


def test_threads_that_come_together_wire_once(wire: Callable[..., Chaos]) -> None:
    together, wired = threading.Barrier(8), []

    def once(**options: Any) -> Chaos:
        wired.append(1)
        return wire(**options)

    module = ChaosModule(wire=once)

    def get() -> Chaos:
        together.wait(30)
        return module.get()

    with ThreadPoolExecutor(8) as pool:
        assert len({id(served.result(30)) for served in [pool.submit(get) for _ in range(8)]}) == 1
    assert wired == [1]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ModuleOff("It is off."), (ModuleOff, "It is off.")),
        (Misconfigured("A bad value."), (Misconfigured, "A bad value.")),
        (StoreUnavailable("No table."), (StoreUnavailable, "No table.")),
        (ZeroDivisionError("a defect"), (Misconfigured, "The chaos experiments module did not start: a defect")),
    ],
)
def test_a_refusal_is_remembered_and_every_request_goes_on_untouched(
    error: Exception, raised: tuple[type[Exception], str], caplog: pytest.LogCaptureFixture
) -> None:
    attempts = []

    def refuse(**_: Any) -> Chaos:
        attempts.append(1)
        raise error

    module = ChaosModule(wire=refuse)
    assert [module.injection() for _ in range(3)] == [None] * 3
    assert module.is_idle()
    for _ in range(2):
        with pytest.raises(raised[0]) as refused:
            module.get()
        assert str(refused.value) == raised[1]
    assert attempts == [1]
    assert [record.message for record in caplog.records] == [f"No faults are injected by this process: {raised[1]}"]


def test_a_process_without_a_stage_serves_its_application_and_says_so() -> None:
    module = ChaosModule()
    assert module.injection() is None
    assert module.handle(Request(method="GET", path="/list"), FakeCall("/list")).content["code"] == "module_off"


def test_a_fork_is_wired_anew_even_while_another_thread_was_wiring(wire: Callable[..., Chaos]) -> None:
    module = ChaosModule(wire=wire)
    name = module.get().engine.recorder._process
    with module._wiring_lock():
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(0 if module.get().engine.recorder._process != name else 1)
            finally:  # or a copy of pytest goes on
                os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize(
    ("path", "ours"),
    [(PREFIX, True), (f"{PREFIX}/", True), (f"{PREFIX}/x", True), (f"{PREFIX}_of_ours", False), ("/", False)],
)
def test_all_below_the_prefix_is_the_modules(path: str, *, ours: bool) -> None:
    assert ChaosModule().is_ours(path) is ours


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        (f"/inner{PREFIX}/list", True),
        (f"/inner{PREFIX}/test/", True),
        (f"/inner{PREFIX}/orders", False),
        (f"/inner{PREFIX}", False),
        ("/orders", False),
    ],
)
def test_the_control_plane_of_another_module_is_known_wherever_it_is_mounted(path: str, *, is_one: bool) -> None:
    ChaosModule()
    assert is_control_plane(path) is is_one


ORIGIN = "https://admin.example"
ASKED = {"origin": ORIGIN, "access-control-request-method": "POST"}


def test_a_page_of_an_allowed_origin_may_call_the_endpoints() -> None:
    module = ChaosModule(allowed_origins=[ORIGIN])
    preflight = module.preflight("OPTIONS", ASKED)
    assert preflight
    assert (preflight.status, preflight.headers["Access-Control-Allow-Origin"]) == (204, ORIGIN)
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert module.cross_origin({"origin": ORIGIN}) == {"Access-Control-Allow-Origin": ORIGIN, "Vary": "Origin"}


@pytest.mark.parametrize("origin", ["https://evil.example", "", "null"])
def test_a_page_of_another_origin_may_not(origin: str) -> None:
    module = ChaosModule(allowed_origins=[ORIGIN])
    assert module.preflight("OPTIONS", {**ASKED, "origin": origin}) is None
    assert module.cross_origin({"origin": origin}) == {"Vary": "Origin"}
    assert ChaosModule().cross_origin({"origin": origin}) == {}


def test_a_fork_does_not_flush_at_its_exit_what_its_parent_has_counted(tmp_path: Path) -> None:
    """The table would take the parent's own flush, of the same number, for the same one again."""
    program = tmp_path / "program.py"
    program.write_text(FORKS)
    done = subprocess.run(
        [sys.executable, program],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["flushed"]


FORKS = """
import os
import time

from chalicelib.bootstrap import bootstrap
from chalicelib.injection.engine import InjectionResult
from chalicelib.injection.plan import Plan
from chalicelib.settings import Settings
from tests.support import FakeResultStore, FakeRunStore, FakeTokenStore, a_run

class Store(FakeResultStore):
    def add(self, *call, **more):
        print("flushed", flush=True)

chaos = bootstrap(
    Settings(stage="qa"), runs=FakeRunStore(), tokens=FakeTokenStore(), results=Store(), schedule=lambda *_: None
)
result = InjectionResult([Plan(a_run(now=time.time()), 1.0, ())], None, 0.0, "here")
result.reached_route = True
chaos.engine.count(result, 200)
if pid := os.fork():
    os.waitpid(pid, 0)
"""


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "Too many open files"), MemoryError()])
def test_where_files_or_memory_had_run_out_it_starts_later(
    wire: Callable[..., Chaos], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    errors, now = [error], [100.0]

    def run_out(**options: Any) -> Chaos:
        if errors:
            raise errors.pop()
        return wire(**options)

    monkeypatch.setattr(module_, "time", SimpleNamespace(monotonic=lambda: now[0]))
    module = ChaosModule(wire=run_out)
    assert module.injection() is None
    now[0] += RETRY_SECONDS - 1
    assert (module.is_idle(), module.injection()) == (True, None)
    now[0] += 1
    assert not module.is_idle()
    assert module.injection()
    assert module.get() is module.get()
    now[0] += RETRY_SECONDS
    assert module.get().engine is module.wired_engine


def test_a_later_refusal_that_lasts_is_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    refused, now = [], [100.0]

    def refuse(**_: Any) -> Chaos:
        refused.append(MemoryError() if not refused else Misconfigured("A bad value."))
        raise refused[-1]

    monkeypatch.setattr(module_, "time", SimpleNamespace(monotonic=lambda: now[0]))
    module = ChaosModule(wire=refuse)
    assert module.injection() is None
    for _ in range(3):
        now[0] += RETRY_SECONDS
        assert (module.injection(), module.is_idle(), len(refused)) == (None, True, 2)
