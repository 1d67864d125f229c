import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Open
from tests.contract.servers import TOKEN, Server

pytestmark = pytest.mark.timeout(300)

Picture = Callable[[Page, str], None]
FORMS = {
    "latency_injection": ("Delay", "0.2"),
    "error_injection": ("Error rate", "0.5"),
    "resource_exhaustion": ("Memory", "16"),
}
WINDOWS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone, dark": {"color_scheme": "dark", "viewport": {"width": 375, "height": 800}, "has_touch": True},
    "phone, light": {"color_scheme": "light", "viewport": {"width": 375, "height": 800}, "has_touch": True},
}


WIDER = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("*")]
    .filter(each => each.getBoundingClientRect().right > innerWidth && !each.closest(".wide"))
    .map(each => each.tagName + "#" + each.id + "." + each.className).concat("the document")"""


def sign_in(page: Page, token: str = TOKEN) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def start(page: Page, name: str, **fields: str) -> None:
    card = page.locator(f"#experiment-{name}")
    if card.get_attribute("open") is None:
        card.locator("summary").first.click()
    for label, value in fields.items():
        card.get_by_label(re.compile(label, re.IGNORECASE)).first.fill(value)
    card.get_by_role("button", name=f"Start {name}").click()


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


def test_who_has_no_valid_token_is_told_so_and_sees_nothing(open_console: Open) -> None:
    page = open_console().page
    expect(page.get_by_role("banner")).to_contain_text("dev")
    sign_in(page, "wrong")
    expect(page.get_by_role("alert").first).to_contain_text("Sign in with another one")
    expect(page.get_by_role("heading", name="Experiments", exact=True)).to_be_hidden()


def test_the_token_is_in_the_tab_alone_and_gone_when_one_signs_out(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    expect(page.get_by_role("heading", name="Experiments", exact=True)).to_be_visible()
    assert page.evaluate("localStorage.length + document.cookie.length") == 0
    page.reload()
    expect(page.get_by_role("heading", name="Experiments", exact=True)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    assert page.evaluate("sessionStorage.length") == 0
    expect(page.get_by_label("Token")).to_be_focused()


@pytest.mark.parametrize("name", FORMS)
def test_an_experiment_is_started_by_its_form_seen_and_stopped(
    open_console: Open, server: Server, name: str, picture: Picture
) -> None:
    page = open_console().page
    sign_in(page)
    label, value = FORMS[name]
    with load(server):
        start(page, name, **{label: value, "Duration": "60", "Percentage": "50"})
        card = page.locator("#running article")
        expect(card).to_contain_text(name.capitalize().replace("_", " "))
        first = int(card.locator(".left").inner_text().split()[0])
        expect(card.locator(".left")).not_to_have_text(f"{first} s left")
        assert int(card.locator(".left").inner_text().split()[0]) < first
        expect(card.locator("dt", has_text="Environments")).to_be_visible()
        before = card.locator("dd").first.inner_text()
        expect(card.locator("dd").first).not_to_have_text(before)
        expect(card.locator(".plot canvas")).to_be_visible()
        drawn = card.locator(".plot").get_attribute("aria-label") or ""
        expect(card.locator(".plot")).not_to_have_attribute("aria-label", drawn)
        picture(page, f"running-{name}")
    card.get_by_role("button", name=f"Stop {name}").click()
    expect(card).to_have_count(0)
    expect(page.locator("#history tr").first).to_contain_text("stopped by developer")


def test_what_may_not_be_is_refused_in_words_at_its_field(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    start(page, "latency_injection", Delay="61")
    card = page.locator("#experiment-latency_injection")
    expect(card.get_by_role("alert")).to_contain_text("delay_seconds must be less than or equal to 60")
    expect(card.get_by_label(re.compile("Delay"))).to_have_attribute("aria-invalid", "true")
    start(page, "latency_injection", Delay="two")
    expect(card.get_by_role("alert")).to_contain_text("must be a valid number")
    start(page, "latency_injection", Delay="0")
    expect(page.locator("#running article")).to_have_count(1)
    start(page, "latency_injection", Delay="0")
    expect(card.get_by_role("alert")).to_contain_text("is already running")


def test_a_halt_ends_everything_and_starts_are_refused_in_words_until_it_is_resumed(
    open_console: Open, server: Server
) -> None:
    page = open_console().page
    sign_in(page)
    start(page, "error_injection")
    expect(page.locator("#running article")).to_have_count(1)
    page.get_by_role("button", name="Halt everything").click()
    page.get_by_label("Reason").last.fill("orders are lost")
    page.get_by_role("button", name="Halt", exact=True).click()
    expect(page.locator("#running article")).to_have_count(0)
    expect(page.locator("#halted")).to_contain_text("By developer")
    expect(page.locator("#halted")).to_contain_text("orders are lost")
    start(page, "error_injection")
    expect(page.locator("#experiment-error_injection").get_by_role("alert")).to_contain_text("Halted by developer")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#halted")).to_be_hidden()
    start(page, "error_injection")
    expect(page.locator("#running article")).to_have_count(1)


def test_a_report_is_read_within_the_page_and_says_what_came_of_the_hypothesis(
    open_console: Open, server: Server, picture: Picture
) -> None:
    page = open_console().page
    sign_in(page)
    card = page.locator("#experiment-latency_injection")
    card.locator("summary").first.click()
    card.locator("summary").nth(1).click()
    with load(server):
        start(page, "latency_injection", Delay="0.2", Percentage="50", **{"Max error rate": "0.01", "P95": "0.0001"})
        running = page.locator("#running article")
        expect(running.locator(".verdict")).to_contain_text("failed", timeout=30_000)
        picture(page, "hypothesis")
        running.get_by_role("button", name="Stop").click()
    expect(running).to_have_count(0)
    page.get_by_role("button", name=re.compile("^Report of latency_injection")).first.click()
    report = page.frame_locator("#report iframe")
    expect(report.get_by_role("heading", name="latency_injection: stopped")).to_be_visible()
    expect(report.locator(".verdict")).to_contain_text("The hypothesis failed")
    expect(report.locator("svg")).to_have_count(3)
    assert report.locator("body").evaluate("body => getComputedStyle(body).maxWidth") == "960px"  # its style is let in
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as Markdown").click()
    assert saved.value.path().read_text().startswith("# latency_injection")


def test_a_server_that_goes_away_is_told_and_one_that_comes_back_too(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    start(page, "latency_injection", Delay="0")
    expect(page.locator("#running article")).to_have_count(1)
    page.context.route("**/list", lambda route: route.abort())
    expect(page.locator("#notice")).to_contain_text("does not answer")
    page.context.unroute("**/list")
    expect(page.locator("#notice")).to_be_hidden()


def test_it_is_worked_by_the_keyboard_alone(open_console: Open) -> None:
    page = open_console().page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the experiments")).to_be_focused()
    page.get_by_label("Token").focus()
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Experiments", exact=True)).to_be_visible()
    summary = page.locator("#experiment-error_injection > summary")
    summary.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Start error_injection").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#running article")).to_have_count(1)
    page.get_by_role("button", name="Halt everything").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Reason").last).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Halt everything")).to_be_focused()


GATEWAY = {"status": 403, "json": {"Message": "User is not authorized to access this resource"}}
"""What API Gateway says of a token that it does not know."""


def test_a_token_that_a_gateway_does_not_know_any_more_ends_the_session(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    start(page, "latency_injection", Delay="0")
    expect(page.locator("#running article")).to_have_count(1)
    page.context.route("**/list", lambda route: route.fulfill(**GATEWAY))
    expect(page.locator("#notice")).to_contain_text("Sign in with another one")
    expect(page.get_by_label("Token")).to_be_focused()
    expect(page.locator("#running article")).to_have_count(0)


def test_what_is_no_token_is_told_so_and_not_sent(open_console: Open) -> None:
    watched = open_console()
    sign_in(watched.page, "abc…")
    expect(watched.page.locator("#notice")).to_contain_text("That is no token")
    assert not [url for url in watched.requests if url.endswith("/list")]


def test_who_has_signed_out_is_shown_nothing_of_what_was_under_way(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    start(page, "latency_injection", Delay="0")
    expect(page.locator("#running article")).to_have_count(1)
    held: list[Route] = []
    page.context.route("**/list", lambda route: held.append(route))  # noqa: PLW0108 - Playwright takes no builtin
    page.wait_for_event("request", lambda request: request.url.endswith("/list"))
    page.get_by_role("button", name="Sign out").click()
    answer = held[0].fetch(headers={**held[0].request.headers, "authorization": f"Bearer {TOKEN}"})
    with page.expect_response("**/list"):
        held[0].fulfill(response=answer)
    page.wait_for_timeout(300)  # for what must not come
    expect(page.get_by_label("Token")).to_be_visible()
    expect(page.locator("#desk")).to_be_hidden()


def test_a_halt_that_fails_is_told_where_one_looks_and_its_reason_is_kept(open_console: Open) -> None:
    page = open_console(**WINDOWS["phone, light"]).page
    sign_in(page)
    page.get_by_role("button", name="Halt everything").click()
    page.get_by_label("Reason").last.fill("orders are lost")
    refusal = {"error": True, "error_message": "The table does not answer.", "code": "store_unavailable"}
    page.context.route("**/halt", lambda route: route.fulfill(status=503, json=refusal))
    page.get_by_role("button", name="Halt", exact=True).click()
    expect(page.locator("#halt-problem")).to_contain_text("NOT halted, as far as is known. The table does not answer.")
    expect(page.get_by_label("Reason").last).to_have_value("orders are lost")
    page.context.unroute("**/halt")
    page.get_by_role("button", name="Halt", exact=True).click()
    expect(page.locator("#halted")).to_contain_text("orders are lost")


def test_what_went_wrong_is_in_sight_wherever_one_has_scrolled_to(open_console: Open) -> None:
    page = open_console(**WINDOWS["phone, light"]).page
    sign_in(page)
    start(page, "latency_injection", Delay="0")
    stop = page.get_by_role("button", name="Stop latency injection")
    expect(stop).to_be_visible()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(stop).to_be_in_viewport()
    page.context.route("**/stop", lambda route: route.abort())
    stop.click()
    expect(page.locator("#notice")).to_contain_text("It may have been done all the same")
    expect(page.locator("#notice")).to_be_in_viewport()
    page.context.unroute("**/stop")
    stop.click()
    expect(page.locator("#running article")).to_have_count(0)
    expect(page.locator("#notice")).to_be_hidden()


def test_time_goes_on_where_nothing_answers(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    start(page, "latency_injection", Delay="0", Duration="3")
    left = page.locator("#running article .left")
    expect(left).to_contain_text("s left")
    page.context.route("**/list", lambda route: route.abort())
    expect(left).to_have_text("its time is up")
    expect(page.locator("#notice")).to_contain_text("What is shown is of")


def test_the_keyboards_place_is_kept(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    start(page, "latency_injection", Delay="0")
    expect(page.get_by_role("button", name="Start latency_injection")).to_be_focused()
    page.get_by_role("button", name="Stop latency_injection").click()
    expect(page.locator("#running-title")).to_be_focused()
    page.get_by_role("button", name="Halt everything").click()
    page.get_by_label("Reason").last.fill("enough")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Resume")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Halt everything")).to_be_focused()


def test_the_history_grows_at_both_ends_and_loses_nothing(open_console: Open, server: Server) -> None:
    body = {"experiment_name": "latency_injection", "delay_seconds": 0, "restart": True}
    for _ in range(45):
        assert server.call("POST", "/chaos_experiments/start", json=body).status_code == 200
    page = open_console().page
    sign_in(page)
    rows = page.locator("#history tr")
    expect(rows).to_have_count(20)
    page.get_by_role("button", name="Older").dblclick()
    expect(rows).to_have_count(40)
    server.call("POST", "/chaos_experiments/start", json=body)
    expect(rows).to_have_count(41)
    expect(rows.first).to_contain_text("running")
    times = page.evaluate("[...document.querySelectorAll('#history [aria-label]')].map(each => each.ariaLabel)")
    assert len(times) == 41


def test_a_number_may_have_a_decimal_comma(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    start(page, "latency_injection", Delay="0,25")
    expect(page.locator("#running article")).to_contain_text("Delay: 0.25\u00a0seconds")


def test_what_cannot_be_broken_does_not_widen_the_page(open_console: Open) -> None:
    page = open_console(**WINDOWS["phone, dark"]).page
    sign_in(page)
    page.locator("#experiment-latency_injection > summary").click()
    page.locator("#experiment-latency_injection summary").nth(1).click()
    start(page, "latency_injection", Delay="0", Reason="w" * 100)
    expect(page.locator("#running article")).to_contain_text("w" * 100)
    expect(page.locator("#history tr").first).to_contain_text("w" * 100)
    assert page.evaluate(WIDER) == []


@pytest.mark.parametrize("window", WINDOWS)
def test_nobody_is_kept_out_by_colour_size_or_markup(
    open_console: Open, server: Server, window: str, picture: Picture
) -> None:
    page = open_console(**WINDOWS[window]).page

    def look(name: str) -> None:
        picture(page, f"{window.replace(', ', '-')}-{name}")
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
        assert page.evaluate(WIDER) == [], "wider than the window"

    look("sign-in")
    sign_in(page)
    page.locator("#experiment-latency_injection > summary").click()
    page.locator("#experiment-latency_injection summary").nth(1).click()
    with load(server):
        start(page, "latency_injection", Delay="0.2", Percentage="50", **{"Max error rate": "0.5"})
        expect(page.locator("#running .plot canvas")).to_be_visible()
        expect(page.locator("#running .verdict")).to_contain_text("held", timeout=30_000)
        look("running")
    page.get_by_role("button", name="Halt everything").click()
    look("halting")
    page.get_by_label("Reason").last.fill("seen enough")
    page.get_by_role("button", name="Halt", exact=True).click()
    expect(page.locator("#halted")).to_be_visible()
    look("halted")
