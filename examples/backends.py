"""What the checkout depends on, in this process: a payment service, a table and a cache. Nothing has to be installed.

Of your own there are real ones. These speak the same protocols, so the clients in `checkout.py` are what you have, too.
"""

import socketserver
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
from botocore.config import Config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

HOST = "127.0.0.1"
TABLE = "orders"
PRICES = {b"price:tea": b"3.20", b"price:coffee": b"4.10"}


@dataclass(frozen=True)
class Backends:
    """Where they are. `charged` has the payments that were made."""

    payments_url: str
    dynamodb_url: str
    cache_port: int
    charged: list[str]


class Payments(ThreadingHTTPServer):
    """Charges whoever asks; each key only once."""

    daemon_threads = True

    def __init__(self, charged: list[str]) -> None:
        super().__init__((HOST, 0), Charge)
        self.charged = charged


class Charge(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Payments

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        key = self.headers["Idempotency-Key"]
        if key is None or key not in self.server.charged:
            self.server.charged.append(key or "without a key")
        body = b'{"paid": true}'
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The terminal is for the service's own log."""


class Cache(socketserver.ThreadingTCPServer):
    """A few commands of Redis."""

    daemon_threads = True
    allow_reuse_address = True


class Command(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            words = [self._word() for _ in range(int(line[1:]))]
            self.wfile.write(self._answer(words))

    def _word(self) -> bytes:
        length = int(self.rfile.readline()[1:])
        return self.rfile.read(length + 2)[:-2]

    def _answer(self, words: list[bytes]) -> bytes:
        if words[0].upper() != b"GET":
            return b"+OK\r\n"
        price = PRICES.get(words[1])
        return b"$-1\r\n" if price is None else b"$%d\r\n%b\r\n" % (len(price), price)


class Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """As the others."""


def start() -> Backends:
    """Each on a free port, for as long as the process lives."""
    charged: list[str] = []
    payments, cache = Payments(charged), Cache((HOST, 0), Command)
    moto = DomainDispatcherApplication(create_backend_app)
    dynamodb = make_server(HOST, 0, moto, threaded=True, request_handler=Quiet)
    for server in (payments, cache, dynamodb):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://{HOST}:{dynamodb.server_port}"
    _make_table(address)
    return Backends(f"http://{HOST}:{payments.server_port}/charges", address, cache.server_address[1], charged)


def _make_table(address: str) -> None:
    table(address).meta.client.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def table(address: str, config: Config | None = None):
    """The table, for a client with these time-outs and retries."""
    credentials = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
    return boto3.resource("dynamodb", endpoint_url=address, config=config, **credentials).Table(TABLE)
