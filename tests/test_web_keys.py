"""Keys while their address fails, is slow, or changes them. Time is scripted, except where sockets are the point."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import jwt
import pytest

from chalicelib.errors import KeysUnavailable
from chalicelib.web_keys import (
    ABANDONED_SECONDS,
    COOLDOWN_SECONDS,
    FRESH_SECONDS,
    PATIENCE_SECONDS,
    PAUSE_SECONDS,
    TRUSTED_SECONDS,
    Keys,
    WebKeys,
    fetch_keys,
)
from tests.support import Clock


class Provider:
    """Publishes keys, and counts how often it was asked for them."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {"a": "key a"}
        self.broken = False
        self.asked = 0

    def __call__(self) -> Keys:
        self.asked += 1
        if self.broken:
            raise TimeoutError("the provider is out")
        return dict(self.keys)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def keys(provider: Provider, clock: Clock) -> WebKeys:
    return WebKeys(provider, clock, work_in_another_thread)


def work_in_another_thread(work: Callable[[], None]) -> None:
    """Not in this one: it is begun with the lock that it takes."""
    threading.Thread(target=work, daemon=True).start()


def test_keys_are_fetched_once_for_many_requests(keys: WebKeys, provider: Provider) -> None:
    assert [keys.find("a") for _ in range(100)] == ["key a"] * 100
    assert provider.asked == 1


def test_a_made_up_id_costs_one_fetch_and_not_one_each(keys: WebKeys, provider: Provider, clock: Clock) -> None:
    keys.find("a")
    clock.now += COOLDOWN_SECONDS
    assert [keys.find(f"made up {number}") for number in range(100)] == [None] * 100
    assert provider.asked == 2


def test_a_new_key_is_found_soon(keys: WebKeys, provider: Provider, clock: Clock) -> None:
    keys.find("a")
    provider.keys = {"b": "key b"}
    clock.now += COOLDOWN_SECONDS
    assert keys.find("b") == "key b"
    assert keys.find("a") is None


def test_an_outage_costs_one_attempt_in_a_while_and_known_keys_go_on(
    keys: WebKeys, provider: Provider, clock: Clock
) -> None:
    keys.find("a")
    provider.broken = True
    clock.now += FRESH_SECONDS
    for _ in range(100):
        assert keys.find("a") == "key a"
    clock.now += COOLDOWN_SECONDS
    for _ in range(100):
        with pytest.raises(KeysUnavailable):
            keys.find("unknown")
    assert provider.asked <= 3
    clock.now += TRUSTED_SECONDS
    with pytest.raises(KeysUnavailable):
        keys.find("a")


def test_when_the_outage_is_over_the_next_request_is_answered(keys: WebKeys, provider: Provider, clock: Clock) -> None:
    provider.broken = True
    with pytest.raises(KeysUnavailable) as refused:
        keys.find("a")
    assert refused.value.headers == {"Retry-After": f"{PAUSE_SECONDS:g}"}
    provider.broken = False
    with pytest.raises(KeysUnavailable, match="has just failed"):
        keys.find("a")
    clock.now += PAUSE_SECONDS
    assert keys.find("a") == "key a"
    assert provider.asked == 2


def test_a_process_that_may_have_no_more_threads_says_so(provider: Provider, clock: Clock) -> None:
    def none_left(_: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    with pytest.raises(KeysUnavailable, match="RuntimeError"):
        WebKeys(provider, clock, none_left).find("a")


def test_a_fetch_that_never_ends_is_not_waited_for_twice_and_is_abandoned(provider: Provider, clock: Clock) -> None:
    begun: list[Callable[[], None]] = []
    keys = WebKeys(provider, clock, begun.append)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(keys.find, "a")
        while not begun:
            time.sleep(0.001)
        clock.now += PATIENCE_SECONDS
        with pytest.raises(KeysUnavailable, match="no answer within 2 s"):
            keys.find("a")
        assert isinstance(waiting.exception(), KeysUnavailable)
    assert len(begun) == 1
    clock.now += ABANDONED_SECONDS
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(keys.find, "a")
        while len(begun) < 2:
            time.sleep(0.001)
        begun[1]()
        assert found.result() == "key a"
    begun[0]()  # the first one ends after all
    assert keys.find("a") == "key a"


# On real sockets

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"


@contextmanager
def serving(answer: Callable[[socket.socket, threading.Event], None]) -> Iterator[tuple[str, list[int]]]:
    """An address where each connection is answered so; and how many connections there were."""
    over = threading.Event()
    accepted: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)

        def accept() -> None:
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                accepted.append(1)
                threading.Thread(target=handle, args=(connection,)).start()

        def handle(connection: socket.socket) -> None:
            with connection, suppress(OSError):  # a client that has enough closes it
                answer(connection, over)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/jwks.json", accepted
        finally:
            over.set()
            thread.join()


def silent(_: socket.socket, over: threading.Event) -> None:
    over.wait()


def dripping(connection: socket.socket, over: threading.Event) -> None:
    """A byte in 0.2 s: no single read is ever slow."""
    connection.sendall(RESPONSE)
    while not over.wait(0.2):
        try:
            connection.sendall(b" ")
        except OSError:
            return


@pytest.mark.parametrize("answer", [silent, dripping])
def test_requests_of_many_threads_wait_one_time_out_together(answer: Any) -> None:
    def ask(_: int) -> float:
        began = time.monotonic()
        with pytest.raises(KeysUnavailable):
            keys.find("a")
        return time.monotonic() - began

    with serving(answer) as (url, accepted):
        keys = WebKeys(lambda: fetch_keys(url, jwt.PyJWKSet.from_dict))
        with ThreadPoolExecutor(16) as pool:
            took = list(pool.map(ask, range(32)))
    assert max(took) < 2 * PATIENCE_SECONDS
    assert sum(took) < 17 * 2 * PATIENCE_SECONDS  # who came later did not wait
    assert len(accepted) == 1


def told(head: bytes, body: bytes = b"") -> Callable[[socket.socket, threading.Event], None]:
    def answer(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 " + head + b"\r\nConnection: close\r\n\r\n" + body)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        told(b"500 Internal Server Error"),
        told(b"302 Found\r\nLocation: http://127.0.0.1:1/"),
        told(b"200 OK", b"<html>Sign in</html>"),
        told(b"200 OK", b"[]"),
        told(b"200 OK", b'{"keys": []}'),
        told(b"200 OK", b'{"keys": [{"kty": "RSA", "kid": "a"}]}'),
        told(b"200 OK\r\nContent-Length: 100", b'{"keys'),
        told(b"200 OK", b" " * 600_000),
        told(b"nonsense"),
        lambda *_: None,
    ],
    ids=["500", "302", "html", "list", "empty", "half a key", "cut", "huge", "nonsense", "nothing"],
)
def test_an_answer_without_keys_is_an_outage_and_no_denial(answer: Any) -> None:
    with serving(answer) as (url, _):
        keys = WebKeys(lambda: fetch_keys(url, jwt.PyJWKSet.from_dict))
        with pytest.raises(KeysUnavailable):
            keys.find("a")
