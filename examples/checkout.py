"""Checking out: the price comes from a cache, the payment service is asked over HTTP, the order goes to a table.

Each client has a time-out and retries, and one of the three can be done without.
"""

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import backends
import redis
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

LIST_PRICE = "3.50"
"""What is charged where the cache does not answer."""

STORES_FIRST = os.environ.get("STORE_FIRST") == "true"
"""Whether an order is stored before it is paid for. Otherwise a customer may pay for what is not stored."""

PAYMENT_TIMEOUT = (0.5, 1.0)
"""To connect, and for each answer, in seconds."""

running = backends.start()
prices = redis.Redis(port=running.cache_port, socket_timeout=0.2, socket_connect_timeout=0.2, protocol=2)
payments = requests.Session()
payments.mount(
    "http://",
    HTTPAdapter(
        max_retries=Retry(2, backoff_factor=0.1, backoff_jitter=0.1, status_forcelist=[429, 503], allowed_methods=None)
    ),
)
orders = backends.table(
    running.dynamodb_url,
    Config(connect_timeout=0.5, read_timeout=1.0, retries={"mode": "standard", "total_max_attempts": 3}),
)


@dataclass(frozen=True)
class CheckedOut:
    """What became of it."""

    status: int
    order: str
    price: str
    price_from: str
    problem: str | None = None


def check_out(item: str) -> CheckedOut:
    """201 with the order, or 502 or 503 where it could not be paid or stored."""
    price, price_from = price_of(item)
    order = {"id": uuid.uuid4().hex, "item": item, "price": price}
    done: list[str] = []
    for name in ("stored", "paid") if STORES_FIRST else ("paid", "stored"):
        step, status = STEPS[name]
        if exception := failed(step, order):
            problem = ", and ".join([*done, f"not {name}: {exception}"])
            return CheckedOut(status, order["id"], price, price_from, problem)
        done.append(name)
    return CheckedOut(201, order["id"], price, price_from)


def failed(step: Callable[[dict[str, str]], None], order: dict[str, str]) -> str | None:
    """The exception with which it failed."""
    try:
        step(order)
    except (requests.RequestException, BotoCoreError, ClientError) as error:
        return type(error).__name__
    return None


def store(order: dict[str, str]) -> None:
    orders.put_item(Item=order)


def price_of(item: str) -> tuple[str, str]:
    """The price, and where it is from: the cache can be done without."""
    try:
        found = prices.get(f"price:{item}")
    except redis.RedisError:
        found = None
    return (found.decode(), "cache") if found else (LIST_PRICE, "list")


def charge(order: dict[str, str]) -> None:
    """The key makes it safe to ask again: the payment service charges each order once."""
    key = {"Idempotency-Key": order["id"]}
    answer = payments.post(running.payments_url, json=order, headers=key, timeout=PAYMENT_TIMEOUT)
    answer.raise_for_status()


STEPS = {"stored": (store, 503), "paid": (charge, 502)}
"""What is done with an order, and the answer where it fails."""
