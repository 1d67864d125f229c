"""The table is unwell in every way; the application, in each framework, must not notice, and nothing may be a lie.

Real servers with the time-outs that a deployment has, all on one table behind one proxy. Where nothing runs they look
once a second, so that this does not take minutes: that is also the longest back-off step here.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import pytest
import requests

from tests.contract.servers import SERVERS, Server, serving
from tests.fault_proxy import FAULTS, FaultProxy
from tests.stalls import Stalls

pytestmark = pytest.mark.timeout(300)

API = "/chaos_experiments"
LATENCY = {"experiment_name": "latency_injection", "delay_seconds": 0.02, "duration_seconds": 600}
STOP = {"experiment_name": "latency_injection"}
INTERVAL_SECONDS = 1.0
STALENESS_SECONDS = 3.0
EXTRA_SECONDS = 0.6
NOISE_SECONDS = 0.4
"""What a busy machine may add to a time."""

SLOW_SECONDS = 0.2
PROCESSES = {"chalice local": 1, "flask, gunicorn": 2, "fastapi, uvicorn": 2}


@pytest.fixture(scope="module")
def fleet(proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    variables = {
        "AWS_ENDPOINT_URL_DYNAMODB": proxy.url,
        "CHAOS_TABLE": f"survival-{uuid.uuid4().hex[:8]}",
        "CHAOS_TABLE_TIMEOUT_SECONDS": "0.25",
        "CHAOS_REFRESH_SECONDS": str(INTERVAL_SECONDS),
        "CHAOS_IDLE_REFRESH_SECONDS": str(INTERVAL_SECONDS),
        "CHAOS_MAX_STALENESS_SECONDS": str(STALENESS_SECONDS),
    }
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(serving(command, tmp_path_factory.mktemp("server"), **variables))
            for name, command in SERVERS.items()
        }


@dataclass(frozen=True)
class Seen:
    """One answer to a user. `sent` is on the monotonic clock, `seconds` what it took besides an injected delay."""

    sent: float
    seconds: float
    status: int
    felt: bool


class Users:
    """While entered, they ask each server, two at a time."""

    def __init__(self, fleet: dict[str, Server]) -> None:
        self._fleet = fleet
        self._going = threading.Event()
        self._seen: dict[str, list[Seen]] = {name: [] for name in fleet}
        self._stalls = Stalls(time.monotonic)

    @contextmanager
    def asking(self) -> Iterator["Users"]:
        self._going.set()
        with self._stalls, ThreadPoolExecutor(2 * len(self._fleet)) as pool:
            asking = [pool.submit(self._ask, name) for name in self._fleet for _ in range(2)]
            try:
                yield self
            finally:
                self._going.clear()
            for each in asking:
                each.result()

    def _ask(self, name: str) -> None:
        with requests.Session() as session:
            while self._going.is_set():
                sent = time.monotonic()
                answer = session.get(f"{self._fleet[name].url}/orders/7", timeout=60)
                felt = "X-Chaos-Run" in answer.headers
                took = time.monotonic() - sent - (0.02 if felt else 0.0)
                self._seen[name].append(Seen(sent, took, answer.status_code, felt))
                time.sleep(0.01)

    def since(self, moment: float) -> dict[str, list[Seen]]:
        return {
            name: [self._without_stalls(each) for each in list(seen) if each.sent >= moment]
            for name, seen in self._seen.items()
        }

    def _without_stalls(self, seen: Seen) -> Seen:
        return replace(seen, seconds=seen.seconds - self._stalls.between(seen.sent, seen.sent + seen.seconds))

    def wait_until(self, holds: Callable[[Seen], bool], *, since: float, seconds: float) -> float:
        """How long until all answers of all servers are so, from then on for half a second."""
        while True:
            now = time.monotonic()
            deadline = since + seconds + self._stalls.between(since, now)
            lately = [each for seen in self.since(now - 0.5).values() for each in seen]
            if now - since > 0.5 and lately and all(holds(each) for each in lately):
                wrong = [each.sent - since for seen in self.since(since).values() for each in seen if not holds(each)]
                return max([0.0, *wrong])
            assert now < deadline + 0.5, f"not within {seconds} s"
            time.sleep(0.02)


def check_that_nobody_noticed(users: Users, since: float, fault: str) -> float:
    """The longest extra time of a request since then."""
    lasted = time.monotonic() - since
    longest = 0.0
    for name, seen in users.since(since).items():
        assert {each.status for each in seen} == {201}, name
        slow = [each for each in seen if each.seconds > SLOW_SECONDS]
        steps = PROCESSES[name] * (lasted / INTERVAL_SECONDS + 1)
        assert len(slow) <= steps, f"{fault}: {len(slow)} slow requests of {name} in {lasted:.1f} s"
        longest = max(longest, *(each.seconds for each in seen))
    assert longest <= EXTRA_SECONDS + NOISE_SECONDS
    return longest


def change(server: Server, path: str, body: dict[str, object]) -> tuple[int, str]:
    answer = server.call("POST", API + path, json=body)
    return answer.status_code, answer.json().get("error_message") or ""


def running(server: Server) -> bool:
    return bool(server.call("GET", f"{API}/list").json()["resultset"]["active_experiments"])


def check_that_it_was_the_truth(told: tuple[int, str], was: bool, wanted: bool, is_now: bool) -> None:  # noqa: FBT001
    status, message = told
    if status == 200:
        assert is_now == wanted
    else:
        assert status == 503, message
        if "nothing was changed" in message:
            assert is_now == was
        else:
            assert "may have been made" in message or "look before" in message, message


@pytest.mark.parametrize("fault", FAULTS)
def test_nobody_notices_and_nothing_is_a_lie(
    fleet: dict[str, Server], proxy: FaultProxy, fault: str, tell: Callable[[str], None]
) -> None:
    control = fleet["flask, gunicorn"]
    change(control, "/stop", STOP)
    with Users(fleet).asking() as users:
        users.wait_until(lambda each: not each.felt, since=time.monotonic(), seconds=5)

        # while idle, and a start meanwhile
        began = time.monotonic()
        proxy.fail(fault)
        time.sleep(1.2)
        told_start = change(control, "/start", LATENCY)
        time.sleep(0.8)
        idle = check_that_nobody_noticed(users, began, fault)
        proxy.heal()
        time.sleep(0.2)
        is_running = running(control)
        check_that_it_was_the_truth(told_start, was=False, wanted=True, is_now=is_running)
        if not is_running:
            assert change(control, "/start", LATENCY)[0] == 200
        users.wait_until(lambda each: each.felt, since=time.monotonic(), seconds=2 * INTERVAL_SECONDS + 2)

        # while a run is active, and a stop meanwhile
        began = time.monotonic()
        proxy.fail(fault)
        ended = users.wait_until(
            lambda each: not each.felt, since=began, seconds=STALENESS_SECONDS + INTERVAL_SECONDS + NOISE_SECONDS
        )
        told_stop = change(control, "/stop", STOP)
        active = check_that_nobody_noticed(users, began, fault)
        proxy.heal()
        healed = time.monotonic()
        time.sleep(0.2)
        is_running = running(control)
        check_that_it_was_the_truth(told_stop, was=True, wanted=False, is_now=is_running)
        agreed = users.wait_until(lambda each: each.felt == is_running, since=healed, seconds=2 * INTERVAL_SECONDS + 2)
    change(control, "/stop", STOP)
    tell(
        f"{fault:14} | longest extra time {max(idle, active):.2f} s | injection ended after {ended:.1f} s | "
        f"start {told_start[0]}, stop {told_stop[0]} | agreed again after {agreed:.1f} s"
    )
