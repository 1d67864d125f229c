"""httpx over HTTP/2, where calls share a connection: a fault of one is none of the others'."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dependencies.harness import failing
from tests.dependencies.http_server import BODY

hypercorn = pytest.importorskip("hypercorn.asyncio")
pytest.importorskip("h2")


class Server:
    """Knows HTTP/2 without TLS, from clients that assume it."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.versions: set[str] = set()
        self.host = ""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._serve)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    def _serve(self) -> None:
        from hypercorn.config import Config  # noqa: PLC0415

        config = Config()
        config.bind = ["127.0.0.1:0"]
        config.graceful_timeout = 0.1
        sockets = config.create_sockets()
        self.host = f"127.0.0.1:{sockets.insecure_sockets[0].getsockname()[1]}"
        config.create_sockets = lambda: sockets  # type: ignore[method-assign]
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(hypercorn.serve(self._app, config, shutdown_trigger=self._over.wait))

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            self._ready.set()
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        while (await receive()).get("more_body"):
            pass
        self.requests.append(f"{scope['method']} {scope['path']}")
        self.versions.add(scope["http_version"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": BODY})


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    made.start()
    yield made
    made.stop()


def _parameters(fault: str) -> dict[str, float]:
    return {"bytes_per_second": 1000.0} if fault == "slow" else {}


@pytest.mark.parametrize("fault", ["latency", "error", "reset", "lost_reply", "slow", "garbage"])
@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_a_fault_on_a_thread(name: str, fault: str, server: Server) -> None:
    library = pytest.importorskip(name)
    with library.Client(http1=False, http2=True, base_url=f"http://{server.host}", trust_env=False) as client:
        assert client.get("/").content == BODY
        with failing(f"http://{server.host}/orders", fault, **_parameters(fault)):
            before = len(server.requests)
            if fault in {"reset", "lost_reply"}:
                with pytest.raises(library.TransportError):
                    client.post("/orders")
            else:
                answer = client.post("/orders")
                assert (answer.status_code, answer.content == BODY) == {
                    "error": (503, False),
                    "garbage": (200, False),
                }.get(fault, (200, True))
            assert len(server.requests) - before == (fault in {"latency", "slow", "lost_reply"})
            assert client.get("/").content == BODY
        assert client.get("/orders").content == BODY
        [connection] = client._transport._pool.connections
        assert "HTTP/2, IDLE" in repr(connection)
    assert server.versions == {"2"}


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_a_slow_answer_lets_others_on_its_connection_pass(name: str, server: Server) -> None:
    library = pytest.importorskip(name)

    async def call() -> None:
        async with library.AsyncClient(http1=False, http2=True, base_url=f"http://{server.host}") as client:
            await client.get("/")
            with failing(f"http://{server.host}/orders", "slow", bytes_per_second=100.0):
                slow = asyncio.create_task(client.get("/orders"))
                for _ in range(5):
                    assert (await client.get("/")).content == BODY
                assert not slow.done()
                assert (await slow).content == BODY
            [connection] = client._transport._pool.connections
            assert "HTTP/2, IDLE" in repr(connection)

    asyncio.run(call())
