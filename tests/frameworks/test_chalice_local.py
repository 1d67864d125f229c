import errno
import gc
import os
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from chalice.cli.filewatch.stat import StatFileWatcher, StatWorkerProcess
from chalice.local import HTTPServerThread

from chalicelib.frameworks.chalice_local import (
    Sources,
    restart_for_source_files_only,
    served_by_chalice_local,
    source_files,
)
from tests.loopback import PATIENCE_SECONDS

WORKER = {"CHALICE_WORKER": "true"}


@pytest.mark.parametrize(
    ("arguments", "url"),
    [
        (["/x/bin/chalice", "local"], "http://localhost:8000"),
        (["chalice", "local", "--port", "9000"], "http://localhost:9000"),
        (["chalice", "local", "--port=9000", "--host", "0.0.0.0"], "http://localhost:9000"),
        (["chalice", "local", "--host=192.0.2.1"], "http://192.0.2.1:8000"),
        (["chalice", "package", "out"], None),
        (["chalice", "deploy", "--stage", "dev"], None),
        (["pytest", "local"], None),
        ([], None),
    ],
)
def test_it_knows_where_chalice_local_serves_and_other_programs_apart(arguments: list[str], url: str | None) -> None:
    assert served_by_chalice_local(arguments) == url


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as developers have it: with a virtual environment, bytecode and caches in it."""
    for name in (
        "app.py",
        "chalicelib/settings.json",
        "chalicelib/page.html",
        ".chalice/config.json",
        ".env",
        "__pycache__/app.cpython-311.pyc",
        "environment/pyvenv.cfg",
        "environment/lib/module.py",
        ".git/config.json",
        "node_modules/a/index.js",
        ".chalice/deployed/dev.json",
        "data.db",
        "app.py~",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sources(project: Path) -> Sources:
    return Sources(str(project))


def touch(path: Path) -> None:
    path.touch()
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 1))


def test_source_files_are_code_configuration_and_templates_outside_of_environments_and_caches(project: Path) -> None:
    found = {str(Path(entry).relative_to(project)) for entry in source_files(str(project))}
    assert found == {"app.py", "chalicelib/settings.json", "chalicelib/page.html", ".chalice/config.json", ".env"}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", ["app.py", "chalicelib/settings.json", ".chalice/config.json", "chalicelib/new.py"])
def test_a_changed_or_new_source_file_restarts(sources: Sources, project: Path, name: str, *, first: bool) -> None:
    assert first or not sources.have_changed()
    touch(project / name)
    assert sources.have_changed()
    assert not sources.have_changed()


def test_a_removed_one_does_too(sources: Sources, project: Path) -> None:
    assert not sources.have_changed()
    (project / "chalicelib/page.html").unlink()
    assert sources.have_changed()


@pytest.mark.parametrize(
    "name",
    [
        "__pycache__/new.cpython-311.pyc",
        "environment/lib/module.py",
        "environment/new.py",
        "data.db",
        ".chalice/deployed/dev.json",
    ],
)
def test_nothing_else_does(sources: Sources, project: Path, name: str) -> None:
    touch(project / name)
    assert not sources.have_changed()
    touch(project / name)
    assert not sources.have_changed()


def test_a_file_that_vanishes_while_it_is_looked_at_is_not_there(
    sources: Sources, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "gone.py").symlink_to(project / "nowhere.py")
    assert not sources.have_changed()


def test_a_file_of_a_file_system_that_does_not_answer_is_none(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stale:
        name, path = "stale.txt", str(project / "stale.txt")

        def is_dir(self, **_: bool) -> bool:
            raise OSError(errno.ESTALE, "stale")

        def stat(self) -> os.stat_result:
            raise OSError(errno.ESTALE, "stale")

    monkeypatch.setattr("chalicelib.frameworks.chalice_local._entries", lambda _folder: [Stale()])
    assert not Sources(str(project)).have_changed()


def test_a_project_whose_own_folder_is_an_environment_has_files(project: Path) -> None:
    (project / "pyvenv.cfg").touch()
    assert {"app.py", "page.html"} <= {entry.name for entry in source_files(str(project))}


def test_a_folder_that_vanishes_meanwhile_has_no_files(tmp_path: Path) -> None:
    assert list(source_files(str(tmp_path / "removed"))) == []


@pytest.fixture
def restarter(project: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Chalice's handler of watchdog's events, where watchdog is installed."""

    class WatchdogRestarter:
        restarted = False

        def __call__(self) -> None:
            self.restarted = True

    module = ModuleType("eventbased")
    module.WatchdogRestarter = WatchdogRestarter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "chalice.cli.filewatch.eventbased", module)
    restart_for_source_files_only(WORKER)
    return WatchdogRestarter()


