"""Load, while runs start, stop, expire and are halted at random: every answer is checked against the history.

`make soak` does it for as long as one likes; here it is a short while.
"""

import http.client
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import psutil
import pytest

from tests.contract.servers import PROJECT, SERVERS, Server, serving
from tests.dynamodb_local import dynamodb_local

API = "/chaos_experiments"
CLIENTS = 8
REFRESH_SECONDS = 1.0
TOLERANCE_SECONDS = 0.25
"""Between a decision and the answer's arrival, on a machine that is kept busy on purpose."""

MB = 1024 * 1024
GROWTH = 1.15
EXPERIMENTS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "latency_injection": lambda chance: {"delay_seconds": round(chance.uniform(0, 0.05), 3)},
    "error_injection": lambda chance: {"error_rate": round(chance.uniform(0, 1), 3)},
    "resource_exhaustion": lambda chance: {"memory_mb": chance.randint(1, 8)},
}


class Answer(NamedTuple):
    sent: float
    received: float
    status: int
    touched: str
    runs: str


@pytest.fixture(scope="module")
def table(pytestconfig: pytest.Config) -> Iterator[str]:
    """In a process of its own, so that it and the load do not wait for each other.

    Amazon's own in the long run: moto copies all of its tables in each transaction, and so gets slow with the history.
    """
    folder = pytestconfig.getoption("--dynamodb-local")
    if folder:
        with dynamodb_local(Path(folder)) as url:
            yield url
        return
    with subprocess.Popen(
        [sys.executable, "-m", "tests.embedded"], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.kill()


@dataclass
class Load:
    """Clients that ask one request after the other, for as long as it is entered."""

    port: int
    answers: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    going: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.going.set()
        self.threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.going.clear()
        for thread in self.threads:
            thread.join()

    def _ask(self) -> None:
        try:
            while self.going.is_set():
                with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
                    for _ in range(200):
                        if not self.going.is_set():
                            break
                        self.answers.append(self._one(connection))
                        if connection.sock is None:
                            break
        except Exception as error:  # noqa: BLE001 - told to the test
            self.failures.append(repr(error))

    def _one(self, connection: http.client.HTTPConnection) -> Answer:
        sent = time.time()
        connection.request("GET", "/orders/7")
        answer = connection.getresponse()
        answer.read()
        touched = answer.headers.get("X-Chaos-Experiment", "")
        return Answer(sent, time.time(), answer.status, touched, answer.headers.get("X-Chaos-Run", ""))


def act(server: Server, chance: random.Random) -> str:
    """One thing that an operator might do. Gives what it was."""
    name = chance.choice(list(EXPERIMENTS))
    kind = chance.choices(["start", "restart", "stop", "halt"], [6, 2, 3, 1])[0]
    if kind in ("start", "restart"):
        body = {
            "experiment_name": name,
            "duration_seconds": round(chance.uniform(0.2, 6), 3),
            "percentage": chance.choice([100, 50.0, 5.5]),
            "restart": kind == "restart",
            **EXPERIMENTS[name](chance),
        }
        allowed = {200, 409}
    elif kind == "stop":
        body, allowed = {"experiment_name": name}, {200, 404}
    else:
        body, allowed = {"reason": "a soak"}, {200}
    path = "/start" if kind == "restart" else f"/{kind}"
    answer = server.call("POST", API + path, json=body)
    assert answer.status_code in allowed, answer.text
    if kind == "halt":
        refused = server.call("POST", f"{API}/start", json={"experiment_name": name})
        assert refused.status_code == 423, refused.text
        time.sleep(chance.uniform(0, 2))
        assert server.call("POST", f"{API}/resume", json={}).status_code == 200
    return kind


def lives(server: Server) -> dict[str, tuple[float, float]]:
    """From when to when each run may be felt, by the history and the documented propagation."""
    found: dict[str, tuple[float, float]] = {}
    before: dict[str, str] = {}
    while True:
        page = server.call("GET", f"{API}/history", params={"limit": "100", **before}).json()["resultset"]
        for entry in page["entries"]:
            if run := entry["run"]:
                started, ended = (datetime.fromisoformat(run[name]).timestamp() for name in ("start_time", "end_time"))
                found[run["run_id"]] = (started, ended + (REFRESH_SECONDS if run["status"] == "stopped" else 0.0))
        if page["next"] is None:
            return found
        before = {"before": page["next"]}


def resident_mb(port: int) -> float:
    """Of all processes that serve the application: those that were told the port, and what they started."""
    serving: set[psutil.Process] = set()
    for process in psutil.process_iter(["cmdline"]):
        with suppress(psutil.Error):
            if re.search(rf"[ :]{port}\b", " ".join(process.info["cmdline"] or ())):
                serving |= {process, *process.children(recursive=True)}
    total = 0
    for process in serving:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total / MB


@pytest.mark.timeout(24 * 3600)
@pytest.mark.parametrize("framework", SERVERS)
def test_load_is_held(
    framework: str,
    table: str,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
    tell: Callable[[str], None],
) -> None:
    seconds = 60 * float(pytestconfig.getoption("--minutes"))
    seed = int.from_bytes(os.urandom(4))
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    folder = tmp_path_factory.mktemp("soak")
    variables = {
        "AWS_ENDPOINT_URL_DYNAMODB": table,
        "CHAOS_TABLE": f"soak-{seed}",
        "CHAOS_REFRESH_SECONDS": str(REFRESH_SECONDS),
        "CHAOS_IDLE_REFRESH_SECONDS": "1",
    }
    done: dict[str, int] = {}
    resident: list[float] = []
    with serving(SERVERS[framework], folder, **variables) as server:
        port = int(server.url.rpartition(":")[2])
        with Load(port) as load:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                kind = act(server, chance)
                done[kind] = done.get(kind, 0) + 1
                resident.append(resident_mb(port))
                time.sleep(chance.uniform(0, 0.5))
            server.call("POST", f"{API}/halt", json={"reason": "the end"})
            time.sleep(REFRESH_SECONDS + TOLERANCE_SECONDS)
        allowed = lives(server)
    assert load.failures == []
    touched = check(load.answers, allowed, seed)
    quarter = max(1, len(resident) // 4)
    early, late = (statistics.median(part) for part in (resident[quarter : 2 * quarter], resident[-quarter:]))
    rate = len(load.answers) / seconds
    tell(
        f"{seconds:.0f} s, {len(load.answers)} requests ({rate:.0f} a second), {touched} touched by {len(allowed)} "
        f"runs, {done}; {early:.0f} MB resident, then {late:.0f} (seed {seed})"
    )
    assert touched
    if seconds >= 60:
        assert late <= early * GROWTH


def check(answers: list[Answer], allowed: dict[str, tuple[float, float]], seed: int) -> int:
    """How many were touched. None without its run, none outside of its life, and no 5xx that was not injected."""
    touched = 0
    for answer in answers:
        assert answer.status in (201, 500), f"{answer}, seed {seed}"
        assert (answer.status == 500) <= ("error_injection" in answer.touched), f"{answer}, seed {seed}"
        for run in filter(None, answer.runs.split(", ")):
            since, until = allowed[run]
            assert answer.received >= since, f"{answer} before {since}, seed {seed}"
            assert answer.sent <= until + TOLERANCE_SECONDS, f"{answer} after {until}, seed {seed}"
        touched += bool(answer.runs)
    return touched


def test_what_is_outside_of_a_runs_life_would_be_noticed() -> None:
    allowed = {"run-1": (100.0, 110.0)}
    assert check([Answer(105, 105, 500, "error_injection", "run-1"), Answer(120, 120, 201, "", "")], allowed, 0) == 1
    for wrong in (
        Answer(111, 111, 201, "latency_injection", "run-1"),
        Answer(98, 99, 201, "latency_injection", "run-1"),
        Answer(105, 105, 500, "", ""),
        Answer(105, 105, 502, "error_injection", "run-1"),
    ):
        with pytest.raises(AssertionError):
            check([wrong], allowed, 0)
