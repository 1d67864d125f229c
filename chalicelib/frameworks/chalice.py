"""Chalice: the outermost middleware as boundary, and the route's place where a view function is called."""

import json
import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial, update_wrapper
from typing import Any, Unpack, cast
from urllib.parse import unquote

from .chalice_local import restart_for_source_files_only, served_by_chalice_local

restart_for_source_files_only()  # before the imports below, whose reads and bytecode it would restart for

from chalice.app import (
    AuthRequest,
    AuthResponse,
    AuthRoute,
    Chalice,
    MiddlewareHandler,
    RestAPIEventHandler,
    SNSEvent,
    handle_extra_types,
)
from chalice.app import Request as ChaliceRequest
from chalice.app import Response as ChaliceResponse

from ..access import ROLES, Caller, Role
from ..api.endpoints import ENDPOINTS, METHODS, Endpoint
from ..api.http import Request, Response, failure, injected_failure
from ..development.banner import banner
from ..errors import ChaosError, InjectedDisconnect, InvalidJson, Unauthenticated
from ..faults.base import PROCEED, Answer, Disconnect, Raise
from ..guardrails.alarms import abort_for
from ..injection.call import LambdaContext, RequestCall
from ..injection.current import CURRENT
from ..injection.drivers import SyncInjection
from ..injection.engine import InjectionResult
from ..injection.invocation import InvocationCall, is_alarm
from ..results.spans import annotate
from ..results.tally import SERVER_ERROR
from . import check_application, connections
from .answers import changed_whole
from .aws_lambda import remaining_of
from .background import Background
from .invocations import Invocations, in_place
from .lambda_time import seconds_left
from .module import ChaosModule, Options, is_within_a_call

log = logging.getLogger(__name__)

ANY_CONTENT_TYPE = ["*/*"]
"""The module itself refuses what is not JSON, in its envelope."""

CONTENT_TYPE = "Content-Type"
"""As `chalice local` spells it, which adds one of its own where there is none of this name."""

ROUTED = [method for method in METHODS if method not in {"OPTIONS", "TRACE"}]
"""OPTIONS is what Chalice itself answers, where a route has CORS; TRACE the gateway does not know."""

PARAMETER = re.compile("{([^{}]+)}")
"""What stands for a segment in the path of a route."""

EVENTS = ("pure_lambda", "scheduled", "cloudwatch", "sqs", "sns", "s3", "kinesis", "dynamodb")
"""What Chalice's middleware calls the functions that are no routes. Websockets are not hit."""

GetResponse = Callable[[ChaliceRequest | None], ChaliceResponse]


class ChaliceCall(RequestCall):
    """A request, as Chalice has it."""

    __slots__ = ("context", "name", "request")

    def __init__(self, request: ChaliceRequest, path: str, context: LambdaContext | None) -> None:
        self.request = request
        self.name = path
        self.context = context

    @property
    def method(self) -> str:
        return str(self.request.method)

    def header(self, name: str) -> str | None:
        value = self.request.headers.get(name)
        if value is None:
            return None
        all_values = self.request.to_original_event().get("multiValueHeaders") or {}  # Chalice has the last one alone
        for each, values in all_values.items():
            if each.lower() == name and len(values) > 1:
                return ",".join(values)
        return str(value).strip(" \t")  # `chalice local` leaves blanks at the end

    def query(self, name: str) -> Sequence[str]:
        given = self.request.query_params
        return [str(value) for value in given.getlist(name)] if given and name in given else ()

    @property
    def gateway(self) -> Mapping[str, Any] | None:
        context: Mapping[str, Any] | None = self.request.context
        return context

    @property
    def is_client_gone(self) -> bool:
        return connections.is_client_gone({})

    @property
    def remaining_seconds(self) -> float:
        return seconds_left(self.context, self.header)


