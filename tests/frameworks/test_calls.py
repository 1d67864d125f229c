"""What a call has to be aimed by is the same in every framework, on a server, and behind each adapter of Lambda."""

import asyncio
import http.client
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import fastapi
import flask
import pytest
import serverless_wsgi
import uvicorn
from apig_wsgi import make_lambda_handler
from chalice import Chalice
from chalice.config import Config
from chalice.local import LocalDevServer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mangum import Mangum
from starlette.applications import Starlette
from starlette.routing import Mount
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server
from werkzeug.test import EnvironBuilder

from chalicelib.bootstrap import bootstrap
from chalicelib.frameworks import chalice as in_chalice
from chalicelib.frameworks import fastapi as in_fastapi
from chalicelib.frameworks import flask as in_flask
from chalicelib.injection.call import Call, query_values
from chalicelib.injection.current import CURRENT
from chalicelib.settings import Settings
from tests.frameworks.gateway import rest_event
from tests.support import Clock, FakeResultStore, FakeRunStore, FakeTokenStore, a_run

LISTENING = 10.0
Headers = Sequence[tuple[str, str]]


class Seen:
    """Applications that note the call of each request that they serve."""

    def __init__(self, clock: Clock) -> None:
        self.calls: list[tuple[str, str]] = []
        self.queried: list[list[str]] = []
        self.headers: list[str | None] = []
        run = a_run(now=clock.now, delay_seconds=0.0)
        stores = {"tokens": FakeTokenStore(), "results": FakeResultStore()}
        self.now = clock.now
        self.runs = runs = FakeRunStore({"latency_injection": run})
        self.options: dict[str, Any] = {
            "wire": partial(bootstrap, Settings(stage="qa"), runs=runs, **stores, clock=clock, sleep=clock.sleep)
        }

    def note(self, **_parameters: str) -> dict[str, str]:
        current = CURRENT.get()
        assert current
        call: Call = current[1].call
        self.calls.append((call.method, call.name))
        self.queried.append([*call.query("name")])
        self.headers.append(call.header("x-tenant"))
        return {}

    def in_flask(self) -> flask.Flask:
        app = flask.Flask("orders")
        for rule in ("/orders/", "/orders/<path:number>"):
            app.add_url_rule(rule, endpoint=rule, view_func=self.note)
        in_flask.ChaosExperiments(app, **self.options)
        return app

    def in_fastapi(self) -> fastapi.FastAPI:
        app = fastapi.FastAPI()

        def view(number: str) -> dict[str, str]:
            return self.note(number=number)

        app.add_api_route("/orders/{number:path}", view)
        in_fastapi.ChaosExperiments(app, **self.options)
        return app

    def in_chalice(self) -> Chalice:
        app = Chalice("orders", configure_logs=False)
        app.route("/orders/{number}")(self.note)
        app.route("/orders/{number}/{part}")(self.note)
        in_chalice.ChaosExperiments(app, **self.options)
        return app


@pytest.fixture
def seen(clock: Clock) -> Seen:
    return Seen(clock)


# On servers


@contextmanager
def served_by_werkzeug(seen: Seen) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, seen.in_flask())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def served_by_uvicorn(seen: Seen) -> Iterator[int]:
    config = uvicorn.Config(seen.in_fastapi(), port=0, log_level="error", lifespan="off")
    server, loop = uvicorn.Server(config), asyncio.new_event_loop()
    listening = config.bind_socket()
    listening.listen()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(sockets=[listening]),))
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        listening.close()


@contextmanager
def served_by_chalice_local(seen: Seen) -> Iterator[int]:
    server = LocalDevServer(seen.in_chalice(), Config(), "127.0.0.1", 0)
    thread = threading.Thread(target=server.server.serve_forever)
    thread.start()
    try:
        yield server.server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server.server_close()


