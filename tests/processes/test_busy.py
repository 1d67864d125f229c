"""Processes whose CPU, threads or event loops are taken: felt, bounded, and given back, on real servers."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.contract.servers import Command, Server, chalice_local, serving
from tests.loopback import until
from tests.processes.test_life_cycles import HOSTS, program

API = "/chaos_experiments"
CALLERS = 6
WORK_SECONDS = 0.2
SOON_SECONDS = 10.0
"""How long the control plane may take on a machine that is busy with other tests."""

END_SECONDS = 20.0
"""How long a server may take to end; one that waits for what is held is killed later."""

BLOCK_SECONDS = 0.3
EVERY_SECONDS = 1.0
EXACT_SECONDS = 0.005
LOAD = 0.3
IDLE_LOAD = 0.15
"""Less than it is with what a run uses; more than the application, the watcher and these tests use without."""

Tell = Callable[[str], None]


def gunicorn(*options: str) -> Command:
    own = ("--workers", "1", "--bind", "127.0.0.1:{port}")
    return program("gunicorn", *own, *options, "app:app", host="busy_flask")


def uvicorn(loop: str) -> Command:
    own = ("--port", "{port}", "--log-level", "warning", "--loop", loop)
    return program("uvicorn", *own, "app:app", host="busy_fastapi")


THREADS = gunicorn("--threads", "4")
SYNC = gunicorn()
GEVENT = gunicorn("--worker-class", "gevent")
WAITRESS = program("waitress-serve", "--listen", "127.0.0.1:{port}", "app:app", host="busy_flask")
TRIO = program("hypercorn", "--bind", "127.0.0.1:{port}", "--worker-class", "trio", "app:app", host="busy_fastapi")
CHALICE = partial(chalice_local, host=HOSTS / "busy_chalice_host.py")

POOLS: Mapping[str, tuple[Command, int]] = {
    "gunicorn, threads": (THREADS, 3),
    "waitress": (WAITRESS, 3),
    "uvicorn": (uvicorn("asyncio"), 39),
    "uvicorn, uvloop": (uvicorn("uvloop"), 39),
    "hypercorn, trio": (TRIO, 39),
}
LOOPS: Mapping[str, Command] = {
    "uvicorn": uvicorn("asyncio"),
    "uvicorn, uvloop": uvicorn("uvloop"),
    "hypercorn, trio": TRIO,
}
BURNING: Mapping[str, Command] = {
    "chalice local": CHALICE,
    "gunicorn": SYNC,
    "uvicorn": uvicorn("asyncio"),
    "gunicorn, gevent": GEVENT,
}
WITHOUT: Mapping[str, tuple[Command, str, str]] = {
    "no pool": (SYNC, "thread_pool_exhaustion", "no pool of threads"),
    "no loop": (THREADS, "event_loop_block", "without an event loop"),
}
SHORT_SECONDS = (3, 12, 48)
RARE = ("uvicorn, uvloop", "gunicorn, gevent")
"""With `--whole-matrix` alone."""


@pytest.fixture
def server_of(tmp_path: Path, pytestconfig: pytest.Config) -> Callable[[str, Command], Any]:
    @contextmanager
    def served(name: str, command: Command) -> Iterator[Server]:
        if name in RARE and not pytestconfig.getoption("--whole-matrix"):
            pytest.skip("with --whole-matrix")
        with serving(command, tmp_path) as server:
            yield server

    return served


def control(server: Server, method: str, path: str, **body: Any) -> Any:
    """Ask the control plane, which is never kept waiting for long."""
    began = time.monotonic()
    answer = server.call(method, API + path, **({"json": body} if body else {}))
    assert answer.status_code == 200, answer.text
    assert time.monotonic() - began < SOON_SECONDS
    return answer.json()["resultset"]


def start(server: Server, experiment: str, **more: Any) -> str:
    """Start it, and send requests until one is hit. Gives the run's id."""
    run_id: str = control(server, "POST", "/start", experiment_name=experiment, **{"duration_seconds": 60, **more})[
        "run_id"
    ]
    until(lambda: server.call("GET", "/orders/1").headers.get("X-Chaos-Run") == run_id)
    return run_id


def start_short(server: Server, experiment: str, felt: Callable[[], bool], **more: Any) -> None:
    """Start it for so short that its end is waited for; again and longer where it was over before it was felt."""
    for seconds in SHORT_SECONDS:
        body = {"experiment_name": experiment, "duration_seconds": seconds, **more}
        run_id = control(server, "POST", "/start", **body)["run_id"]
        while status(server, run_id)["status"] == "running":
            server.call("GET", "/orders/1")
            if felt():
                return
    raise AssertionError(f"It was never felt within {SHORT_SECONDS[-1]} s.")


def stop(server: Server, experiment: str) -> None:
    """The control plane answers while it goes on, and the stop is obeyed."""
    control(server, "GET", "/list")
    control(server, "POST", "/stop", experiment_name=experiment)


