"""Chalice: a middleware for the application's routes, a handler for the module's own, an authorizer's answer."""

import json
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Unpack, cast

from .chalice_local import restart_for_source_files_only, served_by_chalice_local

restart_for_source_files_only()  # before the imports below, whose reads and bytecode it would restart for

from chalice.app import AuthRequest, AuthResponse, AuthRoute, Chalice, SNSEvent
from chalice.app import Request as ChaliceRequest
from chalice.app import Response as ChaliceResponse

from ..access import ROLES, Caller
from ..api.endpoints import ENDPOINTS, METHODS, PREFIX
from ..api.http import Request, Response, failure, injected_failure
from ..bootstrap import Chaos, Lazy, Options, bootstrap
from ..development.banner import banner
from ..errors import ChaosError, InvalidJson, Unauthenticated
from ..guardrails.alarms import abort_for
from ..injection.engine import UNTOUCHED, Injected
from ..results.spans import annotate
from ..results.tally import SERVER_ERROR
from . import check_application

log = logging.getLogger(__name__)

CONTEXT = "chaos_experiments"
"""Where in the request's context the middleware leaves what it did, for the test endpoint to tell."""

ANY_CONTENT_TYPE = ["*/*"]
"""The module itself refuses what is not JSON, in its envelope."""


ROUTED = [method for method in METHODS if method not in {"OPTIONS", "TRACE"}]
"""OPTIONS is what Chalice itself answers, where a route has CORS; TRACE the gateway does not know."""


class ChaosExperiments:
    """The module in a Chalice application. Wired at the first request, or at once where `chalice local` serves it."""

    def __init__(
        self,
        app: Chalice,
        *,
        prefix: str = PREFIX,
        routes: bool = True,
        wire: Callable[..., Chaos] = bootstrap,
        **options: Unpack[Options],
    ) -> None:
        """Where `routes` is false, the application has the endpoints' routes itself, and an authorizer that asks us."""
        check_application(app, Chalice)
        self._app = app
        self._module = Lazy(wire, prefix=prefix, **options)
        app.register_middleware(self._middleware, "http")
        if routes:
            for path in dict.fromkeys(endpoint.path for endpoint in ENDPOINTS):
                app.route(prefix + path, methods=list(ROUTED), content_types=ANY_CONTENT_TYPE)(self.handle)
        if url := served_by_chalice_local(sys.argv):
            self._welcome(url)

    def _welcome(self, url: str) -> None:
        """The first thing that a developer reads; also what is wrong, while the application serves all the same."""
        with suppress(ChaosError):  # which is in the log
            print(banner(self._module.get().settings, url, self._module.prefix), flush=True)  # noqa: T201

    def handle(self) -> ChaliceResponse:
        """Answer the current request, which is one of the module's own."""
        current = cast("ChaliceRequest", self._app.current_request)
        try:
            response = _translated(self._module.handle(self._request(current)))
        except InvalidJson as error:
            response = _translated(failure(error))
        if current.method == "HEAD":  # `chalice local` would send the body
            response.body = ""
        return response

    def authorize(self, request: AuthRequest) -> AuthResponse:
        """The routes that the bearer token opens.

        Where nobody can tell, because the module is off or the table is silent, the gateway lets the request pass
        without a caller: the endpoint then tries again, and says why it refuses.
        """
        try:
            caller = self._module.get().authenticate({"authorization": request.token})
        except Unauthenticated:
            return AuthResponse(routes=[], principal_id="unauthenticated")
        except ChaosError as error:
            log.warning("The authorizer could not authenticate, so the endpoint tries again: %s", error)
            return AuthResponse(routes=["*"], principal_id="unknown")
        routes = [
            AuthRoute(self._module.prefix + endpoint.path, [endpoint.method])
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

    def _middleware(
        self, request: ChaliceRequest | None, get_response: Callable[[ChaliceRequest | None], ChaliceResponse]
    ) -> ChaliceResponse:
        if request is None or (injected := self._module.inject(request.path, self._app.lambda_context)) is UNTOUCHED:
            return get_response(request)
        request.context[CONTEXT] = injected
        annotate(injected)
        if injected.answer:
            failed = _translated(injected_failure(injected.answer, injected.headers))
            failed.headers = {**self._cors_headers(request), **failed.headers}
            self._module.finish(injected, injected.answer.status)
            return failed
        try:
            response = get_response(request)
        except Exception:
            self._module.finish(injected, SERVER_ERROR)
            raise
        self._module.finish(injected, response.status_code)
        response.headers = {**response.headers, **injected.headers}
        return response

    def _cors_headers(self, request: ChaliceRequest) -> dict[str, str]:
        """What Chalice adds where it calls the route, for an answer in the route's place: browsers hide it without."""
        route = self._app.routes.get(request.context.get("resourcePath", ""), {}).get(request.method)
        return route.cors.get_access_control_headers() if route and route.cors else {}

    def _request(self, current: ChaliceRequest) -> Request:
        try:
            body = current.raw_body
        except ValueError:  # no Base64, or text that no encoding gives
            raise InvalidJson("The body cannot be decoded. Send JSON in UTF-8.") from None
        injected: Injected = current.context.get(CONTEXT, UNTOUCHED)
        authorized = current.context.get("authorizer") or {}
        role = ROLES.get(authorized.get("role", ""))
        query = current.query_params
        return Request(
            method=current.method,
            path=current.path.removeprefix(self._module.prefix),
            headers=dict(current.headers),
            query={name: query.getlist(name) for name in query} if query else {},
            body=body if isinstance(body, bytes) else body.encode(),
            caller=Caller(authorized["name"], role) if role else None,
            active=injected.names,
            injected=injected.hits,
            problem=injected.problem,
            source=(current.context.get("identity") or {}).get("sourceIp", ""),
            request_id=current.context.get("requestId", ""),
        )


def _translated(response: Response) -> ChaliceResponse:
    return ChaliceResponse(response.body, {**response.all_headers}, response.status)