def ask(port: int, path: str, headers: Headers = (), method: str = "GET") -> None:
    """A request as it is written, without any encoding."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LISTENING)
    connection.putrequest(method, path)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().read() is not None
    connection.close()


QUERIES = {
    "": [],
    "?other=1": [],
    "?name": [""],
    "?name=": [""],
    "?name=1": ["1"],
    "?name=1&name=2&other=3&name=1": ["1", "2", "1"],
    "?name=a%20b+c%2Bd": ["a b c+d"],
    "?n%61me=%C3%A9": ["\u00e9"],
    "?name=a=b": ["a=b"],
    "?&&name=1&": ["1"],
    "?Name=1&names=2&xname=3": [],
}
PATHS = {
    "/orders/7": "/orders/7",
    "/orders/7/": "/orders/7",
    "/orders/caf%C3%A9": "/orders/caf\u00e9",
    "/orders/a%20b+c": "/orders/a b+c",
    "/orders/7%2F8": "/orders/7/8",
    "/orders/%7Bpart%7D/8": "/orders/{part}/8",
}
SERVERS = [served_by_werkzeug, served_by_uvicorn, served_by_chalice_local]


@pytest.mark.parametrize("served", SERVERS)
def test_on_a_server_a_call_has_what_the_client_has_sent(seen: Seen, served: Callable[[Seen], Any]) -> None:
    with served(seen) as port:
        for query in QUERIES:
            ask(port, f"/orders/7{query}")
        for path in PATHS:
            ask(port, path)
        ask(port, "/orders/7", [("X-TENANT", "acme")])
    assert dict(zip(QUERIES, seen.queried, strict=False)) == QUERIES
    paths = [(method, path.rstrip("/")) for method, path in seen.calls[len(QUERIES) :]]
    assert paths == [("GET", path) for path in (*PATHS.values(), "/orders/7")]
    assert seen.headers[-2:] == [None, "acme"]


@pytest.mark.parametrize("served", SERVERS[:2])
def test_a_repeated_header_is_one_value_with_commas(seen: Seen, served: Callable[[Seen], Any]) -> None:
    with served(seen) as port:
        ask(port, "/orders/7", [("x-tenant", "acme"), ("x-other", "1"), ("X-Tenant", "beta")])
    assert seen.headers == ["acme,beta"]


@pytest.mark.parametrize("served", SERVERS)
def test_blanks_around_the_value_of_a_header_are_no_part_of_it(seen: Seen, served: Callable[[Seen], Any]) -> None:
    with served(seen) as port:
        ask(port, "/orders/7", [("x-tenant", " acme \t")])
    assert seen.headers == ["acme"]


@pytest.mark.parametrize("served", SERVERS)
def test_an_injected_error_has_one_content_type_however_it_is_spelt(seen: Seen, served: Callable[[Seen], Any]) -> None:
    seen.runs.runs = {
        "error_injection": a_run("error_injection", now=seen.now, error_rate=1.0, headers={"content-type": "text/html"})
    }
    with served(seen) as port, closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LISTENING)) as connection:
        connection.request("GET", "/orders/7")
        answer = connection.getresponse()
        assert answer.read()
    assert (answer.status, answer.headers.get_all("Content-Type")) == (500, ["text/html"])


@pytest.mark.parametrize("served", SERVERS[:2])
def test_a_query_that_is_not_encoded_is_read_as_utf_8(seen: Seen, served: Callable[[Seen], Any]) -> None:
    if served is served_by_werkzeug:
        environ = EnvironBuilder(path="/orders/7").get_environ()
        environ["QUERY_STRING"] = "name=caf\u00e9".encode().decode("latin-1")
        b"".join(seen.in_flask().wsgi_app(environ, lambda *_: None))  # type: ignore[arg-type]
    else:
        scope = {"type": "http", "method": "GET", "path": "/orders/7", "query_string": "name=caf\u00e9".encode()}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_message: Any) -> None:
            pass

        asyncio.run(seen.in_fastapi()({**scope, "headers": []}, receive, send))
    assert seen.queried == [["caf\u00e9"]]


# Below a mount point


def test_a_path_is_the_one_below_the_mount_point_in_wsgi(seen: Seen) -> None:
    mounted: Any = DispatcherMiddleware(flask.Flask("shop"), {"/shop": seen.in_flask()})
    for path in ("/shop/orders/7", "/shop/orders/caf\u00e9"):
        b"".join(mounted(EnvironBuilder(path=path).get_environ(), lambda *_: None))
    assert [path for _, path in seen.calls] == ["/orders/7", "/orders/caf\u00e9"]


def test_a_path_is_the_one_below_the_mount_point_in_asgi(seen: Seen) -> None:
    mounted = Starlette(routes=[Mount("/shop", app=seen.in_fastapi())])

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: Any) -> None:
        pass

    for path in ("/shop/orders/7", "/shop/orders/caf\u00e9"):
        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "root_path": ""}
        asyncio.run(mounted(scope, receive, send))
    assert [path for _, path in seen.calls] == ["/orders/7", "/orders/caf\u00e9"]


# Behind Lambda's event sources


class Invocation:
    """What Lambda's runtime hands to a handler."""

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def of_chalice(seen: Seen) -> Callable[[Any, Any], Any]:
    app: Callable[[Any, Any], Any] = seen.in_chalice()
    return app


def of_serverless_wsgi(seen: Seen) -> Callable[[Any, Any], Any]:
    return partial(serverless_wsgi.handle_request, seen.in_flask())


def of_apig_wsgi(seen: Seen) -> Callable[[Any, Any], Any]:
    return make_lambda_handler(seen.in_flask().wsgi_app)


def of_mangum(seen: Seen) -> Callable[[Any, Any], Any]:
    return Mangum(seen.in_fastapi(), lifespan="off")


ADAPTERS = [of_serverless_wsgi, of_apig_wsgi, of_mangum]


