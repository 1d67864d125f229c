"""What processes have taken of the machine, measured from outside and, by their probes, from inside."""

import json
import os
import re
import socket
import stat
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

MB = 2**20
RESIDENT_MB = 24
"""By how much the memory of a process may have grown: what was imported meanwhile, and what the allocator keeps for its
threads. What is taken is more, and what each run leaves adds up.
"""

CPU_SECONDS = 0.15
"""Of processor that processes may use more than before, in a second. What is taken is more."""

LATE_SECONDS = 0.15
"""By how much an event loop may be late, in a second in which nothing happens. What is taken is more."""

SKEW_SECONDS = 5.0

POOLS = {"AnyIO worker thread": 40, "ThreadPoolExecutor-N_N": 4, "asyncio_N": 32}
"""Threads of the server's own, which it makes when it needs them, and so many at most."""

LIMITS = [name for name in dir(psutil) if name.startswith("RLIMIT_")]


class Line:
    """The connection to a probe."""

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._lines = self._connection.makefile("rw")
        self.port = port

    def ask(self) -> dict[str, Any]:
        print(file=self._lines, flush=True)
        content: dict[str, Any] = json.loads(self._lines.readline())
        return content

    def close(self) -> None:
        with suppress(OSError):
            self._lines.close()
        self._connection.close()


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What the processes of one application have, all together."""

    environments: int
    """How many of them serve."""
    resident_mb: float
    disk_mb: float
    files: list[str]
    processes: Counter[str]
    descriptors: Counter[str]
    threads: Counter[str]
    unknown_threads: int
    """Those that Python does not know."""
    limits: Counter[str]
    settings: Counter[str]
    patched: list[str]
    free_tokens: float
    """Of the threads that a server's event loop lends."""
    skew_seconds: float

    def not_given_back(self, before: "Taken") -> list[str]:
        """What is not as before, in words."""
        return [
            *_more("MB of memory", self.resident_mb, before.resident_mb + RESIDENT_MB * before.environments),
            *_more("MB on disk", self.disk_mb, before.disk_mb),
            *_different("temporary files", Counter(self.files), Counter(before.files)),
            *_different("processes", self.processes, before.processes),
            *_different("descriptors", self.descriptors, before.descriptors),
            *_different("threads", _without_pools(self.threads), _without_pools(before.threads)),
            *(f"threads of a pool: {name}" for name, most in POOLS.items() if self.threads[name] > 2 * most),
            *_more("threads that Python does not know", self.unknown_threads, before.unknown_threads),
            *_different("limits", self.limits, before.limits),
            *_different("settings", self.settings, before.settings),
            *(f"patched: {name}" for name in self.patched if name not in before.patched),
            *_more("tokens that are taken", before.free_tokens, self.free_tokens),
            *_more("seconds of skew", self.skew_seconds, SKEW_SECONDS),
        ]


def _more(what: str, now: float, most: float) -> Iterable[str]:
    if now > most:
        yield f"{what}: {now:.1f}, at most {most:.1f}"


def _different(what: str, now: Counter[str], before: Counter[str]) -> Iterable[str]:
    if now != before:
        yield f"{what}: {dict(now - before)} more, {dict(before - now)} less"


def _without_pools(threads: Counter[str]) -> Counter[str]:
    return Counter({name: count for name, count in threads.items() if name not in POOLS})


def tree(main: int) -> list[psutil.Process]:
    process = psutil.Process(main)
    return [process, *process.children(recursive=True)]


def measure(main: int, lines: Mapping[int, Line], temporary: Path, *, own_ports: set[int]) -> Taken:
    """`own_ports`: those of the table and the like, to which the module keeps connections."""
    processes = tree(main)
    told = [line.ask() for line in lines.values()]
    threads = Counter(_alike(name) for each in told for name in each["threads"])
    files = _Files()
    for path in temporary.rglob("*"):
        files.add(path.lstat())
    ports = own_ports | {line.port for line in lines.values()}
    return Taken(
        environments=len(lines),
        resident_mb=sum(each.memory_info().rss for each in processes) / MB,
        descriptors=Counter(kind for each in processes for kind in _descriptors(each, temporary, ports, files)),
        disk_mb=files.mb,
        files=sorted(str(path.relative_to(temporary)) for path in temporary.rglob("*")),
        processes=Counter(_alike(" ".join(each.cmdline())) for each in processes),
        threads=threads,
        unknown_threads=max(0, sum(psutil.Process(pid).num_threads() for pid in lines) - threads.total()),
        limits=Counter(f"{name}: {each.rlimit(getattr(psutil, name))}" for each in processes for name in LIMITS),
        settings=Counter(f"{name}: {_alike(value)}" for each in told for name, value in each["settings"].items()),
        patched=sorted({name for each in told for name in each["patched"]}),
        free_tokens=sum(each["free_tokens"] or 0 for each in told),
        skew_seconds=max(abs(skew) for each in told for skew in each["skews"]),
    )


def _alike(text: str) -> str:
    """Without numbers and addresses, which differ between processes that do the same."""
    return re.sub(r"0x\w+|\d+", "N", text)


@dataclass
class _Files:
    """What files take on disk, each once: those that have a name, and those that are open and have none any more."""

    bytes_of: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, status: os.stat_result) -> None:
        if stat.S_ISREG(status.st_mode):
            self.bytes_of[status.st_dev, status.st_ino] = status.st_blocks * 512

    @property
    def mb(self) -> float:
        return sum(self.bytes_of.values()) / MB


def _descriptors(process: psutil.Process, temporary: Path, ports: set[int], files: _Files) -> Iterable[str]:
    """The kind of each that is open."""
    sockets = {each.fd: each for each in process.net_connections("all")}
    for path in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            to = str(path.readlink())
            if to.endswith("(deleted)") or to.startswith(str(temporary)):
                files.add(path.stat())
                to = "a temporary file"
            connection = sockets.get(int(path.name))
            if not to.startswith("socket:"):
                yield _alike(to)
            elif connection is None or not _is_of(connection, ports):
                yield f"socket {connection.status if connection else ''}"


def _is_of(connection: Any, ports: set[int]) -> bool:
    return bool({getattr(end, "port", None) for end in (connection.laddr, connection.raddr)} & ports)


@dataclass(frozen=True)
class Second:
    """What a second brought in which nobody asked: processor, and how late event loops were. `our_lateness` is that of
    a thread which does nothing but sleep: how busy the machine is.
    """

    cpu_seconds: float
    late_seconds: float
    our_lateness: float


def a_second(main: int, lines: Mapping[int, Line], seconds: float = 1.0) -> Second:
    for line in lines.values():
        line.ask()
    before, ends, ours = _cpu(main), time.monotonic() + seconds, 0.0
    while (now := time.monotonic()) < ends:
        time.sleep(0.02)
        ours = max(ours, time.monotonic() - now - 0.02)
    used = sum(max(0.0, now - before.get(pid, 0.0)) for pid, now in _cpu(main).items())
    return Second(used / seconds, max(line.ask()["late_seconds"] for line in lines.values()), ours)


def _cpu(main: int) -> dict[int, float]:
    return {each.pid: sum(each.cpu_times()[:2]) for each in tree(main)}
