"""`chalice local`: where it serves, and what it restarts for: changed source files, and nothing else.

Chalice's own watchers restart for every file that is written below the project, so also for the bytecode that an import
writes and for whatever lies in a virtual environment, of which they read each file's time once a second.
"""

import gc
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

SOURCES = frozenset(
    (
        *(".py", ".json", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".env", ".html", ".htm", ".jinja", ".jinja2"),
        *(".j2", ".css", ".js", ".sql", ".graphql", ".txt", ".csv"),
    )
)
"""Code, configuration, templates and data. Not what tools write: bytecode, logs, databases, editors' backups."""

LOOPBACK = {"127.0.0.1", "0.0.0.0"}  # noqa: S104 - what a server was told, not where this one listens

CONFIGURATION = ".chalice"
ENVIRONMENT = "pyvenv.cfg"
"""What a virtual environment has in its folder."""
NOT_OURS = frozenset({"__pycache__", "node_modules", "site-packages", "deployed", "deployments"})
INTERVAL_SECONDS = 1.0
"""Between one look at the source files and the next."""

WORKER = "CHALICE_WORKER"
"""Set by `chalice local` in the process that it restarts."""


def served_by_chalice_local(arguments: Sequence[str]) -> str | None:
    """The URL at which `chalice local`, started with these arguments, serves; None for any other program."""
    if not arguments or "local" not in arguments[1:] or not arguments[0].endswith(("chalice", "chalice.exe")):
        return None
    options = dict(zip(arguments, [*arguments[1:], ""], strict=True))
    options |= {name: value for name, found, value in (each.partition("=") for each in arguments) if found}
    host = options.get("--host", "localhost")
    return f"http://{'localhost' if host in LOOPBACK else host}:{options.get('--port', '8000')}"


def restart_for_source_files_only(variables: Mapping[str, str] = os.environ) -> None:
    """Watch the source files in the place of Chalice's watcher, where this is a process that `chalice local` restarts.

    Does nothing where this version of Chalice has no such watcher.
    """
    if WORKER not in variables:
        return
    try:
        from chalice.cli.filewatch.stat import StatFileWatcher, StatWorkerProcess  # noqa: PLC0415 - the command's
    except ImportError:
        return
    _watch_instead_of(StatFileWatcher, StatWorkerProcess)
    try:
        from chalice.cli.filewatch.eventbased import WatchdogRestarter  # noqa: PLC0415 - where watchdog is installed
    except ImportError:
        return
    WatchdogRestarter.on_any_event = _on_any_event  # type: ignore[assignment,method-assign]


def _watch_instead_of(watcher_class: Any, worker_class: Any) -> None:  # noqa: ANN401 - Chalice's
    """Chalice's watcher begins before the application is imported, and ends for good where it meets a file of bytecode
    that is just being written. So what it would set is looked up, and set by a thread of our own.
    """
    made = [each for each in gc.get_objects() if type(each) in (worker_class, watcher_class)]
    restart = next((each._restart_event for each in made if type(each) is worker_class), None)  # noqa: SLF001
    if restart is None:
        return
    sources = Sources(str(Path.cwd()))
    for watcher in made:
        if type(watcher) is watcher_class:
            sources.have_been(watcher._mtime_cache)  # noqa: SLF001 - an edit since then is one, too
    watcher_class._single_pass_poll = lambda *_: None  # noqa: SLF001 - there is no setting
    arguments = (sources, restart)
    threading.Thread(target=_watch, args=arguments, name="chaos-sources", daemon=True).start()


def _watch(sources: "Sources", restart: threading.Event) -> None:
    while not restart.wait(INTERVAL_SECONDS):
        if sources.have_changed():
            restart.set()


class Sources:
    """The source files below a folder, and whether one is new, gone, or written since one last asked."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._times = self._read()

    def have_been(self, times: Mapping[str, float]) -> None:
        """When they were written, by who has looked before."""
        self._times = {path: times.get(path, time) for path, time in self._times.items()}

    def have_changed(self) -> bool:
        before, self._times = self._times, self._read()
        return self._times != before

    def _read(self) -> dict[str, float]:
        times = {}
        for entry in source_files(self._folder):
            with suppress(OSError):  # an editor has removed it, to write it anew
                times[entry.path] = entry.stat().st_mtime
        return times


def source_files(folder: str) -> Iterator[os.DirEntry[str]]:
    """The source files below the folder, outside of virtual environments and hidden folders.

    They are looked at once a second as long as the server runs, so the folders are read by what costs least.
    """
    yield from _sources_among(_entries(folder))


def _sources_among(entries: Sequence[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    for entry in entries:
        if _is_folder(entry):
            inner = _entries(entry.path) if _may_have_sources(entry.name) else ()
            if all(each.name != ENVIRONMENT for each in inner):
                yield from _sources_among(inner)
        elif _is_source(entry.name):
            yield entry


def _entries(folder: str) -> Sequence[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:  # removed since its parent was read
        return ()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # some file systems are asked only now
        return False


def _is_source(name: str) -> bool:
    return os.path.splitext(name)[1] in SOURCES or name == ".env"  # noqa: PTH122 - as often as source_files says


def _may_have_sources(folder: str) -> bool:
    return folder == CONFIGURATION or not (folder.startswith(".") or folder in NOT_OURS)


def _on_any_event(restarter: Any, event: Any) -> None:  # noqa: ANN401 - watchdog's
    """In the place of `WatchdogRestarter.on_any_event`, which is called for reads, too. What it raises would end it."""
    if event.is_directory or event.event_type in ("opened", "closed_no_write"):
        return
    given = (event.src_path, getattr(event, "dest_path", ""))  # before watchdog 3 only what is moved has one
    paths = [Path(os.path.realpath(os.fsdecode(path))) for path in given if path]
    if any(_is_source(path.name) and all(map(_is_ours, _folders_here(path))) for path in paths):
        restarter()


def _folders_here(path: Path) -> list[Path]:
    here = Path.cwd().resolve()
    return [folder for folder in path.parents if here in folder.parents]


def _is_ours(folder: Path) -> bool:
    return _may_have_sources(folder.name) and not os.path.exists(folder / ENVIRONMENT)  # noqa: PTH110 - never raises
