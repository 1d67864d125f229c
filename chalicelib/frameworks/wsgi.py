"""Any WSGI application: a boundary around it that answers the endpoints itself, before the application sees them."""

import re
import string
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from ..api.http import MAX_BODY_BYTES, Request, Response, injected_failure
from ..errors import InjectedDisconnect
from ..faults.base import Answer, Disconnect, Exit, Raise
from ..injection.call import RequestCall, gateway_context, query_values
from ..injection.current import CURRENT
from ..injection.drivers import SyncInjection
from ..injection.engine import InjectionResult
from ..results.spans import annotate
from ..results.tally import SERVER_ERROR
from ..server import executor_of
from . import connections
from .answers import ChangedAnswer, ChangedBody
from .lambda_time import seconds_left
from .module import ChaosModule, is_control_plane, is_preflight, is_within_a_call

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

LAMBDA_CONTEXTS = ("serverless.context", "apig_wsgi.context", "awsgi.context", "lambda.context")
"""Where serverless-wsgi, apig-wsgi, aws-wsgi and Zappa put the Lambda invocation's context."""

ASGI_SCOPE, ASGI_CONTEXT = "asgi.scope", "aws.context"
"""Where a2wsgi puts the scope of ASGI in which it serves, and mangum the context in that."""

LAMBDA_EVENTS = ("serverless.event", "apig_wsgi.full_event")
"""Where serverless-wsgi and apig-wsgi put the event that invoked the function."""

UNPOOLED = re.compile(r"Thread-\d|Dummy-|Greenlet|GreenThread|MainThread")
"""Names of threads, and of what stands for them, of which a server makes one for each request."""

UPGRADE = "HTTP_UPGRADE"
PREFLIGHT = "HTTP_ACCESS_CONTROL_REQUEST_METHOD"
UNPREFIXED = ("CONTENT_TYPE", "CONTENT_LENGTH")

HostCors = Callable[["WSGIEnvironment", Response], Mapping[str, str]]
"""The CORS headers that the application would add to an answer of its own."""


@lru_cache(maxsize=256)
def _variable(header: str) -> str:
    """The name of a header in an environ."""
    name = header.upper().replace("-", "_")
    return name if name in UNPREFIXED else f"HTTP_{name}"


class WSGICall(RequestCall):
    """A request, as the server hands it over."""

    __slots__ = ("environ", "name")

    def __init__(self, environ: "WSGIEnvironment", path: str) -> None:
        self.environ = environ
        self.name = path

    @property
    def method(self) -> str:
        return str(self.environ["REQUEST_METHOD"])

    def header(self, name: str) -> str | None:
        value = self.environ.get(_variable(name))
        return None if value is None else str(value).strip(" \t")  # not every server takes blanks at its end away

    def query(self, name: str) -> Sequence[str]:
        query: str = self.environ.get("QUERY_STRING", "")
        return query_values(query if query.isascii() else decoded(query), name)

    @property
    def gateway(self) -> Mapping[str, Any] | None:
        found = (self.environ.get(name) for name in LAMBDA_EVENTS)
        return gateway_context(next(filter(None, found), None))

    @property
    def workers(self) -> int | None:
        if not self.environ.get("wsgi.multithread"):
            return 1
        return pool_size(threading.current_thread())

    @property
    def is_client_gone(self) -> bool:
        return connections.is_client_gone(self.environ)

    @property
    def remaining_seconds(self) -> float:
        environ: Mapping[str, Any] = self.environ
        found = next((environ[name] for name in LAMBDA_CONTEXTS if name in environ), None)
        return seconds_left(found or environ.get(ASGI_SCOPE, {}).get(ASGI_CONTEXT), self.header)


