import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from examples.ordering import ATTEMPTS, PAUSE_SECONDS, ask_stock, place_order
from tests.loopback import free_port


@pytest.mark.parametrize(
    ("answers", "status", "attempts"),
    [([True], 201, 1), ([False, True], 201, 2), ([False, False, True], 201, 3), ([False] * 3, 503, 3)],
)
def test_an_order_is_tried_a_few_times_with_pauses_between(answers: list[bool], status: int, attempts: int) -> None:
    given, pauses = iter(answers), []
    order = place_order("", lambda _url: next(given), pauses.append)
    assert (order.status, order.attempts) == (status, attempts)
    assert pauses == [PAUSE_SECONDS] * (attempts - 1)
    assert ATTEMPTS == 3


class Stock(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/tea" else 500)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def stock() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Stock)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_stock_answers_fails_or_is_not_there(stock: str) -> None:
    assert ask_stock(f"{stock}/tea")
    assert not ask_stock(f"{stock}/coffee")
    assert not ask_stock(f"http://127.0.0.1:{free_port()}/tea")
