"""Seeded defects of retries and time-outs are found, where they are; what is sound is left alone."""
# ruff: noqa: PLC0415 - an environment may lack a library

import asyncio
import inspect
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from chalicelib.injection import outgoing
from chalicelib.injection.current import CURRENT
from chalicelib.injection.drivers import SyncInjection
from chalicelib.results.audit import findings
from tests.dependencies import defects
from tests.dependencies.harness import Dependencies, failing
from tests.injection.support import FakeCall
from tests.support import Clock

LAMBDA_SECONDS = 30.0
REQUESTS = 22

pytest.importorskip("requests")


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # or headers and body are sent one by one, which takes 40 ms

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET  # noqa: N815 - as `http.server` calls it

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are nothing to speak of."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A dependency that is well."""
    with Server(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class Invocation:
    """A Lambda invocation with half a minute left."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends = clock.now + LAMBDA_SECONDS

    def get_remaining_time_in_millis(self) -> float:
        return max(self._ends - self._clock.now, 0.0) * 1000


@dataclass
class Watched:
    """An application whose requests are served while its calls fail, in the test's own time."""

    chaos: Dependencies
    in_lambda: bool = False
    errors: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        engine = self.chaos.chaos.engine
        engine.process = replace(engine.process, timer=self.chaos.clock)
        engine.snapshot._max_staleness_seconds = 3600.0  # while a thread reads, the test's time may go on for seconds

    def request(self, serve: Callable[[], Any]) -> None:
        engine, clock = self.chaos.chaos.engine, self.chaos.clock
        clock.now += 1.0
        self.chaos.refresh()
        context = Invocation(clock) if self.in_lambda else None
        with self.chaos.request(FakeCall("/orders", context)) as result:
            try:
                made = serve()
                if inspect.iscoroutine(made):
                    asyncio.run(made)
            except Exception as error:  # noqa: BLE001 - the application answers with an error
                self.errors.append(error)
            result.is_answered = True
            SyncInjection(engine).finish(result, 502 if self.errors else 200)

    @property
    def found(self) -> list[tuple[str, str]]:
        self.chaos.chaos.engine.recorder.flush()
        counts: dict[str, int] = {}
        for tally in self.chaos.results.tallies.values():
            counts.update(tally.counts)
        return [(each.finding, each.place) for each in findings(counts)]


@pytest.fixture
def own_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[Clock], None]:
    """Pauses of the clients are the test's: they take no time."""
    sleep, on_loop, testing = time.sleep, asyncio.sleep, threading.get_ident()

    def use(clock: Clock) -> None:
        def paused(seconds: float) -> None:
            clock.sleep(seconds) if threading.get_ident() == testing else sleep(seconds)

        async def paused_on_loop(seconds: float, result: Any = None) -> Any:
            clock.sleep(seconds)
            return await on_loop(0, result)

        monkeypatch.setattr(time, "sleep", paused)
        monkeypatch.setattr(asyncio, "sleep", paused_on_loop)

    return use


class Seeded(NamedTuple):
    finding: str
    defect: Callable[[str], Any]
    mended: Callable[[str], Any]
    fault: str
    more: dict[str, Any]

    @property
    def in_lambda(self) -> bool:
        return self.finding == "waits_too_long"

    @property
    def client(self) -> str:
        return self.defect.__name__.partition("_")[0]