class WSGIBoundary:
    """Around a WSGI application. Where that has no route's place of its own, faults are applied around all of it."""

    def __init__(
        self,
        application: "WSGIApplication",
        module: ChaosModule,
        *,
        has_route_place: bool = False,
        host_cors: HostCors | None = None,
    ) -> None:
        self._application = application
        self._module = module
        self._has_route_place = has_route_place
        self._host_cors = host_cors

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not path.isascii():
            path = decoded(path)
        if self._module.is_ours(path):
            return self._control_plane(path, environ, start_response)
        if self._module.is_idle():
            return self._application(environ, start_response)
        return self._active(path, environ, start_response)

    # The data plane

    def _active(self, path: str, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        injection = self._module.injection()
        result = None
        if injection and not self._passes(path, environ):
            result = injection.arrive(WSGICall(environ, path))
        if injection is None or result is None:
            return self._application(environ, start_response)
        application = self._application
        if not self._has_route_place:
            application = partial(_in_place, injection, result, application)
        return self._served(injection, result, application, environ, start_response)

    def _passes(self, path: str, environ: "WSGIEnvironment") -> bool:
        """Whether it is another boundary's already, a preflight, a websocket, or another module's endpoint."""
        preflight = environ["REQUEST_METHOD"] == "OPTIONS" and PREFLIGHT in environ
        websocket = UPGRADE in environ and _is_websocket(environ)
        return preflight or websocket or is_within_a_call() or is_control_plane(path)

    def _served(
        self,
        injection: SyncInjection,
        result: InjectionResult,
        application: "WSGIApplication",
        environ: "WSGIEnvironment",
        start_response: "StartResponse",
    ) -> Iterable[bytes]:
        current = (injection, result)
        token = CURRENT.set(current)
        try:
            body = application(environ, _counted(injection, result, environ, start_response))
        except BaseException as error:
            _count_failure(*current, error)
            if result.answer is not None:  # it had begun, and there is no body that a server could close
                result.answer.close()
            injection.end(result)
            raise
        finally:
            CURRENT.reset(token)
        if not result.is_answered:
            return _LateBody(body, current)
        body = body if result.answer is None else ChangedBody(result.answer, body)
        return _LastBody(body, current) if isinstance(result.outcome, Exit) else body

    # The control plane

    def _control_plane(self, path: str, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = _request(path.removeprefix(self._module.prefix), environ)
        response = self._module.preflight(request.method, request.headers)
        if response is None:
            response = self._module.answer(request, WSGICall(environ, path))
        added = self._module.cross_origin(request.headers)
        if self._host_cors and not self._module.has_origins and "origin" in request.headers:
            added = dict(self._host_cors(environ, response))
            if added and is_preflight(request.method, request.headers):
                response = Response(200, {}, text="")
        if response.drops_connection and connections.reset(environ) == connections.FAILED_INVOCATION:
            raise InjectedDisconnect
        return sent(response.with_headers(added), environ, start_response)


def _is_websocket(environ: "WSGIEnvironment") -> bool:
    """Whether the application takes the connection over, and so never answers."""
    return environ[UPGRADE].lower() == "websocket" and "upgrade" in environ.get("HTTP_CONNECTION", "").lower()


def pool_size(thread: threading.Thread) -> int | None:
    """How many threads the pool has that a thread belongs to; None where each request has one of its own."""
    if UNPOOLED.match(thread.name):
        return None
    most = getattr(executor_of(thread), "_max_workers", None)  # where threads are started when they are needed
    if isinstance(most, int):
        return most
    pool = thread.name.rstrip(string.digits)
    return sum(each.name.rstrip(string.digits) == pool for each in threading.enumerate())


def decoded(text: str) -> str:
    """The path or the query that the client asked for: a server hands over its bytes as Latin-1."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


def _counted(
    injection: SyncInjection, result: InjectionResult, environ: "WSGIEnvironment", start_response: "StartResponse"
) -> Callable[..., Any]:
    """`start_response` for a request that is counted; an error may start an answer after the first one.

    Its annotations are quoted, or each request would evaluate them.
    """

    def start(status: str, headers: "list[tuple[str, str]]", *error: Any) -> "Callable[[bytes], object]":  # noqa: ANN401
        if result.changes:
            result.answer = result.answer or ChangedAnswer(injection, result, partial(connections.cut, environ))
            status, headers = result.answer.begin(status, headers)
        if not result.is_answered:
            result.is_answered = True
            how = connections.reset(environ) if isinstance(result.outcome, Disconnect) else None
            injection.finish(result, connections.note(result, how) if how else _number(status))
            if result.hits:
                annotate(result)
            if how == connections.FAILED_INVOCATION:
                raise InjectedDisconnect
        if result.hits or result.notes:
            headers = [*headers, *result.headers.items()]
        write = start_response(status, headers, *error)
        return result.answer.writing(write) if result.changes else write

    return start


def _number(status: str) -> int:
    return int(status[:3]) if status[:3].isdecimal() else 0


def _in_place(
    injection: SyncInjection,
    result: InjectionResult,
    application: "WSGIApplication",
    environ: "WSGIEnvironment",
    start_response: "StartResponse",
) -> Iterable[bytes]:
    """An application that has no route's place of its own: faults are applied around all of it."""
    match injection.apply(result):
        case Answer() as answer:
            return sent(injected_failure(answer, {}), environ, start_response)
        case Raise(exception):
            raise exception
        case Disconnect():
            return sent(connections.unanswered(), environ, start_response)
        case _:
            return application(environ, start_response)


def _count_failure(injection: SyncInjection, result: InjectionResult, error: BaseException | None = None) -> None:
    """An exception is answered by the server; whatever else ends a request, like the exit of a worker, is not."""
    if not result.is_answered:
        result.is_answered = True
        result.changes = ()  # there is no answer to change
        injection.finish(result, SERVER_ERROR if isinstance(error, Exception) else None)
        annotate(result)


class _LastBody:
    """The body of an answer after which this process ends: a server closes it when it has sent all of it."""

    def __init__(self, body: Iterable[bytes], current: tuple[SyncInjection, InjectionResult]) -> None:
        self._body = body
        self._current = current

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        injection, result = self._current
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            injection.end(result)


class _LateBody:
    """The body of an application that serves when its body is asked for, as generators do.

    A server may ask for parts of other bodies in between, or close it without having asked for any.
    """

    def __init__(self, body: Iterable[bytes], current: tuple[SyncInjection, InjectionResult]) -> None:
        self._body = body
        self._current = current
        self._parts: Iterator[bytes] | None = None
        self._pieces: Iterator[bytes] | None = None
        """Of an answer that is changed, which shows when it has begun."""

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._pieces is not None:
            return next(self._pieces)
        parts: Iterable[bytes]
        try:
            part = self._next()
        except StopIteration:
            if self._current[1].answer is None:
                raise
            parts = ()
        else:
            if self._current[1].answer is None:
                return part
            parts = (part,)
        self._pieces = self._current[1].answer.pieces(chain(parts, iter(self._next, None)))
        return next(self._pieces)

    def _next(self) -> bytes:
        token = CURRENT.set(self._current)
        try:
            if self._parts is None:
                self._parts = iter(self._body)
            return next(self._parts)
        except StopIteration:
            raise
        except BaseException as error:
            _count_failure(*self._current, error)
            raise
        finally:
            CURRENT.reset(token)

    def close(self) -> None:
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            injection, result = self._current
            _count_failure(injection, result)
            if result.answer is not None:
                result.answer.close()
            injection.end(result)


def _request(path: str, environ: "WSGIEnvironment") -> Request:
    call = WSGICall(environ, path)
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    if content_type := environ.get("CONTENT_TYPE"):
        headers["content-type"] = content_type
    query = environ.get("QUERY_STRING", "")
    return Request(
        method=call.method,
        path=path,
        headers=headers,
        query=parse_qs(query, keep_blank_values=True),
        body=_body(environ),
        source=environ.get("REMOTE_ADDR", ""),
        one_at_a_time=not environ.get("wsgi.multithread", True),
    )


def _body(environ: "WSGIEnvironment") -> bytes:
    """No more of it than it takes to see that it is too large."""
    length = environ.get("CONTENT_LENGTH") or ""
    if not length.isdecimal() and not environ.get("wsgi.input_terminated"):
        return b""
    most = min(int(length), MAX_BODY_BYTES + 1) if length.isdecimal() else MAX_BODY_BYTES + 1
    body: bytes = environ["wsgi.input"].read(most)
    return body


def sent(response: Response, environ: "WSGIEnvironment", start_response: Callable[..., object]) -> Iterable[bytes]:
    body = response.body.encode()
    headers = {**response.all_headers, **response.length(body)}
    start_response(f"{response.status} {response.reason}", list(headers.items()))
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
