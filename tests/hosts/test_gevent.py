"""A host that forks gevent's workers from a preloaded application, and calls another service by HTTPS."""

import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from tests.hosts.serving import Host, Module, Served, gunicorn, served

COMMAND = gunicorn("tests.hosts.apps.flask_hosts", "--preload", "--worker-class", "gevent")
HOST = replace(Host("flask", "calls_upstream"), command=COMMAND)


class Upstream(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "12")
        self.end_headers()
        self.wfile.write(b"the upstream")

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """A server with a certificate of its own; the variables that name both."""
    authority = trustme.CA()
    certificate = tmp_path_factory.mktemp("upstream") / "ca.pem"
    authority.cert_pem.write_to_path(str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield {"UPSTREAM": f"https://127.0.0.1:{server.server_port}/", "UPSTREAM_CA": str(certificate)}
        server.shutdown()
        serving.join()


@pytest.fixture(params=["absent", "off", "on"])
def host(
    request: pytest.FixtureRequest, upstream: Mapping[str, str], table: Mapping[str, str], tmp_path: Path
) -> Iterator[Served]:
    module: Module = request.param
    with served(HOST, tmp_path / f"gevent-{module}", module, **upstream, **table) as host:
        yield host


def test_its_own_https_works(host: Served, request: pytest.FixtureRequest) -> None:
    for _ in range(2):
        answer = host.own("GET", "/upstream")
        assert (answer.status_code, answer.text) == (200, "the upstream")
    if "[on]" in request.node.name:
        run = host.start("latency_injection", delay_seconds=0.0)
        answer = host.own("GET", "/upstream")
        assert (answer.text, answer.headers["X-Chaos-Run"]) == ("the upstream", run["run_id"])
