"""FastAPI: a pure ASGI middleware around the application, and the endpoints as routes of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

import fastapi
from starlette.routing import Match, Route

from ..api.endpoints import ENDPOINTS, METHODS, PREFIX
from ..api.http import MAX_BODY_BYTES, Request, injected_failure
from ..bootstrap import Chaos, Lazy, Options, bootstrap
from ..development.banner import announce
from ..errors import ChaosError
from ..injection.drivers import THREADS, OffLoop
from ..injection.engine import UNTOUCHED, Injected, LambdaContext
from ..results.spans import annotate
from . import check_application

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

T = TypeVar("T")

SCOPE = "chaos_experiments.injected"
"""Where in the request's scope the middleware leaves what it did, for the test endpoint to tell."""


LAMBDA_CONTEXT = "aws.context"
"""Where mangum puts the Lambda invocation's context."""


class ChaosExperiments:
    """The module in a FastAPI application: `ChaosExperiments(app)`, or `init_app` later."""

    def __init__(
        self,
        app: fastapi.FastAPI | None = None,
        *,
        prefix: str = PREFIX,
        wire: Callable[..., Chaos] = bootstrap,
        **options: Unpack[Options],
    ) -> None:
        self._module = Lazy(wire, prefix=prefix, **options)
        self.inject: Callable[..., Awaitable[Injected]] = self._wire_and_inject
        self.off_loop: OffLoop | None = None
        # Not the loop's own: a silent table must not take the application's threads. None is started before it is used.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="chaos-control")
        if app is not None:
            self.init_app(app)

    def init_app(self, app: fastapi.FastAPI) -> None:
        check_application(app, fastapi.FastAPI)
        app.add_middleware(_Answers)
        app.user_middleware.append(app.user_middleware.pop(0))  # the innermost, for the others to do what they do
        app.build_middleware_stack = partial(self._surrounded, app.build_middleware_stack)  # type: ignore[method-assign]
        for endpoint in ENDPOINTS:
            app.add_api_route(
                self._module.prefix + endpoint.path,
                self._handle,
                methods=[endpoint.method],
                name=f"chaos_experiments_{endpoint.handler}",
                include_in_schema=False,
            )
        app.router.routes.append(_Rest(self._module.prefix, self._handle, app))
        app.openapi = partial(self._openapi, app.openapi)  # type: ignore[method-assign]
        announce(self._module.prefix, self._module.settings)

    def _surrounded(self, build: Callable[[], "ASGIApp"]) -> "ASGIApp":
        return _Middleware(build(), self)

    def _openapi(self, of_the_application: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The application's own document, and the module's endpoints in it."""
        from ..api.openapi import document  # noqa: PLC0415 - nobody asks for it at a cold start

        whole, ours = of_the_application(), document(self._module.prefix, {})
        whole["paths"] |= ours["paths"]
        for kind, parts in ours["components"].items():
            whole.setdefault("components", {}).setdefault(kind, {}).update(parts)
        return whole

    async def _wire_and_inject(self, path: str, context: LambdaContext | None = None) -> Injected:
        try:
            chaos = await self._run(self._module.get)
        except ChaosError:
            self.inject = _untouched
        except RuntimeError as error:  # no more threads
            log.warning("No fault is injected into this request: %s", error)
            return UNTOUCHED
        else:
            if self.inject == self._wire_and_inject:  # of the first requests at once, the first
                self.inject = self.off_loop = OffLoop(chaos.injection)
        return await self.inject(path, context)

    async def _run(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    async def _handle(self, request: fastapi.Request) -> fastapi.Response:
        injected: Injected = request.scope.get(SCOPE, UNTOUCHED)
        asked = Request(
            method=request.method,
            path=request.url.path.partition(self._module.prefix)[2],
            headers=dict(request.headers),
            query={name: request.query_params.getlist(name) for name in request.query_params},
            body=await _body(request),
            active=injected.names,
            injected=injected.hits,
            problem=injected.problem,
            source=request.client.host if request.client else "",
        )
        response = await self._run(self._module.handle, asked)
        return fastapi.Response(response.body, response.status, response.all_headers)


class _Rest(Route):
    """What is below the prefix and no endpoint. The application's own routes there go first, also those added later."""

    def __init__(
        self,
        prefix: str,
        handle: Callable[[fastapi.Request], Awaitable[fastapi.Response]],
        app: fastapi.FastAPI,
    ) -> None:
        path = prefix + "{rest:path}"
        super().__init__(path, handle, methods=METHODS, name="chaos_experiments_rest", include_in_schema=False)
        self._prefix = prefix
        self._app = app

    def matches(self, scope: "Scope") -> "tuple[Match, Scope]":
        if self._prefix not in scope["path"]:  # the requests of the application pay for no more than this
            return Match.NONE, {}
        match, child_scope = super().matches(scope)
        if match is not Match.FULL:
            return match, child_scope
        rest = child_scope["path_params"]["rest"]
        if rest[:1] not in ("", "/") or any(self._gives_way_to(route, scope) for route in self._app.routes):
            return Match.NONE, {}
        return match, child_scope

    def _gives_way_to(self, route: "BaseRoute", scope: "Scope") -> bool:
        """Not to one for everything, such as a single-page application's."""
        own = getattr(route, "path", self._prefix).startswith(self._prefix)
        return own and not isinstance(route, _Rest) and route.matches(scope)[0] is Match.FULL


class _Middleware:
    """Around everything, also around what answers where the application raises."""

    def __init__(self, app: "ASGIApp", chaos: ChaosExperiments) -> None:
        self._app = app
        self._chaos = chaos

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, partial(self._receive_and_tell, receive), send)
            return
        if scope["type"] != "http" or (scope["method"] == "OPTIONS" and _is_preflight(scope)):
            await self._app(scope, receive, send)
            return
        injected = await self._chaos.inject(
            scope["path"].removeprefix(scope.get("root_path", "")), scope.get(LAMBDA_CONTEXT)
        )
        if injected is UNTOUCHED:
            await self._app(scope, receive, send)
            return
        scope[SCOPE] = injected
        added = [(name.lower().encode(), value.encode()) for name, value in injected.headers.items()]

        off_loop = self._chaos.off_loop

        async def send_with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                if off_loop:
                    off_loop.count(injected, message["status"])
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            if off_loop:
                await off_loop.finish(injected)

    async def _receive_and_tell(self, receive: "Receive") -> "Message":
        """A server that goes down waits for this: what was counted in the last interval is not lost."""
        message = await receive()
        if message["type"] == "lifespan.shutdown" and self._chaos.off_loop:
            await self._chaos.off_loop.tell()
        return message


class _Answers:
    """In the route's place, and within the application's own middleware, such as CORS: browsers hide it without."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> Awaitable[None]:
        """Not a coroutine itself: an untouched request is spared one."""
        if SCOPE not in scope:
            return self._app(scope, receive, send)
        annotate(scope[SCOPE])
        if not scope[SCOPE].answer:
            return self._app(scope, receive, send)
        response = injected_failure(scope[SCOPE].answer, {})
        return fastapi.Response(response.body, response.status, response.all_headers)(scope, receive, send)


def _is_preflight(scope: "Scope") -> bool:
    """A browser's question before its request: where it fails, no script of the page gets to see what it failed of."""
    return any(name == b"access-control-request-method" for name, _ in scope["headers"])


async def _untouched(_path: str, _context: LambdaContext | None = None) -> Injected:
    return UNTOUCHED


async def _body(request: fastapi.Request) -> bytes:
    """No more of it than it takes to see that it is too large."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            break
    return body
