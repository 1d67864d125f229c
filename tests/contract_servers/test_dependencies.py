"""What all processes of an application call is seen by asking one of them, on each framework; none of it is lost."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from chalicelib.dynamodb.seen import DynamoDBSeenStore
from chalicelib.results.seen import SeenCalls
from chalicelib.settings import Settings
from tests.contract.servers import Command, Server, chalice_local, gunicorn, serving, uvicorn
from tests.loopback import free_port, until

API = "/chaos_experiments"
CALLING = Path(__file__).parent / "calling"
SERVERS: dict[str, Command] = {
    "chalice local": partial(chalice_local, host=CALLING / "chalice_host.py"),
    "flask, gunicorn": partial(gunicorn, host=CALLING / "flask_host.py"),
    "fastapi, uvicorn": partial(uvicorn, host=CALLING / "fastapi_host.py"),
}
REQUESTS = 60


class Payments(ThreadingHTTPServer):
    """Answers every second call with 503, and counts them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Paid)
        self.calls = 0
        self.counting = threading.Lock()


class Paid(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Payments

    def do_GET(self) -> None:
        with self.server.counting:
            self.server.calls += 1
            status = 503 if self.server.calls % 2 else 200
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def payments() -> Iterator[Payments]:
    server = Payments()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def pay(server: Server, number: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: server.call("GET", "/pay"), range(number)))


def rows(server: Server) -> dict[str, Any]:
    found = server.call("GET", f"{API}/dependencies").json()["resultset"]["dependencies"]
    return {row["dependency"]: row for row in found if row["client"] == "urllib3"}


@pytest.mark.parametrize("name", SERVERS)
def test_what_is_called_is_seen_and_none_of_it_is_lost(
    name: str, payments: Payments, dynamodb_url: str, tmp_path: Path
) -> None:
    called, table = f"127.0.0.1:{payments.server_port}", f"called-{free_port()}"
    seen = DynamoDBSeenStore(Settings(stage="dev", table=table, endpoint_url=dynamodb_url, table_timeout_seconds=5.0))

    def in_the_table() -> SeenCalls:
        total = SeenCalls()
        for key, calls in seen.seen(0.0).items():
            if key.dependency == called:
                total.merge(calls)
        return total

    variables = {"PAYMENTS": f"http://{called}/cards/no4711?secret=1", "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url}
    with serving(SERVERS[name], tmp_path, **variables, CHAOS_TABLE=table) as server:
        pay(server, 4)
        assert called not in rows(server)  # nobody had asked

        def is_seen() -> bool:
            pay(server, 4)
            return called in rows(server)

        until(is_seen)
        row = rows(server)[called]
        assert set(row["faults"]) >= {"timeout", "lost_reply"}
        assert 0 < row["p50_seconds"] <= row["p95_seconds"] < 5
        assert "no4711" not in str(rows(server))
        pay(server, REQUESTS)  # by now all processes observe
        before, calls = payments.calls, in_the_table().calls
        pay(server, REQUESTS)
        if name == "chalice local":  # which is cut off when it is terminated
            until(lambda: in_the_table().calls - calls >= REQUESTS)
        server.terminate()
    total = in_the_table()
    assert total.calls - calls >= payments.calls - before == REQUESTS
    assert total.calls <= payments.calls
    assert abs(total.errors - total.calls / 2) < total.calls / 4
