"""What a framework hands in and gets back, and GenericSuite's envelope."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, NamedTuple

from ..access import Caller
from ..errors import ChaosError
from ..faults.answer import envelope, rendered
from ..faults.base import Answer

MAX_BODY_BYTES = 16 * 1024
NO_CONTENT = 204
STATUSES = frozenset(HTTPStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`path` is below the prefix: "/list". Header names are in lower case.

    `caller` is who the gateway authenticated, where there is one that does. `active` and `injected` are the names of
    what ran and what was done to this request, `would_hit` the labels of the dry runs that would have hit it, `problem`
    is why that could not be read. `source` is the address that it came from, `request_id` the gateway's.
    `serves_application`: whether the process that answers serves an application, and so would inject; `one_at_a_time`:
    whether it serves one request at a time.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    body: bytes = b""
    caller: Caller | None = None
    active: Sequence[str] = ()
    injected: Sequence[Mapping[str, Any]] = ()
    would_hit: Sequence[str] = ()
    problem: Literal["store_unavailable"] | None = None
    source: str = ""
    request_id: str = ""
    serves_application: bool = True
    one_at_a_time: bool = False


class Response(NamedTuple):
    """JSON; or the text, where there is one. `drops_connection`: it stands for none, where the server allows that."""

    status: int
    content: Mapping[str, Any]
    headers: Mapping[str, str] = {}
    text: str | None = None
    drops_connection: bool = False

    @property
    def body(self) -> str:
        return self.text if self.text is not None else json.dumps(self.content, allow_nan=False)

    @property
    def all_headers(self) -> dict[str, str]:
        described = {} if self.status == NO_CONTENT else {"Content-Type": "application/json"}
        return _replaced({**described, "Cache-Control": "no-store"}, self.headers)

    def length(self, body: bytes) -> dict[str, str]:
        """The header that says how long the body is: not of an answer that has none by its status."""
        return {} if self.status == NO_CONTENT else {"Content-Length": str(len(body))}

    def with_headers(self, added: Mapping[str, str]) -> "Response":
        """The same, with further headers."""
        return self._replace(headers=_replaced(self.headers, added)) if added else self

    @property
    def reason(self) -> str:
        """What the status line says."""
        return HTTPStatus(self.status).phrase if self.status in STATUSES else "Unknown"


def _replaced(headers: Mapping[str, str], by: Mapping[str, str]) -> dict[str, str]:
    """Headers, of which others take the place of those of the same name, in upper or lower case."""
    names = {name.lower() for name in by}
    return {**{name: value for name, value in headers.items() if name.lower() not in names}, **by}


def success(resultset: Mapping[str, Any]) -> Response:
    return Response(200, {"error": False, "error_message": None, "resultset": resultset})


def failure(error: ChaosError) -> Response:
    return _refusal(error.status, error.code, error.message, error.details, error.resultset, headers=error.headers)


def injected_failure(answer: Answer, headers: Mapping[str, str]) -> Response:
    """What the application seems to answer where a fault answers in its place. `headers` are added to its own."""
    own, text = rendered(answer)
    return Response(answer.status, {}, own, text=text).with_headers(headers)


def _refusal(
    status: int,
    code: str,
    message: str,
    details: Sequence[Mapping[str, Any]] = (),
    resultset: Mapping[str, Any] | None = None,
    *,
    headers: Mapping[str, str] | None = None,
) -> Response:
    content = envelope(code, message, details=list(details), resultset=resultset or {})
    return Response(status, content, headers or {})
