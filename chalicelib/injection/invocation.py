"""An invocation of a handler, or of other work that has a name; and the event of a gateway, which is a request."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import unquote, unquote_plus, urlencode

from .call import RequestCall, gateway_context, query_values

Remaining = Callable[[], float]
"""How long the invocation may still take, in seconds."""

AUTHORIZERS = ("methodArn", "routeArn")
"""What the event of an authorizer has, which looks like a request and is answered with a policy."""


def unlimited() -> float:
    return math.inf


class InvocationCall:
    """An invocation. It has no status, headers or query: what it is about is its event."""

    __slots__ = ("_remaining", "event", "name")

    def __init__(self, name: str, event: Any = None, remaining: Remaining = unlimited) -> None:  # noqa: ANN401 - JSON
        self.name = name
        self.event = event
        self._remaining = remaining

    kind: Literal["invocation"] = "invocation"
    method = ""
    timeout_seconds = math.inf
    is_client_gone = False
    gateway = None
    workers = None

    def header(self, name: str) -> str | None:
        del name
        return None

    def query(self, name: str) -> Sequence[str]:
        del name
        return ()

    @property
    def remaining_seconds(self) -> float:
        return self._remaining()


class EventRequest(RequestCall):
    """A request, as the event of API Gateway, of a load balancer, or of a function's URL has it. Nothing is copied."""

    __slots__ = ("_remaining", "event", "name")

    def __init__(self, event: Mapping[str, Any], remaining: Remaining = unlimited) -> None:
        self.event = event
        self.name = _path(event)
        self._remaining = remaining

    @property
    def is_version_2(self) -> bool:
        """Of an HTTP API or a function's URL."""
        return "http" in self.event["requestContext"]

    @property
    def is_of_load_balancer(self) -> bool:
        return "elb" in self.event["requestContext"]

    @property
    def method(self) -> str:
        event = self.event
        named = event["requestContext"]["http"]["method"] if self.is_version_2 else event["httpMethod"]
        return str(named).upper()

    def headers(self) -> Iterator[tuple[str, str]]:
        """All of them, by names in lower case; of a repeated one all values, with commas between."""
        many = self.event.get("multiValueHeaders")
        if many:
            for name, values in many.items():
                yield name.lower(), ",".join(map(str, values))
            return
        for name, value in (self.event.get("headers") or {}).items():
            yield name.lower(), str(value)
        if cookies := self.event.get("cookies"):
            yield "cookie", "; ".join(cookies)

    def header(self, name: str) -> str | None:
        for each, value in self.headers():
            if each == name:
                return value.strip(" \t")
        return None

    def query(self, name: str) -> Sequence[str]:
        if self.is_version_2:
            return query_values(self.event.get("rawQueryString", ""), name)
        return self.queries().get(name, ())

    def queries(self) -> Mapping[str, Sequence[str]]:
        """All values by their names, of an event that is not of version 2. A load balancer does not decode them."""
        many: Mapping[str, Sequence[str]] | None = self.event.get("multiValueQueryStringParameters")
        if not many:
            many = {name: [value] for name, value in (self.event.get("queryStringParameters") or {}).items()}
        if not self.is_of_load_balancer:
            return many
        return {unquote_plus(name): [unquote_plus(value) for value in values] for name, values in many.items()}

    @property
    def query_string(self) -> str:
        """The whole query, as a client sends it."""
        if self.is_version_2:
            return str(self.event.get("rawQueryString", ""))
        return urlencode(self.queries(), doseq=True)

    @property
    def gateway(self) -> Mapping[str, Any] | None:
        return gateway_context(self.event)

    @property
    def remaining_seconds(self) -> float:
        return self._remaining()


def event_request(event: Any, remaining: Remaining = unlimited) -> EventRequest | None:  # noqa: ANN401 - JSON
    """The request that an event is; None for every other event, of a websocket or an authorizer, too."""
    if not isinstance(event, Mapping):
        return None
    context = event.get("requestContext")
    if not isinstance(context, Mapping) or any(name in event for name in AUTHORIZERS):
        return None
    if isinstance(context.get("http"), Mapping):
        is_request = isinstance(event.get("rawPath"), str)
    else:
        is_request = "httpMethod" in event and isinstance(event.get("path"), str)
    return EventRequest(event, remaining) if is_request else None


def _path(event: Mapping[str, Any]) -> str:
    """Decoded, and below the stage, which an HTTP API leaves in front of it."""
    context = event["requestContext"]
    if "http" not in context:
        return unquote(event["path"])
    stage, path = context.get("stage", "$default"), str(event["rawPath"])
    if stage != "$default" and path.startswith(f"/{stage}/"):
        path = path.removeprefix(f"/{stage}")
    return unquote(path)


def is_alarm(event: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether CloudWatch says by SNS that an alarm changed its state: such an event may end runs, so none hits it."""
    try:
        message = event["Records"][0]["Sns"]["Message"]
    except (TypeError, LookupError):
        return False
    return isinstance(message, str) and '"AlarmName"' in message and '"NewStateValue"' in message
