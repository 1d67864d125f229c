"""The control plane alone, as a WSGI application: for a server beside the applications that serve users.

Their processes need not answer for it to work, because it and they agree through the table.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..api.http import Request, Response, failure
from ..errors import UnknownEndpoint
from ..injection.call import Call
from ..injection.drivers import SyncInjection
from .module import ChaosModule
from .wsgi import WSGIBoundary, sent

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

CONSOLE = "/console"


class ControlPlaneModule(ChaosModule):
    """The module in a process that serves no application: nothing is injected there, and `/test` says so."""

    def injection(self) -> SyncInjection | None:
        return None

    def answer(self, request: Request, call: Call) -> Response:
        if not self.is_test(call.name):
            return self.handle(request, call)
        admitted = self.admit(request, call)
        return admitted if isinstance(admitted, Response) else self.handle(self._with_active(admitted), call)

    def _with_active(self, request: Request) -> Request:
        snapshot = self.get().engine.snapshot
        active = list(dict.fromkeys(plan.run.experiment for plan in snapshot.get_fresh()))
        shown = replace(request, active=active, serves_application=False)
        return replace(shown, problem="store_unavailable") if snapshot.is_unreachable else shown


def control_plane(module: ControlPlaneModule) -> "WSGIApplication":
    """The endpoints; `/` leads to the console, and there is nothing else."""

    def rest(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        return sent(_beside(module.prefix, environ), environ, start_response)

    return WSGIBoundary(rest, module)


def _beside(prefix: str, environ: "WSGIEnvironment") -> Response:
    if environ.get("PATH_INFO") in ("", "/"):
        return Response(302, {}, {"Location": environ.get("SCRIPT_NAME", "") + prefix + CONSOLE}, text="")
    return failure(UnknownEndpoint(f"This server has the control plane alone. The console is at {prefix}{CONSOLE}."))
