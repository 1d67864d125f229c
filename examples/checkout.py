"""Checking out: the price comes from a cache, the payment service is asked over HTTP, the order goes to a table.

Each client has a time-out and retries, and one of the three can be done without.
"""

import uuid
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
    order = uuid.uuid4().hex
    try:
        charge(order, price)
    except requests.RequestException as error:
        return CheckedOut(502, order, price, price_from, f"not paid: {type(error).__name__}")
    try:
        orders.put_item(Item={"id": order, "item": item, "price": price})
    except (BotoCoreError, ClientError) as error:
        return CheckedOut(503, order, price, price_from, f"paid, and not stored: {type(error).__name__}")
    return CheckedOut(201, order, price, price_from)


def price_of(item: str) -> tuple[str, str]:
    """The price, and where it is from: the cache can be done without."""
    try:
        found = prices.get(f"price:{item}")
    except redis.RedisError:
        found = None
    return (found.decode(), "cache") if found else (LIST_PRICE, "list")


def charge(order: str, price: str) -> None:
    """The key makes it safe to ask again: the payment service charges each order once."""
    answer = payments.post(
        running.payments_url, json={"price": price}, headers={"Idempotency-Key": order}, timeout=PAYMENT_TIMEOUT
    )
    answer.raise_for_status()
