"""Chalice hosts: each function is one way of configuring an application for all of its routes.

`HOST` names the function, `MODULE` says whether the module is there: on, off, absent. `X-Session` is the hosts' log-in.
"""

import os
import time
from collections.abc import Callable
from typing import Any

from chalice.app import Chalice, ForbiddenError, Request, Response


def add_module(app: Chalice, **options: Any) -> None:
    """`ChaosExperiments(app)`, but for the host without the module."""
    if os.environ["MODULE"] == "absent":
        return
    from chalicelib.frameworks.chalice import ChaosExperiments  # noqa: PLC0415 - a host without it does not import it

    ChaosExperiments(app, **options)


def shop(*, cors: bool = False) -> Chalice:
    """The application that all of them are, with two routes of its own."""
    app = Chalice(app_name="host")

    @app.route("/orders/{number}", cors=cors)
    def order(number: str) -> Response:
        return Response({"order": number}, headers={"X-Own": "1"}, status_code=201)

    @app.route("/orders", methods=["POST"])
    def place() -> dict[str, object]:
        assert app.current_request is not None
        return {"placed": app.current_request.json_body}

    return app


def closed(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """What a log-in for all routes does."""
    return get_response(request) if "x-session" in request.headers else Response("log in first", status_code=401)


def raises(request: Request, get_response: Callable[[Request], Response]) -> Response:
    if "x-session" not in request.headers:
        raise ForbiddenError("log in first")
    return get_response(request)


def log_in() -> Chalice:
    app = shop()
    app.register_middleware(closed, "http")
    add_module(app)
    return app


def log_in_added_later() -> Chalice:
    app = shop()
    add_module(app)
    app.register_middleware(closed, "http")
    return app


def middleware_that_raises() -> Chalice:
    app = shop()
    app.register_middleware(raises, "all")
    add_module(app)
    return app


def binary_types() -> Chalice:
    """It compresses its pages; Chalice then refuses those that are text."""
    app = shop()
    app.api.binary_types.append("text/html")
    add_module(app)
    return app


def plain() -> Chalice:
    app = shop()
    add_module(app)
    return app


def mirror() -> Chalice:
    """It answers with what it was asked, as Chalice has it for exactly that."""
    app = shop()
    add_module(app)

    @app.route("/request")
    def request() -> dict[str, Any]:
        assert app.current_request is not None
        return app.current_request.to_dict()  # type: ignore[no-any-return]

    @app.route("/context")
    def context() -> dict[str, Any]:
        assert app.current_request is not None
        return {"names": sorted(app.current_request.context), "context": app.current_request.context}

    return app


def paths() -> Chalice:
    app = Chalice(app_name="host")
    add_module(app, excluded_paths=os.environ["EXCLUDED"].split())

    def route(**parts: str) -> dict[str, Any]:
        return {"path": parts}

    for path in ("/{first}", "/{first}/{second}", "/{first}/{second}/{third}"):
        app.route(path)(route)
    return app


def decorate(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """It refuses, and says on each answer what it saw of it."""
    if "x-refuse" in request.headers:
        return Response("refused", status_code=403)
    began = time.monotonic()
    try:
        response = get_response(request)
    except Exception as error:  # noqa: BLE001 - it counts them all
        response = Response(f"handled {type(error).__name__}", status_code=418)
    response.headers["X-Took"] = str(time.monotonic() - began)
    response.headers["X-After"] = str(response.status_code)
    return response


def watched() -> Chalice:
    """Its middleware says on each answer what it saw of it."""
    app = shop(cors=True)
    app.register_middleware(decorate, "http")
    add_module(app)
    return app


def watched_later() -> Chalice:
    """The same, but the module came first."""
    app = shop(cors=True)
    add_module(app)
    app.register_middleware(decorate, "http")
    return app


def cross_origin() -> Chalice:
    app = shop()
    add_module(app, allowed_origins=["https://admin.example", "https://ops.example"])
    return app


def cross_origin_log_in() -> Chalice:
    app = shop()
    app.register_middleware(closed, "http")
    add_module(app, allowed_origins=["https://admin.example", "https://ops.example"])
    return app


def not_open() -> Chalice:
    """Even the open endpoints want a viewer, whom it knows by a header."""
    from chalicelib.access import Caller, Role  # noqa: PLC0415 - as above

    app = shop()
    viewer = Caller("vic", Role.VIEWER)
    add_module(
        app, open_endpoints=False, authenticate=lambda headers: viewer if headers.get("x-viewer") == "vic" else None
    )
    return app


def make() -> Chalice:
    return globals()[os.environ["HOST"]]()  # type: ignore[no-any-return]
