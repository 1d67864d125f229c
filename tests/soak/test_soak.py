"""Load, while runs start, stop, expire and are halted at random: every answer is checked against the history.

Beside the answers, what the runs counted is compared with what the clients saw. `make soak` does it for as long as one
likes; here it is a short while.
"""

import http.client
import math
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import psutil
import pytest

from tests.contract.servers import PROJECT, Server, serving
from tests.dynamodb_local import dynamodb_local
from tests.loopback import until as until_answered
from tests.soak.hosts import ALL, CONTROL_PLANE

API = "/chaos_experiments"
CLIENTS = 8
REFRESH_SECONDS = 1.0
TOLERANCE_SECONDS = 0.25
"""Between a decision and the answer's arrival, on a machine that is kept busy on purpose."""

MILLISECOND = 0.001
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
    requests_a_connection: int = 200
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
                    for _ in range(self.requests_a_connection):
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


class Seen(NamedTuple):
    """A run, as the history has it: when it began and ended, and how many requests it hit."""

    life: tuple[float, float]
    is_stopped: bool
    hit: int


def runs_of(control: Server) -> dict[str, Seen]:
    found: dict[str, Seen] = {}
    before: dict[str, str] = {}
    while True:
        page = control.call("GET", f"{API}/history", params={"limit": "100", **before}).json()["resultset"]
        for entry in page["entries"]:
            if run := entry["run"]:
                started, ended = (datetime.fromisoformat(run[name]).timestamp() for name in ("start_time", "end_time"))
                hit = (run["results"] or {}).get("requests_hit", 0)
                found[run["run_id"]] = Seen((started, ended), run["status"] == "stopped", hit)
        if page["next"] is None:
            return found
        before = {"before": page["next"]}


def resident_mb(server: Server) -> float:
    """Of all processes that serve the application."""
    assert server.process
    first = psutil.Process(server.process.pid)
    total = 0
    for process in (first, *first.children(recursive=True)):
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total / MB


@dataclass
class Soak:
    """What was done to one host: operators act on the control plane, which is a process of its own."""

    server: Server
    control: Server
    chance: random.Random
    load: Load
    done: Counter[str] = field(default_factory=Counter)
    resident: list[float] = field(default_factory=list)
    halts: list[tuple[float, float]] = field(default_factory=list)
    """From when, and until when there was a halt."""

    calls: list[tuple[float, float]] = field(default_factory=list)
    """When each call of an operator was sent and answered: in between it takes effect."""

    def act_for(self, seconds: float) -> None:
        """At first, when the table is there, a run that is certainly felt."""
        until_answered(lambda: self.control.call("GET", f"{API}/list").status_code == 200)
        until = time.monotonic() + seconds
        self._post("/start", {200}, experiment_name="latency_injection", delay_seconds=0.01, duration_seconds=4)
        time.sleep(2 * REFRESH_SECONDS)
        while time.monotonic() < until:
            self.done[self._act()] += 1
            self.resident.append(resident_mb(self.server))
            time.sleep(self.chance.uniform(0, 0.5))
        self._halt("the end")

    def _act(self) -> str:
        """One thing that an operator might do. Gives what it was."""
        name = self.chance.choice(list(EXPERIMENTS))
        kind = self.chance.choices(["start", "restart", "stop", "halt"], [6, 2, 3, 1])[0]
        if kind == "halt":
            self._halt_and_resume(name)
        elif kind == "stop":
            self._post("/stop", {200, 404}, experiment_name=name)
        else:
            self._start(name, restart=kind == "restart")
        return kind

    def _start(self, name: str, *, restart: bool) -> None:
        self._post(
            "/start",
            {200, 409},
            experiment_name=name,
            duration_seconds=round(self.chance.uniform(0.2, 6), 3),
            percentage=self.chance.choice([100, 50.0, 5.5]),
            restart=restart,
            **EXPERIMENTS[name](self.chance),
        )

    def _halt_and_resume(self, name: str) -> None:
        self._halt("a soak")
        self._post("/start", {423}, experiment_name=name)
        time.sleep(self.chance.uniform(0, 2))
        self.halts[-1] = (self.halts[-1][0], time.time())
        self._post("/resume", {200})

    def _halt(self, reason: str) -> None:
        self._post("/halt", {200}, reason=reason)
        self.halts.append((time.time(), math.inf))

    def _post(self, path: str, allowed: set[int], **body: Any) -> None:
        sent = time.time()
        answer = self.control.call("POST", API + path, json=body)
        self.calls.append((sent, time.time()))
        assert answer.status_code in allowed, answer.text

    @property
    def tolerance(self) -> float:
        """For a read of the table that is under way: as long as an operator has had to wait on this busy machine."""
        return TOLERANCE_SECONDS + max(answered - sent for sent, answered in self.calls)

    def life(self, run: Seen) -> tuple[float, float]:
        """From when to when it may be felt: what an operator ended, for a refresh more, from the answer to that on."""
        started, ended = run.life
        if run.is_stopped:
            answered = (
                answered for sent, answered in self.calls if sent <= ended + MILLISECOND <= answered + MILLISECOND
            )
            ended = next(answered, ended) + REFRESH_SECONDS
        return started, ended

    def slowest_halt(self) -> float:
        """For how long after the answer to a halt a request was still sent that was hit."""
        hit = [answer.sent for answer in self.load.answers if answer.runs]
        return max((sent - since for since, until in self.halts for sent in hit if since < sent < until), default=0.0)