TOO_MANY: dict[str, Any] = {"status_code": 429, "headers": {"Retry-After": "2"}}
SEEDED = [
    Seeded("no_timeout", defects.requests_without_timeout, defects.requests_with_timeout, "error", {}),
    Seeded("no_backoff", defects.requests_without_backoff, defects.requests_with_backoff, "error", {}),
    Seeded(
        "retry_after_ignored",
        defects.requests_ignoring_retry_after, defects.requests_heeding_retry_after, "error", TOO_MANY,
    ),
    Seeded("write_repeated", defects.requests_charging_twice, defects.requests_charging_once, "lost_reply", {}),
    Seeded("no_timeout", defects.httpx_without_timeout, defects.httpx_with_timeout, "error", {}),
    Seeded("no_jitter", defects.httpx_without_jitter, defects.httpx_with_jitter, "refused", {}),
    Seeded("retry_amplification", defects.httpx_amplifying, defects.httpx_not_amplifying, "reset", {}),
    Seeded("no_backoff", defects.aiohttp_without_backoff, defects.aiohttp_with_backoff, "error", {}),
    Seeded("waits_too_long", defects.aiohttp_waiting_too_long, defects.aiohttp_waiting_in_time, "error", {}),
    Seeded("waits_too_long", defects.boto3_waiting_too_long, defects.boto3_waiting_in_time, "error", {}),
    Seeded("write_repeated", defects.boto3_counting_twice, defects.boto3_counting_once, "lost_reply", {}),
    Seeded("retry_amplification", defects.boto3_amplifying, defects.boto3_not_amplifying, "error", {}),
]  # fmt: skip
PATCHED_BY = {"requests": "urllib3", "httpx": "httpcore", "aiohttp": "aiohttp", "boto3": "botocore"}
IMPORTED = {
    "requests": "urllib3.connectionpool",
    "httpx": "httpcore",
    "aiohttp": "aiohttp",
    "boto3": "botocore.endpoint",
}


def named(seeded: Seeded) -> str:
    return f"{seeded.defect.__name__}-{seeded.finding}"


def line_of(function: Callable[[str], Any]) -> str:
    """Where the function makes its call, or the one does that it calls."""
    for each in (function, *(vars(defects)[name] for name in function.__code__.co_names if name in vars(defects))):
        lines, first = inspect.getsourcelines(each)
        for number, line in enumerate(lines):
            if defects.MARK in line:
                return f"tests/dependencies/defects.py:{first + number}"
    raise AssertionError(f"{function.__name__} has no line that is marked.")


def needs(client: str) -> None:
    pytest.importorskip(client)
    pytest.importorskip(IMPORTED[client])
    pytest.importorskip(f"chalicelib.outgoing.{PATCHED_BY[client]}")


def found_in(
    call: Callable[[str], Any], url: str, case: "Seeded | Sound", own_time: Callable[[Clock], None]
) -> list[Any]:
    dependency = "dynamodb" if case.client == "boto3" else url.removeprefix("http://")
    random.seed(16)
    defects.table.cache_clear()  # a client of AWS has so many retries for all of its calls
    with failing(dependency, case.fault, duration_seconds=3600.0, **case.more) as chaos:
        own_time(chaos.clock)
        watched = Watched(chaos, in_lambda=case.in_lambda)
        for _ in range(REQUESTS):
            watched.request(lambda: call(url))
        found = watched.found
        assert sum(tally.get("matched") for tally in chaos.results.tallies.values()) >= REQUESTS
        return found


def test_the_seeded_defects_are_twelve_over_four_clients() -> None:
    assert len(SEEDED) == 12
    assert {each.client for each in SEEDED} == {"requests", "httpx", "aiohttp", "boto3"}
    assert len({each.finding for each in SEEDED}) == 7


@pytest.mark.parametrize("seeded", SEEDED, ids=named)
def test_a_seeded_defect_is_found_where_it_is_and_nothing_in_its_mended_twin(
    seeded: Seeded, url: str, own_time: Callable[[Clock], None]
) -> None:
    needs(seeded.client)
    assert found_in(seeded.defect, url, seeded, own_time) == [(seeded.finding, line_of(seeded.defect))]
    assert found_in(seeded.mended, url, seeded, own_time) == []


def test_a_request_that_retries_without_end_is_found_and_is_not_remembered_without_end(
    monkeypatch: pytest.MonkeyPatch, own_time: Callable[[Clock], None]
) -> None:
    import requests

    monkeypatch.setattr(outgoing, "MOST_PASSAGES", 10)
    with failing("127.0.0.1:9", "refused", duration_seconds=600.0) as chaos:
        own_time(chaos.clock)
        watched = Watched(chaos)
        kept = []

        def serve() -> None:
            for _ in range(50):
                with suppress(requests.ConnectionError):
                    requests.get("http://127.0.0.1:9/", timeout=3)
                time.sleep(defects.jitter(0))
            kept.append(len(CURRENT.get()[1].passages))  # type: ignore[index]

        watched.request(serve)
        assert kept == [10]
        assert [finding for finding, _ in watched.found] == ["retry_amplification"]
        (tally,) = chaos.results.tallies.values()
        assert tally.get("d|urllib3|127.0.0.1:9|calls") == tally.get("matched") == 50


