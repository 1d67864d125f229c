"""What the application calls, as the console shows it, and the failure of one of them that is started from there."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Open, Picture
from tests.browser.pages import WIDER, sign_in
from tests.contract.servers import Server

pytestmark = pytest.mark.timeout(300)


def row(client: str, dependency: str, **more: Any) -> dict[str, Any]:
    seen = {"calls": 12, "errors": 3, "p50_seconds": 0.0123, "p95_seconds": 1.5, "faults": ["timeout", "lost_reply"]}
    return {"client": client, "dependency": dependency, **seen, "note": None, **more}


NOTHING: list[dict[str, Any]] = []
UNKNOWN = {"calls": 0, "errors": 0, "p50_seconds": None, "p95_seconds": None, "faults": []}
SEEN = [
    row("botocore", "dynamodb:PutItem"),
    row("urllib3", "<b>payments.example:443", faults=["latency"]),
    row("grpc", "", **UNKNOWN, note="It connects outside of Python."),
]


def answered(page: Page, rows: list[dict[str, Any]]) -> list[str]:
    """The endpoint answers with these, until it is to answer with others. Returns what was asked."""
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.method)
        times = {"observing_since": "2026-11-24T09:00:00.000Z", "observed_until": "2026-11-24T09:01:00.000Z"}
        resultset = {"observing": True, **times, "message": "Ask again.", "dependencies": rows}
        route.fulfill(json={"error": False, "error_message": None, "resultset": resultset})

    page.route("**/dependencies", answer)
    return asked


WINDOWS = {
    "desk": {"viewport": {"width": 1100, "height": 800}},
    "phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True},
    "dark": {"color_scheme": "dark"},
}


@pytest.mark.parametrize("window", WINDOWS)
def test_what_is_called_is_asked_for_by_a_button_and_shown_when_it_is_seen(
    open_console: Open, window: str, picture: Picture
) -> None:
    page = open_console(**WINDOWS[window]).page
    asked = answered(page, NOTHING)
    sign_in(page)
    expect(page.locator("#dependencies")).to_be_visible()
    assert asked == []
    page.get_by_role("button", name="Show what is called").click()
    expect(page.locator("#dependencies-said")).to_contain_text("Send requests to the application.")
    answered(page, SEEN)
    rows = page.locator("#called tr")
    expect(rows).to_have_count(3)
    expect(page.locator("#dependencies-said")).not_to_contain_text("Send requests")
    for text in ("dynamodb:PutItem", "botocore", "12", "3", "12.3\u00a0ms", "1.5\u00a0s", "Timeout, lost reply"):
        expect(rows.first).to_contain_text(text)
    expect(rows.nth(1)).to_contain_text("<b>payments.example:443")
    expect(rows.nth(2)).to_contain_text("It connects outside of Python.")
    expect(rows.nth(2).get_by_role("button")).to_have_count(0)
    picture(page, f"dependencies-{window}")
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate(WIDER) == [], "wider than the window"


def test_a_failure_is_started_from_the_list_with_a_fault_that_reaches_the_dependency(open_console: Open) -> None:
    page = open_console().page
    answered(page, SEEN)
    sign_in(page)
    page.get_by_role("button", name="Show what is called").click()
    card = page.locator("#experiment-dependency_failure")
    page.get_by_role("button", name="Start a failure of dynamodb:PutItem").click()
    expect(card).to_have_attribute("open", "")
    dependency, fault = card.locator("[name=dependency]"), card.locator("[name=fault]")
    expect(dependency).to_have_value("dynamodb:PutItem")
    expect(dependency).to_be_focused()
    expect(dependency).to_be_in_viewport()
    expect(fault).to_have_value("timeout")
    page.get_by_role("button", name="Start a failure of <b>payments.example:443").click()
    expect(dependency).to_have_value("<b>payments.example:443")
    expect(fault).to_have_value("latency")


def test_the_keyboards_place_in_the_list_is_kept_while_it_is_asked_again(open_console: Open) -> None:
    page = open_console().page
    asked = answered(page, SEEN)
    sign_in(page)
    page.get_by_role("button", name="Show what is called").click()
    button = page.get_by_role("button", name="Start a failure of dynamodb:PutItem")
    button.focus()
    before = len(asked)
    while len(asked) < before + 2:  # the first may have been under way
        page.wait_for_timeout(50)
    expect(button).to_be_focused()


def test_who_signs_out_asks_no_more_and_sees_nothing(open_console: Open) -> None:
    page = open_console().page
    asked = answered(page, SEEN)
    sign_in(page)
    page.get_by_role("button", name="Show what is called").click()
    expect(page.locator("#called tr")).to_have_count(3)
    page.get_by_role("button", name="Sign out").click()
    before = len(asked)
    page.wait_for_timeout(2500)
    assert len(asked) == before
    expect(page.locator("#called tr")).to_have_count(0)


def test_the_application_answers_it_to_a_viewer_too(open_console: Open, server: Server, viewer_token: str) -> None:
    page = open_console().page
    sign_in(page, viewer_token)
    page.get_by_role("button", name="Show what is called").click()
    expect(page.locator("#dependencies-said")).to_contain_text("Observed until")
    assert server.call("GET", "/chaos_experiments/dependencies").json()["resultset"]["observing"] is True


def test_one_question_that_fails_does_not_end_the_observation(open_console: Open) -> None:
    page = open_console().page
    answered(page, SEEN)
    sign_in(page)
    page.context.route("**/dependencies", lambda route: route.abort(), times=1)
    page.unroute("**/dependencies")
    page.get_by_role("button", name="Show what is called").click()
    expect(page.locator("#notice")).to_contain_text("unreachable")
    answered(page, SEEN)
    expect(page.locator("#called tr")).to_have_count(3)
