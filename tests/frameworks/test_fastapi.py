import asyncio
import inspect
import pathlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from functools import partial
from typing import Any

import fastapi
import pytest
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from openapi_spec_validator import validate
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import Match, Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from chalicelib.access import Caller, Role
from chalicelib.api.endpoints import ENDPOINTS, PREFIX
from chalicelib.bootstrap import Chaos, bootstrap
from chalicelib.frameworks import asgi
from chalicelib.frameworks.fastapi import ChaosExperiments, RoutesByUse
from chalicelib.frameworks.module import ChaosModule
from chalicelib.settings import Settings
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run


@pytest.fixture
def runs() -> FakeRunStore:
    return FakeRunStore()


@pytest.fixture
def wire(runs: FakeRunStore, clock: Clock) -> Any:
    return partial(
        bootstrap,
        Settings(stage="qa"),
        runs=runs,
        tokens=FakeTokenStore(),
        results=FakeResultStore(),
        clock=clock,
        chance=lambda: 0.0,
    )


def application() -> fastapi.FastAPI:
    app = fastapi.FastAPI()

    @app.get("/lines")
    async def lines() -> StreamingResponse:
        async def stream() -> AsyncIterator[str]:
            yield "one\n"
            yield "two\n"

        return StreamingResponse(stream(), headers={"X-Own": "1"})

    @app.websocket("/talk")
    async def talk(socket: fastapi.WebSocket) -> None:
        await socket.accept()
        await socket.send_text(f"heard {await socket.receive_text()}")
        await socket.close()

    return app


def test_a_prefix_of_its_own_and_a_late_application(wire: Any, runs: FakeRunStore, clock: Clock) -> None:
    chaos = ChaosExperiments(prefix="/v1/chaos_experiments", wire=wire)
    app = application()
    chaos.init_app(app)
    runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, now=clock.now)
    with TestClient(app) as client:
        assert client.get("/v1/chaos_experiments/status").status_code == 401
        told = client.get("/v1/chaos_experiments/test")
        assert (told.status_code, told.json()["code"]) == (500, "injected_error")


def test_a_streaming_route_still_streams_and_says_what_touched_it(wire: Any, runs: FakeRunStore, clock: Clock) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    runs.runs["resource_exhaustion"] = a_run("resource_exhaustion", memory_mb=1, now=clock.now)
    with TestClient(app) as client, client.stream("GET", "/lines") as answer:
        assert answer.headers["X-Chaos-Experiment"] == "resource_exhaustion"
        assert answer.headers["X-Own"] == "1"
        assert "".join(answer.iter_text()) == "one\ntwo\n"
        runs.runs.clear()
        clock.now += 2
        client.get("/lines")  # gives the memory back


def test_a_stream_is_counted_when_it_begins(wire: Any, runs: FakeRunStore, clock: Clock) -> None:
    app = application()
    results = FakeResultStore()
    chaos = ChaosExperiments(app, wire=partial(wire, results=results, schedule=lambda _seconds, _call: None))
    seen: list[int] = []

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def stream() -> AsyncIterator[str]:
            chaos._module.get().engine.recorder.flush()
            seen.append(results.writes)
            yield "one\n"

        return StreamingResponse(stream())

    run = runs.runs["latency_injection"] = a_run(delay_seconds=0.0, now=clock.now)
    with TestClient(app) as client:
        assert client.get("/events").status_code == 200
    assert seen == [1]
    assert results.tallies[run.run_id].statuses("hit") == {"2xx": 1}


