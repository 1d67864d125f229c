from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from chalicelib.effects.spare_memory import MARGIN_MB, MARGIN_SHARE, MB, spare_mb

PLENTY_MB = 1_000_000


class Machine:
    """A machine below `root`, with its /proc and /sys, that has plenty of memory until it is told otherwise."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self._patch = monkeypatch
        self.memory(PLENTY_MB, PLENTY_MB)
        self.process(rss_mb=100)

    def memory(self, total_mb: int, available_mb: int) -> None:
        found = SimpleNamespace(total=total_mb * MB, available=available_mb * MB)
        self._patch.setattr(psutil, "virtual_memory", lambda: found)

    def process(self, *, rss_mb: int) -> None:
        found = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=rss_mb * MB))
        self._patch.setattr(psutil, "Process", lambda: found)

    def is_in(self, *cgroups: str) -> None:
        self._write("proc/self/cgroup", "\n".join(cgroups) + "\n")

    def cgroup2(self, folder: str, limit: str | int, usage_mb: int, *, inactive_mb: int = 0) -> None:
        self._cgroup(
            f"sys/fs/cgroup{folder}",
            {
                "memory.max": limit if isinstance(limit, str) else str(limit * MB),
                "memory.current": str(usage_mb * MB),
                "memory.stat": f"anon 1\ninactive_file {inactive_mb * MB}\nactive_file 5",
            },
        )

    def cgroup1(self, folder: str, limit: int, usage_mb: int, *, inactive_mb: int = 0) -> None:
        self._cgroup(
            f"sys/fs/cgroup/memory{folder}",
            {
                "memory.limit_in_bytes": str(limit * MB),
                "memory.usage_in_bytes": str(usage_mb * MB),
                "memory.stat": f"inactive_file 5\ntotal_inactive_file {inactive_mb * MB}",
            },
        )

    def spare_mb(self, lambda_memory_mb: int | None = None) -> int:
        return spare_mb(lambda_memory_mb, root=self.root)

    def _cgroup(self, folder: str, files: dict[str, str]) -> None:
        for name, text in files.items():
            self._write(f"{folder}/{name}", f"{text}\n")

    def _write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_the_margin_is_pinned() -> None:
    assert (MARGIN_MB, MARGIN_SHARE) == (64, 0.1)


@pytest.mark.parametrize(
    ("total", "available", "spare"),
    [(500, 300, 236), (640, 300, 236), (1000, 300, 200), (16000, 8000, 6400), (500, 64, 0), (500, 10, 0)],
)
def test_a_machine_without_cgroups_keeps_64_mb_or_a_tenth_free(
    machine: Machine, total: int, available: int, spare: int
) -> None:
    machine.memory(total, available)
    assert machine.spare_mb() == spare


@pytest.mark.parametrize(("size", "rss", "spare"), [(512, 100, 348), (1024, 100, 821), (128, 100, 0), (128, 200, 0)])
def test_a_lambda_has_its_memory_size_less_what_the_process_uses(
    machine: Machine, size: int, rss: int, spare: int
) -> None:
    machine.process(rss_mb=rss)
    assert machine.spare_mb(size) == spare


@pytest.mark.parametrize("size", [None, 0])
def test_outside_of_lambda_there_is_no_memory_size(machine: Machine, size: int | None) -> None:
    machine.memory(1000, 500)
    assert machine.spare_mb(size) == 400


def test_a_cgroup_of_version_2_has_its_limit(machine: Machine) -> None:
    machine.is_in("0::/")
    machine.cgroup2("", 500, 200)
    assert machine.spare_mb() == 500 - 200 - 64


def test_page_cache_that_nobody_uses_is_free_in_version_2(machine: Machine) -> None:
    machine.is_in("0::/")
    machine.cgroup2("", 500, 200, inactive_mb=50)
    assert machine.spare_mb() == 500 - 200 + 50 - 64


def test_a_cgroup_of_version_2_with_no_limit_does_not_count(machine: Machine) -> None:
    machine.memory(1000, 500)
    machine.is_in("0::/app")
    machine.cgroup2("/app", "max", 200)
    assert machine.spare_mb() == 400


@pytest.mark.parametrize(
    ("outer", "inner", "spare"), [(500, 300, 300 - 64 - 100), (300, 500, 300 - 64 - 100), (300, "max", 136)]
)
def test_of_nested_cgroups_the_tightest_counts(machine: Machine, outer: int, inner: str | int, spare: int) -> None:
    machine.is_in("0::/pod/group/app")
    machine.cgroup2("/pod", outer, 100)
    machine.cgroup2("/pod/group", "max", 100)
    machine.cgroup2("/pod/group/app", inner, 100)
    assert machine.spare_mb() == spare


def test_a_cgroup_beside_the_process_does_not_count(machine: Machine) -> None:
    machine.is_in("0::/app")
    machine.cgroup2("/app", 500, 100)
    machine.cgroup2("/other", 100, 100)
    assert machine.spare_mb() == 500 - 100 - 64


def test_a_container_that_sees_its_own_cgroup_as_the_root_has_its_limit(machine: Machine) -> None:
    machine.is_in("0::/docker/0123456789ab")  # the host's name of it, which is not mounted here
    machine.cgroup2("", 500, 100)
    assert machine.spare_mb() == 500 - 100 - 64


def test_a_cgroup_of_version_1_has_its_limit(machine: Machine) -> None:
    machine.is_in("12:cpu,cpuacct:/app", "4:memory:/app", "1:name=systemd:/app")
    machine.cgroup1("/app", 500, 200, inactive_mb=20)
    assert machine.spare_mb() == 500 - 200 + 20 - 64


def test_nested_cgroups_of_version_1_count_too_and_no_limit_is_a_huge_one(machine: Machine) -> None:
    machine.is_in("4:memory:/pod/app")
    machine.cgroup1("/pod/app", 9223372036854771712 // MB, 200)
    machine.cgroup1("/pod", 400, 200)
    assert machine.spare_mb() == 400 - 200 - 64


def test_on_a_machine_with_both_versions_both_count(machine: Machine) -> None:
    machine.is_in("4:memory:/app", "0::/app")
    machine.cgroup1("/app", 500, 200)
    machine.cgroup2("/app", 400, 200)
    assert machine.spare_mb() == 400 - 200 - 64


def test_a_cgroup_without_files_or_with_odd_ones_does_not_count(machine: Machine) -> None:
    machine.memory(1000, 500)
    machine.is_in("0::/odd/app")
    machine.cgroup2("/odd", 300, 100)
    (machine.root / "sys/fs/cgroup/odd/memory.current").write_text("a lot\n")
    assert machine.spare_mb() == 400


@pytest.mark.parametrize(
    ("available", "limit", "size", "spare"),
    [(300, 500, 400, 300 - 100), (900, 300, 400, 300 - 100 - 64), (900, 500, 250, 250 - 100 - 64)],
)
def test_the_smallest_of_machine_cgroup_and_lambda_counts(
    machine: Machine, available: int, limit: int, size: int, spare: int
) -> None:
    machine.memory(1000, available)
    machine.is_in("0::/")
    machine.cgroup2("", limit, 100)
    assert machine.spare_mb(size) == spare


def test_a_process_over_its_limit_has_nothing_to_spare(machine: Machine) -> None:
    machine.is_in("0::/")
    machine.cgroup2("", 100, 150)
    assert machine.spare_mb() == 0


def test_the_real_machine_answers() -> None:
    assert spare_mb() >= 0
