"""FastAPI: a pure ASGI middleware around the application, and the endpoints as routes of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Unpack

import fastapi

from .. import local
from ..api.endpoints import ENDPOINTS, PREFIX
from ..api.http import MAX_BODY_BYTES, Request, injected_failure
from ..bootstrap import Chaos, Lazy, Options, bootstrap
from ..errors import ChaosError
from ..injection.injection import UNTOUCHED, Injected
from ..injection.off_loop import OffLoop

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SCOPE = "chaos_experiments.injected"
"""Where in the request's scope the middleware leaves what it did, for the test endpoint to tell."""


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
        self._module = Lazy(wire, prefix=prefix, announce=local.announce, **options)
        self.inject: Callable[[str], Awaitable[Injected]] = self._wire_and_inject
        if app is not None:
            self.init_app(app)

    def init_app(self, app: fastapi.FastAPI) -> None:
        app.add_middleware(_Middleware, chaos=self)
        for endpoint in ENDPOINTS:
            app.add_api_route(
                self._module.prefix + endpoint.path,
                self._handle,
                methods=[endpoint.method],
                name=f"chaos_experiments_{endpoint.handler}",
                tags=["chaos experiments"],
            )

    async def _wire_and_inject(self, path: str) -> Injected:
        try:
            chaos = await asyncio.to_thread(self._module.get)
        except ChaosError:
            self.inject = _untouched
        else:
            self.inject = OffLoop(chaos.injection)
        return await self.inject(path)

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
        )
        response = await asyncio.to_thread(self._module.handle, asked)
        return fastapi.Response(response.body, response.status, response.all_headers)


class _Middleware:
    def __init__(self, app: "ASGIApp", chaos: ChaosExperiments) -> None:
        self._app = app
        self._chaos = chaos

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        injected = await self._chaos.inject(scope["path"].removeprefix(scope.get("root_path", "")))
        if injected is UNTOUCHED:
            await self._app(scope, receive, send)
            return
        scope[SCOPE] = injected
        if injected.answer:
            response = injected_failure(injected.answer, injected.headers)
            await fastapi.Response(response.body, response.status, response.all_headers)(scope, receive, send)
            return
        added = [(name.lower().encode(), value.encode()) for name, value in injected.headers.items()]

        async def send_with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


async def _untouched(_path: str) -> Injected:
    return UNTOUCHED


async def _body(request: fastapi.Request) -> bytes:
    """No more of it than it takes to see that it is too large."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            break
    return body
