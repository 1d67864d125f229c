"""Plain handlers of AWS Lambda: `@inject_chaos` above `def handler(event, context)`."""

import inspect
import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, wraps
from typing import Any, TypeVar, Unpack, cast, overload
from urllib.parse import parse_qs

from ..api.http import Request, Response, failure, injected_failure
from ..errors import InjectedDisconnect, InvalidJson
from ..faults.base import Answer
from ..injection.call import LambdaContext
from ..injection.drivers import SyncInjection
from ..injection.engine import InjectionResult
from ..injection.invocation import EventRequest, InvocationCall, Remaining, event_request, is_alarm, unlimited
from .answers import changed_whole, status_line
from .background import Background
from .invocations import Invocations
from .lambda_time import seconds_left
from .module import ChaosModule, Options, is_control_plane

log = logging.getLogger(__name__)

Handler = TypeVar("Handler", bound=Callable[..., Any])


@overload
def inject_chaos(handler: Handler) -> Handler: ...
@overload
def inject_chaos(**options: Unpack[Options]) -> Callable[[Handler], Handler]: ...
def inject_chaos(handler: Handler | None = None, **options: Unpack[Options]) -> Handler | Callable[[Handler], Handler]:
    """Let the runs hit what invokes a handler: `@inject_chaos`, or with options `@inject_chaos(prefix="/chaos")`."""
    decorate = ChaosExperiments(**options).inject_chaos
    return decorate if handler is None else decorate(handler)


class ChaosExperiments(Background):
    """The module in a Lambda function without a framework. Wired at the first invocation."""

    def __init__(self, **options: Unpack[Options]) -> None:
        self._module = ChaosModule(**options)
        self._invocations = Invocations(self._module)

    def inject_chaos(self, handler: Handler) -> Handler:
        """Raises TypeError for a handler that Lambda could not call."""
        check_handler(handler)

        @wraps(handler)
        def invoked(event: Any, context: Any) -> Any:  # noqa: ANN401 - whatever Lambda, and the handler, have
            return self._invoked(handler, event, context)

        return cast("Handler", invoked)

    def _invoked(self, handler: Callable[..., Any], event: Any, context: Any) -> Any:  # noqa: ANN401 - as above
        remaining = remaining_of(context)
        request = event_request(event, remaining)
        if request is not None and self._module.is_ours(request.name):
            return translated(self._answered(request), request)
        work = partial(handler, event, context)
        if self._module.is_idle() or (is_control_plane(request.name) if request else is_alarm(event)):
            return work()
        if request is None:
            call = InvocationCall(_name(handler, context), event, remaining)
            return self._invocations.invoke(call, work, work_on=lambda other: handler(other, context))
        is_stream = inspect.isgeneratorfunction(handler)  # which has no status that a fault could replace
        return self._invocations.invoke(request, work, None if is_stream else _Proxy(request))

    def _answered(self, call: EventRequest) -> Response:
        """The answer of one of the endpoints."""
        headers = dict(call.headers())
        response = self._module.preflight(call.method, headers)
        if response is None:
            try:
                request = _request(call, headers, self._module.prefix)
            except ValueError:  # no Base64, or half a character
                response = failure(InvalidJson("The body cannot be decoded. Send JSON in UTF-8."))
            else:
                response = self._module.answer(request, call)
        return response.with_headers(self._module.cross_origin(headers))


def _name(handler: Callable[..., Any], context: object) -> str:
    """The function's; outside of Lambda that of the handler."""
    return str(getattr(context, "function_name", None) or getattr(handler, "__name__", ""))


OK = 200