@pytest.mark.parametrize("later", [False, True])
def test_an_injected_error_goes_through_the_applications_own_middleware_whichever_came_first(
    wire: Any, runs: FakeRunStore, clock: Clock, *, later: bool
) -> None:
    app = application()
    if later:
        ChaosExperiments(app, wire=wire)
    app.add_middleware(CORSMiddleware, allow_origins=["https://shop.example"])
    if not later:
        ChaosExperiments(app, wire=wire)
    runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, now=clock.now)
    origin = {"Origin": "https://shop.example"}
    with TestClient(app) as client:
        answer = client.get("/lines", headers=origin)
        assert (answer.status_code, answer.json()["code"]) == (500, "injected_error")
        assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
        assert answer.headers["X-Chaos-Experiment"] == "error_injection"
        preflight = client.options("/lines", headers={**origin, "Access-Control-Request-Method": "GET"})
        assert (preflight.status_code, preflight.headers.get("X-Chaos-Experiment")) == (200, None)


def test_a_route_that_raises_still_says_what_touched_it(wire: Any, runs: FakeRunStore, clock: Clock) -> None:
    app = application()

    @app.get("/defect")
    async def defect() -> None:
        raise ZeroDivisionError

    ChaosExperiments(app, wire=wire)
    runs.runs["latency_injection"] = a_run(delay_seconds=0.0, now=clock.now)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/defect")
    assert (answer.status_code, answer.headers["X-Chaos-Experiment"]) == (500, "latency_injection")


def test_websockets_are_left_alone(wire: Any, runs: FakeRunStore, clock: Clock) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, now=clock.now)
    with TestClient(app) as client, client.websocket_connect("/talk") as socket:
        socket.send_text("you")
        assert socket.receive_text() == "heard you"


def test_a_mounted_application_knows_its_own_paths(wire: Any, runs: FakeRunStore, clock: Clock) -> None:
    inner = application()
    ChaosExperiments(inner, wire=wire, excluded_paths=["/lines"])
    outer = fastapi.FastAPI()
    outer.mount("/inner", inner)
    runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, now=clock.now)
    with TestClient(outer) as client:
        assert client.get("/inner/lines").status_code == 200
        assert client.get("/inner/nothing").status_code == 404  # no route, and so not hit
        assert client.get(f"/inner{PREFIX}/list").status_code == 401


def test_the_page_of_the_api_shows_the_endpoints_with_their_models(wire: Any) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    with TestClient(app) as client:
        document = client.get("/openapi.json").json()
    validate(document)
    assert "/lines" in document["paths"]
    for endpoint in ENDPOINTS:
        assert endpoint.method.lower() in document["paths"][PREFIX + endpoint.path]
    assert "ChaosShownRun" in document["components"]["schemas"]


def test_all_below_the_prefix_is_the_modules_whatever_the_application_has_there(wire: Any) -> None:
    app = application()
    app.mount("/", lambda _scope, _receive, _send: pytest.fail("the page for everything"))
    ChaosExperiments(app, wire=wire)
    app.add_api_route(f"{PREFIX}/list", lambda: pytest.fail("the application's own"))
    app.routes.insert(0, app.routes.pop())
    app.add_api_route(f"{PREFIX}_of_ours", lambda: "ours")
    app.routes.insert(0, app.routes.pop())
    with TestClient(app) as client:
        assert client.get(f"{PREFIX}/list").status_code == 401
        assert client.get(f"{PREFIX}_of_ours").json() == "ours"
        assert client.get(f"{PREFIX}/nothing").json()["code"] == "unknown_endpoint"
        assert client.get(f"{PREFIX}/start").json()["code"] == "method_not_allowed"
        assert client.get(PREFIX, follow_redirects=False).json()["code"] == "unknown_endpoint"
        refused = client.options(f"{PREFIX}/list")
        assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")


def test_a_method_that_nobody_knows_is_refused_in_the_envelope(wire: Any) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    with TestClient(app) as client:
        refused = client.request("BREW", f"{PREFIX}/list")
        assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")


def test_where_the_table_is_unreachable_the_test_endpoint_says_so(wire: Any, runs: FakeRunStore) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    runs.broken = True
    with TestClient(app) as client:
        answer = client.get(f"{PREFIX}/test")
    assert (answer.status_code, answer.json()["resultset"]["problem"]) == (200, "store_unavailable")


