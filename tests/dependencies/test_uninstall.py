"""A hundred starts and stops under load, with agents that patch the same: no call is lost, nothing stays patched."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Any

import pytest

from chalicelib.bootstrap import bootstrap
from chalicelib.outgoing.installation import INSTALLATION, Patch
from chalicelib.settings import Settings
from tests.support import FakeBudgetStore, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

httpx = pytest.importorskip("httpx")
requests = pytest.importorskip("requests")
wrapt = pytest.importorskip("wrapt")
pytest.importorskip("opentelemetry.instrumentation.urllib3")
pytest.importorskip("httpcore")  # httpx imports it late

CYCLES = 100
CLIENTS = 3
CALLS_EACH = 2
"""So many calls at least are answered in each half of a cycle."""

EVENT: dict[str, Any] = {
    "requestContext": {"httpMethod": "GET", "resourcePath": "/", "path": "/", "identity": {"sourceIp": "127.0.0.1"}},
    "headers": {},
    "pathParameters": {},
    "multiValueQueryStringParameters": None,
    "stageVariables": {},
    "body": None,
}


class Payments(BaseHTTPRequestHandler):
    """The dependency. It counts what it is asked."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    answered = 0
    _counting = threading.Lock()

    def do_GET(self) -> None:
        with self._counting:
            Payments.answered += 1
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def payments() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Payments)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


# The application, in each framework. A request asks the dependency; its answer has what that said.


