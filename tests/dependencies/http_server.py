"""A server over HTTP on loopback, with or without TLS, that remembers what it was asked."""

import json
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

OK = {"ok": True, "padding": "x" * 80}
BODY = json.dumps(OK).encode()
BIG = 30_000_000
"""More bytes than a client's system takes that does not read them."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Server"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append(f"{self.command} {self.path}")
        self.server.bodies.append(body)
        self.server.headers.append(dict(self.headers))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/orders")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        if self.path == "/chunked":
            self._send_in_chunks()
            return
        if self.path == "/big":
            self.send_header("Content-Length", str(BIG))
            self.end_headers()
            self.wfile.write(bytes(BIG))
            self.server.sent_big.set()
            return
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(BODY)

    def _send_in_chunks(self) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(BODY), 50):
            part = BODY[start : start + 50]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815 - http.server looks them up

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None, authority: Path | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.sent_big = threading.Event()
        self.authority = authority
        """The certificate of who vouches for it; None without TLS."""
        self._context = context
        self.host = f"127.0.0.1:{self.server_port}"
        self.address = f"{'https' if context else 'http'}://{self.host}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        if self._context is None:
            super().finish_request(request, client_address)
            return
        with self._context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, *_: object) -> None:
        """A client that gives up is none."""


@contextmanager
def serving(context: ssl.SSLContext | None = None, authority: Path | None = None) -> Iterator[Server]:
    server = Server(context, authority)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Tunnel(BaseHTTPRequestHandler):
    """A proxy that connects its clients to whatever they name."""

    def do_CONNECT(self) -> None:
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port)), timeout=5) as target:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: target, target: self.connection}
            while True:
                readable, _, _ = select.select(list(ends), [], [], 5)
                parts = [(ends[each], each.recv(65_536)) for each in readable]
                if not all(part for _, part in parts) or not parts:
                    return
                for end, part in parts:
                    end.sendall(part)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def tunnelling() -> Iterator[str]:
    """The address of a proxy."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Tunnel)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serving_securely(folder: Path) -> Iterator[Server]:
    """With TLS."""
    import trustme  # noqa: PLC0415 - not all environments have it

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serving(context, folder / "authority.pem") as server:
        yield server