def test_a_second_module_in_one_application_is_refused(wire: Any) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    with pytest.raises(ValueError, match="already has the module"):
        ChaosExperiments(app, wire=wire, prefix=f"{PREFIX}/v2")


def test_a_body_without_end_is_refused_before_it_ends(wire: Any) -> None:
    app = application()
    ChaosExperiments(app, wire=wire, authenticate=lambda _headers: None)
    with TestClient(app) as client:
        refused = client.post(f"{PREFIX}/start", content=b"x" * 1_000_000)
        assert refused.status_code == 401


def test_a_module_that_is_off_lets_every_request_through_and_says_so() -> None:
    app = application()
    ChaosExperiments(app, settings=Settings())
    with TestClient(app) as client:
        assert client.get("/lines").status_code == 200
        answer = client.get(f"{PREFIX}/list")
        assert (answer.status_code, answer.json()["code"]) == (503, "module_off")


@pytest.mark.parametrize(("in_lambda", "writes"), [(False, 1), (True, 0)])
def test_counts_are_flushed_at_the_end_of_a_server_and_not_of_each_invocation(
    wire: Any, runs: FakeRunStore, clock: Clock, *, in_lambda: bool, writes: int
) -> None:
    app = application()
    results = FakeResultStore()
    settings = Settings(stage="qa", in_lambda=in_lambda)
    given = {**wire.keywords, "results": results, "schedule": lambda _seconds, _call: None}
    ChaosExperiments(app, wire=partial(bootstrap, settings, **given))
    runs.runs["latency_injection"] = a_run(delay_seconds=0.0, now=clock.now)
    with TestClient(app) as client:
        client.get("/lines")
    before = results.writes
    with TestClient(app) as client:  # as mangum does it, which has a lifespan for each invocation
        client.get("/lines")
    assert results.writes - before == writes


def test_a_copy_of_a_process_ends_without_what_the_original_has_counted(
    wire: Any, runs: FakeRunStore, clock: Clock
) -> None:
    """Nor is the module wired anew for that, which may fail."""
    app, wired = application(), []
    results = FakeResultStore()
    given = {**wire.keywords, "results": results, "schedule": lambda _seconds, _call: None}

    def wire_once(**options: Any) -> Chaos:
        wired.append(options)
        return bootstrap(Settings(stage="qa"), **given, **options)

    chaos = ChaosExperiments(app, wire=wire_once)
    runs.runs["latency_injection"] = a_run(delay_seconds=0.0, now=clock.now)
    with TestClient(app) as client:
        client.get("/lines")
        chaos._module._reset()  # as in the child of a fork
    assert (results.writes, len(wired)) == (0, 1)