# What is sound


def urllib3_retrying(url: str) -> None:
    defects.requests_session().get(f"{url}/stock", timeout=(3, 10))


def botocore_standard(url: str) -> None:
    defects.table(url, connect_timeout=1, read_timeout=3).get_item(TableName="orders", Key=defects.KEY)


def exponential_with_jitter(url: str) -> None:
    import requests

    for attempt in range(5):
        try:
            requests.get(f"{url}/stock", timeout=(1, 2)).raise_for_status()
        except requests.RequestException:
            time.sleep(defects.jitter(attempt))
        else:
            return


def httpx_retrying(url: str) -> None:
    defects.httpx_with_jitter(url)


async def aiohttp_retrying(url: str) -> None:
    """aiohttp itself makes a call once more whose connection breaks, at once."""
    await defects.aiohttp_retrying(url, defects.jitter, attempts=3)


async def side_by_side(url: str) -> None:
    """Each is made once more after a pause; none is a retry of its neighbour."""
    import httpx

    async with httpx.AsyncClient(timeout=5, verify=defects.tls()) as client:

        async def get() -> None:
            for attempt in range(2):
                try:
                    (await client.get(f"{url}/stock")).raise_for_status()
                except httpx.HTTPError:
                    await asyncio.sleep(defects.jitter(attempt))
                else:
                    return

        await asyncio.gather(*(get() for _ in range(4)), return_exceptions=True)


# Each item is written once, by the same line: the next one is no retry of the one before.


def requests_of_items(url: str) -> None:
    import requests

    for number in range(9):
        with suppress(requests.RequestException):
            requests.post(f"{url}/orders", json={"id": number}, timeout=(1, 2))


def boto3_of_items(url: str) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    client = defects.table(url, retries=1, connect_timeout=1, read_timeout=1)
    for number in range(9):
        with suppress(BotoCoreError, ClientError):
            client.update_item(TableName="orders", Key={"id": {"S": str(number)}})


def httpx_of_items(url: str) -> None:
    import httpx

    with httpx.Client(timeout=2, verify=defects.tls()) as client:
        for number in range(9):
            with suppress(httpx.HTTPError):
                client.post(f"{url}/orders", json={"id": number})


async def aiohttp_of_items(url: str) -> None:
    import aiohttp

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        for number in range(9):
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.post(f"{url}/orders", json={"id": number}):
                    pass


SOUND = {
    "requests": [urllib3_retrying, exponential_with_jitter, requests_of_items],
    "boto3": [botocore_standard, boto3_of_items],
    "httpx": [httpx_retrying, side_by_side, httpx_of_items],
    "aiohttp": [aiohttp_retrying, aiohttp_of_items],
}


ASKED_TO_WAIT: dict[Callable[[str], Any], tuple[str, dict[str, Any]]] = {
    urllib3_retrying: ("error", TOO_MANY),
    botocore_standard: ("throttle", {}),
}
"""What those meet besides that wait for as long as an answer asks, and a client that does not know it."""


class Sound(NamedTuple):
    client: str
    call: Callable[[str], Any]
    fault: str
    more: dict[str, Any]

    @property
    def in_lambda(self) -> bool:
        return self.client == "boto3"


def cases() -> Iterator[Any]:
    for client, calls in SOUND.items():
        for call in calls:
            for fault in ("error", "timeout", "reset", "lost_reply"):
                yield pytest.param(Sound(client, call, fault, {}), id=f"{call.__name__}-{fault}")
            if call in ASKED_TO_WAIT:
                yield pytest.param(Sound(client, call, *ASKED_TO_WAIT[call]), id=f"{call.__name__}-asked")


@pytest.mark.parametrize("sound", list(cases()))
def test_nothing_is_found_in_sound_clients(sound: Sound, url: str, own_time: Callable[[Clock], None]) -> None:
    needs(sound.client)
    assert found_in(sound.call, url, sound, own_time) == []