def rest(query: dict[str, list[str]] | None, headers: dict[str, list[str]], number: str = "7") -> dict[str, Any]:
    """A REST API decodes the query, and has all the values of a header beside the last one."""
    event = rest_event(resourcePath="/orders/{number}")
    return event | {
        "version": "1.0",
        "resource": "/orders/{number}",
        "path": f"/orders/{number}",
        "pathParameters": {"number": number},
        "multiValueQueryStringParameters": query,
        "queryStringParameters": query and {name: values[-1] for name, values in query.items()},
        "headers": {"Host": "x", **{name: values[-1] for name, values in headers.items()}},
        "multiValueHeaders": {"Host": ["x"], **headers},
    }


def load_balancer(query: dict[str, list[str]]) -> dict[str, Any]:
    """A load balancer decodes nothing."""
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn"}},
        "httpMethod": "GET",
        "path": "/orders/7",
        "multiValueQueryStringParameters": query,
        "multiValueHeaders": {"host": ["x"], "x-forwarded-port": ["443"]},
        "body": "",
        "isBase64Encoded": False,
    }


def http_api(query: str, headers: dict[str, str]) -> dict[str, Any]:
    """An HTTP API hands the query on as it is, and joins repeated headers."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/orders/7",
        "rawQueryString": query,
        "headers": {"host": "x", "x-forwarded-proto": "https", "x-forwarded-port": "443", **headers},
        "requestContext": {
            "http": {"method": "GET", "path": "/orders/7", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }


@pytest.mark.usefixtures("event_loop_of_mangum")
@pytest.mark.parametrize("adapter", [of_chalice, *ADAPTERS])
def test_behind_a_rest_api(seen: Seen, adapter: Callable[[Seen], Any]) -> None:
    queries = [None, {"other": ["1"]}, {"name": ["1", "a b c+d", "\u00e9", "", "50%"]}, {"name": ["a&b=c"]}]
    handler = adapter(seen)
    for query in queries:
        handler(rest(query, {"X-Tenant": ["acme"]}), Invocation())
    assert seen.queried == [(query or {}).get("name", []) for query in queries]
    assert set(seen.headers) == {"acme"}
    assert set(seen.calls) == {("GET", "/orders/7")}
    handler(rest(None, {}, "caf%C3%A9"), Invocation())
    assert seen.calls[-1] == ("GET", "/orders/caf\u00e9")
    assert seen.headers[-1] is None


@pytest.mark.usefixtures("event_loop_of_mangum")
@pytest.mark.parametrize("adapter", [of_chalice, of_apig_wsgi, of_mangum])
def test_behind_a_rest_api_a_repeated_header_is_one_value(seen: Seen, adapter: Callable[[Seen], Any]) -> None:
    adapter(seen)(rest(None, {"X-Tenant": ["acme", "beta"]}), Invocation())
    assert [str(value).replace(", ", ",") for value in seen.headers] == ["acme,beta"]  # mangum adds a blank


def test_an_event_without_all_the_values_of_headers_is_read_by_chalice(seen: Seen) -> None:
    event = rest(None, {"X-Tenant": ["acme"]})
    for event["multiValueHeaders"] in (None, {}, {"x-tenant": ["acme"]}):
        of_chalice(seen)(event, Invocation())
    del event["multiValueHeaders"]
    of_chalice(seen)(event, Invocation())
    assert seen.headers == ["acme"] * 4


@pytest.mark.usefixtures("event_loop_of_mangum")
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_behind_a_load_balancer_the_query_is_decoded_once(seen: Seen, adapter: Callable[[Seen], Any]) -> None:
    adapter(seen)(load_balancer({"name": ["a%20b+c%2Bd", "%C3%A9", "", "50%25"], "other": ["1"]}), Invocation())
    assert seen.queried == [["a b c+d", "\u00e9", "", "50%"]]


@pytest.mark.usefixtures("event_loop_of_mangum")
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_behind_an_http_api(seen: Seen, adapter: Callable[[Seen], Any]) -> None:
    event = http_api("name=a%20b+c%2Bd&name=&n%61me=%C3%A9&other=1", {"x-tenant": "acme,beta"})
    adapter(seen)(event, Invocation())
    assert (seen.queried, seen.headers, seen.calls) == (
        [["a b c+d", "", "\u00e9"]],
        ["acme,beta"],
        [("GET", "/orders/7")],
    )


# The query by itself

PIECES = st.sampled_from(
    ["name", "n%61me", "na+me", "na me", "&", "=", "%", "%3D", "%2", "%C3", "%C3%A9", "+", "a", "\u00e9", ";"]
)


@settings(deadline=None)
@given(
    st.lists(PIECES, max_size=12).map("".join),
    st.sampled_from(["name", "na me", "na+me", "n%61me", "\u00e9", "%", "=", "a=", "a"]),
)
@example("a=", "a=")
@example("a=1", "=")
def test_a_query_is_read_as_by_the_standard_library(query: str, name: str) -> None:
    assert [*query_values(query, name)] == parse_qs(query, keep_blank_values=True).get(name, [])