@pytest.mark.parametrize(
    ("kind", "source", "destination", "restarted"),
    [
        ("modified", "app.py", None, True),
        ("modified", "app.py", "", True),
        ("modified", b"app.py", b"", True),
        ("moved", "app.py.tmp", "app.py", True),
        ("opened", "app.py", "", False),
        ("closed_no_write", "app.py", "", False),
        ("created", "__pycache__/app.cpython-311.pyc", "", False),
        ("modified", "environment/lib/module.py", "", False),
        ("created", "loop/module.py", None, True),
    ],
)
def test_with_watchdog_it_is_the_same(
    restarter: Any, project: Path, kind: str, source: Any, destination: Any, *, restarted: bool
) -> None:
    def below(name: Any) -> Any:
        return name and (os.fsencode(project / os.fsdecode(name)) if isinstance(name, bytes) else str(project / name))

    (project / "loop").symlink_to(project / "loop")
    event = SimpleNamespace(is_directory=False, event_type=kind, src_path=below(source))
    if destination is not None:  # as watchdog 2 leaves it out
        event.dest_path = below(destination)
    restarter.on_any_event(event)
    assert restarter.restarted is restarted


def test_folders_do_not_count_for_watchdog(restarter: Any, project: Path) -> None:
    restarter.on_any_event(SimpleNamespace(is_directory=True, event_type="modified", src_path="a.py", dest_path=""))
    assert not restarter.restarted


@pytest.fixture
def worker(project: Path, monkeypatch: pytest.MonkeyPatch) -> StatWorkerProcess:
    """What waits in a process of `chalice local` for a change."""
    monkeypatch.setattr("chalicelib.frameworks.chalice_local.INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(StatFileWatcher, "_single_pass_poll", StatFileWatcher._single_pass_poll)
    return StatWorkerProcess(HTTPServerThread(lambda: pytest.fail("it does not serve")))


def watching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "chaos-sources"]


def test_a_process_of_chalice_local_restarts_for_a_change_whatever_became_of_its_own_watcher(
    worker: StatWorkerProcess, project: Path
) -> None:
    restart_for_source_files_only(WORKER)
    (thread,) = watching()
    touch(project / ".git/config.json")
    assert not worker._restart_event.wait(0.1)
    touch(project / "app.py")
    assert worker._restart_event.wait(PATIENCE_SECONDS)
    thread.join(PATIENCE_SECONDS)
    assert not watching()
    StatFileWatcher()._single_pass_poll(str(project), lambda: pytest.fail("two of them watch"))


def test_an_edit_before_the_application_has_imported_the_module_restarts_too(
    worker: StatWorkerProcess, project: Path
) -> None:
    watcher = StatFileWatcher()
    watcher._seed_mtime_cache(str(project))
    touch(project / "app.py")
    restart_for_source_files_only(WORKER)
    assert worker._restart_event.wait(PATIENCE_SECONDS)
    for thread in watching():
        thread.join(PATIENCE_SECONDS)


def test_other_processes_and_other_versions_of_chalice_are_left_alone(
    worker: StatWorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = StatFileWatcher._single_pass_poll
    restart_for_source_files_only({})
    monkeypatch.setitem(sys.modules, "chalice.cli.filewatch.stat", None)
    restart_for_source_files_only(WORKER)
    assert (StatFileWatcher._single_pass_poll, watching()) == (before, [])


def test_where_nothing_waits_for_a_change_nothing_watches(project: Path) -> None:
    before = StatFileWatcher._single_pass_poll
    gc.collect()  # what waited in the tests before
    restart_for_source_files_only(WORKER)
    assert (StatFileWatcher._single_pass_poll, watching()) == (before, [])
