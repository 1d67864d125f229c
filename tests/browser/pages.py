"""What the tests of the console do on its page: sign in, fill in a form, start, halt; and requests meanwhile."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Locator, Page, expect

from tests.contract.servers import TOKEN, Server

WIDER = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("*")]
    .filter(each => each.getBoundingClientRect().right > innerWidth && !each.closest(".wide"))
    .map(each => each.tagName + "#" + each.id + "." + each.className).concat("the document")"""
"""What is wider than the window."""


def sign_in(page: Page, token: str = TOKEN) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def title(name: str) -> str:
    return name.capitalize().replace("_", " ")


def fill(page: Page, name: str, **fields: str) -> Locator:
    card = page.locator(f"#experiment-{name}")
    if card.get_attribute("open") is None:
        card.locator("summary").first.click()
    for label, value in fields.items():
        card.get_by_label(re.compile(label, re.IGNORECASE)).first.fill(value)
    return card


def start(page: Page, name: str, **fields: str) -> None:
    fill(page, name, **fields).get_by_role("button", name=f"Start {title(name)}").click()


def halt(page: Page, reason: str) -> None:
    page.get_by_role("button", name="Halt everything").click()
    page.get_by_label("Reason").last.fill(reason)
    page.get_by_role("button", name="Halt", exact=True).click()
    expect(page.locator("#halted")).to_be_visible()


@contextmanager
def load(server: Server) -> Iterator[None]:
    """Requests of the application, one after the other."""
    going = threading.Event()
    going.set()

    def ask() -> None:
        while going.is_set():
            server.call("GET", "/orders/7")

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        going.clear()
        for client in clients:
            client.join()
