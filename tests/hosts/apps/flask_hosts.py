"""Flask hosts: each function is one way of configuring an application for all of its routes.

`HOST` names the function, `MODULE` says whether the module is there: on, off, absent. `X-Session` is the hosts' log-in.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.wrappers import Response

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]


class OutOfStock(Exception):
    """What a route of its own may raise."""


def add_module(app: flask.Flask, **options: Any) -> None:
    """`ChaosExperiments(app)`, but for the host without the module."""
    if os.environ["MODULE"] == "absent":
        return
    from chalicelib.frameworks.flask import ChaosExperiments  # noqa: PLC0415 - a host without it does not import it

    ChaosExperiments(app, **options)


def shop(app: flask.Flask | None = None, **options: Any) -> flask.Flask:
    """The application that all of them are, with two routes of its own."""
    app = app or flask.Flask("host", static_folder=None)

    @app.get("/orders/<number>", **options)
    def order(number: str) -> tuple[dict[str, object], int, dict[str, str]]:
        return {"order": number}, 201, {"X-Own": "1"}

    @app.post("/orders", **options)
    def place() -> dict[str, object]:
        return {"placed": flask.request.get_json()}

    return app


def closed() -> Response | None:
    """What a log-in for all routes does."""
    return None if "X-Session" in flask.request.headers else flask.Response("log in first", 401)


def plain() -> flask.Flask:
    app = shop()
    add_module(app)
    return app


def log_in() -> flask.Flask:
    app = shop()
    app.before_request(closed)
    add_module(app)
    return app


def log_in_added_later() -> flask.Flask:
    app = shop()
    add_module(app)
    app.before_request(closed)
    return app


def log_in_of_a_blueprint() -> flask.Flask:
    app = shop()
    members = flask.Blueprint("members", __name__)
    members.before_app_request(closed)
    add_module(app)
    app.register_blueprint(members)
    return app


def log_in_around_the_application() -> flask.Flask:
    app = shop()
    inner = app.wsgi_app

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if "HTTP_X_SESSION" in environ:
            return inner(environ, start_response)  # type: ignore[arg-type]
        return flask.Response("log in first", 401)(environ, start_response)

    app.wsgi_app = guarded  # type: ignore[method-assign]
    add_module(app)
    return app


def hook_that_raises() -> flask.Flask:
    app = shop()

    @app.before_request
    def session() -> None:
        flask.g.session = flask.request.headers["X-Session"].split("/")[0]  # without one 400

    add_module(app)
    return app


def csrf() -> flask.Flask:
    from flask_wtf import CSRFProtect  # noqa: PLC0415 - one host needs it

    app = shop()
    app.secret_key = "a secret of the host"
    add_module(app)
    CSRFProtect(app)
    return app


def catch_all() -> flask.Flask:
    app = shop()

    @app.route("/", defaults={"rest": ""}, methods=METHODS)
    @app.route("/<path:rest>", methods=METHODS)
    def page(rest: str) -> str:
        return f"the page of {rest}"

    add_module(app)
    return app


def host_matching() -> flask.Flask:
    app = shop(flask.Flask("host", static_folder=None, host_matching=True), host="shop.example")
    add_module(app)
    return app


def subdomain_matching() -> flask.Flask:
    app = flask.Flask("host", static_folder=None, subdomain_matching=True)
    app.config["SERVER_NAME"] = "shop.example"
    shop(app, subdomain="www")
    add_module(app)
    return app


def slashes() -> flask.Flask:
    app = shop()
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    add_module(app)
    return app


def trusted_hosts() -> flask.Flask:
    app = shop()
    app.config["TRUSTED_HOSTS"] = ["shop.example"]
    add_module(app)
    return app


def small_bodies() -> flask.Flask:
    app = shop()
    app.config["MAX_CONTENT_LENGTH"] = 8
    add_module(app)
    return app


def language_in_each_path() -> flask.Flask:
    app = shop()

    @app.url_value_preprocessor
    def take_language(_endpoint: str | None, values: dict[str, Any] | None) -> None:
        flask.g.language = (values or {})["number"]  # each of its own routes has one

    add_module(app)
    return app


def application_root() -> Any:
    app = shop()
    app.config["APPLICATION_ROOT"] = "/shop"
    add_module(app)
    return DispatcherMiddleware(flask.Flask("front", static_folder=None), {"/shop": app})


def broken_after_request() -> flask.Flask:
    app = shop()

    @app.after_request
    def sign(_response: flask.Response) -> flask.Response:
        raise KeyError("a key that is not there")

    add_module(app)
    return app


def broken_teardown() -> flask.Flask:
    app = shop()
    counts = {"orders": 0, "health": 0}

    @app.teardown_request
    def count(_error: BaseException | None) -> None:
        counts[flask.request.path.split("/")[1]] += 1  # it knows no routes but its own

    add_module(app)
    return app


def calls_upstream() -> flask.Flask:
    """It calls another service by HTTPS, with a client library that it imports when it first does."""
    app = shop()
    add_module(app)

    @app.get("/upstream")
    def upstream() -> str:
        import requests  # noqa: PLC0415 - with --preload nothing may import ssl's users before the worker patches it

        return requests.get(os.environ["UPSTREAM"], verify=os.environ["UPSTREAM_CA"], timeout=10).text

    return app


def module_twice() -> flask.Flask:
    """In an application, and again in one that is mounted inside of it."""
    inner, outer = shop(), shop()
    add_module(inner)
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/inner": inner})  # type: ignore[method-assign]
    add_module(outer)
    return outer


def paths() -> flask.Flask:
    app = flask.Flask("host", static_folder=None)
    add_module(app, excluded_paths=os.environ["EXCLUDED"].split())

    @app.get("/<path:path>")
    def route(path: str) -> dict[str, str]:
        return {"path": path}

    return app


def watched() -> flask.Flask:
    """Its hooks and handlers say on each answer what they saw of it."""
    app = shop()
    add_module(app)

    @app.before_request
    def set_up() -> Response | None:
        flask.g.began = time.monotonic()
        return flask.Response("refused", 403) if "X-Refuse" in flask.request.headers else None

    @app.after_request
    def decorate(response: flask.Response) -> flask.Response:
        response.headers["X-Took"] = str(time.monotonic() - flask.g.began)  # fails without set_up
        response.headers["X-After"] = str(response.status_code)
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    @app.errorhandler(OutOfStock)
    @app.errorhandler(Exception)
    @app.errorhandler(500)
    def handled(error: Exception) -> tuple[str, int]:
        return f"handled {type(error).__name__}", getattr(error, "code", 418)

    @app.get("/broken")
    def broken() -> str:
        raise OutOfStock

    return app


def cross_origin() -> flask.Flask:
    app = shop()
    add_module(app, allowed_origins=["https://admin.example", "https://ops.example"])
    return app


def cross_origin_log_in() -> flask.Flask:
    app = shop()
    app.before_request(closed)
    add_module(app, allowed_origins=["https://admin.example", "https://ops.example"])
    return app


def not_open() -> flask.Flask:
    """Even the open endpoints want a viewer, whom it knows by a header."""
    from chalicelib.access import Caller, Role  # noqa: PLC0415 - as above

    app = shop()
    viewer = Caller("vic", Role.VIEWER)
    add_module(
        app, open_endpoints=False, authenticate=lambda headers: viewer if headers.get("x-viewer") == "vic" else None
    )
    return app


def allow_origin(response: Response) -> Response:
    response.headers["Access-Control-Allow-Origin"] = "https://shop.example"
    response.headers["Access-Control-Allow-Methods"] = "GET, POST"
    return response


def own_cors() -> flask.Flask:
    """As GenericSuite has it: Flask answers OPTIONS, a hook decorates the answer."""
    app = shop()
    add_module(app)
    app.after_request(allow_origin)  # type: ignore[arg-type]
    return app


def cors_around() -> Callable[..., Any]:
    app = plain()

    def around(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["REQUEST_METHOD"] == "OPTIONS":
            return allow_origin(Response())(environ, start_response)
        return allow_origin(Response.from_app(app, environ))(environ, start_response)

    return around


def make() -> Any:
    return globals()[os.environ["HOST"]]()
