"""A browser, and an application of two processes whose console it opens."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from chalicelib.access import Role, new_token
from chalicelib.dynamodb.tokens import DynamoDBTokenStore
from chalicelib.settings import Settings
from tests.contract.servers import SERVERS, Server, serving, stop_all
from tests.loopback import free_port
from tests.matrix import leave_out, parameters_of

PATIENCE_MS = 15_000
expect.set_options(timeout=PATIENCE_MS)

CHROMIUM = shutil.which("chromium") or ""
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Without them the browser connects to hosts of its maker."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The page is the same everywhere: without --whole-matrix each test has one of the servers, in turn."""
    for item in items:
        if "tests/browser/" in item.nodeid and not CHROMIUM:
            item.add_marker(pytest.mark.skip(reason="needs Debian's chromium: apt-get install chromium"))
    tests: dict[str, int] = {}
    leave_out(config, items, lambda item: _has_its_turn(item, tests))


def _has_its_turn(item: pytest.Item, tests: dict[str, int]) -> bool:
    """Whether the item has the server whose turn it is; `tests` numbers those that are known."""
    parameters = parameters_of(item)
    if "server_and_table" not in parameters:
        return True
    server = parameters["server_and_table"]
    test = item.nodeid.replace(server, "", 1)
    return list(SERVERS)[tests.setdefault(test, len(tests)) % len(SERVERS)] == server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for longer: while Playwright is open its event loop runs in this thread, and no other test can have one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=SERVERS)
def server_and_table(
    request: pytest.FixtureRequest, dynamodb_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, str]]:
    table = f"browser-{free_port()}"
    folder = tmp_path_factory.mktemp("browser")
    with serving(SERVERS[request.param], folder, AWS_ENDPOINT_URL_DYNAMODB=dynamodb_url, CHAOS_TABLE=table) as server:
        yield server, table


@pytest.fixture(scope="module")
def server(server_and_table: tuple[Server, str]) -> Server:
    return server_and_table[0]


@pytest.fixture
def viewer_token(server_and_table: tuple[Server, str], dynamodb_url: str) -> str:
    """Of somebody who can read and halt, and nothing else."""
    secret, token = new_token("vera", Role.VIEWER, now=time.time())
    table = server_and_table[1]
    settings = Settings(stage="dev", table=table, endpoint_url=dynamodb_url, table_timeout_seconds=5.0)
    DynamoDBTokenStore(settings).add(token)
    return secret


@pytest.fixture
def fresh(server: Server) -> Server:
    """Nothing runs, nothing is halted."""
    server.call("POST", "/chaos_experiments/resume", json={})
    stop_all(server)
    return server


class Watched:
    """A context whose every request, error and refusal of the content security policy is noted."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.requests: list[str] = []
        self.troubles: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", self._note)

    def _note(self, message: ConsoleMessage) -> None:
        # A refusal that the test provokes is logged by the browser as a failed load.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.troubles.append(message.text)

    def hosts(self) -> set[str]:
        return {url.split("/")[2] for url in self.requests if url.startswith(("http", "ws"))}


Open = Callable[..., Watched]


@pytest.fixture
def open_console(browser: Browser, fresh: Server) -> Iterator[Open]:
    """The console in a window; afterwards nothing went wrong in it, and no other host was asked."""
    contexts: list[BrowserContext] = []
    opened: list[Watched] = []

    def open_it(**options: Any) -> Watched:
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        watched = Watched(context, f"{fresh.url}/chaos_experiments/console")
        opened.append(watched)
        watched.page.goto(watched.url)
        return watched

    yield open_it
    for watched in opened:
        assert watched.troubles == []
        assert watched.hosts() == {fresh.url.removeprefix("http://")}
    for context in contexts:
        context.close()


class Picture(Protocol):
    def __call__(self, page: Page, name: str, *, down_to: str | None = None) -> None: ...


@pytest.fixture
def picture(pytestconfig: pytest.Config) -> Picture:
    """Saves a screenshot of the page, or of what it has `down_to` an element, if `--pictures` names a folder."""
    folder = pytestconfig.getoption("--pictures")

    def take(page: Page, name: str, *, down_to: str | None = None) -> None:
        if folder:
            # In a window as high as the page: the bar at its top moves where a browser scrolls to take it in parts.
            window = page.viewport_size or {"width": 1000, "height": 640}
            height = page.evaluate("() => { scrollTo(0, 0); return document.documentElement.scrollHeight; }")
            page.set_viewport_size({"width": window["width"], "height": max(height, window["height"])})
            box = page.locator(down_to).bounding_box() if down_to else None
            clip = (
                {"x": 0.0, "y": 0.0, "width": float(window["width"]), "height": box["y"] + box["height"] + 16}
                if box
                else None
            )
            page.screenshot(path=Path(folder) / f"{name}.png", clip=clip)
            page.set_viewport_size(window)

    return take
