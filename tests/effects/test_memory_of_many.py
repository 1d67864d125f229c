"""Processes that all fill the same memory at once stay within its limit: real processes, real memory."""

import multiprocessing
import os
import time
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from chalicelib.effects.machine_lock import ATTEMPTS, MachineLock
from chalicelib.effects.memory import MB, Memory
from tests.effects.support import hold, surroundings
from tests.support import NOW, a_run

PROCESSES = 16
LIMIT_MB = 200
MARGIN_MB = 24
"""What each leaves free of the limit, as `spare_mb` does."""

MEASUREMENT_SECONDS = 0.02
"""How old a measurement is when it is used, on a busy machine."""

PATIENCE_SECONDS = 60


def resident_mb(pids: Any) -> float:
    return sum(psutil.Process(pid).memory_info().rss for pid in pids) / MB


def spare_mb(pids: Any, before_mb: Any) -> int:
    used = resident_mb(pids) - before_mb.value
    time.sleep(MEASUREMENT_SECONDS)
    return max(0, int(LIMIT_MB - MARGIN_MB - used))


class Shared(NamedTuple):
    """What the processes share: by their number, and what all of them had resident before."""

    start: Barrier
    pids: Any
    held: Any
    before_mb: Any


def fill(number: int, shared: Shared, lock: Path) -> None:
    """A process that fills as much as it can, and holds it until all have."""
    start, pids, held, before_mb = shared
    pids[number] = os.getpid()
    run = a_run("resource_exhaustion")
    memory = Memory(
        surroundings(lambda: [run], lambda: NOW, lambda _: time.sleep(PATIENCE_SECONDS)),
        spare_mb=partial(spare_mb, pids, before_mb),
        machine=MachineLock(lock),
    )
    start.wait(PATIENCE_SECONDS)
    start.wait(PATIENCE_SECONDS)  # meanwhile it is measured what they have without
    held[number] = hold(memory, run, LIMIT_MB)[0]
    start.wait(PATIENCE_SECONDS)


def test_sixteen_processes_that_fill_memory_at_once_stay_within_its_limit(tmp_path: Path, tell: Any) -> None:
    (tmp_path / "lock").touch()
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(PROCESSES + 1)
    pids, held, before_mb = context.Array("l", PROCESSES), context.Array("l", PROCESSES), context.Value("d")
    processes = [
        context.Process(target=fill, args=(number, Shared(start, pids, held, before_mb), tmp_path / "lock"))
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    try:
        start.wait(PATIENCE_SECONDS)
        before_mb.value = resident_mb(pids)
        start.wait(PATIENCE_SECONDS)
        peak = 0.0
        while start.n_waiting < PROCESSES:
            peak = max(peak, resident_mb(pids) - before_mb.value)
        start.wait(PATIENCE_SECONDS)
    finally:
        for process in processes:
            process.join(PATIENCE_SECONDS)
            process.kill()
    tell(f"{PROCESSES} processes hold {sum(held)} MB, at most {peak:.0f} MB at a time, of {LIMIT_MB} MB")
    assert peak <= LIMIT_MB
    assert sum(held) >= (LIMIT_MB - MARGIN_MB) * 0.8


def test_a_process_that_never_gives_it_back_keeps_nobody_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    slept: list[float] = []
    with MachineLock(path).held() as first, MachineLock(path, slept.append).held() as second:
        assert (first, second) == (True, False)
    assert len(slept) == ATTEMPTS
    with MachineLock(path, slept.append).held() as again:
        assert again


def test_where_there_is_no_such_file_each_goes_on(tmp_path: Path) -> None:
    with MachineLock(tmp_path / "none").held() as first, MachineLock(tmp_path / "none").held() as second:
        assert first
        assert second
