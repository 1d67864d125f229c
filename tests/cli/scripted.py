"""An application that answers as a script says."""

import json
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from chalicelib.api import responses
from chalicelib.experiments.catalogue import installed
from tests.support import NOW, a_run

Answer = tuple[int, Any]
RUN = a_run(duration_seconds=60.0)
RUNNING = responses.run(RUN, NOW)
PREFIX = "/chaos_experiments"
LISTED = {
    "application": "app",
    "stage": "qa",
    "available_experiments": [responses.experiment(installed()["latency_injection"], {})],
    "active_experiments": [],
}


def fine(resultset: Any) -> Answer:
    return 200, {"error": False, "error_message": None, "resultset": resultset}


def published(prefix: str) -> Answer:
    """Part of the OpenAPI document of endpoints below the prefix."""
    return 200, {"paths": {f"{prefix}/list": {"get": {"operationId": "chaos_experiments_get_list_experiments"}}}}


class Scripted(ThreadingHTTPServer):
    """Answers each path below its prefix with what its script has next, the last one for ever.

    None is a connection that is cut. `received` are all requests: method and headers. `elsewhere` are the requests for
    paths that are not below the prefix.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ScriptedHandler)
        self.script: dict[str, list[Answer | None]] = {
            "/list": [fine(LISTED)],
            "/start": [fine(RUNNING)],
            "/openapi.json": [published(PREFIX)],
        }
        self.prefix = PREFIX
        self.location = ""
        self.answer_headers: dict[str, str] = {}
        self.received: list[tuple[str, Message]] = []
        self.asked: list[tuple[str, Any]] = []
        self.elsewhere: list[tuple[str, str, str]] = []
        self.host = f"http://127.0.0.1:{self.server_address[1]}"
        self.url = self.host + PREFIX


class ScriptedHandler(BaseHTTPRequestHandler):
    server: Scripted

    def do_GET(self) -> None:
        self.server.received.append((self.command, self.headers))
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        whole = self.path.partition("?")[0]
        path = whole.removeprefix(self.server.prefix)
        if path == whole:
            self.server.elsewhere.append((self.command, path, self.headers.get("Authorization", "")))
        elif path != "/openapi.json":
            self.server.asked.append((self.path.removeprefix(self.server.prefix), body))
        answers = self.server.script.get(path, [(404, {})])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            return
        self.send_response(answer[0])
        if self.server.location:
            self.send_header("Location", self.server.location)
        for name, value in self.server.answer_headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(answer[1]).encode())

    do_POST = do_GET  # noqa: N815 - the base class calls it so

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class calls it so
        pass