class Load:
    """Clients that ask the application all the time. It is an error where one is not answered as it should be."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.answers: list[str] = []
        self.is_over = threading.Event()

    def note(self, answer: str) -> None:
        (self.answers if answer == "ok" else self.wrong).append(answer)

    def go_on(self) -> None:
        """Until some more calls have been answered."""
        until, enough = time.monotonic() + 30, len(self.answers) + CALLS_EACH
        while len(self.answers) < enough:
            assert time.monotonic() < until
            assert not self.wrong, self.wrong[:3]
            time.sleep(0.001)


class Clients:
    """Of one thread."""

    def __init__(self, address: str) -> None:
        self._address = f"http://{address}/"
        self._session = requests.Session()
        self._session.trust_env = False
        self._client = httpx.Client(trust_env=False)
        self._turn = 0

    def ask(self) -> str:
        self._turn += 1
        client = self._session if self._turn % 2 else self._client
        return str(client.get(self._address, timeout=20).text)

    def close(self) -> None:
        self._session.close()
        self._client.close()


MINE = threading.local()


@contextmanager
def on_threads(load: Load, address: str, serve: Callable[[], str]) -> Iterator[None]:
    """`serve`: one request to the application, which asks with the clients of its thread."""

    def ask() -> None:
        MINE.clients = Clients(address)
        while not load.is_over.is_set():
            try:
                load.note(serve())
            except Exception as error:  # noqa: BLE001 - a lost call
                load.note(repr(error))
        MINE.clients.close()

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        load.is_over.set()
        for thread in threads:
            thread.join()


@contextmanager
def flask(load: Load, address: str, wire: Callable[..., Any]) -> Iterator[None]:
    from flask import Flask  # noqa: PLC0415 - one framework at a time

    from chalicelib.frameworks.flask import ChaosExperiments  # noqa: PLC0415

    app = Flask("shop")
    app.add_url_rule("/", view_func=lambda: MINE.clients.ask())  # noqa: PLW0108 - of the thread that serves
    ChaosExperiments(app, wire=wire)
    with on_threads(load, address, lambda: app.test_client().get("/").text):
        yield


@contextmanager
def chalice(load: Load, address: str, wire: Callable[..., Any]) -> Iterator[None]:
    from chalice import Chalice  # noqa: PLC0415

    from chalicelib.frameworks.chalice import ChaosExperiments  # noqa: PLC0415

    app = Chalice("shop", configure_logs=False)
    app.route("/")(lambda: {"answer": MINE.clients.ask()})
    ChaosExperiments(app, wire=wire)
    one_at_a_time = threading.Lock()  # as in Lambda

    def serve() -> str:
        with one_at_a_time:
            answer = app(EVENT, None)
        return str(json.loads(answer["body"]).get("answer", answer))

    with on_threads(load, address, serve):
        yield


@contextmanager
def fastapi(load: Load, address: str, wire: Callable[..., Any]) -> Iterator[None]:
    from fastapi import FastAPI  # noqa: PLC0415

    from chalicelib.frameworks.fastapi import ChaosExperiments  # noqa: PLC0415

    app = FastAPI()
    clients: list[Any] = []

    @app.get("/")
    async def order() -> str:
        answer = await clients[0].get(f"http://{address}/", timeout=20)
        return str(answer.text)

    ChaosExperiments(app, wire=wire)

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            while not load.is_over.is_set():
                try:
                    load.note((await client.get("/")).json())
                except Exception as error:  # noqa: BLE001 - a lost call
                    load.note(repr(error))

    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            clients.append(client)
            await asyncio.gather(*(ask() for _ in range(CLIENTS)))

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        yield
    finally:
        load.is_over.set()
        thread.join()


# Agents


def hook_points() -> list[Patch]:
    """Of the libraries that this process has imported."""
    files = [file for module, file in INSTALLATION._libraries.items() if module in sys.modules]
    return [patch for file in files for patch in import_module(f"chalicelib.outgoing.{file}").patches()]


@contextmanager
def opentelemetry() -> Iterator[None]:
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor  # noqa: PLC0415
    from opentelemetry.instrumentation.requests import RequestsInstrumentor  # noqa: PLC0415
    from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor  # noqa: PLC0415

    instrumentors: list[Any] = [RequestsInstrumentor(), URLLib3Instrumentor(), HTTPXClientInstrumentor()]
    for each in instrumentors:
        each.instrument()
    yield
    for each in instrumentors:
        each.uninstrument()


@contextmanager
def wrapping() -> Iterator[None]:
    """Wraps our own hook points and unwraps them, as OpenTelemetry's do theirs."""
    from opentelemetry.instrumentation.utils import unwrap  # noqa: PLC0415

    def wrapper(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        return wrapped(*args, **kwargs)

    points = [(each.owner, each.name) for each in hook_points()]
    inherited = [(owner, name) for owner, name in points if name not in vars(owner)]
    for owner, name in points:
        wrapt.wrap_function_wrapper(owner, name, wrapper)
    yield
    for owner, name in points:
        unwrap(owner, name)
    for owner, name in inherited:
        delattr(owner, name)


@contextmanager
def setting() -> Iterator[None]:
    """Sets our own hook points, and says nothing about what it has replaced."""
    with ExitStack() as undo:
        for patch in hook_points():
            undo.callback(_set(patch.owner, patch.name))
        yield


def _set(owner: Any, name: str) -> Callable[[], None]:
    inner, is_own = getattr(owner, name), name in vars(owner)
    setattr(owner, name, lambda *args, **kwargs: inner(*args, **kwargs))  # noqa: PLW0108 - another one than ours
    return lambda: setattr(owner, name, inner) if is_own else delattr(owner, name)


AGENTS = {"wrapt": wrapping, "setattr": setting}


@contextmanager
def agents(name: str | None) -> Iterator[None]:
    with ExitStack() as installed:
        if name:
            installed.enter_context(opentelemetry())
            installed.enter_context(AGENTS[name]())
        yield


# The cycles


class Cycles:
    """Starts and stops of a run, under load."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._runs = FakeRunStore()
        self._engines: list[Any] = []
        self.load = Load()

    def wire(self, **given: Any) -> Any:
        given.update(runs=self._runs, results=FakeResultStore(), tokens=FakeTokenStore(), budgets=FakeBudgetStore())
        made = bootstrap(Settings(stage="qa"), schedule=lambda _seconds, _call: None, **given)
        self._engines.append(made.engine)
        return made

    def start(self) -> None:
        self.load.go_on()
        parameters = {"dependency": self._address, "fault": "latency", "delay_seconds": 0.001}
        self._runs.runs["x"] = a_run("dependency_failure", now=time.time(), duration_seconds=600.0, **parameters)
        self.read()
        assert INSTALLATION.gates

    def stop(self) -> None:
        self.load.go_on()
        self._runs.runs.clear()
        self.read()
        assert not INSTALLATION.gates

    def read(self) -> None:
        for engine in self._engines:
            engine.snapshot.get_fresh()


def attributes() -> dict[Any, list[tuple[str, Any]]]:
    """Of all that is patched, in their order."""
    return {patch.owner: list(vars(patch.owner).items()) for patch in hook_points()}


@pytest.mark.parametrize("framework", [flask, chalice, fastapi])
@pytest.mark.parametrize(
    ("agent", "when"),
    [(None, "never"), *((agent, when) for agent in AGENTS for when in ("before", "after", "meanwhile"))],
)
def test_no_call_is_lost_and_nothing_stays_patched(
    payments: str, framework: Callable[..., Any], agent: str | None, when: str
) -> None:
    before, asked = attributes(), Payments.answered
    cycles = Cycles(payments)
    load = cycles.load
    with framework(load, payments, cycles.wire), ExitStack() as from_the_first_run_on:
        with agents(agent if when == "before" else None):
            for number in range(CYCLES):
                cycles.start()
                if when == "after" and number == 0:
                    from_the_first_run_on.enter_context(agents(agent))
                with agents(agent if when == "meanwhile" else None):
                    load.go_on()
                cycles.stop()
        from_the_first_run_on.close()
        cycles.read()
        load.go_on()
    assert (load.wrong, Payments.answered - asked) == ([], len(load.answers))
    assert attributes() == before
    assert not INSTALLATION.has_leftovers
