"""The one table of endpoints. Read at every cold start, so it knows nothing of what answers them."""

from dataclasses import dataclass

from ..access import Role

PREFIX = "/chaos_experiments"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row; `role` is what a caller needs, `handler` the method of `Api` that answers."""

    method: str
    path: str
    role: Role
    handler: str


ENDPOINTS = (
    Endpoint("GET", "/list", Role.VIEWER, "list_experiments"),
    Endpoint("POST", "/start", Role.OPERATOR, "start"),
    Endpoint("POST", "/stop", Role.OPERATOR, "stop"),
    Endpoint("GET", "/status", Role.VIEWER, "status"),
    Endpoint("GET", "/test", Role.ANYONE, "test"),
    Endpoint("POST", "/test", Role.ANYONE, "test"),
)
