"""The one table of endpoints. Read at every cold start, so it knows nothing of what answers them."""

from typing import NamedTuple

from .. import paths
from ..access import Role

PREFIX = paths.PREFIX
TEST = "/test"
"""The one endpoint that is hit by what runs."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
"""What is answered below the prefix, if only by a refusal in the envelope."""


class Endpoint(NamedTuple):
    """One row; `role` is what a caller needs, `handler` the method of `Handlers` that answers, in the envelope or bare.

    `formats` are what it can be had in, where there is a choice; the first one where nobody chooses. One that is
    `closable` demands a viewer's token where the application says that no endpoint is open to anyone.
    """

    method: str
    path: str
    role: Role
    handler: str
    envelope: bool = True
    formats: tuple[str, ...] = ("json",)
    closable: bool = False

    def needed_role(self, *, open_endpoints: bool) -> Role:
        return Role.VIEWER if self.closable and not open_endpoints else self.role


ENDPOINTS = (
    Endpoint("GET", "/list", Role.VIEWER, "list_experiments"),
    Endpoint("POST", "/start", Role.OPERATOR, "start"),
    Endpoint("POST", "/preview", Role.VIEWER, "preview"),
    Endpoint("POST", "/stop", Role.OPERATOR, "stop"),
    Endpoint("GET", "/status", Role.VIEWER, "status"),
    Endpoint("POST", "/halt", Role.VIEWER, "halt"),
    Endpoint("POST", "/resume", Role.OPERATOR, "resume"),
    Endpoint("GET", "/history", Role.VIEWER, "history"),
    Endpoint("GET", "/dependencies", Role.VIEWER, "dependencies"),
    Endpoint("GET", "/report", Role.VIEWER, "report", formats=("json", "markdown", "html")),
    Endpoint("GET", TEST, Role.ANYONE, "test", closable=True),
    Endpoint("POST", TEST, Role.ANYONE, "test", closable=True),
    Endpoint("GET", "/console", Role.ANYONE, "console", formats=("html",)),
    Endpoint("GET", "/openapi.json", Role.ANYONE, "openapi", envelope=False, closable=True),
)
