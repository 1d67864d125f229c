"""Any ASGI application: a boundary around it that answers the endpoints itself, on asyncio and on trio."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from ..api.http import MAX_BODY_BYTES, Request, Response, injected_failure
from ..faults.base import Answer, Disconnect, Outcome, Raise
from ..injection.call import LambdaContext, RequestCall, gateway_context, query_values
from ..injection.current import CURRENT
from ..injection.drivers import AsyncInjection
from ..injection.engine import Blocked, InjectionResult
from ..results.spans import annotate
from ..results.tally import SERVER_ERROR
from .answers_on_loop import ChangedSend, offer_nothing_past_us
from .connections import CLOSED, note, unanswered
from .connections_on_loop import ServerSide, current_task
from .lambda_time import seconds_left
from .module import ChaosModule, is_control_plane, is_within_a_call, tested

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

T = TypeVar("T")

LAMBDA_CONTEXT = "aws.context"
"""Where mangum puts the Lambda invocation's context."""

LAMBDA_EVENT = "aws.event"
"""Where mangum puts the event that invoked the function."""

BLANKS = b" \t"
"""What is no part of a header's value at its ends. Not every server takes it away."""

THREADS = 4
"""How many threads the data plane may take at a time, and the control plane; the application's are not touched."""


class Threads:
    """Sleep, and calls that may block, on whatever event loop runs. Its threads are its own, at most `THREADS`.

    Each loop has a limit of its own. One that is abandoned, with calls under way, leaves nothing taken for the next
    one; and loops of two threads, or of two libraries, could not wait for each other.
    """

    def __init__(self) -> None:
        self._limiters: RunVar[anyio.CapacityLimiter] = RunVar("chaos_experiments")

    def _limiter(self) -> anyio.CapacityLimiter:
        limiter = self._limiters.get(None)
        if limiter is None:
            limiter = anyio.CapacityLimiter(THREADS)
            self._limiters.set(limiter)
        return limiter

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def run_blocking(self, call: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._limiter())

    async def run_anyhow(self, call: Callable[[], T]) -> T:
        """As `run_blocking`; on the event loop itself where the process may have no more threads."""
        begun = False

        def run() -> T:
            nonlocal begun
            begun = True
            return call()

        try:
            return await self.run_blocking(run)
        except RuntimeError as error:
            if begun:
                raise
            log.warning("The event loop waits for the answer of an endpoint: %s", error)
            return call()


class ASGICall(RequestCall):
    """A request, as the server hands it over."""

    __slots__ = ("name", "scope", "send", "task")

    def __init__(self, scope: "Scope", path: str, send: "Send", task: Any) -> None:  # noqa: ANN401 - asyncio's, or trio's
        """`task` is the one in which the server serves it."""
        self.scope = scope
        self.name = path
        self.send = send
        self.task = task

    @property
    def server(self) -> ServerSide:
        return ServerSide(self.scope, self.send, self.task)

    @property
    def is_client_gone(self) -> bool:
        return self.server.is_client_gone

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    def header(self, name: str) -> str | None:
        asked = name.encode()
        values = [value for key, value in self.scope["headers"] if key == asked]
        return b",".join(values).strip(BLANKS).decode("latin-1") if values else None

    def query(self, name: str) -> Sequence[str]:
        return query_values(self.scope.get("query_string", b"").decode("utf-8", "replace"), name)

    @property
    def gateway(self) -> Mapping[str, Any] | None:
        return gateway_context(self.scope.get(LAMBDA_EVENT))

    @property
    def remaining_seconds(self) -> float:
        context: LambdaContext | None = self.scope.get(LAMBDA_CONTEXT)
        return seconds_left(context, self.header)


