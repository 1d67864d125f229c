import errno
import logging
import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chalicelib.effects import disk as module
from chalicelib.effects.disk import MB, SLICE_MB, Disk, Wanted
from chalicelib.effects.machine_lock import SHARES
from chalicelib.effects.spare_disk import spare_mb
from chalicelib.runs.run import Run
from tests.effects.support import UNSHARED, surroundings
from tests.support import Clock, a_run


class Environment:
    """What a disk lives in, in a folder of its own: what is active, and what is spare."""

    def __init__(self, clock: Clock, folder: Path) -> None:
        self.clock, self.folder, self.room_mb = clock, folder, 1000
        self.active: list[Run] = []
        self.disk = Disk(
            surroundings(lambda: self.active, clock, lambda _: None),
            spare_mb=lambda _file, held: self.room_mb - held,
            machine=UNSHARED,
        )

    def hold(self, megabytes: int, path: Path | None = None) -> tuple[Any, Any]:
        self.active.append(a_run("disk_exhaustion", now=self.clock.now, token=str(len(self.active))))
        return self.disk.hold(self.active[-1], Wanted(megabytes=megabytes, path=str(path or self.folder)))

    def file(self) -> os.stat_result:
        return os.fstat(self.disk.holdings[0].file)


@pytest.fixture
def environment(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("chalicelib.effects.watcher.runs_threads", lambda: False)
    environment = Environment(clock, tmp_path)
    yield environment
    environment.disk.release_all()


def test_what_is_held_is_really_allocated_without_a_name_and_given_back(
    environment: Environment, tmp_path: Path
) -> None:
    assert environment.hold(70) == ({"disk_mb": 70, "path": str(tmp_path)}, {"disk_mb": 70})
    file = environment.file()
    assert (file.st_nlink, list(tmp_path.iterdir())) == (0, [])
    assert file.st_blocks * 512 >= 70 * MB
    number = environment.disk.holdings[0].file
    environment.active.clear()
    environment.disk.settle(())
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_fork_that_still_has_the_file_keeps_none_of_its_blocks(environment: Environment) -> None:
    environment.hold(5)
    inherited = os.dup(environment.disk.holdings[0].file)
    try:
        environment.disk.release_all()
        assert os.fstat(inherited).st_blocks == 0
    finally:
        os.close(inherited)


def test_a_copy_lets_go_of_the_file_and_leaves_its_blocks_to_the_original(environment: Environment) -> None:
    environment.hold(5)
    originals = os.dup(environment.disk.holdings[0].file)
    try:
        environment.disk.abandon()
        assert not environment.disk.is_holding
        assert os.fstat(originals).st_blocks * 512 >= 5 * MB
    finally:
        os.close(originals)


@pytest.mark.parametrize("room_mb", [SLICE_MB + 3, 2])
def test_it_never_takes_more_than_is_spare(
    room_mb: int, environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    environment.room_mb = room_mb
    details, counters = environment.hold(200)
    assert (details["disk_mb"], counters) == (room_mb, {"disk_mb": room_mb})
    assert f"holds {room_mb} of 200 MB in {environment.folder}: there is no more disk space to spare" in caplog.text


def test_the_less_is_left_the_less_is_taken_at_once(environment: Environment, monkeypatch: Any) -> None:
    taken: list[int] = []
    add = module.HeldDisk.add
    monkeypatch.setattr(module.HeldDisk, "add", lambda held, size: taken.append(size) or add(held, size))
    environment.room_mb = 3 * SHARES
    environment.hold(6)
    assert taken == [3, 2, 1]


def test_a_stop_is_obeyed_while_it_is_taken(environment: Environment, monkeypatch: Any) -> None:
    def spare_mb(_file: int, held: int) -> int:
        if held:
            environment.active.clear()
        return environment.room_mb

    monkeypatch.setattr(environment.disk, "_spare_mb", spare_mb)
    environment.hold(3 * SLICE_MB)
    assert environment.disk.holdings[0].megabytes <= 2 * SLICE_MB


def test_where_nothing_is_spare_the_run_says_so(environment: Environment, tmp_path: Path) -> None:
    environment.room_mb = 0
    details, counters = environment.hold(5)
    assert details["problem"].startswith("no disk space to spare in ")
    assert counters == {}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_what_the_file_system_refuses_after_all_is_not_held(
    code: int, environment: Environment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A quota, for instance."""
    real = os.posix_fallocate

    def fallocate(file: int, begin: int, size: int) -> None:
        real(file, begin, size)
        if begin + size > 100 * MB:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", fallocate)
    environment.room_mb = 10_000
    assert environment.hold(200)[0]["disk_mb"] == 100
    assert 100 * MB <= environment.file().st_blocks * 512 < 101 * MB
    assert os.strerror(code) in caplog.text


@pytest.mark.parametrize("error", [AttributeError("macOS"), OSError(errno.EOPNOTSUPP, "not supported"), None])
def test_where_blocks_cannot_be_reserved_they_are_written(
    error: Exception | None, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None: they are compressed away."""

    def fallocate(*_: int) -> None:
        if error:
            raise error

    monkeypatch.setattr(os, "posix_fallocate", fallocate)
    assert environment.hold(3)[0]["disk_mb"] == 3
    assert environment.file().st_blocks * 512 >= 3 * MB


def test_a_folder_that_is_none_or_cannot_be_written_to_is_said(
    environment: Environment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("the application's")
    for path in (tmp_path / "missing", tmp_path / "file", Path("/proc"), tmp_path / ("long" * 50)):
        details, counters = environment.hold(3, path)
        assert "no f" in details["problem"]
        assert len(details["problem"]) <= 100
        assert counters == {}
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert (tmp_path / "file").read_text() == "the application's"


def test_a_file_that_is_there_is_never_opened(environment: Environment, tmp_path: Path, monkeypatch: Any) -> None:
    """Also where the file system has no files without a name: one with a new name loses it at once."""
    monkeypatch.setattr("tempfile._O_TMPFILE_WORKS", False)
    names = iter(["taken", "new"])
    monkeypatch.setattr("tempfile._get_candidate_names", lambda: names)
    (tmp_path / f"{module.PREFIX}taken").symlink_to(tmp_path / "elsewhere")
    assert environment.hold(3)[0]["disk_mb"] == 3
    assert [each.name for each in tmp_path.iterdir()] == [f"{module.PREFIX}taken"]
    assert stat.S_IMODE(environment.file().st_mode) == 0o600


def test_without_a_path_it_is_the_folder_for_temporary_files(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    environment.active.append(run := a_run("disk_exhaustion"))
    assert environment.disk.hold(run, Wanted(megabytes=1))[0] == {"disk_mb": 1, "path": str(tmp_path)}


# How much is spare


class System:
    f_frsize = 4096

    def __init__(self, size_mb: int, free_mb: int) -> None:
        self.f_blocks, self.f_bavail = size_mb * MB // 4096, free_mb * MB // 4096


@pytest.fixture
def spare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def measured(size_mb: int, free_mb: int, kind: str = "ext4", memory_mb: int = 7, held_mb: int = 0) -> int:
        (tmp_path / "proc/self").mkdir(parents=True, exist_ok=True)
        with (tmp_path / "file").open("w") as file:
            device = os.fstat(file.fileno()).st_dev
            where = f"{os.major(device)}:{os.minor(device)}"
            lines = [f"1 0 {where} / / rw - {kind} /dev/x rw", f"2 1 {where}0 / /other rw - tmpfs none rw"]
            (tmp_path / "proc/self/mountinfo").write_text("\n".join(lines))
            monkeypatch.setattr(os, "fstatvfs", lambda _: System(size_mb, free_mb))
            monkeypatch.setattr("chalicelib.effects.spare_memory.spare_mb", lambda _limit, *, root: memory_mb)
            return spare_mb(file.fileno(), held_mb, root=tmp_path)

    return measured


@pytest.mark.parametrize(
    ("size_mb", "free_mb", "left"), [(512, 500, 436), (10_000, 5000, 4000), (10_000, 1000, 0), (100, 10, 0)]
)
def test_64_mb_or_a_tenth_are_left(spare: Callable[..., int], size_mb: int, free_mb: int, left: int) -> None:
    assert spare(size_mb, free_mb) == left


@pytest.mark.parametrize("kind", ["tmpfs", "ramfs"])
def test_of_a_file_system_in_memory_no_more_than_memory_spares(spare: Callable[..., int], kind: str) -> None:
    assert spare(10_000, 9000, kind) == 7


def test_the_largest_file_that_the_process_may_write_bounds_it(
    spare: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes beyond it is ended by a signal, where nobody handles that."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (50 * MB, 50 * MB))
    assert spare(10_000, 9000, held_mb=20) == 30


def test_a_machine_that_does_not_say_what_its_file_systems_are_is_taken_at_its_word(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        assert spare_mb(file.fileno(), 0, root=tmp_path) >= 0


def test_what_the_host_interrupts_is_taken_to_its_end_later(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    given = environment.disk._spare_mb

    def interrupted(file: int, held: int) -> int:
        if held >= SLICE_MB:
            raise KeyboardInterrupt
        return given(file, held)

    environment.disk._spare_mb = interrupted
    with pytest.raises(KeyboardInterrupt):
        environment.hold(3 * SLICE_MB)
    assert not caplog.records
    environment.disk._spare_mb = given
    environment.disk.look()
    assert environment.disk.holdings[0].megabytes == 3 * SLICE_MB
