"""FastAPI and Starlette: the boundary of ASGI around the application, and the route's place in its router."""

import json
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Unpack

import fastapi
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import BaseRoute, Host, Match, Mount, Router

from ..development.banner import announce
from ..injection.current import CURRENT
from . import check_application
from .asgi import ASGIBoundary, serve_hit
from .background import Background
from .module import ChaosModule, Options

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send


class ChaosExperiments(Background):
    """The module in a FastAPI application: `ChaosExperiments(app)`, or `init_app` later."""

    def __init__(self, app: fastapi.FastAPI | None = None, **options: Unpack[Options]) -> None:
        self._module = ChaosModule(**options)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: fastapi.FastAPI) -> None:
        """Raises ValueError for an application that has the module already."""
        check_application(app, fastapi.FastAPI, has_module=has_module(app))
        surround(app, self._module)
        app.openapi = partial(self._openapi, app.openapi)  # type: ignore[method-assign]
        announce(self._module.prefix, self._module.settings)

    def _openapi(self, of_the_application: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The application's own document, and the module's endpoints in it."""
        whole, ours = of_the_application(), json.loads(_document(self._module.prefix))
        whole.setdefault("paths", {}).update(ours["paths"])
        for kind, parts in ours["components"].items():
            whole.setdefault("components", {}).setdefault(kind, {}).update(parts)
        return whole


@cache
def _document(prefix: str) -> str:
    """The module's own, as JSON: it takes a while to make, and whoever gets it may change it."""
    from ..api.openapi import document  # noqa: PLC0415 - nobody asks for it at a cold start
    from ..experiments.catalogue import installed  # noqa: PLC0415

    return json.dumps(document(prefix, {}, installed()))


def has_module(app: object) -> bool:
    """Whether an application has the module already."""
    return isinstance(getattr(getattr(app, "router", None), "middleware_stack", None), RoutePlace)


def surround(app: "Starlette", module: ChaosModule) -> None:
    """Put the boundary around a Starlette application, also one that serves already, and the route's place into it."""
    _make_place(app)
    app.build_middleware_stack = partial(_surrounded, app, app.build_middleware_stack, module)  # type: ignore[method-assign]
    if stack := app.middleware_stack:
        app.middleware_stack = _surrounded(app, lambda: stack, module)


def _make_place(app: "Starlette") -> None:
    if not has_module(app):
        app.router.middleware_stack = RoutePlace(app.router)  # type: ignore[assignment]


def _surrounded(app: "Starlette", build: Callable[[], "ASGIApp"], module: ChaosModule) -> "ASGIApp":
    """The boundary; without `allowed_origins` pages are let in as the application's own CORS middleware does it."""
    _make_place(app)  # also in a router that the application was given since
    own = [] if module.has_origins else [each for each in app.user_middleware if _is_cors(each.cls)]
    host_cors = [partial(_wrapped, middleware) for middleware in reversed(own)]
    stack = build()
    boundary: type[ASGIBoundary] = _Outermost if isinstance(stack, ServerErrorMiddleware) else ASGIBoundary
    return boundary(stack, module, has_route_place=True, host_cors=host_cors)


class _Outermost(ASGIBoundary, ServerErrorMiddleware):
    """The boundary around an application's outermost middleware, as which it passes.

    OpenTelemetry's instrumentation takes that one apart, and puts it together again around what is inside of it: there
    a second boundary answers. FastAPI looks for the instrumentation along `app`.
    """

    def __init__(self, stack: Any, *given: Any, **options: Any) -> None:  # noqa: ANN401 - as the base's
        super().__init__(stack, *given, **options)
        self.app, self.handler, self.debug = ASGIBoundary(stack.app, *given, **options), stack.handler, stack.debug

    __call__ = ASGIBoundary.serve  # type: ignore[assignment] # nobody asks whether it is a coroutine function


def _is_cors(middleware: object) -> bool:
    return isinstance(middleware, type) and issubclass(middleware, CORSMiddleware)


def _wrapped(middleware: Any, app: "ASGIApp") -> "ASGIApp":  # noqa: ANN401 - starlette's
    wrapped: ASGIApp = middleware.cls(app, *middleware.args, **middleware.kwargs)
    return wrapped


class RoutePlace:
    """Within all middleware and error handling of the application, right before the route that a request reaches."""

    def __init__(self, router: Router) -> None:
        self._routes = RoutesByUse(router)
        self._serve = router.middleware_stack

    def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> Awaitable[None]:
        """Not a coroutine itself: a request that passes through is spared one."""
        current = CURRENT.get()
        if current is None or current[1].reached_route or scope["type"] != "http":
            return self._serve(scope, receive, send)
        if not self._routes.reached_by(scope):
            return self._serve(scope, receive, send)
        injection, result = current
        hits = injection.decide(result)
        if hits is None:
            return self._serve(scope, receive, send)
        return serve_hit(self._serve, scope, receive, send, applied=injection.apply(result, hits), result=result)


class RoutesByUse:
    """The routes of a router, of which those that were reached last are asked first: a router itself asks one by one.

    Whichever handles a request, it reaches one. Only a mount decides for those after it, since it may have no route.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._known: tuple[Sequence[BaseRoute], Sequence[BaseRoute]] = ((), ())
        """The router's routes, and those of them before the first mount, by when they were reached. One tuple, so that
        no thread sees half of it."""

    def reached_by(self, scope: "Scope") -> bool:
        """Whether one of the routes handles the request: neither 404 nor 405."""
        routes, (known, first) = self._router.routes, self._known
        if routes != known:
            known = [*routes]
            first = list(takewhile(lambda route: not isinstance(route, (Mount, Host)), known))
            self._known = known, first
        asked = dict(scope)  # what a route that does not serve the request notes in it is not for the one that does
        try:
            for number, route in enumerate(first):
                if route.matches(asked)[0] is Match.FULL:
                    if number:
                        self._known = known, [route, *first[:number], *first[number + 1 :]]
                    return True
        except Exception:  # noqa: BLE001 - of one that the router would perhaps not have asked
            return reaches_route(known, scope)
        return reaches_route(known[len(first) :], scope)


def reaches_route(routes: Sequence[BaseRoute], scope: "Scope") -> bool:
    """As `RoutesByUse.reached_by`, in their own order."""
    for route in routes:
        match, child_scope = route.matches(scope)
        if match is Match.FULL:
            inner = route.routes if isinstance(route, (Mount, Host)) else None
            return reaches_route(inner, {**scope, **child_scope}) if inner else True
    return False
