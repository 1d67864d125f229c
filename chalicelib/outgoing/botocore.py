"""botocore, and what calls with it: boto3, pynamodb. One call is one attempt of a client's retries.

The fault takes the place of the request on the wire: botocore itself parses what comes back, and decides on retries.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial, wraps
from io import BytesIO
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.endpoint import Endpoint
from botocore.exceptions import (
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3 import HTTPResponse

from .. import time_limits
from ..faults.base import ALL_FAULTS, Failure, Way
from ..injection.call import OutgoingCall
from . import causes
from .aws_answers import answer_of
from .content import content_of
from .installation import Patch
from .pace import Pace
from .passing import described, is_to_be_asked, send

CLIENT = "botocore"
FAULTS = ALL_FAULTS

SAFE_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
READS = ("Get", "List", "Describe", "Query", "Scan", "Head", "BatchGet", "TransactGet", "Select", "Search", "Lookup")
WRITES_OF_A_WHOLE = ("Put", "Delete")
ADDITIONS = frozenset({"PutRecord", "PutRecords", "PutRecordBatch", "PutEvents", "PutLogEvents", "PutMetricData"})
"""What is called Put, and adds something each time."""
KEYS: Mapping[str, bytes] = {
    "dynamodb": b"ConditionExpression",
    "sns": b"MessageDeduplicationId",
    "sqs": b"MessageDeduplicationId",
}
"""With this in its body a write to the service does nothing the second time."""

NOTHING = object()
NUMBERS = (int, float)


def patches() -> Iterator[Patch]:
    yield Patch(Endpoint, "_do_get_response", noting)
    yield Patch(Endpoint, "_send", _gated)


def noting(original: Callable[..., Any]) -> Callable[..., Any]:
    """Note on a request, which is one attempt's, the operation that it is for: `_send` gets nothing else."""

    @wraps(original)
    def _do_get_response(self: Any, request: Any, operation_model: Any, *context: Any) -> Any:
        request.chaos_operation = operation_model
        return original(self, request, operation_model, *context)

    return _do_get_response


def operation_of(request: Any) -> Any:
    """None where nobody has noted it: the patches are younger than the request."""
    return getattr(request, "chaos_operation", None)


def _gated(original: Callable[[Endpoint, Any], AWSResponse]) -> Callable[[Endpoint, Any], AWSResponse]:
    @wraps(original)
    def _send(self: Endpoint, request: Any) -> AWSResponse:
        operation = operation_of(request)
        if operation is None or not is_to_be_asked():
            return original(self, request)
        call = described(call_of, CLIENT, FAULTS, self, operation, request)
        fail = partial(_fail, self, operation, request)
        return send(call, partial(original, self, request), fail, status_of)

    return _send


def call_of(client: str, faults: frozenset[str], endpoint: Any, operation: Any, request: Any) -> OutgoingCall:
    """A request of botocore or aiobotocore, as a call."""
    scheme, _, rest = request.url.partition("://")
    authority, _, path = rest.partition("/")
    host, port = _address(scheme, authority)
    service = operation.service_model.service_name
    call = OutgoingCall(
        client,
        faults,
        host,
        port,
        timeout_seconds=timeout_seconds(endpoint, request),
        is_repeatable=partial(_is_repeatable, service, operation, request),
    )
    content = partial(content_of, request.url, request.body)
    call.describe_request(scheme, request.method, "/" + path.partition("?")[0], content)
    call.describe_operation(service, operation.name)
    return call


@lru_cache(maxsize=256)
def _address(scheme: str, authority: str) -> tuple[str, int]:
    host, colon, port = authority.partition("?")[0].rpartition(":")
    if not colon or not port.isdigit():
        host, port = authority, ""
    return host.strip("[]").lower(), int(port or {"http": 80, "https": 443}.get(scheme, 0))


