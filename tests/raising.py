"""An application in each framework, with error handlers of its own. Its route /raises really raises."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

import chalice
import chalice.test
import fastapi
import flask
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware

from chalicelib.bootstrap import bootstrap
from chalicelib.frameworks import chalice as in_chalice
from chalicelib.frameworks import fastapi as in_fastapi
from chalicelib.frameworks import flask as in_flask
from chalicelib.settings import Settings
from tests.support import NOW, FakeBudgetStore, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

ORDERS, RAISES = "/orders", "/raises"
MESSAGE = "Out of stock"

Handles = Literal["its class", "any exception", "nothing"]
"""For what the application has a handler."""


class OutOfStock(Exception):
    """The application's own."""


class OutOfMiddleware(chalice.ChaliceUnhandledError):
    """What Chalice leaves to the application's middleware."""


class Answered(NamedTuple):
    status: int
    body: str
    headers: Mapping[str, str]
    """Their names are in lower case."""


@dataclass
class Application:
    """`noticed` is what its own hooks have seen, one after the other."""

    handles: Handles = "nothing"
    exception: Callable[[], Exception] = lambda: OutOfStock(MESSAGE)
    """What the route /raises raises."""
    noticed: list[tuple[str, Any]] = field(default_factory=list)
    runs: FakeRunStore = field(default_factory=FakeRunStore)
    results: FakeResultStore = field(default_factory=FakeResultStore)
    budgets: FakeBudgetStore = field(default_factory=FakeBudgetStore)
    scheduled: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    exited: list[int] = field(default_factory=list)
    """With which exit codes the process would have ended: it goes on."""
    ask: Callable[[str], Answered] = field(init=False)
    app: Any = None
    wired: Any = None
    sleep: Callable[[float], None] = lambda _seconds: None

    def wire(self, **options: Any) -> Any:
        self.wired = bootstrap(
            Settings(stage="qa"),
            runs=self.runs,
            results=self.results,
            tokens=FakeTokenStore(),
            clock=lambda: NOW,
            chance=lambda: 0.0,
            budgets=self.budgets,
            schedule=lambda seconds, call: self.scheduled.append((seconds, call)),
            exit_process=self.exited.append,
            sleep=self.sleep,
            **options,
        )
        return self.wired

    def start(self, experiment: str, **parameters: Any) -> str:
        """Start a run that hits the route /orders alone, and no other one. Its id."""
        run = a_run(experiment, options={"target": {"paths": [ORDERS]}}, **parameters)
        self.runs.runs = {run.label: run}
        if self.wired:
            self.wired.engine.snapshot.invalidate()
        return run.run_id

    @property
    def run(self) -> Any:
        """The one that was started last."""
        return next(iter(self.runs.runs.values()))

    def notice(self, what: str, seen: Any) -> None:
        self.noticed.append((what, f"{type(seen).__name__}: {seen}" if isinstance(seen, BaseException) else seen))

    def orders(self) -> dict[str, list[str]]:
        return {"orders": []}

    def raises(self) -> dict[str, list[str]]:
        raise self.exception()

    def asked_twice(self) -> tuple[tuple[int, str], list[Any], tuple[int, str], list[Any]]:
        """What /orders and /raises answer, and what was noticed of each."""
        found: list[Any] = []
        for path in (ORDERS, RAISES):
            self.noticed.clear()
            answered = self.ask(path)
            found += [(answered.status, answered.body), list(self.noticed)]
        return found[0], found[1], found[2], found[3]


def flask_(application: Application, *, testing: bool = False) -> None:
    app = application.app = flask.Flask("shop")
    app.testing = testing
    in_flask.ChaosExperiments(app, wire=application.wire)
    app.add_url_rule(ORDERS, view_func=application.orders)
    app.add_url_rule(RAISES, view_func=application.raises)
    app.teardown_request(partial(application.notice, "teardown"))
    seen_by_signal = lambda _app, exception, **_more: application.notice("signal", exception)  # noqa: E731
    flask.got_request_exception.connect(seen_by_signal, app, weak=False)
    if application.handles == "its class":
        app.register_error_handler(OutOfStock, lambda error: (f"sold: {error}", 409))
    if application.handles == "any exception":
        app.register_error_handler(Exception, lambda error: (f"broken: {error}", 503))

    def ask(path: str) -> Answered:
        with app.test_client().get(path) as response:  # closed, as servers do
            return Answered(response.status_code, response.text, _lowered(response.headers))

    application.ask = ask


def fastapi_(application: Application) -> None:
    app = application.app = fastapi.FastAPI()
    in_fastapi.ChaosExperiments(app, wire=application.wire)
    app.add_api_route(ORDERS, application.orders)
    app.add_api_route(RAISES, application.raises)

    async def middleware(request: Any, call_next: Any) -> Any:
        try:
            response = await call_next(request)
        except Exception as error:
            application.notice("middleware", error)
            raise
        application.notice("middleware", response.status_code)
        return response

    app.add_middleware(BaseHTTPMiddleware, dispatch=middleware)
    if application.handles == "its class":
        app.add_exception_handler(OutOfStock, lambda _request, error: fastapi.Response(f"sold: {error}", 409))
    if application.handles == "any exception":
        app.add_exception_handler(Exception, lambda _request, error: fastapi.Response(f"broken: {error}", 503))

    def ask(path: str) -> Answered:
        response = TestClient(app, raise_server_exceptions=False).get(path)
        return Answered(response.status_code, response.text, _lowered(response.headers))

    application.ask = ask


def chalice_(application: Application) -> None:
    app = application.app = chalice.Chalice("shop", configure_logs=False)
    in_chalice.ChaosExperiments(app, wire=application.wire)
    app.route(ORDERS)(application.orders)
    app.route(RAISES)(application.raises)

    @app.middleware("http")
    def middleware(event: Any, get_response: Any) -> Any:
        try:
            response = get_response(event)
        except Exception as error:
            application.notice("middleware", error)
            if application.handles == "nothing":
                raise
            return chalice.Response(f"sold: {error}", {"Content-Type": "text/plain"}, 409)
        application.notice("middleware", response.status_code)
        return response

    def ask(path: str) -> Answered:
        with chalice.test.Client(app) as client:
            response = client.http.get(path)
        return Answered(response.status_code, response.body.decode(), _lowered(response.headers))

    application.ask = ask


def _lowered(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


MAKERS: dict[str, Callable[[Application], None]] = {"flask": flask_, "fastapi": fastapi_, "chalice": chalice_}
