import os
from pathlib import Path

import pytest

from chalicelib.effects.cores import available


class Machine:
    """A machine below `root`, on which the process may use so many cores."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, usable: int = 8) -> None:
        self.root = root
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(usable)), raising=False)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def cores(self, lambda_memory_mb: int | None = None) -> float:
        return available(lambda_memory_mb, root=self.root)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_without_any_limit_it_is_what_the_process_may_run_on(machine: Machine) -> None:
    assert machine.cores() == 8


def test_where_there_is_no_affinity_it_is_the_whole_machine(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert machine.cores() == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.cores() == 1


def test_a_quota_of_any_cgroup_around_it_counts(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/pod/container")
    machine.write("sys/fs/cgroup/pod/container/cpu.max", "max 100000")
    assert machine.cores() == 8
    machine.write("sys/fs/cgroup/pod/cpu.max", "50000 100000")
    assert machine.cores() == 0.5
    machine.write("sys/fs/cgroup/pod/container/cpu.max", "25000 100000")
    assert machine.cores() == 0.25


def test_a_quota_of_the_first_version_counts(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "4:cpu,cpuacct:/pod\n3:memory:/pod")
    machine.write("sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us", "-1")
    machine.write("sys/fs/cgroup/cpu/pod/cpu.cfs_period_us", "100000")
    assert machine.cores() == 8
    machine.write("sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us", "150000")
    assert machine.cores() == 1.5


@pytest.mark.parametrize("text", ["", "garbage", "1 2 3"])
def test_what_cannot_be_read_limits_nothing(machine: Machine, text: str) -> None:
    machine.write("proc/self/cgroup", "0::/")
    machine.write("sys/fs/cgroup/cpu.max", text)
    assert machine.cores() == 8


@pytest.mark.parametrize(("memory_mb", "cores"), [(1769, 1), (3538, 2), (10240, 5.79), (128, 0.07)])
def test_lambda_gives_cores_in_proportion_to_memory(machine: Machine, memory_mb: int, cores: float) -> None:
    assert machine.cores(memory_mb) == pytest.approx(cores, abs=0.01)
