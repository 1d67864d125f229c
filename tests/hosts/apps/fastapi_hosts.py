"""FastAPI hosts: each function is one way of configuring an application for all of its routes.

`HOST` names the function, `MODULE` says whether the module is there: on, off, absent. `X-Session` is the hosts' log-in.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Annotated, Any

import fastapi
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]


class OutOfStock(Exception):
    """What a route of its own may raise."""


def add_module(app: fastapi.FastAPI, **options: Any) -> None:
    """`ChaosExperiments(app)`, but for the host without the module."""
    if os.environ["MODULE"] == "absent":
        return
    from chalicelib.frameworks.fastapi import ChaosExperiments  # noqa: PLC0415 - a host without it does not import it

    ChaosExperiments(app, **options)


def shop(**options: Any) -> fastapi.FastAPI:
    """The application that all of them are, with two routes of its own."""
    app = fastapi.FastAPI(title="Shop", **options)

    @app.get("/orders/{number}", status_code=201, tags=["order"])
    async def order(number: str, response: fastapi.Response) -> dict[str, object]:
        response.headers["X-Own"] = "1"
        return {"order": number}

    @app.post("/orders", tags=["place"])
    async def place(content: dict[str, Any]) -> dict[str, object]:
        return {"placed": content}

    return app


async def closed(x_session: Annotated[str | None, fastapi.Header()] = None) -> None:
    """What a log-in for all routes does."""
    if x_session is None:
        raise fastapi.HTTPException(401, "log in first")


async def closed_by_a_middleware(request: fastapi.Request, call_next: RequestResponseEndpoint) -> fastapi.Response:
    if "x-session" in request.headers:
        return await call_next(request)
    return fastapi.Response("log in first", 401)


def log_in() -> fastapi.FastAPI:
    app = shop(dependencies=[fastapi.Depends(closed)])
    add_module(app)
    return app


def log_in_middleware() -> fastapi.FastAPI:
    app = shop()
    app.add_middleware(BaseHTTPMiddleware, dispatch=closed_by_a_middleware)
    add_module(app)
    return app


def log_in_middleware_added_later() -> fastapi.FastAPI:
    app = shop()
    add_module(app)
    app.add_middleware(BaseHTTPMiddleware, dispatch=closed_by_a_middleware)
    return app


def middleware_that_raises() -> fastapi.FastAPI:
    app = shop()
    add_module(app)

    class Session:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                scope["session"] = dict(scope["headers"])[b"x-session"]  # without one 500
            await self.app(scope, receive, send)

    app.add_middleware(Session)
    return app


def trusted_hosts() -> fastapi.FastAPI:
    app = shop()
    add_module(app)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["shop.example"])
    return app


class HTTPSOnly(HTTPSRedirectMiddleware):
    """A load balancer asks without TLS whether the host is well."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = self.app if scope.get("path") == "/health" else super().__call__
        await call(scope, receive, send)


def https_only() -> fastapi.FastAPI:
    app = shop()
    add_module(app)
    app.add_middleware(HTTPSOnly)
    return app


def first_tag(route: APIRoute) -> str:
    return str(route.tags[0])


def unique_ids() -> fastapi.FastAPI:
    app = shop(generate_unique_id_function=first_tag)
    add_module(app)
    return app


def pages() -> StaticFiles:
    Path("index.html").write_text("the page of everything")  # below the server's working directory
    return StaticFiles(directory=".", html=True)


def single_page_before() -> fastapi.FastAPI:
    app = shop()
    app.mount("/", pages())
    add_module(app)
    return app


def single_page_after() -> fastapi.FastAPI:
    app = shop()
    add_module(app)
    app.mount("/", pages())
    return app


async def page(rest: str) -> fastapi.Response:
    return fastapi.Response(f"the page of {rest}")


def catch_all_before() -> fastapi.FastAPI:
    app = shop()
    app.add_api_route("/{rest:path}", page, methods=METHODS, tags=["page"])
    add_module(app)
    return app


def catch_all_after() -> fastapi.FastAPI:
    app = shop()
    add_module(app)
    app.add_api_route("/{rest:path}", page, methods=METHODS, tags=["page"])
    return app