class ChaosExperiments(Background):
    """The module in a Chalice application. Wired at the first request, or at once where `chalice local` serves it."""

    def __init__(self, app: Chalice, *, routes: bool = True, **options: Unpack[Options]) -> None:
        """Where `routes` is false, call `mount` with the authorizer of the endpoints.

        Raises ValueError for an application that has the module already.
        """
        has_module = any(
            isinstance(getattr(handler, "__self__", None), ChaosExperiments)
            for handler, _ in getattr(app, "middleware_handlers", ())
        )
        check_application(app, Chalice, has_module=has_module)
        self._app = app
        self._module = ChaosModule(**options)
        self._has_authorizer = not routes
        self._invocations = Invocations(self._module)
        app.middleware_handlers[:0] = [(self._boundary, "http"), *((self._event, kind) for kind in EVENTS)]
        if routes:
            self.mount()
        if url := served_by_chalice_local(sys.argv):
            self._welcome(url)

    def mount(self, *, authorizer: Any = None) -> None:  # noqa: ANN401 - a function that Chalice has wrapped
        """Add the routes of the endpoints, which API Gateway needs to know.

        With an authorizer, which asks `authorize`, the gateway refuses requests without a valid token.
        """
        for path, endpoints in _by_path().items():
            methods = ROUTED if authorizer is None else [method for each in endpoints for method in _methods(each)]
            is_open = any(endpoint.role is Role.ANYONE for endpoint in endpoints)
            self._add_route(path, methods, None if is_open else authorizer)
            if self._module.has_origins:
                self._add_route(path, ["OPTIONS"], None)

    def _add_route(self, path: str, methods: Sequence[str], authorizer: Any) -> None:  # noqa: ANN401 - as above
        options: dict[str, Any] = {"authorizer": authorizer} if authorizer else {}
        if self._module.has_origins:
            options["cors"] = False  # the module answers preflights itself
        whole = self._module.prefix + path
        self._app.route(whole, methods=list(methods), content_types=ANY_CONTENT_TYPE, **options)(self.handle)

    def _welcome(self, url: str) -> None:
        """The first thing that a developer reads; also what is wrong, while the application serves all the same."""
        with suppress(ChaosError):  # which is in the log
            print(banner(self._module.get().settings, url, self._module.prefix), flush=True)  # noqa: T201

    # The data plane

    def _boundary(self, request: ChaliceRequest | None, get_response: GetResponse) -> ChaliceResponse:
        if request is None:
            return get_response(request)
        if self._module.is_ours(request.path):
            return self.handle()
        if self._module.is_idle():
            return get_response(request)
        return self._active(request, get_response)

    def _active(self, request: ChaliceRequest, get_response: GetResponse) -> ChaliceResponse:
        injection = self._module.injection()
        result = None
        if injection and not is_within_a_call():
            values = request.uri_params
            path = _with_values(request.path, values) if values else request.path
            result = injection.arrive(ChaliceCall(request, path, self._app.lambda_context))
        if injection is None or result is None:
            return get_response(request)
        route = self._route(request)
        if route and not isinstance(route.view_function, _RoutePlace):
            route.view_function = _RoutePlace(route.view_function, self._translated)  # once for each route
        try:
            return self._served(injection, result, request, get_response)
        except Exception:
            if not result.hits:
                raise
            # As Chalice itself would now, which knows nothing of our headers.
            response = RestAPIEventHandler._unhandled_exception_to_response(cast("Any", self._app))  # noqa: SLF001
            response.headers = {**response.headers, **result.headers}
            return response

    def _served(
        self, injection: SyncInjection, result: InjectionResult, request: ChaliceRequest, get_response: GetResponse
    ) -> ChaliceResponse:
        token = CURRENT.set((injection, result))
        try:
            response = get_response(request)
            if result.changes:
                response = self._changed(injection, result, response)
        except BaseException as error:
            result.changes = ()  # of an answer that there is none of: nothing waits for it
            injection.finish(result, SERVER_ERROR if isinstance(error, Exception) else None)
            raise
        finally:
            CURRENT.reset(token)
            result.is_answered, result.changes = True, ()
            injection.end(result)
        how = connections.reset({}) if isinstance(result.outcome, Disconnect) else None
        injection.finish(result, connections.note(result, how) if how else response.status_code)
        if how == connections.FAILED_INVOCATION:
            return _FailedInvocation("")
        if result.hits or result.notes:
            annotate(result)
            response.headers = {**response.headers, **result.headers}
        return response

    def _changed(self, injection: SyncInjection, result: InjectionResult, response: ChaliceResponse) -> ChaliceResponse:
        """The application's answer, which is whole, as runs change it. The gateway says how long it is."""
        raw = _raw(response.body)
        given = [(name, value) for name, values in response.headers.items() for value in _listed(values)]
        names = {name.lower() for name, _ in given}
        given += [(name, value) for name, value in _of_the_gateway(raw) if name.lower() not in names]
        status, headers, body, is_cut = changed_whole(injection, result, response.status_code, given, raw)
        if is_cut:
            if not connections.cut_whole(len(body)):
                return _FailedInvocation("", status_code=status)
            body = body.ljust(len(raw))  # so much is announced, and not sent
        kept: dict[str, Any] = {}
        for name, value in headers:
            if name.lower() != "content-length":
                kept[name] = [*_listed(kept[name]), value] if name in kept else value
        text_or_bytes = body if self._is_binary(kept) else body.decode("utf-8", "replace")
        return ChaliceResponse(text_or_bytes, kept, status)

    def _is_binary(self, headers: Mapping[str, Any]) -> bool:
        """Whether Chalice encodes the body with Base64."""
        kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
        return str(kind).partition(";")[0].strip().lower() in self._app.api.binary_types

    def _route(self, request: ChaliceRequest) -> Any:  # noqa: ANN401 - chalice's
        return self._app.routes.get(request.path, {}).get(request.method)

    def _translated(self, response: Response) -> ChaliceResponse:
        """Our answer to the current request."""
        headers = {
            CONTENT_TYPE if name.lower() == "content-type" else name: value
            for name, value in response.all_headers.items()
        }
        is_head = cast("ChaliceRequest", self._app.current_request).method == "HEAD"  # or `chalice local` sends a body
        body = "" if is_head else response.body
        return ChaliceResponse(body.encode() if self._is_binary(headers) else body, {**headers}, response.status)

    def _event(self, event: Any, get_response: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - one of Chalice's classes
        """The boundary of every function that is no route, as Chalice hands its event on."""
        content = event.to_dict()
        if self._module.is_idle() or is_alarm(content):
            return get_response(event)
        chain, function = _placed(get_response)
        call = InvocationCall(function.name, content, remaining_of(event.context))
        return self._invocations.surround(call, partial(chain, event))

    # The control plane

    def handle(self) -> ChaliceResponse:
        """Answer the current request, which is for one of the endpoints."""
        current = cast("ChaliceRequest", self._app.current_request)
        headers = {name.lower(): value for name, value in dict(current.headers).items()}
        response = self._module.preflight(current.method, headers)
        if response is None:
            try:
                request = self._request(current, headers)
            except InvalidJson as error:
                response = failure(error)
            else:
                call = ChaliceCall(current, current.path, self._app.lambda_context)
                response = self._module.answer(request, call)
        added = self._module.cross_origin(headers) or self._cors_headers(current)
        if response.drops_connection and connections.reset({}) == connections.FAILED_INVOCATION:
            return _FailedInvocation("")
        return self._translated(response.with_headers(added))

    def authorize(self, request: AuthRequest) -> AuthResponse:
        """The routes that the bearer token opens.

        The gateway remembers the answer, a denial, too. So where nobody can tell, because the module is off, or the
        table or the keys of web tokens are unreachable, it lets the request pass without a caller: the endpoint then
        tries again, and says why it refuses.
        """
        try:
            caller = self._module.get().authenticate({"authorization": request.token})
        except Unauthenticated:
            return AuthResponse(routes=[], principal_id="unauthenticated")
        except ChaosError as error:
            log.warning("The authorizer could not authenticate, so the endpoint tries again: %s", error)
            return AuthResponse(routes=["*"], principal_id="unknown")
        except Exception:
            log.exception("The authentication raised an exception, so the endpoint tries again")
            return AuthResponse(routes=["*"], principal_id="unknown")
        routes = [
            AuthRoute(self._module.prefix + endpoint.path, _methods(endpoint))
            for endpoint in ENDPOINTS
            if endpoint.role <= caller.role
        ]
        return AuthResponse(
            routes=list(routes), principal_id=caller.name, context={"name": caller.name, "role": caller.role.word}
        )

    def alarm(self, event: SNSEvent) -> None:
        """End the runs that name an alarm, when CloudWatch tells its topic that it went into ALARM.

        Raises StoreUnavailable, so that the message comes again.
        """
        try:
            message = json.loads(event.message)
            name, state = message["AlarmName"], message["NewStateValue"]
        except (ValueError, TypeError, KeyError):
            log.warning("Ignored an SNS message that is not a CloudWatch alarm: %s", event.subject)
            return
        if state == "ALARM":
            why = str(message.get("NewStateReason", ""))
            chaos = self._module.get()
            abort_for(chaos.runs, name, why, now=chaos.clock(), source="CloudWatch, by its topic")

    def _cors_headers(self, request: ChaliceRequest) -> Mapping[str, str]:
        """What Chalice adds to the answers of the route."""
        route = self._route(request)
        headers: Mapping[str, str] = route.cors.get_access_control_headers() if route and route.cors else {}
        return headers

    def _request(self, current: ChaliceRequest, headers: Mapping[str, str]) -> Request:
        try:
            body = current.raw_body
        except ValueError:  # no Base64, or text that no encoding gives
            raise InvalidJson("The body cannot be decoded. Send JSON in UTF-8.") from None
        query = current.query_params
        return Request(
            method=current.method,
            path=current.path.removeprefix(self._module.prefix),
            headers=headers,
            query={name: query.getlist(name) for name in query} if query else {},
            body=body if isinstance(body, bytes) else body.encode(),
            caller=self._caller(current),
            source=(current.context.get("identity") or {}).get("sourceIp", ""),
            request_id=current.context.get("requestId", ""),
        )

    def _caller(self, current: ChaliceRequest) -> Caller | None:
        """Whom the gateway has authenticated by our authorizer; another one's words are nobody's."""
        authorized = current.context.get("authorizer") or {}
        name, role = authorized.get("name"), ROLES.get(str(authorized.get("role")))
        return Caller(name, role) if self._has_authorizer and name and role else None


class _RoutePlace:
    """A view function, in whose place faults are applied: within all middleware, CORS and error handling of Chalice."""

    def __init__(self, view: Callable[..., Any], translated: Callable[[Response], ChaliceResponse]) -> None:
        self._view = view
        self._translated = translated
        update_wrapper(self, view)

    def __call__(self, *values: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever a view has
        current = CURRENT.get()
        if current is not None and not current[1].reached_route:
            injection, result = current
            outcome = injection.apply(result)
            if outcome is not PROCEED:
                match outcome:
                    case Answer() as answer:
                        return self._translated(injected_failure(answer, {}))
                    case Raise(exception):
                        raise exception
                    case Disconnect():
                        return self._translated(connections.unanswered())
        return self._view(*values, **named)


class _FailedInvocation(ChaliceResponse):
    """Not an answer: the invocation fails, outside of Chalice's error handling, and the gateway answers with 502."""

    def to_dict(self, binary_types: Any = None) -> Any:  # noqa: ANN401, ARG002 - as Chalice has it
        raise InjectedDisconnect


def _listed(values: Any) -> list[Any]:  # noqa: ANN401 - one value of a header, or several
    return values if isinstance(values, list) else [values]


def _of_the_gateway(body: bytes) -> Sequence[tuple[str, str]]:
    """The headers that it adds to an answer without them."""
    return (CONTENT_TYPE, "application/json"), ("Content-Length", str(len(body)))


def _raw(body: Any) -> bytes:  # noqa: ANN401 - a text, bytes, or what is sent as JSON
    if isinstance(body, bytes):
        return body
    text = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"), default=handle_extra_types)
    return text.encode()


class _Function:
    """A function that is no route, in whose place faults are applied: within all middleware of Chalice."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self.name = str(getattr(getattr(function, "_original_func", function), "__name__", ""))

    def __call__(self, event: Any) -> Any:  # noqa: ANN401 - as Chalice calls it
        return in_place(
            partial(self._function, event), work_on=lambda other: self._function(type(event)(other, event.context))
        )


def _placed(get_response: Callable[[Any], Any]) -> tuple[Callable[[Any], Any], _Function]:
    """What handles an event, with the place of the function in it, which is made once; and that."""
    if not isinstance(get_response, MiddlewareHandler):
        function = _Function(get_response)
        return function, function
    last = get_response
    while isinstance(last.next_handler, MiddlewareHandler):
        last = last.next_handler
    if not isinstance(last.next_handler, _Function):
        last.next_handler = _Function(last.next_handler)
    return get_response, last.next_handler


def _by_path() -> Mapping[str, Sequence[Endpoint]]:
    found: dict[str, list[Endpoint]] = {}
    for endpoint in ENDPOINTS:
        found.setdefault(endpoint.path, []).append(endpoint)
    return found


def _methods(endpoint: Endpoint) -> list[str]:
    """A HEAD is answered as a GET."""
    return ["GET", "HEAD"] if endpoint.method == "GET" else [endpoint.method]


def _with_values(path: str, values: Mapping[str, str]) -> str:
    """The decoded path that the client asked for, below the stage: Chalice has the route's, and its parameters."""
    return PARAMETER.sub(lambda found: unquote(values.get(found[1], found[0])), path)
