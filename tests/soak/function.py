"""A function in Lambda, as far as it matters here: environments that serve one request at a time, frozen in between.

`python function.py <adapter> <port>` is the front: it takes HTTP, and hands events to environments that are free.
`python function.py <adapter>` is one environment: an event a line on its input, an answer a line on its output.
"""

import base64
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

ENVIRONMENTS = 4
TIMEOUT_SECONDS = 29.0

Handler = Callable[[Mapping[str, Any], Any], dict[str, Any]]


# An environment


def handler_of(adapter: str) -> Handler:
    from app import app  # noqa: PLC0415 - the host's

    if adapter == "mangum":
        import asyncio  # noqa: PLC0415

        from mangum import Mangum  # noqa: PLC0415

        asyncio.set_event_loop(asyncio.new_event_loop())
        return Mangum(app, lifespan="auto")  # type: ignore[return-value]
    if adapter == "apig_wsgi":
        from apig_wsgi import make_lambda_handler  # noqa: PLC0415

        return make_lambda_handler(app)  # type: ignore[return-value]
    import serverless_wsgi  # noqa: PLC0415

    return lambda event, context: serverless_wsgi.handle_request(app, event, context)


def serve_events(adapter: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the function prints is its log
    handler = handler_of(adapter)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        until = time.monotonic() + TIMEOUT_SECONDS
        context = SimpleNamespace(
            aws_request_id=secrets.token_hex(8),
            function_name=os.environ["AWS_LAMBDA_FUNCTION_NAME"],
            get_remaining_time_in_millis=lambda until=until: int((until - time.monotonic()) * 1000),
        )
        print(json.dumps(handler(json.loads(line), context)), file=answers, flush=True)


# The front


class Environment:
    """A process; stopped, as Lambda freezes it, while it has no request."""

    def __init__(self, adapter: str) -> None:
        variables = {
            **os.environ,
            "AWS_LAMBDA_FUNCTION_NAME": "host",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"2026/01/01/[$LATEST]{secrets.token_hex(16)}",
        }
        self.process = subprocess.Popen(
            [sys.executable, __file__, adapter],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def read(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def invoke(self, event: Mapping[str, Any]) -> dict[str, Any]:
        assert self.process.stdin
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(json.dumps(event) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.read())
        self.freeze()
        return answer


def event_of(adapter: str, method: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """What API Gateway makes of a request: of its HTTP API (2.0), or of its REST API."""
    common = {"headers": dict(headers), "isBase64Encoded": False, "body": None}
    if adapter == "mangum":
        http = {"method": method, "path": path, "sourceIp": "127.0.0.1", "protocol": "HTTP/1.1"}
        context = {"http": http, "stage": "$default", "requestTimeEpoch": int(time.time() * 1000)}
        return {**common, "version": "2.0", "rawPath": path, "rawQueryString": "", "requestContext": context}
    return {
        **common,
        "version": "1.0",
        "path": path,
        "httpMethod": method,
        "queryStringParameters": None,
        "requestContext": {"identity": {"sourceIp": "127.0.0.1"}, "requestTimeEpoch": int(time.time() * 1000)},
    }


class Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    adapter: str
    free: "queue.SimpleQueue[Environment]"

    def do_GET(self) -> None:
        environment = self.free.get()
        try:
            answer = environment.invoke(event_of(self.adapter, "GET", self.path, self.headers))  # type: ignore[arg-type]
        finally:
            self.free.put(environment)
        body = answer.get("body") or ""
        raw = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
        headers = {name.lower(): value for name, value in (answer.get("headers") or {}).items()}
        self.send_response(answer["statusCode"])
        for name, value in {**headers, "content-length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


class FrontServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def serve_http(adapter: str, port: int) -> None:
    environments = [Environment(adapter) for _ in range(ENVIRONMENTS)]
    Front.adapter, Front.free = adapter, queue.SimpleQueue()
    for environment in environments:
        assert environment.read() == "ready\n"
        environment.freeze()
        Front.free.put(environment)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with FrontServer(("127.0.0.1", port), Front) as server:
            server.serve_forever()
    finally:
        for environment in environments:
            environment.process.kill()
            environment.process.wait()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        serve_http(sys.argv[1], int(sys.argv[2]))
    else:
        serve_events(sys.argv[1])
