"""The tour of examples/README.md, on the servers that its commands start."""

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.contract.servers import BIN, IDLE_SECONDS, PROJECT, Command, Server, serving, settle
from tests.loopback import until

EXAMPLES = PROJECT / "examples"
API = "/chaos_experiments"
TIMEOUT_SECONDS = 1.0

COMMANDS: dict[str, tuple[Path, Command]] = {
    "flask": (EXAMPLES, lambda _, port: [str(BIN / "flask"), "--app", "flask_shop", "run", "--port", str(port)]),
    "fastapi": (EXAMPLES, lambda _, port: [str(BIN / "uvicorn"), "fastapi_shop:app", "--port", str(port)]),
    "chalice": (
        EXAMPLES / "chalice_shop",
        lambda _, port: [str(BIN / "chalice"), "local", "--port", str(port), "--no-autoreload"],
    ),
}


@pytest.fixture(scope="module")
def shops(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    own = uuid.uuid4().hex[:8]  # processes in one folder share a table otherwise, and other files run beside this one
    with ExitStack() as stack:
        served = {
            name: stack.enter_context(
                serving(
                    command,
                    tmp_path_factory.mktemp("shop"),
                    cwd=where,
                    PYTHONPATH=f"{EXAMPLES}:{wheel}",
                    CHAOS_APPLICATION=own,
                    STOCK_TIMEOUT_SECONDS=str(TIMEOUT_SECONDS),
                )
            )
            for name, (where, command) in COMMANDS.items()
        }
        for shop in served.values():
            shop.call("POST", "/orders")  # the first one, which loads what the others find loaded
        yield served


@pytest.fixture(params=COMMANDS)
def shop(request: pytest.FixtureRequest, shops: dict[str, Server]) -> Iterator[Server]:
    shop = shops[request.param]
    yield shop
    settle(shop)


def start(shop: Server, name: str, **parameters: Any) -> None:
    body = {"experiment_name": name, "duration_seconds": 60, **parameters}
    assert shop.call("POST", f"{API}/start", json=body).status_code == 200
    time.sleep(IDLE_SECONDS)


def order(shop: Server) -> Any:
    answer = shop.call("POST", "/orders")
    assert answer.status_code == answer.json()["status"]
    assert "X-Chaos-Run" not in answer.headers
    return answer.json()


def stock_answered(shop: Server) -> int:
    return int(shop.call("GET", "/health").json()["stock_answered"])


def test_an_order_is_confirmed(shop: Server) -> None:
    placed = order(shop)
    assert (placed["status"], placed["order"]) == (201, "confirmed")
    until(lambda: order(shop)["attempts"] == 1)


def test_a_slow_stock_costs_the_customer_every_timeout_and_itself_every_attempt(shop: Server) -> None:
    start(shop, "latency_injection", delay_seconds=2 * TIMEOUT_SECONDS)
    before = stock_answered(shop)
    placed = order(shop)
    assert (placed["status"], placed["order"], placed["attempts"]) == (503, "refused", 3)
    assert placed["seconds"] >= 3 * TIMEOUT_SECONDS
    until(lambda: stock_answered(shop) >= before + 3)
    settle(shop)
    until(lambda: order(shop)["attempts"] == 1)  # a stock that is slow by itself is tried again


def test_retries_hide_a_stock_that_sometimes_fails(shop: Server) -> None:
    start(shop, "error_injection", error_rate=0.3)
    placed = [order(shop) for _ in range(60)]
    assert sum(each["status"] == 201 for each in placed) >= 48  # fewer: once in ten million runs
    assert sum(each["attempts"] for each in placed) > 60


def test_retries_help_nobody_where_it_always_fails(shop: Server) -> None:
    start(shop, "error_injection", error_rate=1.0)
    assert order(shop)["status"] == 503
