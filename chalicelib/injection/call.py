"""What passes a boundary: a request of a framework, seen through one interface. Nothing of it is copied."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, Protocol
from urllib.parse import unquote_plus

from ..faults.base import Kind

IDEMPOTENCY_KEY = "idempotency-key"

Step = Literal["lookup", "connect"]
"""A step of an outgoing call: the look-up of its host's name, which meets `dns`, or what comes after it, which meets
every other fault."""


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

    @property
    def event(self) -> Any:  # noqa: ANN401 - JSON
        """What invoked the handler; None where nothing did, or nobody hands it on."""

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
    def timeout_seconds(self) -> float:
        """How long the client of an outgoing call waits for its answer; infinite without limit, and of a request."""

    @property
    def is_client_gone(self) -> bool:
        """Whether the client of a request waits for the answer no longer, as far as the server shows it."""

    @property
    def workers(self) -> int | None:
        """How many workers the process has, where a call that waits occupies one; None where others are served then."""


class RequestCall:
    """What the requests of all frameworks have in common, as calls."""

    __slots__ = ()

    event: Any = None

    @property
    def timeout_seconds(self) -> float:
        return math.inf

    @property
    def is_client_gone(self) -> bool:
        return False

    @property
    def gateway(self) -> Mapping[str, Any] | None:
        return None

    @property
    def workers(self) -> int | None:
        return None

    @property
    def kind(self) -> Kind:
        return "request"


class OutgoingCall:
    """A call that a client library is about to make, as the library's file describes it.

    `client` is the library's name; `faults` are those that its file can let this call meet: the ways to fail, and
    `latency`. `timeout_seconds` is how long the client waits for an answer; infinite: no limit. `step` is which step of
    a call the patch sees, where it does not see all of it.
    """

    __slots__ = (
        "_is_repeatable",
        "client",
        "content",
        "faults",
        "get_header",
        "host",
        "method",
        "operation",
        "path",
        "port",
        "scheme",
        "service",
        "set_header",
        "step",
        "timeout_seconds",
    )

    def __init__(
        self,
        client: str,
        faults: frozenset[str],
        host: str,
        port: int = 0,
        *,
        timeout_seconds: float = math.inf,
        is_repeatable: bool | Callable[[], bool] = True,
        step: Step | None = None,
    ) -> None:
        self.client = client
        self.faults = faults
        self.host = host
        self.port = port
        self.timeout_seconds = timeout_seconds
        self._is_repeatable = is_repeatable
        self.step = step
        self.scheme = self.path = self.method = self.service = self.operation = ""
        self.content: Callable[[], Hashable] | None = None
        """What tells it from other calls with the same path, as its query and body do; asked before it is made."""
        self.get_header: Callable[[str], str | None] | None = None
        """The value of a header of the request that is about to be sent; None where the library has no headers."""
        self.set_header: Callable[[str, str], None] | None = None
        """Sets a header of that request, and of no object of the caller's."""

    def describe_request(self, scheme: str, method: str, path: str, content: Callable[[], Hashable]) -> None:
        """For a request over HTTP. `path` has no query; `content` as the attribute is."""
        self.scheme = scheme
        self.method = method
        self.path = path
        self.content = content

    def describe_operation(self, service: str, operation: str) -> None:
        """For an operation of an AWS service."""
        self.service = service
        self.operation = operation

    @property
    def is_repeatable(self) -> bool:
        """Whether it does no harm when it is made twice, as far as the library tells: a read, or one with a key."""
        known = self._is_repeatable
        is_safe = known() if callable(known) else known
        return is_safe or (self.get_header is not None and self.get_header(IDEMPOTENCY_KEY) is not None)

    def release(self) -> None:
        """Forget what the library hands out: it has sent the request, or given it up."""
        self._is_repeatable = self.is_repeatable
        self.content = self.get_header = self.set_header = None

    @property
    def name(self) -> str:
        """`dynamodb:PutItem`, or `payments.example:443`."""
        if self.service:
            return f"{self.service}:{self.operation}" if self.operation else self.service
        return f"{self.host}:{self.port}" if self.port else self.host


class DependencyCall:
    """An outgoing call, as selectors, budgets and faults see it: whose headers and query are those of the request that
    it is made for.
    """

    __slots__ = ("inbound", "outgoing")

    def __init__(self, outgoing: OutgoingCall, inbound: Call | None) -> None:
        self.outgoing = outgoing
        self.inbound = inbound

    @property
    def kind(self) -> Kind:
        return "dependency"

    @property
    def name(self) -> str:
        return self.outgoing.name

    @property
    def method(self) -> str:
        return self.outgoing.method

    @property
    def is_client_gone(self) -> bool:
        return False

    @property
    def event(self) -> Any:  # noqa: ANN401 - JSON
        return self.inbound.event if self.inbound else None

    @property
    def timeout_seconds(self) -> float:
        return self.outgoing.timeout_seconds

    @property
    def remaining_seconds(self) -> float:
        return self.inbound.remaining_seconds if self.inbound else math.inf

    @property
    def gateway(self) -> Mapping[str, Any] | None:
        return self.inbound.gateway if self.inbound else None

    @property
    def workers(self) -> int | None:
        return self.inbound.workers if self.inbound else None

    def header(self, name: str) -> str | None:
        return self.inbound.header(name) if self.inbound else None

    def query(self, name: str) -> Sequence[str]:
        return self.inbound.query(name) if self.inbound else ()


def query_values(query: str, name: str) -> Sequence[str]:
    """The values that a query string has by a name, decoded; none where it does not have the name."""
    if "%" in query or "+" in query:
        pairs = (part.partition("=") for part in query.split("&"))
        return [unquote_plus(value) for key, _, value in pairs if unquote_plus(key) == name]
    if name not in query or "=" in name:
        return ()
    begin = f"{name}="
    return [part[len(begin) :] for part in query.split("&") if part.startswith(begin) or part == name]


def gateway_context(event: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 - whatever a host hands on
    """What API Gateway says of a request in its event."""
    context = event.get("requestContext") if isinstance(event, Mapping) else None
    return context if isinstance(context, Mapping) else None


def remaining_seconds(context: LambdaContext | None) -> float:
    """The time that a Lambda invocation has left; infinite where there is none."""
    return math.inf if context is None else context.get_remaining_time_in_millis() / 1000
