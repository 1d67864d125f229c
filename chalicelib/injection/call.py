"""What passes a boundary: a request of a framework, seen through one interface. Nothing of it is copied."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol
from urllib.parse import unquote_plus

Kind = Literal["request", "invocation", "dependency"]


class LambdaContext(Protocol):
    """What Lambda hands to an invocation."""

    def get_remaining_time_in_millis(self) -> float: ...


class Call(Protocol):
    """An inbound request, an invocation of a handler, or an outgoing call to a dependency."""

    @property
    def kind(self) -> Kind: ...

    @property
    def name(self) -> str:
        """The decoded path below the mount point, the function's name, or `dynamodb:PutItem`."""

    @property
    def method(self) -> str:
        """The HTTP method, in upper case; empty where there is none."""

    def header(self, name: str) -> str | None:
        """The value of a header, whose name is given in lower case; of a repeated one all, with commas between."""

    def query(self, name: str) -> Sequence[str]:
        """The values that the query has by this name, decoded; none where it does not have the name."""

    @property
    def remaining_seconds(self) -> float:
        """How long the call may still take: of a Lambda invocation; infinite elsewhere."""

    @property
    def gateway(self) -> Mapping[str, Any] | None:
        """The `requestContext` of API Gateway's event, where it brought the call."""

    @property
    def workers(self) -> int | None:
        """How many workers the process has, where a call that waits occupies one; None where others are served then."""


class RequestCall:
    """What the requests of all frameworks have in common, as calls."""

    __slots__ = ()

    @property
    def gateway(self) -> Mapping[str, Any] | None:
        return None

    @property
    def workers(self) -> int | None:
        return None

    @property
    def kind(self) -> Kind:
        return "request"


def query_values(query: str, name: str) -> Sequence[str]:
    """The values that a query string has by a name, decoded; none where it does not have the name."""
    is_plain = "%" not in query and "+" not in query
    if is_plain and name not in query:
        return ()
    pairs = (part.partition("=") for part in query.split("&"))
    if is_plain:
        return [value for key, _, value in pairs if key == name]
    return [unquote_plus(value) for key, _, value in pairs if _unquoted(key) == name]


def _unquoted(name: str) -> str:
    return unquote_plus(name) if "%" in name or "+" in name else name


def gateway_context(event: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 - whatever a host hands on
    """What API Gateway says of a request in its event."""
    context = event.get("requestContext") if isinstance(event, Mapping) else None
    return context if isinstance(context, Mapping) else None


def remaining_seconds(context: LambdaContext | None) -> float:
    """The time that a Lambda invocation has left; infinite where there is none."""
    return math.inf if context is None else context.get_remaining_time_in_millis() / 1000