@pytest.mark.timeout(24 * 3600)
@pytest.mark.parametrize("name", ALL)
def test_load_is_held(
    name: str,
    table: str,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
    tell: Callable[[str], None],
) -> None:
    seconds = float(pytestconfig.getoption("--seconds"))
    seed = int.from_bytes(os.urandom(4))
    variables = {
        "AWS_ENDPOINT_URL_DYNAMODB": table,
        "CHAOS_TABLE": f"soak-{seed}",
        "CHAOS_REFRESH_SECONDS": str(REFRESH_SECONDS),
        "CHAOS_IDLE_REFRESH_SECONDS": "1",
        "CHAOS_MAX_STALENESS_SECONDS": "3",
    }
    host = ALL[name]
    with serving(CONTROL_PLANE, tmp_path_factory.mktemp("control"), **variables) as control:
        folder = tmp_path_factory.mktemp("soak")
        with serving(host.command, folder, **{**variables, **host.variables}) as server:
            load = Load(int(server.url.rpartition(":")[2]), requests_a_connection=200 if host.keeps_alive else 1)
            soak = Soak(server, control, random.Random(seed), load)  # noqa: S311 - not for secrets
            with load:
                soak.act_for(seconds)
                # So that the last counts are flushed, in Lambda too: hit until a refresh, flushed an interval later.
                time.sleep(3 * REFRESH_SECONDS + TOLERANCE_SECONDS)
            server.terminate()
        runs = runs_of(control)
    assert load.failures == []
    hits = hits_of(load.answers)
    wrong = {run_id: (hits[run_id], run.hit) for run_id, run in runs.items() if hits[run_id] != run.hit}
    touched = sum(bool(answer.runs) for answer in load.answers)
    quarter = max(1, len(soak.resident) // 4)
    early, late = (statistics.median(part) for part in (soak.resident[quarter : 2 * quarter], soak.resident[-quarter:]))
    tell(
        f"{seconds:.0f} s, {len(load.answers)} requests ({len(load.answers) / seconds:.0f} a second), {touched} "
        f"touched by {len(runs)} runs, {dict(soak.done)}; {len(soak.halts)} halts, the slowest obeyed after "
        f"{soak.slowest_halt():.2f} s (operators waited {soak.tolerance - TOLERANCE_SECONDS:.2f} s at most); "
        f"{len(wrong)} runs counted differently; {early:.0f} MB resident, then {late:.0f} "
        f"(seed {seed})"
    )
    check(load.answers, {run_id: soak.life(run) for run_id, run in runs.items()}, seed, soak.tolerance)
    assert wrong == {}, f"of each run, what clients saw and what was counted, seed {seed}"
    assert touched
    assert soak.slowest_halt() <= REFRESH_SECONDS + soak.tolerance
    if seconds >= 60:
        assert late <= early * GROWTH


def hits_of(answers: list[Answer]) -> Counter[str]:
    """How many requests each run hit."""
    return Counter(run for answer in answers for run in filter(None, answer.runs.split(", ")))


def check(
    answers: list[Answer],
    allowed: Mapping[str, tuple[float, float]],
    seed: int,
    tolerance: float = TOLERANCE_SECONDS,
) -> None:
    """No answer is hit without its run, or outside of its life, and there is no 5xx that was not injected."""
    for answer in answers:
        assert answer.status in (201, 500), f"{answer}, seed {seed}"
        assert (answer.status == 500) <= ("error_injection" in answer.touched), f"{answer}, seed {seed}"
        for run in filter(None, answer.runs.split(", ")):
            since, until = allowed[run]
            assert answer.received >= since, f"{answer} before {since}, seed {seed}"
            assert answer.sent <= until + tolerance, f"{answer} after {until}, seed {seed}"


def test_what_is_outside_of_a_runs_life_would_be_noticed() -> None:
    allowed = {"run-1": (100.0, 110.0)}
    right = [Answer(105, 105, 500, "error_injection", "run-1"), Answer(120, 120, 201, "", "")]
    check(right, allowed, 0)
    assert hits_of(right) == {"run-1": 1}
    for wrong in (
        Answer(111, 111, 201, "latency_injection", "run-1"),
        Answer(98, 99, 201, "latency_injection", "run-1"),
        Answer(105, 105, 500, "", ""),
        Answer(105, 105, 502, "error_injection", "run-1"),
    ):
        with pytest.raises(AssertionError):
            check([wrong], allowed, 0)
