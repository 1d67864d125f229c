"""What becomes of a call, in each framework, and in bare WSGI and ASGI: an answer, an exception, or nothing."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import fastapi
import flask
import httpx2
import pytest
from chalice import Chalice
from chalice.test import Client
from fastapi.testclient import TestClient

from chalicelib.bootstrap import bootstrap
from chalicelib.experiments.base import Experiment, Parameters
from chalicelib.experiments.catalogue import BUILT_IN, Catalogue
from chalicelib.faults.base import Applied, Fault, HitCall, Raise
from chalicelib.frameworks import chalice as in_chalice
from chalicelib.frameworks import fastapi as in_fastapi
from chalicelib.frameworks import flask as in_flask
from chalicelib.frameworks.asgi import ASGIBoundary
from chalicelib.frameworks.module import ChaosModule
from chalicelib.frameworks.wsgi import WSGIBoundary
from chalicelib.settings import Settings
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run


class Explosion(Exception):
    """Raised in the route's place."""


class Explode(Fault):
    kind = "explode"
    order = 2

    def apply(self, call: HitCall) -> Any:
        del call
        yield from ()
        return Applied(outcome=Raise(Explosion()), counters={"explosions": 1})


class Exploding(Experiment):
    """Raise an exception in the route's place."""

    name = "exploding"
    Parameters = Parameters

    def faults(self, parameters: Parameters) -> Iterator[Fault]:
        yield Explode()


class Served:
    """An application with a route, served on fakes. `status` is that of a request for the route; None if it raises."""

    def __init__(self, clock: Clock) -> None:
        self.runs, self.results = FakeRunStore(), FakeResultStore()
        self.wired: Any = None
        self.wire = partial(self._wire, clock)
        self.status: Callable[[], int | None] = lambda: None

    def _wire(self, clock: Clock, **options: Any) -> Any:
        self.wired = bootstrap(
            Settings(stage="qa"),
            runs=self.runs,
            results=self.results,
            tokens=FakeTokenStore(),
            clock=clock,
            chance=lambda: 0.0,
            schedule=lambda _seconds, _call: None,
            catalogue=lambda: Catalogue([*BUILT_IN, Exploding]),
            **options,
        )
        return self.wired

    def statuses(self, run_id: str) -> dict[str, int]:
        self.wired.engine.recorder.flush()
        return self.results.tallies[run_id].statuses("hit")


def chalice(served: Served) -> None:
    app = Chalice("served", configure_logs=False)
    in_chalice.ChaosExperiments(app, wire=served.wire)
    app.route("/orders")(lambda: {"orders": []})
    served.status = lambda: Client(app).http.get("/orders").status_code


def flask_(served: Served) -> None:
    app = flask.Flask("served")
    in_flask.ChaosExperiments(app, wire=served.wire)
    app.add_url_rule("/orders", view_func=lambda: {"orders": []})
    app.register_error_handler(Explosion, lambda _error: ("", 418))
    served.status = lambda: app.test_client().get("/orders").status_code


def fastapi_(served: Served) -> None:
    app = fastapi.FastAPI()
    in_fastapi.ChaosExperiments(app, wire=served.wire)
    app.add_api_route("/orders", lambda: {"orders": []})
    app.add_exception_handler(Explosion, lambda _request, _error: fastapi.Response(status_code=418))
    served.status = lambda: TestClient(app).get("/orders").status_code


def wsgi(served: Served) -> None:
    def orders(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"[]"]

    app = WSGIBoundary(orders, ChaosModule(wire=served.wire))

    def status() -> int | None:
        try:
            return (
                httpx2.Client(transport=httpx2.WSGITransport(app=app), base_url="http://x").get("/orders").status_code
            )
        except Explosion:
            return None

    served.status = status


def asgi(served: Served) -> None:
    async def orders(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"[]"})

    app = ASGIBoundary(orders, ChaosModule(wire=served.wire))

    def status() -> int | None:
        try:
            return TestClient(app).get("/orders").status_code
        except Explosion:
            return None

    served.status = status


MAKERS: dict[str, tuple[Callable[[Served], None], int | None]] = {
    "chalice": (chalice, 500),
    "flask": (flask_, 418),
    "fastapi": (fastapi_, 418),
    "wsgi": (wsgi, None),
    "asgi": (asgi, None),
}
"""How it is served, and what its own error handling makes of an exception."""


@pytest.fixture(params=MAKERS)
def served(request: pytest.FixtureRequest, clock: Clock) -> Served:
    served = Served(clock)
    MAKERS[request.param][0](served)
    served.raised = MAKERS[request.param][1]  # type: ignore[attr-defined]
    return served


@pytest.mark.parametrize(
    ("experiment", "status"), [("latency_injection", 200), ("error_injection", 500), ("exploding", "raised")]
)
def test_the_outcome_is_what_the_client_meets_and_it_is_counted_once(
    served: Served, experiment: str, status: int | str
) -> None:
    more = {"delay_seconds": 0.0} if experiment == "latency_injection" else {}
    run = served.runs.runs[experiment] = a_run(experiment, **more)
    expected = served.raised if status == "raised" else status  # type: ignore[attr-defined]
    assert served.status() == expected
    assert served.statuses(run.run_id) == {f"{(expected or 500) // 100}xx": 1}


def test_nothing_running_leaves_the_call_alone(served: Served) -> None:
    assert served.status() == 200
    assert served.wired.engine.is_idle()
