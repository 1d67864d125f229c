"""`chalice local`: where it serves, and what it restarts for: changed source files, and nothing else.

Chalice's own watchers restart for every file that is written below the project, so also for the bytecode that an import
writes and for whatever lies in a virtual environment, of which they read each file's time once a second.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """Teach Chalice's watcher, where this process is one that `chalice local` restarts, what a source file is.

    Does nothing where this version of Chalice has no such watcher.
    """
    if WORKER not in variables:
        return
    try:
        from chalice.cli.filewatch.stat import StatFileWatcher  # noqa: PLC0415 - the command's, not the library's
    except ImportError:
        return
    StatFileWatcher._single_pass_poll = _poll  # type: ignore[assignment,method-assign] # noqa: SLF001 - there is no setting
    try:
        from chalice.cli.filewatch.eventbased import WatchdogRestarter  # noqa: PLC0415 - where watchdog is installed
    except ImportError:
        return
    WatchdogRestarter.on_any_event = _on_any_event  # type: ignore[assignment,method-assign]


def source_files(folder: str) -> Iterator[os.DirEntry[str]]:
    """The source files below the folder, outside of virtual environments and hidden folders.

    It is read once a second as long as the server runs, so it goes through the folders by what costs least.
    """
    yield from _sources_among(_entries(folder))


def _sources_among(entries: Sequence[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
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


def _is_source(name: str) -> bool:
    return os.path.splitext(name)[1] in SOURCES or name == ".env"  # noqa: PTH122 - as often as source_files says


def _may_have_sources(folder: str) -> bool:
    return folder == CONFIGURATION or not (folder.startswith(".") or folder in NOT_OURS)


def _times(folder: str) -> dict[str, float]:
    times = {}
    for entry in source_files(folder):
        with suppress(OSError):  # an editor has removed it, to write it anew
            times[entry.path] = entry.stat().st_mtime
    return times


def _poll(watcher: Any, root_dir: str, callback: Callable[[], None]) -> None:  # noqa: ANN401 - Chalice's
    """In the place of `StatFileWatcher._single_pass_poll`, which is called once a second.

    `_mtime_cache` has the times of all files at the start, and the source files' from the first call on.
    """
    times = _times(root_dir)
    changed = any(watcher._mtime_cache.get(path) != time for path, time in times.items())  # noqa: SLF001
    removed = getattr(watcher, "_has_polled", False) and len(times) < len(watcher._mtime_cache)  # noqa: SLF001
    watcher._mtime_cache, watcher._has_polled = times, True  # noqa: SLF001
    if changed or removed:
        callback()


def _on_any_event(restarter: Any, event: Any) -> None:  # noqa: ANN401 - watchdog's
    """In the place of `WatchdogRestarter.on_any_event`, which is called for reads, too."""
    if event.is_directory or event.event_type in ("opened", "closed_no_write"):
        return
    paths = [Path(os.fsdecode(path)).resolve() for path in (event.src_path, event.dest_path) if path]
    if any(_is_source(path.name) and all(map(_is_ours, _folders_here(path))) for path in paths):
        restarter()


def _folders_here(path: Path) -> list[Path]:
    here = Path.cwd().resolve()
    return [folder for folder in path.parents if here in folder.parents]


def _is_ours(folder: Path) -> bool:
    return _may_have_sources(folder.name) and not (folder / ENVIRONMENT).exists()
