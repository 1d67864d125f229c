"""How each experiment is tried: with which parameters, and by what one sees that it took or did something."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.resilience.hosting import Answer, Host
from tests.resilience.taken import CPU_SECONDS, LATE_SECONDS, RESIDENT_MB, Second, Taken, a_second

MEMORY_MB = 96
DISK_MB = 48
BLOCK_SECONDS = 1.0
OFFSET_SECONDS = 7200.0

PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "latency_injection": {"delay_seconds": 0.05},
    "error_injection": {"error_rate": 1.0},
    "resource_exhaustion": {"memory_mb": MEMORY_MB},
    "dependency_failure": {"dependency": "127.0.0.1", "fault": "refused"},
    "cpu_exhaustion": {"load": 0.5, "cores": 1},
    "disk_exhaustion": {"disk_mb": DISK_MB},
    "file_descriptor_exhaustion": {"descriptors_left": 100},  # a worker of gunicorn ends where it can accept nobody
    "event_loop_block": {"block_seconds": BLOCK_SECONDS, "every_seconds": 2.0},
    "clock_skew": {"offset_seconds": OFFSET_SECONDS},
}
"""Where the defaults would be slow, dear or not to be seen. An experiment that is not here runs with its defaults."""


def parameters_of(name: str, *, duration_seconds: float = 600.0) -> dict[str, Any]:
    return {"duration_seconds": duration_seconds, **PARAMETERS.get(name, {})}


@dataclass
class During:
    """What is to be seen of a run at one moment while it goes on."""

    host: Host
    before: Taken
    environments: list[int]
    """Those that there were before."""
    answers: list[Answer]
    """To users, since the start."""
    measure: Callable[[], Taken]

    @cached_property
    def taken(self) -> Taken:
        return self.measure()

    @cached_property
    def second(self) -> Second:
        return a_second(self.host.main, self.host.lines)


def is_hit(during: During) -> bool:
    """What is seen of every experiment that is not in the table."""
    return any(answer.is_hit for answer in during.answers)


def fails(during: During) -> bool:
    return any(answer.status >= 500 for answer in during.answers)


def gets_no_answer(during: During) -> bool:
    """A connection that is dropped, an answer in part, or none for as long as a user has patience."""
    return any(answer.status == 0 for answer in during.answers)


def is_no_order(during: During) -> bool:
    return any((answer.is_hit and not answer.order) or answer.status == 0 for answer in during.answers)


def calls_fail(during: During) -> bool:
    return any(answer.order.get("upstream") == 0 for answer in during.answers)


def takes_memory(during: During) -> bool:
    most = during.before.resident_mb + RESIDENT_MB * during.before.environments
    return during.taken.resident_mb > most + MEMORY_MB / 4


def takes_cpu(during: During) -> bool:
    return during.second.cpu_seconds > 2 * CPU_SECONDS


def takes_disk(during: During) -> bool:
    return during.taken.disk_mb >= during.before.disk_mb + DISK_MB


def takes_descriptors(during: During) -> bool:
    taken = during.taken
    return taken.limits != during.before.limits or taken.descriptors.total() > during.before.descriptors.total() + 50


def takes_threads(during: During) -> bool:
    taken, before = during.taken, during.before
    if during.host.framework == "chalice":
        return says_why_not(during, "thread_pool_exhaustion", "pool of threads")
    return taken.free_tokens < before.free_tokens or taken.threads.total() > before.threads.total()


def blocks(during: During) -> bool:
    if during.host.framework != "fastapi":
        return says_why_not(during, "event_loop_block", "without an event loop")
    return during.second.late_seconds > max(BLOCK_SECONDS / 2, 2 * LATE_SECONDS)


def says_why_not(during: During, name: str, why: str) -> bool:
    """Where the process has no such thing: the run says so, and hits nobody."""
    assert not is_hit(during)
    return why in (during.host.control("GET", f"/status?experiment_name={name}")["defect"] or "")


def skews(during: During) -> bool:
    told = [now for answer in during.answers if answer.order for now in answer.order["now"]]
    return max(told, default=0.0) > time.time() + OFFSET_SECONDS / 2


def has_crashed(during: During) -> bool:
    """A process is gone; where a server looks after it, another one has come in its place."""
    if not during.host.serves_by_workers:
        return during.host.is_dead()
    pids = during.host.environments()
    return len(pids) == len(during.environments) and set(pids) != set(during.environments)


SIGNS: Mapping[str, Callable[[During], bool]] = {
    "error_injection": fails,
    "exception_injection": fails,
    "timeout_injection": gets_no_answer,
    "connection_drop": gets_no_answer,
    "response_corruption": is_no_order,
    "resource_exhaustion": takes_memory,
    "dependency_failure": calls_fail,
    "cpu_exhaustion": takes_cpu,
    "disk_exhaustion": takes_disk,
    "file_descriptor_exhaustion": takes_descriptors,
    "thread_pool_exhaustion": takes_threads,
    "event_loop_block": blocks,
    "clock_skew": skews,
    "process_crash": has_crashed,
}
"""What a run must do, or the test could not fail."""

ONCE = {"process_crash"}
"""What ends by itself when it was felt: a new process does not feel it any more."""
