from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from chalicelib.injection.spare_memory import MB, spare_mb


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 8000 MB, 6000 of them free, and a process of 100."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=8000 * MB, available=6000 * MB))
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=100 * MB))
    monkeypatch.setattr(psutil, "Process", lambda: process)


def cgroup(root: Path, folder: str, limit: str, usage: int, cache: int = 0, *, version: int = 2) -> None:
    base = root / ("sys/fs/cgroup" if version == 2 else "sys/fs/cgroup/memory") / folder
    base.mkdir(parents=True, exist_ok=True)
    names = {
        2: ("memory.max", "memory.current", "inactive_file"),
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    }
    limit_file, usage_file, cached = names[version]
    (base / limit_file).write_text(f"{limit}\n")
    (base / usage_file).write_text(f"{usage * MB}\n")
    (base / "memory.stat").write_text(f"anon 1\n{cached} {cache * MB}\n")


def inside(root: Path, line: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(line)
    return root


def test_the_machine_keeps_a_tenth(tmp_path: Path) -> None:
    assert spare_mb(root=tmp_path) == 6000 - 800


def test_a_lambda_function_keeps_64_mb_or_a_tenth(tmp_path: Path) -> None:
    assert spare_mb(512, root=tmp_path) == 512 - 100 - 64
    assert spare_mb(3008, root=tmp_path) == int(3008 - 100 - 300.8)


def test_nothing_is_spare_where_the_margin_is_all_there_is(tmp_path: Path) -> None:
    assert spare_mb(128, root=tmp_path) == 0


def test_a_cgroup_counts_what_it_would_give_back_as_free(tmp_path: Path) -> None:
    root = inside(tmp_path, "0::/\n")
    cgroup(root, "", str(1000 * MB), usage=400, cache=100)
    assert spare_mb(root=root) == 1000 - 400 + 100 - 100


def test_a_cgroup_without_a_limit_is_no_limit(tmp_path: Path) -> None:
    root = inside(tmp_path, "0::/\n")
    cgroup(root, "", "max", usage=400)
    assert spare_mb(root=root) == 6000 - 800


def test_the_outer_cgroup_counts_too(tmp_path: Path) -> None:
    root = inside(tmp_path, "0::/outer/inner\n")
    cgroup(root, "outer/inner", str(2000 * MB), usage=100)
    cgroup(root, "outer", str(1000 * MB), usage=500)
    assert spare_mb(root=root) == 1000 - 500 - 100


def test_version_1_of_cgroups_is_understood(tmp_path: Path) -> None:
    root = inside(tmp_path, "5:cpu:/\n4:memory:/app\n")
    cgroup(root, "app", str(500 * MB), usage=200, version=1)
    assert spare_mb(root=root) == 500 - 200 - 64


def test_a_cgroup_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    root = inside(tmp_path, "0::/gone\n")
    assert spare_mb(root=root) == 6000 - 800