class ASGIBoundary:
    """Around an ASGI application. Where that has no route's place of its own, faults are applied around all of it."""

    def __init__(
        self,
        application: "ASGIApp",
        module: ChaosModule,
        *,
        has_route_place: bool = False,
        host_cors: Sequence[Callable[["ASGIApp"], "ASGIApp"]] = (),
    ) -> None:
        """`host_cors` are the application's own middlewares that add CORS headers."""
        self._application = self.app = application
        self._module = module
        self._has_route_place = has_route_place
        self._data_plane, self._control_threads = Threads(), Threads()
        self._injection: AsyncInjection | None = None
        self._endpoints: ASGIApp = self._control_plane
        for cors in host_cors:
            self._endpoints = cors(self._endpoints)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """As servers recognise an ASGI application."""
        await self.serve(scope, receive, send)

    def serve(self, scope: "Scope", receive: "Receive", send: "Send") -> Awaitable[None]:
        """To be called, and awaited, by a coroutine. Not one itself: a request that passes through is spared it."""
        if scope["type"] != "http":
            return self._not_http(scope, receive, send)
        path = path_of(scope)
        if self._module.is_ours(path):
            return self._endpoints(scope, receive, send)
        if self._module.is_idle() or _passes(path, scope):
            return self._application(scope, receive, send)
        return self._active(path, scope, receive, send)

    # The data plane

    def _active(self, path: str, scope: "Scope", receive: "Receive", send: "Send") -> Awaitable[None]:
        """As `serve`, no coroutine itself."""
        call = ASGICall(scope, path, send, current_task())
        injection = self._injection
        if injection is None or injection.engine is not self._module.wired_engine:
            return self._arrive(call, receive)
        arrived = injection.arrive_now(call)
        if isinstance(arrived, Blocked):
            return self._arrive(call, receive)
        if arrived is None:
            return self._application(scope, receive, send)
        return self._served((injection, arrived), call, receive)

    async def _arrive(self, call: ASGICall, receive: "Receive") -> None:
        """Where something has to be done first that may block."""
        injection = await self._prepared()
        arrived = injection.arrive_now(call) if injection else None
        if injection and isinstance(arrived, Blocked):
            arrived = await injection.arrive(call)
        if injection and isinstance(arrived, InjectionResult):
            await self._served((injection, arrived), call, receive)
        else:
            await self._application(call.scope, receive, call.send)

    async def _served(
        self, current: tuple[AsyncInjection, InjectionResult], call: ASGICall, receive: "Receive"
    ) -> None:
        injection, result = current
        application, scope = self._application, call.scope
        if not self._has_route_place:
            application = partial(_in_place, current, application)
        token = CURRENT.set(current)
        try:
            await application(scope, receive, _counted(injection, result, call))
        except Exception:
            if not result.is_answered:
                result.is_answered = True
                injection.count(result, SERVER_ERROR)
                annotate(result)
            if result.answer is None or not result.answer.has_raised:
                raise
        finally:
            CURRENT.reset(token)
            if result.answer is not None:
                result.answer.close()
            if not result.is_answered:  # cancelled, or it returned without an answer
                result.is_answered = True
                injection.count(result, None)
            if injection.may_flush(result):
                await injection.flush(result.call)
            injection.end(result)

    async def _prepared(self) -> AsyncInjection | None:
        self._injection = await self._module.injection_on_loop(self._injection, self._data_plane, self._control_threads)
        return self._injection

    def _not_http(self, scope: "Scope", receive: "Receive", send: "Send") -> Awaitable[None]:
        """A server that goes down waits for a lifespan's end: the counts of the last interval are not lost.

        In Lambda each invocation may have a lifespan of its own; there requests flush, when it is time.
        """
        if scope["type"] == "lifespan":
            receive = partial(self._receive_and_flush, receive)
        return self._application(scope, receive, send)

    async def _receive_and_flush(self, receive: "Receive") -> "Message":
        message = await receive()
        injection = self._injection
        if message["type"] == "lifespan.shutdown" and injection and self._module.flushes_at_end(injection.engine):
            await injection.flush_last()
        return message

    # The control plane

    async def _control_plane(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        path = path_of(scope)
        request = await _request(path.removeprefix(self._module.prefix), scope, receive)
        call = ASGICall(scope, path, send, current_task())
        response = self._module.preflight(request.method, request.headers)
        if response is None:
            response = await self._answer(request, call)
        if response.drops_connection and await call.server.reset() in CLOSED:
            return
        await send_response(response.with_headers(self._module.cross_origin(request.headers)), scope, receive, send)

    async def _answer(self, request: Request, call: ASGICall) -> Response:
        run = self._control_threads.run_anyhow
        if not self._module.is_test(call.name):
            return await run(partial(self._module.handle, request, call))
        admitted = await run(partial(self._module.admit, request, call))
        if isinstance(admitted, Response):
            return admitted
        injection = await self._prepared()
        if injection is None:
            return await run(partial(self._module.handle, admitted, call))
        result = await injection.test(call)
        outcome = tested(admitted, result)
        response = outcome if isinstance(outcome, Response) else await run(partial(self._module.handle, outcome, call))
        if result:
            annotate(result)
            injection.count(result, response.status)
            if injection.may_flush(result):
                await injection.flush(result.call)
            response = response.with_headers(result.headers)
            injection.end(result)
        return response


def path_of(scope: "Scope") -> str:
    """The decoded path that the client asked for, below the mount point."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :]
    return path


def _counted(injection: AsyncInjection, result: InjectionResult, call: ASGICall) -> "Send":
    """`send` for a request that is counted."""
    send = call.send
    is_gone = False

    async def send_counted(message: "Message") -> None:
        nonlocal is_gone
        if message["type"] == "http.response.start":
            if result.changes:
                result.answer = ChangedSend(injection, result, call.scope, send, call.server.cut)
                message = result.answer.begin(message)
            result.is_answered = True
            status = message["status"]
            if isinstance(result.outcome, Disconnect):
                how = await call.server.reset()
                status, is_gone = note(result, how), how in CLOSED
            injection.count(result, status)
            if result.hits or result.notes:
                message = _marked(message, result)
        elif result.answer is not None and message["type"] == "http.response.body":
            await result.answer.body(message)
            return
        if not is_gone:
            await send(message)

    return send_counted


def _marked(message: "Message", result: InjectionResult) -> "Message":
    """The beginning of an answer to a request that was hit, or that a dry run would have hit."""
    annotate(result)
    headers = [*message.get("headers", ())]
    for name, value in result.headers.items():
        headers.append((_raw(name), value.encode()))
    return {**message, "headers": headers}


@cache
def _raw(name: str) -> bytes:
    """The name of one of our headers, as ASGI has it."""
    return name.lower().encode()


def _in_place(
    current: tuple[AsyncInjection, InjectionResult],
    application: "ASGIApp",
    scope: "Scope",
    receive: "Receive",
    send: "Send",
) -> Awaitable[None]:
    """An application that has no route's place of its own: faults are applied around all of it."""
    injection, result = current
    hits = injection.decide(result)
    if hits is None:
        return application(scope, receive, send)
    return serve_hit(application, scope, receive, send, applied=injection.apply(result, hits), result=result)


async def serve_hit(
    application: "ASGIApp",
    scope: "Scope",
    receive: "Receive",
    send: "Send",
    *,
    applied: Awaitable[Outcome],
    result: InjectionResult,
) -> None:
    """What becomes of a request that is hit, in its place: the application is asked where no fault takes its place."""
    match await applied:
        case Answer() as answer:
            await send_response(injected_failure(answer, {}), scope, receive, send)
        case Raise(exception):
            raise exception
        case Disconnect():
            await send_response(unanswered(), scope, receive, send)
        case _:
            if result.changes:
                offer_nothing_past_us(scope)
            await application(scope, receive, send)


def _passes(path: str, scope: "Scope") -> bool:
    """Whether the request is another boundary's already, a browser's preflight, or another module's endpoint."""
    preflight = scope["method"] == "OPTIONS" and any(name == PREFLIGHT for name, _ in scope["headers"])
    return preflight or is_within_a_call() or is_control_plane(path)


PREFLIGHT = b"access-control-request-method"


async def _request(path: str, scope: "Scope", receive: "Receive") -> Request:
    client = scope.get("client")
    return Request(
        method=scope["method"],
        path=path,
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        query=parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True),
        body=await _body(receive),
        source=client[0] if client else "",
    )


async def _body(receive: "Receive") -> bytes:
    """No more of it than it takes to see that it is too large."""
    body, more = b"", True
    while more and len(body) <= MAX_BODY_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def send_response(response: Response, scope: "Scope", _receive: Any, send: "Send") -> None:  # noqa: ANN401 - as ASGI has it
    body = response.body.encode()
    headers = {**response.all_headers, **response.length(body)}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
