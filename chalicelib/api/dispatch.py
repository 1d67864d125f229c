"""From a request to its answer: who may, which handler, the envelope, the log."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..access import ANYONE, Authenticator, Caller, Role
from ..errors import (
    AlarmActive,
    ChaosError,
    Forbidden,
    Halted,
    InternalError,
    MethodNotAllowed,
    ProductionLocked,
    UnknownEndpoint,
)
from ..experiments.catalogue import LONGEST_NAME_SHOWN
from .endpoints import ENDPOINTS, Endpoint
from .formats import chosen
from .handlers import Handlers
from .http import Request, Response, failure

log = logging.getLogger(__name__)

Handler = Callable[[Request, Caller], Mapping[str, Any] | Response]
Admitted = tuple[Endpoint, Caller]

RECORDED = (Forbidden, Halted, ProductionLocked, AlarmActive)
"""Refusals of known callers that the history records."""

OK = 200
LONGEST_PATH_LOGGED = 200


class Api:
    """The control plane of one scope, and the test endpoint. `open_endpoints`: whether some need no token."""

    def __init__(
        self, handlers: Handlers, authenticate: Authenticator, *, prefix: str, open_endpoints: bool = True
    ) -> None:
        self._handlers = handlers
        self._authenticate = authenticate
        self._prefix = prefix
        self._open_endpoints = open_endpoints

    def admit(self, request: Request) -> Request | Response:
        """The request with its caller, for `handle`, which looks up no token again; or the answer that refuses it.

        Never raises. For who has something to do in between, as the test endpoint has.
        """
        admitted = self._admit(request)
        return admitted if isinstance(admitted, Response) else replace(request, caller=admitted[1])

    def handle(self, request: Request) -> Response:
        """Never raises: what goes wrong is in the envelope."""
        admitted = self._admit(request)
        if isinstance(admitted, Response):
            return admitted
        endpoint, caller = admitted
        try:
            response = self._answer(endpoint, request, caller)
        except Exception as error:  # noqa: BLE001 - it is logged, and answered
            return self._refuse(request, caller, error)
        if caller is not ANYONE or response.status != OK:
            _log(request, caller, response)
        return response

    def _admit(self, request: Request) -> Admitted | Response:
        caller = ANYONE
        try:
            endpoint = self._endpoint(request)
            role = endpoint.needed_role(open_endpoints=self._open_endpoints)
            if role is not Role.ANYONE:
                caller = request.caller or self._authenticate(request.headers)
                caller.require(role)
        except Exception as error:  # noqa: BLE001 - it is logged, and answered
            return self._refuse(request, caller, error)
        return endpoint, caller

    def _endpoint(self, request: Request) -> Endpoint:
        """A HEAD is answered as a GET: whoever serves it leaves the body out."""
        path = request.path.rstrip("/")
        by_method = {endpoint.method: endpoint for endpoint in ENDPOINTS if endpoint.path == path}
        if not by_method:
            available = ", ".join(f"{endpoint.method} {self._prefix}{endpoint.path}" for endpoint in ENDPOINTS)
            raise UnknownEndpoint(
                f"There is no endpoint {path[:LONGEST_NAME_SHOWN]!r} below {self._prefix}. Available: {available}."
            )
        if "GET" in by_method:
            by_method["HEAD"] = by_method["GET"]
        if request.method not in by_method:
            msg = f"{self._prefix}{path} does not support the method {request.method}. Use {' or '.join(by_method)}."
            raise MethodNotAllowed(msg, headers={"Allow": ", ".join(by_method)})
        return by_method[request.method]

    def _answer(self, endpoint: Endpoint, request: Request, caller: Caller) -> Response:
        rendered = chosen(endpoint.formats, request)
        handler: Handler = getattr(self._handlers, endpoint.handler)
        answer = handler(request, caller)
        if isinstance(answer, Response):
            return answer
        return rendered(answer) if endpoint.envelope else Response(OK, answer)

    def _refuse(self, request: Request, caller: Caller, error: Exception) -> Response:
        if isinstance(error, RECORDED):
            self._handlers.record_refusal(request, caller, error)
        response = failure(error if isinstance(error, ChaosError) else _unexpected(request, error))
        _log(request, caller, response)
        return response


def _unexpected(request: Request, error: Exception) -> InternalError:
    about = {"request_id": request.request_id}
    log.error("%s %s raised an exception", request.method, _in_one_line(request.path), exc_info=error, extra=about)
    return InternalError("The chaos experiments module failed; the log of this process says why.")


def _log(request: Request, caller: Caller, response: Response) -> None:
    resultset = response.content.get("resultset") or {}
    log.info(
        "%s %s by %s: %d",
        request.method,
        _in_one_line(request.path),
        caller.name,
        response.status,
        extra={
            "request_id": request.request_id,
            "caller": caller.name,
            "source": request.source,
            "status": response.status,
            "code": response.content.get("code"),
            "run_id": resultset.get("run_id"),
        },
    )


def _in_one_line(text: str) -> str:
    """What anybody may have sent, so that nobody can write lines of their own into the log."""
    short = text[:LONGEST_PATH_LOGGED]
    return short if short.isascii() and short.isprintable() else ascii(short)