def timeout_seconds(endpoint: Any, request: Any) -> float:
    """How long the client waits for an answer: as this request says, or the session, of urllib3, aiohttp or httpx."""
    context = getattr(request, "context", None)
    timeout = context.get("read_timeout") if context else None
    if timeout is None:
        timeout = getattr(endpoint.http_session, "_timeout", None)
    for name in ("read_timeout", "sock_read", "read"):
        seconds = getattr(timeout, name, NOTHING)
        if seconds is not NOTHING:
            break
    else:
        seconds = timeout
    return seconds if isinstance(seconds, NUMBERS) else math.inf


def _is_repeatable(service: str, operation: Any, request: Any) -> bool:
    if _is_safe(operation.name, request.method) or operation.idempotent_members:
        return True
    key, body = KEYS.get(service), request.body
    return key is not None and isinstance(body, bytes) and key in body


@lru_cache(maxsize=1024)
def _is_safe(name: str, method: str) -> bool:
    is_write_of_a_whole = name.startswith(WRITES_OF_A_WHOLE) and name not in ADDITIONS
    return method in SAFE_METHODS or name.startswith(READS) or is_write_of_a_whole


def status_of(response: AWSResponse) -> int:
    return int(response.status_code)


def _fail(
    endpoint: Endpoint, operation: Any, request: Any, failure: Failure, proceed: Callable[[], AWSResponse]
) -> AWSResponse:
    way = failure.way
    if way == "slow":
        return _slowed(proceed(), request, Pace(failure, timeout_seconds(endpoint, request)))
    if way == "lost_reply":
        _discard(proceed().raw)
    if way in ERRORS:
        raise_error(way, request)
    status, headers, body = answer_of(failure, operation, request.method)
    raw: Any = HTTPResponse(BytesIO(body), headers=headers, status=status, preload_content=False, decode_content=False)
    return AWSResponse(request.url, status, raw.headers, raw)


def _discard(raw: Any) -> None:
    """The connection goes back to its pool, closed, where it has not gone there yet."""
    raw.close()
    raw.release_conn()


ERRORS: Mapping[Way, tuple[Callable[..., Exception], Callable[[], OSError]]] = {
    "timeout": (ReadTimeoutError, causes.timed_out),
    "refused": (EndpointConnectionError, causes.refused),
    "dns": (EndpointConnectionError, causes.not_resolved),
    "reset": (ConnectionClosedError, causes.reset),
    "lost_reply": (ConnectionClosedError, causes.reset),
    "tls": (SSLError, causes.not_trusted),
}
"""What botocore raises where there is no answer, and why it does."""


def raise_error(way: Way, request: Any) -> None:
    """As botocore's session does, whatever library it calls with."""
    raised, cause = ERRORS[way]
    error = cause()
    more = {"request": request} if raised is ConnectionClosedError else {}
    raise raised(endpoint_url=request.url, error=error, **more) from error


def waits(pace: Pace, size: int, request: Any) -> Iterator[float]:
    """What to sleep until so many bytes of a slow answer are there; raises where the client gives it up."""
    for start in range(0, size, pace.piece):
        try:
            yield from pace.waits(min(pace.piece, size - start))
        except TimeoutError:
            raise_error("timeout", request)


def _slowed(response: AWSResponse, request: Any, pace: Pace) -> AWSResponse:
    def wait(size: int) -> None:
        for seconds in waits(pace, size, request):
            time_limits.sleep(seconds)

    if not request.stream_output:
        wait(len(response.content))
        return response
    raw = response.raw
    read_chunked = raw.read_chunked

    def slow(read: Callable[..., bytes]) -> Callable[..., bytes]:
        @wraps(read)
        def slow_read(*args: Any, **kwargs: Any) -> bytes:
            data = read(*args, **kwargs)
            wait(len(data))
            return data

        return slow_read

    def slow_chunks(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        for data in read_chunked(*args, **kwargs):
            wait(len(data))
            yield data

    raw.read, raw.read_chunked = slow(raw.read), slow_chunks
    if hasattr(raw, "read1"):  # of urllib3 from version 2.1
        raw.read1 = slow(raw.read1)
    return response