def status(server: Server, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = control(server, "GET", f"/status?run_id={run_id}")
    return found


def counters(server: Server, run_id: str) -> dict[str, float]:
    """Those of the run; none where its results could not be read in time, as happens on a busy machine."""
    return {each["name"]: each["value"] for each in status(server, run_id)["results"].get("counters", [])}


def state(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = server.call("GET", "/state").json()
    return found


# Pools of threads


def at_work(server: Server, path: str = "/work") -> int:
    """How many threads work at a time, when there is work for more."""
    with ThreadPoolExecutor(CALLERS) as callers:
        asked = callers.map(lambda _: server.call("GET", f"{path}?seconds={WORK_SECONDS}"), range(CALLERS))
        return max(answer.json()["most"] for answer in asked)


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_is_exhausted_and_works_again(name: str, server_of: Callable[[str, Command], Any]) -> None:
    command, held = POOLS[name]
    with server_of(name, command) as server:
        assert at_work(server) > 1
        run_id = start(server, "thread_pool_exhaustion")
        until(lambda: at_work(server) == 1)
        until(lambda: counters(server, run_id).get("held_threads") == held)
        if "borrowed" in state(server):
            assert state(server)["borrowed"] == held
        stop(server, "thread_pool_exhaustion")
        until(lambda: at_work(server) > 1)
        if "borrowed" in state(server):
            until(lambda: state(server)["borrowed"] == 0)

        start_short(server, "thread_pool_exhaustion", lambda: at_work(server) == 1)
        until(lambda: at_work(server) > 1)  # its time is up

        start(server, "thread_pool_exhaustion")
        until(lambda: at_work(server) == 1)
        began = time.monotonic()
        server.terminate()
        assert time.monotonic() - began < END_SECONDS


def test_the_default_executor_of_a_loop_is_exhausted_and_works_again(
    server_of: Callable[[str, Command], Any],
) -> None:
    with server_of("uvicorn", LOOPS["uvicorn"]) as server:
        start(server, "thread_pool_exhaustion", threads_left=2)  # nobody has used it yet
        until(lambda: at_work(server, "/executor") == 2)
        stop(server, "thread_pool_exhaustion")
        until(lambda: at_work(server, "/executor") > 2)
        start(server, "thread_pool_exhaustion", threads_left=2)
        until(lambda: at_work(server, "/executor") == 2)
        began = time.monotonic()
        server.terminate()
        assert time.monotonic() - began < END_SECONDS


# Event loops


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_blocked_for_as_long_as_was_asked(
    name: str, server_of: Callable[[str, Command], Any], tell: Tell, pytestconfig: pytest.Config
) -> None:
    with server_of(name, LOOPS[name]) as server:
        run_id = start(server, "event_loop_block", block_seconds=BLOCK_SECONDS, every_seconds=EVERY_SECONDS)
        until(lambda: counters(server, run_id).get("loop_blocks", 0) >= 4)
        stop(server, "event_loop_block")
        late = [each for each in state(server)["late"] if each > BLOCK_SECONDS / 2]
        tell(
            f"{name}: blocks of {BLOCK_SECONDS * 1000:.0f} ms, late by {', '.join(f'{x * 1000:.1f}' for x in late)} ms"
        )
        assert max(late) >= BLOCK_SECONDS - EXACT_SECONDS
        if pytestconfig.getoption("--exact"):
            assert abs(statistics.median(late) - BLOCK_SECONDS) <= EXACT_SECONDS

        def blocked() -> int:
            return sum(each >= BLOCK_SECONDS - EXACT_SECONDS for each in state(server)["late"])

        def is_left_alone() -> bool:
            before = blocked()
            time.sleep(2 * EVERY_SECONDS)
            return blocked() == before

        until(is_left_alone)
        counted = counters(server, run_id)
        assert counted["blocked_seconds"] >= counted["loop_blocks"] * (BLOCK_SECONDS - EXACT_SECONDS) - BLOCK_SECONDS

        blocks = {"block_seconds": BLOCK_SECONDS, "every_seconds": EVERY_SECONDS}
        start_short(server, "event_loop_block", lambda: not is_left_alone(), **blocks)
        until(is_left_alone)  # its time is up


# CPU


def load_of(server: Server, seconds: float = 1.0) -> float:
    began, before = time.monotonic(), state(server)["cpu_seconds"]
    time.sleep(seconds)
    used: float = state(server)["cpu_seconds"] - before
    return used / (time.monotonic() - began)


@pytest.mark.parametrize("name", BURNING)
def test_cpu_is_used_and_given_back(
    name: str, server_of: Callable[[str, Command], Any], tell: Tell, pytestconfig: pytest.Config
) -> None:
    with server_of(name, BURNING[name]) as server:
        until(lambda: load_of(server) < IDLE_LOAD)
        idle = load_of(server)
        run_id = start(server, "cpu_exhaustion", load=LOAD)
        until(lambda: load_of(server) - idle > IDLE_LOAD)
        loads = [load_of(server) - idle for _ in range(3)]
        tell(f"{name}: {LOAD} of a core, {', '.join(f'{each:.3f}' for each in loads)} beside what it uses itself")
        if pytestconfig.getoption("--exact"):
            assert statistics.median(loads) == pytest.approx(LOAD, rel=0.1)
        until(lambda: counters(server, run_id).get("cpu_seconds", 0) > 0)
        stop(server, "cpu_exhaustion")
        until(lambda: load_of(server) < IDLE_LOAD)

        start_short(server, "cpu_exhaustion", lambda: load_of(server) > IDLE_LOAD, load=1.0, cores=2)
        until(lambda: load_of(server) < IDLE_LOAD)  # its time is up

        start(server, "cpu_exhaustion", load=1.0, cores=2)
        began = time.monotonic()
        server.terminate()
        assert time.monotonic() - began < END_SECONDS


# Where there is nothing to take


@pytest.mark.parametrize("name", WITHOUT)
def test_a_process_that_has_none_of_it_says_so(name: str, server_of: Callable[[str, Command], Any]) -> None:
    command, experiment, problem = WITHOUT[name]
    with server_of(name, command) as server:
        run_id = control(server, "POST", "/start", experiment_name=experiment, duration_seconds=60)["run_id"]

        def is_recorded() -> bool:
            assert "X-Chaos-Run" not in server.call("GET", "/orders/1").headers  # nothing is felt of it
            return problem in (status(server, run_id)["defect"] or "")

        until(is_recorded)
        (injected,) = control(server, "GET", "/test")["injected"]
        assert problem in injected["problem"]
