"""Flask: the boundary of WSGI around the application, and the route's place where a view is called."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

import flask

from ..api.http import Response, injected_failure
from ..development.banner import announce
from ..faults.base import PROCEED, Answer, Disconnect, Raise
from ..injection.current import CURRENT
from . import check_application
from .background import Background
from .connections import unanswered
from .module import ChaosModule, Options
from .wsgi import WSGIBoundary

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment


class ChaosExperiments(Background):
    """The module in a Flask application: `ChaosExperiments(app)`, or `init_app` in an application factory."""

    def __init__(self, app: flask.Flask | None = None, **options: Unpack[Options]) -> None:
        self._module = ChaosModule(**options)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Raises ValueError for an application that has the module already."""
        check_application(app, flask.Flask, has_module="chaos_experiments" in getattr(app, "extensions", ()))
        boundary = WSGIBoundary(app.wsgi_app, self._module, has_route_place=True, host_cors=partial(_host_cors, app))
        app.wsgi_app = boundary  # type: ignore[method-assign]
        app.dispatch_request = partial(_dispatch, app.dispatch_request)  # type: ignore[method-assign]
        app.extensions["chaos_experiments"] = self
        announce(self._module.prefix, self._module.settings)


def _dispatch(call_view: Any, *context: Any) -> Any:  # noqa: ANN401 - whatever a view returns
    """In the route's place: within `before_request` and `after_request`, and outside of error handlers."""
    current = CURRENT.get()
    if current is None or current[1].reached_route or not _reaches_view():
        return call_view(*context)
    injection, result = current
    outcome = injection.apply(result)
    if outcome is not PROCEED:
        match outcome:
            case Answer() as answer:
                return _translated(injected_failure(answer, {}))
            case Raise(exception):
                raise exception
            case Disconnect():
                return _translated(unanswered())
    return call_view(*context)


def _reaches_view() -> bool:
    """Not a path that no route has, nor the OPTIONS that Flask answers itself."""
    request = flask.request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - each look through the proxy costs
    if request.routing_exception is not None:
        return False
    automatic = getattr(request.url_rule, "provide_automatic_options", False)
    return not (automatic and request.method == "OPTIONS")


def _host_cors(app: flask.Flask, environ: "WSGIEnvironment", response: Response) -> Mapping[str, str]:
    """The CORS headers that the application's `after_request` hooks add, without anything else that they do."""
    try:
        with app.request_context(environ):
            processed = app.process_response(_translated(response))
    except Exception:  # noqa: BLE001 - a hook that fails does not shut the endpoints
        return {}
    return {name: value for name, value in processed.headers.items() if name.startswith("Access-Control-")}


def _translated(response: Response) -> flask.Response:
    return flask.Response(response.body, response.status, response.all_headers)
