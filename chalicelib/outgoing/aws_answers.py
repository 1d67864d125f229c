"""What AWS services answer when they fail, in the wire formats of their protocols. botocore parses it, like theirs."""

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from ..faults.base import Failure

DEFAULT_CODE = "InternalServerError"
MESSAGE = "Injected by a chaos experiment."
GARBAGE = b"\xff\xfe\x00 this is not what was asked for"
"""Neither text in UTF-8, nor XML, nor CBOR."""

THROTTLING: Mapping[str, str] = {
    "dynamodb": "ProvisionedThroughputExceededException",
    "dynamodbstreams": "ProvisionedThroughputExceededException",
    "kinesis": "ProvisionedThroughputExceededException",
    "s3": "SlowDown",
    "sqs": "RequestThrottled",
    "lambda": "TooManyRequestsException",
    "ec2": "RequestLimitExceeded",
}
"""How a service says that it is asked too much, where that is not as the others of its protocol say it."""
RETRY_AFTER_SECONDS = 1

STATUSES: Mapping[str, int] = {
    "RequestThrottled": 403,
    "AccessDenied": 403,
    "SlowDown": 503,
    "RequestLimitExceeded": 503,
}
"""Of errors whose service has none in its model."""
UNAVAILABLE = re.compile(r".*Unavailable")
OF_THE_SERVER = re.compile(r"Internal|Service(Exception|Failure)")
"""What codes begin with whose errors are not the client's."""

NAMES_OF_QUERY: Mapping[str, str] = {"NonExistentQueue": "QueueDoesNotExist", "QueueAlreadyExists": "QueueNameExists"}
"""What SQS calls errors now, by what it called them when it spoke the query protocol, and its clients still see."""


class WireAnswer(NamedTuple):
    """An answer as it comes over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Error(NamedTuple):
    code: str
    type: str
    """What the answer says that it is: the name of its shape, where its code is that of the query protocol."""
    status: int
    message_key: str


def answer_of(failure: Failure, operation: Any, method: str) -> WireAnswer:
    """Of `error`, `throttle` and `garbage`. `operation` is botocore's model of the operation."""
    service = operation.service_model
    protocol = _protocol(service)
    if failure.way == "garbage":
        return _answer(200, _headers(service, protocol), GARBAGE)
    if failure.body is not None:
        return _answer(failure.status or 500, failure.headers, _raw(failure.body))
    throttling = failure.way == "throttle"
    error = _error(service, _throttling(service, protocol) if throttling else failure.code or DEFAULT_CODE)
    headers = {**_headers(service, protocol), **_error_headers(service, protocol, error)}
    if throttling:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    body = b"" if method == "HEAD" else _body(service, protocol, error, headers["x-amzn-requestid"])
    return _answer(failure.status or error.status, {**headers, **failure.headers}, body)


def _answer(status: int, headers: Mapping[str, str], body: bytes) -> WireAnswer:
    return WireAnswer(status, {**headers, "Content-Length": str(len(body))}, body)


def _protocol(service: Any) -> str:
    """The one that botocore has chosen for the service's clients."""
    return str(getattr(service, "resolved_protocol", None) or service.protocol)


def _throttling(service: Any, protocol: str) -> str:
    known = THROTTLING.get(service.service_name)
    if known:
        return known
    if protocol not in {"json", "rest-json", "smithy-rpc-v2-cbor"}:
        return "Throttling"
    is_modelled = service.shape_for_error_code("TooManyRequestsException") is not None
    return "TooManyRequestsException" if protocol == "rest-json" and is_modelled else "ThrottlingException"


def _error(service: Any, code: str) -> _Error:
    name = _name_now(code) if service.service_name == "sqs" else code
    shape = service.shape_for_error_code(name) or _named(service, name)
    if shape is None:
        return _Error(code, code, _status(code), "message")
    status = (shape.metadata.get("error") or {}).get("httpStatusCode") or _status(name)
    keys = (member.serialization.get("name", key) for key, member in shape.members.items())
    message_key = next((key for key in keys if key.lower() == "message"), "message")
    code = shape.error_code if name == code else code
    return _Error(code, shape.name if _is_query_compatible(service) else code, status, message_key)


def _is_query_compatible(service: Any) -> bool:
    """Whether it spoke the query protocol, and its answers have the codes of that, too."""
    return "awsQueryCompatible" in service.metadata


def _name_now(code: str) -> str:
    short = code.removeprefix("AWS.SimpleQueueService.")
    return NAMES_OF_QUERY.get(short, short)


def _named(service: Any, name: str) -> Any:
    """The shape of an error by its name, which is not always its code."""
    shape = service.shape_for(name) if name in service.shape_names else None
    return shape if shape is not None and shape.metadata.get("exception") else None


def _status(code: str) -> int:
    """Where the model has none."""
    if code in STATUSES:
        return STATUSES[code]
    if UNAVAILABLE.match(code):
        return 503
    return 500 if OF_THE_SERVER.match(code) else 400


def _headers(service: Any, protocol: str) -> dict[str, str]:
    request_id = str(uuid.uuid4())
    headers = {"Content-Type": _content_type(service, protocol), "x-amzn-requestid": request_id}
    if service.service_name == "s3":
        headers["x-amz-request-id"] = request_id
    if protocol == "smithy-rpc-v2-cbor":
        headers["smithy-protocol"] = "rpc-v2-cbor"
    return headers


def _content_type(service: Any, protocol: str) -> str:
    if protocol == "json":
        return f"application/x-amz-json-{service.metadata.get('jsonVersion', '1.0')}"
    return {"rest-json": "application/json", "smithy-rpc-v2-cbor": "application/cbor"}.get(protocol, "text/xml")


def _error_headers(service: Any, protocol: str, error: _Error) -> dict[str, str]:
    if protocol == "rest-json":
        return {"x-amzn-errortype": error.code}
    if _is_query_compatible(service):
        return {"x-amzn-query-error": f"{error.code};{'Receiver' if error.status >= 500 else 'Sender'}"}  # noqa: PLR2004
    return {}


def _body(service: Any, protocol: str, error: _Error, request_id: str) -> bytes:
    if protocol == "json":
        return json.dumps({"__type": error.type, error.message_key: MESSAGE}).encode()
    if protocol == "rest-json":
        return json.dumps({error.message_key: MESSAGE}).encode()
    if protocol == "smithy-rpc-v2-cbor":
        return _cbor({"__type": error.type, error.message_key: MESSAGE})
    content = f"<Code>{escape(error.code)}</Code><Message>{MESSAGE}</Message>"
    if protocol == "ec2":
        body = f"<Response><Errors><Error>{content}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    elif service.service_name == "s3":
        body = f"<Error>{content}<RequestId>{request_id}</RequestId></Error>"
    else:
        body = f"<ErrorResponse><Error>{content}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode()


def _cbor(texts: Mapping[str, str]) -> bytes:
    """A small map of texts."""
    pairs = (_cbor_text(text) for pair in texts.items() for text in pair)
    return bytes([0xA0 | len(texts)]) + b"".join(pairs)


def _cbor_text(text: str) -> bytes:
    encoded = text.encode()
    return b"\x79" + len(encoded).to_bytes(2, "big") + encoded


def _raw(body: Any) -> bytes:
    return (body if isinstance(body, str) else json.dumps(body)).encode()
