"""Placing an order: the stock is asked over HTTP, with a timeout and retries. Any web framework can use it."""

import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

TIMEOUT_SECONDS = float(os.environ.get("STOCK_TIMEOUT_SECONDS", "0.5"))
ATTEMPTS = 3
PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Order:
    """What became of it. `seconds` is how long the customer waited."""

    status: int
    order: str
    attempts: int
    seconds: float


def ask_stock(url: str) -> bool:
    """Whether the stock answered in time. Its answer is not looked at any further here."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS):  # noqa: S310 - the address is configured
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def place_order(url: str, ask: Callable[[str], bool] = ask_stock, sleep: Callable[[float], None] = time.sleep) -> Order:
    """Confirmed with 201, or refused with 503 when the stock could not be asked in a few attempts."""
    began = time.monotonic()
    for attempt in range(1, ATTEMPTS + 1):
        if ask(url):
            return Order(201, "confirmed", attempt, round(time.monotonic() - began, 3))
        if attempt < ATTEMPTS:
            sleep(PAUSE_SECONDS)
    return Order(503, "refused", ATTEMPTS, round(time.monotonic() - began, 3))
