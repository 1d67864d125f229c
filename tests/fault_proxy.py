"""An HTTP proxy before the table, which can be told to be unwell in the ways that a network and a service are."""

import socket
import struct
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

RESET = struct.pack("ii", 1, 0)  # closing sends a reset, without a farewell
HANG_SECONDS = 5.0
SICK = {
    "errors": (500, b'{"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError"}'),
    "throttling": (400, b'{"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException"}'),
    "garbage": (200, b"<html>\x00\xff"),
}
FAULTS = ("refused", "reset", "hang", "half an answer", *SICK)


class FaultProxy:
    """Well, until `fail` names a fault, and again after `heal`. A change may reach the table and its answer be lost."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.fault = ""
        self.operation = ""
        self.latency_seconds = 0.0
        self.healed = threading.Event()
        self._open: set[socket.socket] = set()
        self._server = self._listen(0)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def fail(self, fault: str, operation: str = "") -> None:
        """Of an operation of DynamoDB alone, such as UpdateItem, where one is named."""
        self.healed.clear()
        self.fault, self.operation = fault, operation
        if fault == "refused":
            self._shut()

    def heal(self) -> None:
        was, self.fault = self.fault, ""
        self.healed.set()
        if was == "refused":
            self._server = self._listen(self.port)

    def close(self) -> None:
        self.healed.set()
        if self.fault != "refused":
            self._shut()

    def _listen(self, port: int) -> ThreadingHTTPServer:
        proxy = self

        class Handler(_Handler):
            def setup(self) -> None:
                super().setup()
                self.proxy = proxy
                proxy._open.add(self.connection)

            def finish(self) -> None:
                proxy._open.discard(self.connection)
                with suppress(OSError):
                    super().finish()

        server = _Server(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def _shut(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """A connection that died is what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultProxy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_meant = self.headers["X-Amz-Target"].endswith(self.proxy.operation)
        fault = self.proxy.fault if is_meant else ""
        if fault == "hang":
            self.proxy.healed.wait(HANG_SECONDS)
            self.close_connection = True
            return
        if fault in SICK:
            self._answer(*SICK[fault])
            return
        time.sleep(self.proxy.latency_seconds)
        answer = requests.post(self.proxy.target, data=body, headers=dict(self.headers), timeout=60)
        if fault in ("reset", "half an answer"):
            self._answer(answer.status_code, answer.content[: len(answer.content) // 2], len(answer.content))
            self.close_connection = True
            if fault == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            return
        self._answer(answer.status_code, answer.content)

    def _answer(self, status: int, content: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length or len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        return
