"""Flask: a WSGI wrapper around the whole application, and the endpoints as routes of it."""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

import flask

from ..api.endpoints import ENDPOINTS, METHODS, PREFIX
from ..api.http import MAX_BODY_BYTES, Request, Response, injected_failure
from ..bootstrap import Chaos, Lazy, Options, bootstrap
from ..development.banner import announce
from ..injection.engine import UNTOUCHED, Injected
from ..results.spans import annotate
from ..results.tally import SERVER_ERROR
from . import check_application

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

ENVIRON = "chaos_experiments.injected"
"""Where in the request's environment the wrapper leaves what it did, for the test endpoint to tell."""

LAMBDA_CONTEXT = "serverless.context"
"""Where serverless-wsgi puts the Lambda invocation's context."""

PREFLIGHT = "HTTP_ACCESS_CONTROL_REQUEST_METHOD"
"""A browser's question before its request: where it fails, no script of the page gets to see what it failed of."""


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
        self._module = Lazy(wire, prefix=prefix, **options)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        check_application(app, flask.Flask)
        app.wsgi_app = partial(self._wrapper, app, app.wsgi_app)  # type: ignore[method-assign]
        for endpoint in ENDPOINTS:
            name = f"chaos_experiments_{endpoint.method}_{endpoint.handler}"
            app.add_url_rule(
                self._module.prefix + endpoint.path, name, self._handle, methods=[endpoint.method], strict_slashes=False
            )
        for path in ("/", "/<path:rest>"):  # routes of the application below the prefix are more specific, and win
            app.add_url_rule(
                self._module.prefix + path,
                "chaos_experiments_rest",
                self._handle,
                methods=METHODS,
                strict_slashes=False,
                provide_automatic_options=False,
            )
        app.extensions["chaos_experiments"] = self
        announce(self._module.prefix, self._module.settings)

    def _wrapper(
        self,
        app: flask.Flask,
        application: "WSGIApplication",
        environ: "WSGIEnvironment",
        start_response: "StartResponse",
    ) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "OPTIONS" and PREFLIGHT in environ:
            return application(environ, start_response)
        injected = self._module.inject(environ["PATH_INFO"], environ.get(LAMBDA_CONTEXT))
        if injected is UNTOUCHED:
            return application(environ, start_response)
        environ[ENVIRON] = injected
        if injected.answer:
            failed = injected_failure(injected.answer, injected.headers)
            self._module.finish(injected, injected.answer.status)
            annotate(injected)
            return _processed(app, failed, environ)(environ, start_response)
        added = list(injected.headers.items())

        answered: list[int] = []

        def finish(status: int) -> None:
            if not answered:  # an error may come after the first answer, or in its place
                answered.append(status)
                self._module.finish(injected, status)

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:  # noqa: ANN401
            finish(int(status[:3]))
            annotate(injected)
            return start_response(status, headers + added, *error)

        try:
            return application(environ, start)
        except Exception:
            finish(SERVER_ERROR)
            raise

    def _handle(self, **_rest: str) -> flask.Response:
        current = flask.request
        injected: Injected = current.environ.get(ENVIRON, UNTOUCHED)
        response = self._module.handle(
            Request(
                method=current.method,
                path=current.path.removeprefix(self._module.prefix),
                headers={name.lower(): value for name, value in current.headers.items()},
                query=dict(current.args.lists()),
                body=current.stream.read(MAX_BODY_BYTES + 1),
                active=injected.names,
                injected=injected.hits,
                problem=injected.problem,
                source=current.remote_addr or "",
            )
        )
        return _translated(response)


def _processed(app: flask.Flask, failed: Response, environ: "WSGIEnvironment") -> flask.Response:
    """With what the application adds to each of its responses, such as CORS headers: browsers hide it without."""
    try:
        with app.request_context(environ):
            return app.process_response(_translated(failed))
    except Exception:
        log.warning("The application failed to process an injected response, which is sent without it", exc_info=True)
        return _translated(failed)


def _translated(response: Response) -> flask.Response:
    return flask.Response(response.body, response.status, response.all_headers)