class _Proxy:
    """What becomes of a request: the answer of a proxy integration, in the format of its event."""

    def __init__(self, request: EventRequest) -> None:
        self._request = request

    def replaced(self, answer: Answer) -> Any:  # noqa: ANN401 - JSON
        return translated(injected_failure(answer, {}), self._request)

    def status(self, answer: Any) -> int:  # noqa: ANN401 - whatever a handler returns
        """Of what is no answer of a proxy integration, an HTTP API makes one with status 200."""
        status = answer.get("statusCode", OK) if isinstance(answer, Mapping) else OK
        try:
            return int(status)
        except (TypeError, ValueError):
            return OK

    def changed(self, injection: SyncInjection, result: InjectionResult, answer: Any) -> Any:  # noqa: ANN401 - as above
        """The gateway says how long the body is. What it would make nothing of, either, stays as it is."""
        try:
            made = answer if isinstance(answer, Mapping) and "statusCode" in answer else _inferred(answer)
            given, own = list(_headers_of(made)), _body_of(made)
        except Exception:
            log.exception("The answer of the handler cannot be read, so no run changes it")
            return answer
        status, headers, body, is_cut = changed_whole(injection, result, self.status(made), given, own)
        if is_cut:
            raise InjectedDisconnect
        kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
        try:
            text, is_encoded = body.decode(), False
        except UnicodeDecodeError:
            text, is_encoded = b64encode(body).decode(), True
        changed = {**made, "statusCode": status, "body": text, "isBase64Encoded": is_encoded}
        if "statusDescription" in made:
            changed["statusDescription"] = status_line(status)
        return {**changed, **self._as_given(made, kept)}

    @staticmethod
    def _as_given(answer: Mapping[str, Any], headers: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """Headers, in the field in which the handler has its own."""
        if not answer.get("multiValueHeaders"):
            return {"headers": dict(headers)}
        many: dict[str, list[str]] = {}
        for name, value in headers:
            many.setdefault(name, []).append(value)
        return {"headers": {}, "multiValueHeaders": many}

    def marked(self, answer: Any, headers: Mapping[str, str]) -> Any:  # noqa: ANN401 - as above
        """The answer with further headers; what is none stays as it is."""
        if not isinstance(answer, Mapping) or "statusCode" not in answer:
            return answer
        if answer.get("multiValueHeaders") and not answer.get("headers"):
            more = {name: [value] for name, value in headers.items()}
            return {**answer, "multiValueHeaders": {**answer["multiValueHeaders"], **more}}
        return {**answer, "headers": {**(answer.get("headers") or {}), **headers}}


def _inferred(answer: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a handler returns
    """What an HTTP API makes of what is no answer of a proxy integration."""
    body = answer if isinstance(answer, str) else json.dumps(answer)
    return {"statusCode": OK, "headers": {"content-type": "application/json"}, "body": body}


def _headers_of(answer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    many = answer.get("multiValueHeaders") or {}
    for name, values in many.items():
        for value in values:
            yield name, str(value)
    for name, value in (answer.get("headers") or {}).items():
        if name not in many:
            yield name, str(value)
    yield "Content-Length", str(len(_body_of(answer)))


def _body_of(answer: Mapping[str, Any]) -> bytes:
    body = answer.get("body") or ""
    if isinstance(body, bytes):
        return body
    return b64decode(body) if answer.get("isBase64Encoded") else str(body).encode()


def check_handler(handler: object) -> None:
    """Raises TypeError."""
    if not callable(handler):
        raise TypeError(f"inject_chaos takes a handler, def handler(event, context); got {handler!r}.")
    if inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler):
        name = getattr(handler, "__qualname__", repr(handler))
        raise TypeError(
            f"Lambda's runtime for Python awaits nothing, so {name} would never run. Decorate a handler "
            "that is no coroutine function, which runs it: asyncio.run(…)."
        )


def remaining_of(context: LambdaContext | None) -> Remaining:
    """How long an invocation has left, by its context."""
    return unlimited if context is None else partial(seconds_left, context, _no_header)


def _no_header(name: str) -> None:
    del name


def _request(call: EventRequest, headers: Mapping[str, str], prefix: str) -> Request:
    event, context = call.event, call.event["requestContext"]
    body = event.get("body") or ""
    source = context.get("http", context.get("identity")) or {}
    return Request(
        method=call.method,
        path=call.name.removeprefix(prefix),
        headers=headers,
        query=parse_qs(call.query_string, keep_blank_values=True),
        body=b64decode(body) if event.get("isBase64Encoded") else body.encode(),
        source=source.get("sourceIp", ""),
        request_id=context.get("requestId", ""),
        one_at_a_time=True,
    )


def translated(response: Response, request: EventRequest) -> dict[str, Any]:
    """An answer of ours, as the event's sender takes it."""
    answer: dict[str, Any] = {
        "statusCode": response.status,
        "body": "" if request.method == "HEAD" else response.body,
        "isBase64Encoded": False,
    }
    headers = dict(response.all_headers)
    if request.is_of_load_balancer:
        answer["statusDescription"] = f"{response.status} {response.reason}"
        if "multiValueHeaders" in request.event:
            return {**answer, "multiValueHeaders": {name: [value] for name, value in headers.items()}}
    return {**answer, "headers": headers}
