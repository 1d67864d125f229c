"""Lambda's Runtime API for one environment, over HTTP: events in, what became of them out."""

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PREFIX = "/2018-06-01/runtime/"


@dataclass(frozen=True)
class Posted:
    """What the runtime has posted: to `init/error`, or for an invocation to `response` or `error`."""

    kind: str
    content: Any
    at: float


class RuntimeApi:
    def __init__(self, address: str) -> None:
        self.address = address
        self.events: queue.Queue[Any] = queue.Queue()
        self.posted: queue.Queue[Posted] = queue.Queue()
        self.timeout_seconds = 30.0

    def invoke(self, event: Any, seconds: float = 60) -> Posted:
        self.events.put(event)
        return self.posted.get(timeout=seconds)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An environment that is killed resets its connection."""


@contextmanager
def runtime_api() -> Iterator[RuntimeApi]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            event = api.events.get()
            if event is STOP:
                self.close_connection = True
                return
            self._answer(
                200,
                json.dumps(event).encode(),
                {
                    "Lambda-Runtime-Aws-Request-Id": f"id-{time.time_ns()}",
                    "Lambda-Runtime-Deadline-Ms": str(int((time.time() + api.timeout_seconds) * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:000000000000:function:orders",
                    "Content-Type": "application/json",
                },
            )

        def do_POST(self) -> None:
            at = time.time()
            content = self.rfile.read(int(self.headers["Content-Length"]))
            kind = self.path.removeprefix(PREFIX)
            self._answer(202, b"{}", {})
            kind = kind if kind == "init/error" else kind.rpartition("/")[2]
            api.posted.put(Posted(kind, json.loads(content or b"null"), at))

        def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    api = RuntimeApi(f"127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield api
    finally:
        api.events.put(STOP)
        server.shutdown()
        server.server_close()
        thread.join()


STOP = object()