def test_a_server_ends_although_no_thread_can_be_started_for_the_last_counts(
    wire: Any, runs: FakeRunStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    runs.runs["latency_injection"] = a_run(delay_seconds=0.0, now=clock.now)

    async def exhausted(*_call: object) -> None:
        raise RuntimeError("can't start new thread")

    with TestClient(app) as client:
        client.get("/lines")
        monkeypatch.setattr(asgi.Threads, "run_blocking", exhausted)


def test_where_no_thread_can_be_started_the_endpoints_answer_all_the_same(
    wire: Any, runs: FakeRunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = application()
    ChaosExperiments(app, wire=wire, authenticate=lambda _headers: Caller("ada", Role.OPERATOR))

    async def exhausted(*_call: object, **_options: object) -> None:
        raise RuntimeError("can't start new thread")

    with TestClient(app) as client:
        monkeypatch.setattr("anyio.to_thread.run_sync", exhausted)
        assert client.get(f"{PREFIX}/list").status_code == 200
        assert client.get(f"{PREFIX}/test").status_code == 200
        assert client.post(f"{PREFIX}/halt", json={"reason": "too much"}).status_code == 200
    assert runs.halt_event


def test_an_endpoint_that_fails_is_not_asked_twice(wire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    app = application()
    chaos = ChaosExperiments(app, wire=wire)
    asked: list[object] = []

    def fail(request: object, _call: object) -> None:
        asked.append(request)
        raise RuntimeError("a defect")

    monkeypatch.setattr(chaos._module, "handle", fail)
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.post(f"{PREFIX}/halt").status_code == 500
    assert len(asked) == 1


def test_a_router_that_the_application_gets_later_has_the_routes_place_too(
    wire: Any, runs: FakeRunStore, clock: Clock
) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    app.router = fastapi.APIRouter()
    app.add_api_route("/orders", lambda: "all")
    runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, now=clock.now)
    with TestClient(app) as client:
        assert client.get("/orders").json()["code"] == "injected_error"


class Invocation:
    """Two seconds of a Lambda invocation, as mangum hands it on."""

    def get_remaining_time_in_millis(self) -> int:
        return 2000


def test_a_delay_leaves_the_invocation_its_time(
    wire: Any, runs: FakeRunStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    runs.runs["latency_injection"] = a_run(now=clock.now, delay_seconds=60.0, duration_seconds=600)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds

    monkeypatch.setattr(asgi.Threads, "sleep", lambda _threads, seconds: sleep(seconds))

    async def in_lambda(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["aws.context"] = Invocation()
        await app(scope, receive, send)

    with TestClient(in_lambda) as client:
        answer = client.get("/lines")
    assert (answer.status_code, answer.headers["X-Chaos-Cut"]) == (200, "latency_injection")
    assert sum(slept) == pytest.approx(1.5)


def test_where_no_thread_can_be_started_the_request_goes_on_untouched_and_the_next_one_tries_again(
    wire: Any, runs: FakeRunStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    runs.runs["latency_injection"] = a_run(delay_seconds=0.0, now=clock.now)

    async def exhausted(*_call: object) -> None:
        raise RuntimeError("can't start new thread")

    with TestClient(app) as client:
        with monkeypatch.context() as patch:
            patch.setattr(asgi.Threads, "run_blocking", exhausted)
            answer = client.get("/lines")
            assert (answer.status_code, answer.headers.get("X-Chaos-Experiment")) == (200, None)
        assert client.get("/lines").headers["X-Chaos-Experiment"] == "latency_injection"


def test_an_application_that_serves_already_gets_the_module_too(wire: Any, runs: FakeRunStore, clock: Clock) -> None:
    @asynccontextmanager
    async def lifespan(app: fastapi.FastAPI) -> AsyncIterator[None]:
        ChaosExperiments(app, wire=wire)
        yield

    app = fastapi.FastAPI(lifespan=lifespan)
    app.add_api_route("/orders", lambda: "all")
    runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, now=clock.now)
    with TestClient(app) as client:
        assert client.get("/chaos_experiments/status").status_code == 401
        assert client.get("/orders").json()["code"] == "injected_error"


class Tracing:
    """In the place of OpenTelemetry's middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {**scope.get("state", {}), "traced": True}
        await self.app(scope, receive, send)


def instrument(app: fastapi.FastAPI) -> None:
    """As opentelemetry-instrumentation-fastapi does it, which gives up where there is no ServerErrorMiddleware."""
    build = app.build_middleware_stack

    def instrumented() -> ASGIApp:
        inner = build()
        if not isinstance(inner, ServerErrorMiddleware):
            return inner
        errors = ServerErrorMiddleware(app=inner.app, handler=inner.handler, debug=inner.debug)
        return ServerErrorMiddleware(app=Tracing(errors))

    app.build_middleware_stack = instrumented  # type: ignore[method-assign]


def is_found(stack: Any) -> bool:
    """As FastAPI looks for it, which otherwise traces the application once more."""
    while stack is not None:
        if isinstance(stack, Tracing):
            return True
        stack = getattr(stack, "app", None)
    return False


@pytest.mark.parametrize("later", [False, True])
def test_an_application_is_traced_and_has_the_module_whichever_came_first(
    wire: Any, runs: FakeRunStore, clock: Clock, *, later: bool
) -> None:
    app = fastapi.FastAPI()
    if later:
        ChaosExperiments(app, wire=wire)
    instrument(app)
    if not later:
        ChaosExperiments(app, wire=wire)

    @app.get("/traced")
    async def traced(request: fastapi.Request) -> bool:
        return bool(request.state.traced)

    with TestClient(app) as client:
        assert client.get("/traced").json() is True
        assert is_found(app.middleware_stack)
        assert client.get("/chaos_experiments/status").status_code == 401
        runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, now=clock.now)
        clock.now += 10
        answer = client.get("/traced")
    assert (answer.json()["code"], answer.headers["X-Chaos-Experiment"]) == ("injected_error", "error_injection")


def test_what_no_route_of_a_host_has_is_not_hit(wire: Any, runs: FakeRunStore, clock: Clock) -> None:
    app, shop = fastapi.FastAPI(), fastapi.FastAPI()
    shop.add_api_route("/orders", lambda: "all")
    app.host("shop.example", shop)
    ChaosExperiments(app, wire=wire)
    runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, now=clock.now)
    with TestClient(app, base_url="http://shop.example") as client:
        assert client.get("/orders").json()["code"] == "injected_error"
        assert client.get("/nothing").status_code == 404


def test_a_document_of_the_applications_own_needs_no_paths(wire: Any) -> None:
    app = fastapi.FastAPI()
    app.openapi = lambda: {"openapi": "3.1.0", "info": {}}  # type: ignore[method-assign]
    ChaosExperiments(app, wire=wire)
    with TestClient(app) as client:
        assert "/chaos_experiments/list" in client.get("/openapi.json").json()["paths"]


def test_servers_recognise_a_boundary_as_an_application(wire: Any) -> None:
    boundary = asgi.ASGIBoundary(application(), ChaosModule(wire=wire))
    assert inspect.iscoroutinefunction(boundary.__call__)  # or they take it for one of ASGI 2, or of WSGI
    with TestClient(boundary) as client:
        assert client.get("/lines").text == "one\ntwo\n"


def test_a_call_in_a_context_that_is_left_of_an_answered_one_is_a_call_of_its_own(
    wire: Any, runs: FakeRunStore, clock: Clock
) -> None:
    app = application()
    ChaosExperiments(app, wire=wire)
    contexts: list[Context] = []

    @app.get("/starts")
    async def starts() -> str:
        contexts.append(copy_context())  # as a task has that a request starts, or the next request of a pipeline
        return ""

    runs.runs["error_injection"] = a_run("error_injection", error_rate=0.0, now=clock.now)
    with TestClient(app) as client:
        client.get("/starts")
        runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, now=clock.now, token="2")
        clock.now += 2
        answer = contexts[0].run(lambda: asyncio.run(answered(app, "/starts")))
    assert answer["status"] == 500


async def answered(app: ASGIApp, path: str) -> Any:
    """How the answer starts."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    await app(scope, receive, send)
    return sent[0]


def test_allowed_origins_go_before_the_applications_own_middleware(wire: Any) -> None:
    app = application()
    app.add_middleware(CORSMiddleware, allow_origins=["https://shop.example"])
    ChaosExperiments(app, wire=wire, allowed_origins=["https://admin.example"])
    origin = {"Origin": "https://admin.example"}
    with TestClient(app) as client:
        preflight = client.options(f"{PREFIX}/start", headers={**origin, "Access-Control-Request-Method": "POST"})
        assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (204, origin["Origin"])
        assert client.get(f"{PREFIX}/list", headers=origin).headers.get_list("Vary") == ["Origin"]


@pytest.mark.skipif(not hasattr(fastapi.FastAPI, "frontend"), reason="this version of FastAPI serves no front ends")
def test_the_pages_of_a_front_end_are_not_hit(
    wire: Any, runs: FakeRunStore, clock: Clock, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "index.html").write_text("the page")
    app = application()
    app.frontend("/", directory=tmp_path)
    ChaosExperiments(app, wire=wire)
    runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, now=clock.now)
    with TestClient(app) as client:
        assert client.get("/").text == "the page"
        assert client.get("/lines").status_code == 500


class Asked(Route):
    """A route that knows how often it was asked whether it handles a request."""

    asked = 0

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        self.asked += 1
        return super().matches(scope)


def scope_of(path: str, method: str = "GET") -> Scope:
    return {"type": "http", "path": path, "method": method, "headers": []}


def asked_routes(*paths: str) -> list[Asked]:
    return [Asked(path, lambda _request: None, methods=["GET"]) for path in paths]


def test_the_route_that_was_reached_last_is_asked_first() -> None:
    routes = asked_routes(*(f"/{number}" for number in range(100)), "/orders/{id}")
    by_use = RoutesByUse(Router(routes))
    for number in range(10):
        assert by_use.reached_by(scope_of(f"/orders/{number}"))
    assert [route.asked for route in routes] == [1] * 100 + [10]


def test_a_request_reaches_a_route_in_whatever_order_they_are_asked() -> None:
    router = Router([*asked_routes("/orders", "/orders/{id}"), Mount("/", routes=asked_routes("/of-the-mount"))])
    by_use = RoutesByUse(router)
    for _ in range(3):
        for path in ("/orders", "/orders/1", "/of-the-mount"):
            assert by_use.reached_by(scope_of(path)), path
            assert not by_use.reached_by(scope_of("/nowhere"))
            assert not by_use.reached_by(scope_of("/orders", "DELETE"))


class Noting(Route):
    """A route that notes in each request that it was asked, and cannot be asked for every path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        scope["noted"] = True
        if scope["path"] == "/orders/latest":
            raise ValueError("no number")
        return super().matches(scope)


def test_a_route_that_the_router_would_not_ask_does_no_harm() -> None:
    by_use = RoutesByUse(Router([*asked_routes("/orders/latest"), Noting("/orders/{id}", lambda _request: None)]))
    scope = scope_of("/orders/1")
    assert by_use.reached_by(scope)
    assert "noted" not in scope
    scope = scope_of("/orders/latest")
    assert by_use.reached_by(scope)
    assert "noted" not in scope


def test_what_the_router_would_raise_is_raised() -> None:
    by_use = RoutesByUse(Router([Noting("/orders/{id}", lambda _request: None)]))
    with pytest.raises(ValueError, match="no number"):
        by_use.reached_by(scope_of("/orders/latest"))


def test_a_mount_before_a_route_has_the_request_also_where_it_has_no_route_for_it() -> None:
    mounted = Router()
    by_use = RoutesByUse(Router([Mount("/shop", app=mounted), *asked_routes("/shop/orders")]))
    assert by_use.reached_by(scope_of("/shop/orders"))  # nobody knows what an application without routes answers
    mounted.routes.extend(asked_routes("/lines"))
    assert by_use.reached_by(scope_of("/shop/lines"))
    assert not by_use.reached_by(scope_of("/shop/orders"))


def test_routes_may_come_and_go_while_the_application_serves() -> None:
    router = Router(asked_routes("/first", "/second"))
    by_use = RoutesByUse(router)
    assert by_use.reached_by(scope_of("/second"))
    del router.routes[1]
    assert not by_use.reached_by(scope_of("/second"))
    router.routes.insert(0, asked_routes("/third")[0])
    assert by_use.reached_by(scope_of("/third"))
    router.routes[0] = asked_routes("/fourth")[0]
    assert (by_use.reached_by(scope_of("/third")), by_use.reached_by(scope_of("/fourth"))) == (False, True)


def test_the_first_request_of_a_process_is_not_hit_on_an_excluded_path(
    wire: Any, runs: FakeRunStore, clock: Clock
) -> None:
    app = application()
    ChaosExperiments(app, wire=wire, excluded_paths=["/lines"])
    runs.runs["error_injection"] = a_run("error_injection", error_rate=1.0, now=clock.now)
    with TestClient(app) as client:
        assert client.get("/lines").status_code == 200
