"""Flask: a WSGI wrapper around the whole application, and the endpoints as routes of it."""

from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Unpack

import flask

from .. import local
from ..api.endpoints import ENDPOINTS, PREFIX
from ..api.http import MAX_BODY_BYTES, Request, injected_failure
from ..bootstrap import Chaos, Lazy, Options, bootstrap
from ..injection.injection import UNTOUCHED, Injected

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

ENVIRON = "chaos_experiments.injected"
"""Where in the request's environment the wrapper leaves what it did, for the test endpoint to tell."""


LAMBDA_CONTEXT = "serverless.context"
"""Where serverless-wsgi puts the Lambda invocation's context."""


class ChaosExperiments:
    """The module in a Flask application: `ChaosExperiments(app)`, or `init_app` in an application factory."""

    def __init__(
        self,
        app: flask.Flask | None = None,
        *,
        prefix: str = PREFIX,
        wire: Callable[..., Chaos] = bootstrap,
        **options: Unpack[Options],
    ) -> None:
        self._module = Lazy(wire, prefix=prefix, announce=local.announce, **options)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        app.wsgi_app = partial(self._wrapper, app.wsgi_app)  # type: ignore[method-assign]
        for endpoint in ENDPOINTS:
            name = f"chaos_experiments_{endpoint.method}_{endpoint.handler}"
            app.add_url_rule(
                self._module.prefix + endpoint.path, name, self._handle, methods=[endpoint.method], strict_slashes=False
            )
        app.extensions["chaos_experiments"] = self

    def _wrapper(
        self, application: "WSGIApplication", environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        injected = self._module.inject(environ["PATH_INFO"], environ.get(LAMBDA_CONTEXT))
        if injected is UNTOUCHED:
            return application(environ, start_response)
        environ[ENVIRON] = injected
        if injected.answer:
            response = injected_failure(injected.answer, injected.headers)
            status = HTTPStatus(response.status)
            body = response.body.encode()
            headers = [*response.all_headers.items(), ("Content-Length", str(len(body)))]
            start_response(f"{status.value} {status.phrase}", headers)
            return [body]
        added = list(injected.headers.items())

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:  # noqa: ANN401
            return start_response(status, headers + added, *error)

        return application(environ, start)

    def _handle(self) -> flask.Response:
        current = flask.request
        injected: Injected = current.environ.get(ENVIRON, UNTOUCHED)
        response = self._module.handle(
            Request(
                method=current.method,
                path=current.path.removeprefix(self._module.prefix).rstrip("/"),
                headers={name.lower(): value for name, value in current.headers.items()},
                query=dict(current.args.lists()),
                body=current.stream.read(MAX_BODY_BYTES + 1),
                active=injected.names,
                injected=injected.hits,
                source=current.remote_addr or "",
            )
        )
        return flask.Response(response.body, response.status, response.all_headers)