def no_redirects() -> fastapi.FastAPI:
    app = shop(redirect_slashes=False, openapi_url=None)
    add_module(app)
    return app


def root_path() -> fastapi.FastAPI:
    """Behind a proxy that cuts `/shop` off."""
    app = shop(root_path="/shop")
    add_module(app)
    return app


def mounted() -> Starlette:
    app = shop()
    add_module(app)
    front = Starlette()
    front.mount("/shop", app)
    return front


def plain() -> fastapi.FastAPI:
    app = shop()
    add_module(app)
    return app


def module_twice() -> fastapi.FastAPI:
    """In an application, and again in one that is mounted inside of it."""
    inner, outer = shop(), shop()
    add_module(inner)
    outer.mount("/inner", inner)
    add_module(outer)
    return outer


def module_twice_in_two_frameworks() -> fastapi.FastAPI:
    from a2wsgi import WSGIMiddleware  # noqa: PLC0415 - one host needs them

    from tests.hosts.apps import flask_hosts  # noqa: PLC0415

    outer = shop()
    outer.mount("/inner", WSGIMiddleware(flask_hosts.plain()))  # type: ignore[arg-type]
    add_module(outer)
    return outer


def paths() -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    add_module(app, excluded_paths=os.environ["EXCLUDED"].split())

    @app.get("/{path:path}")
    async def route(path: str) -> dict[str, str]:
        return {"path": path}

    return app


async def handled(_request: fastapi.Request, error: Exception) -> fastapi.Response:
    return fastapi.Response(f"handled {type(error).__name__}", 418)


async def decorate(request: fastapi.Request, call_next: RequestResponseEndpoint) -> fastapi.Response:
    """It refuses, and says on each answer what it saw of it."""
    if "x-refuse" in request.headers:
        return fastapi.Response("refused", 403)
    began = time.monotonic()
    response = await call_next(request)
    response.headers["X-Took"] = str(time.monotonic() - began)
    response.headers["X-After"] = str(response.status_code)
    return response


class TimeOut:
    """It ends a request that takes longer than its client has said."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seconds = dict(scope.get("headers", ())).get(b"x-time-out")
        try:
            await asyncio.wait_for(self.app(scope, receive, send), float(seconds) if seconds else None)
        except TimeoutError:
            await fastapi.Response("timed out", 504)(scope, receive, send)


def watched() -> fastapi.FastAPI:
    """Its middleware and handlers say on each answer what they saw of it."""
    app = shop(exception_handlers={Exception: handled, OutOfStock: handled, 500: handled})
    app.add_middleware(BaseHTTPMiddleware, dispatch=decorate)
    add_module(app)
    app.add_middleware(CORSMiddleware, allow_origins=["https://shop.example"])
    app.add_middleware(TimeOut)

    @app.get("/broken")
    async def broken() -> None:
        raise OutOfStock

    return app


def cross_origin() -> fastapi.FastAPI:
    app = shop()
    add_module(app, allowed_origins=["https://admin.example", "https://ops.example"])
    return app


def cross_origin_log_in() -> fastapi.FastAPI:
    app = shop(dependencies=[fastapi.Depends(closed)])
    add_module(app, allowed_origins=["https://admin.example", "https://ops.example"])
    return app


def not_open() -> fastapi.FastAPI:
    """Even the open endpoints want a viewer, whom it knows by a header."""
    from chalicelib.access import Caller, Role  # noqa: PLC0415 - as above

    app = shop()
    viewer = Caller("vic", Role.VIEWER)
    add_module(
        app, open_endpoints=False, authenticate=lambda headers: viewer if headers.get("x-viewer") == "vic" else None
    )
    return app


def own_cors() -> fastapi.FastAPI:
    """As GenericSuite has it."""
    app = shop()
    add_module(app)
    app.add_middleware(CORSMiddleware, allow_origins=["https://shop.example"], allow_methods=["*"], allow_headers=["*"])
    return app


def cors_around() -> ASGIApp:
    return CORSMiddleware(plain(), allow_origins=["https://shop.example"], allow_methods=["*"], allow_headers=["*"])


def make() -> Any:
    return globals()[os.environ["HOST"]]()
