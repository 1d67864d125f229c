"""An excluded path is the decoded path that the client asked for, below the mount point, on segment boundaries."""

import http.client
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pytest

from tests.hosts.serving import Host, Served, gunicorn, hypercorn, served, uvicorn

FLASK, FASTAPI = "tests.hosts.apps.flask_hosts", "tests.hosts.apps.fastapi_hosts"
PLACES = {
    "chalice": Host("chalice", "paths"),
    "flask": Host("flask", "paths"),
    "fastapi": Host("fastapi", "paths"),
    "flask, SCRIPT_NAME": Host("flask", "paths", base="/api", command=gunicorn(FLASK, "--env", "SCRIPT_NAME=/api")),
    "fastapi, path with root_path": Host(
        "fastapi", "paths", base="/api", command=hypercorn(FASTAPI, "--root-path", "/api")
    ),
    "fastapi, path without root_path": Host("fastapi", "paths", command=hypercorn(FASTAPI, "--root-path", "/api")),
    "fastapi, root_path added by the server": Host("fastapi", "paths", command=uvicorn(FASTAPI, "--root-path", "/api")),
}
EXCLUDED = {
    "EXCLUDED": "/health /orders/* /cafés/café",  # which the application names
    "CHAOS_EXCLUDED_PATHS": "/orders-of/7,/apiary",
}
PATHS = {
    "/health": True,
    "/health/": True,
    "/healthy": False,
    "/health/deep": False,
    "/healt": False,
    "/Health": False,
    "/orders/1": True,
    "/orders/1/lines": True,
    "/orders-archive": False,
    "/orders-of/7": True,
    "/orders-of/8": False,
    "/caf%C3%A9s/caf%C3%A9": True,
    "/caf%c3%a9s/c%61f%C3%A9": True,
    "/caf%E9s/caf%E9": False,
    "/health?deep=1": True,
    "/apiary": True,
    "/ary": False,
    "/inner/health": False,
}
"""What a client asks for, and whether it is excluded."""


@pytest.fixture(scope="module", params=PLACES)
def host(
    request: pytest.FixtureRequest, table: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A run hits whatever is not excluded."""
    with served(PLACES[request.param], tmp_path_factory.mktemp("paths"), **EXCLUDED, **table) as host:
        host.start("latency_injection", delay_seconds=0.0)
        yield host


def is_hit(host: Served, path: str) -> bool:
    """Exactly this path is asked for: clients of a higher level rewrite it first."""
    place = urlsplit(host.server.url)
    connection = http.client.HTTPConnection(place.netloc, timeout=10)
    connection.request("GET", f"{place.path}{path}")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 200, (path, answer.status)
    return answer.getheader("X-Chaos-Run") is not None


@pytest.mark.parametrize(("path", "is_excluded"), PATHS.items())
def test_it_is_excluded_or_hit(host: Served, path: str, *, is_excluded: bool) -> None:
    assert is_hit(host, path) is not is_excluded
