import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from chalicelib.errors import ChaosError
from tests.browser.conftest import Open, Picture
from tests.browser.pages import WIDER, fill, halt, load, sign_in, start, title
from tests.contract.servers import TOKEN, Server

pytestmark = pytest.mark.timeout(300)

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


def test_who_has_no_valid_token_is_refused_and_sees_nothing(open_console: Open) -> None:
    page = open_console().page
    expect(page.get_by_role("banner")).to_contain_text("dev")
    sign_in(page, "wrong")
    expect(page.get_by_role("alert").first).to_contain_text("Sign in with another token")
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
        expect(card).to_contain_text(title(name))
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
    card.get_by_role("button", name=f"Stop {title(name)}").click()
    expect(card).to_have_count(0)
    expect(page.locator("#history tr").first).to_contain_text("Stopped by developer")


def test_a_wrong_value_is_explained_beside_its_field(open_console: Open, picture: Picture) -> None:
    page = open_console().page
    sign_in(page)
    start(page, "latency_injection", Delay="61", Duration="soon")
    card = page.locator("#experiment-latency_injection")
    expect(card.get_by_role("alert")).to_have_text("Not started. Correct the 2 marked fields.")
    delay = card.get_by_label(re.compile("Delay"))
    expect(delay).to_have_attribute("aria-invalid", "true")
    expect(delay).to_have_accessible_description(re.compile("Delay must be a number from 0 to 60; you entered “61”.$"))
    duration = card.get_by_label(re.compile("Duration"))
    expect(duration).to_be_focused()
    expect(duration).to_have_accessible_description(
        re.compile("Duration must be a number above 0 and at most 3600; you entered “soon”.$")
    )
    picture(page, "error-at-field")
    assert_no_words_of_the_api(page)
    start(page, "latency_injection", Delay="0", Duration="30")
    expect(page.locator("#running article")).to_have_count(1)
    expect(card.locator("[aria-invalid]")).to_have_count(0)
    expect(card.locator(".problem", has_text=re.compile("."))).to_have_count(0)


def test_a_wrong_option_is_explained_beside_its_field_too(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    card = fill(page, "latency_injection")
    card.get_by_text("Reason, alarms, hypothesis").click()
    fill(page, "latency_injection", **{"Min requests": "10", "Alarms": "a" * 101})
    card.get_by_text("Reason, alarms, hypothesis").click()
    start(page, "latency_injection", Delay="0")
    problems = card.locator(".problem", has_text=re.compile("."))
    expect(problems).to_have_text(
        [
            re.compile("^Alarms must be at most 5 entries, of at most 100 characters each, separated by commas; you"),
            "Fill in the max error rate or the P95 response time.",
            "Not started. Correct the 2 marked fields.",
        ]
    )
    assert_no_words_of_the_api(page)


NEW_OPTIONS: dict[str, Any] = {
    "ticket": {
        "anyOf": [{"type": "string", "maxLength": 8}, {"type": "null"}],
        "default": None,
        "description": "The change that allows it.",
    },
    "spread": {
        "type": "object",
        "description": "Not everywhere at once.",
        "properties": {
            "regions": {"type": "array", "items": {"type": "string"}, "maxItems": 2, "description": "Where first."},
            "pause_seconds": {"type": "number", "minimum": 0, "unit": "seconds", "default": 5, "description": "Wait."},
            "in_order": {"type": "boolean", "default": True, "description": "One after the other."},
        },
    },
    "matrix": {"type": "array", "items": {"type": "array"}},
}
"""Options that no version has; the last one is of a kind that the console does not know."""


def test_an_option_that_the_application_publishes_has_a_field_and_is_sent(
    open_console: Open, server: Server, picture: Picture
) -> None:
    listed = server.call("GET", "/chaos_experiments/list").json()
    listed["resultset"]["start_options"]["properties"] |= NEW_OPTIONS
    page = open_console().page
    page.context.route("**/list", lambda route: route.fulfill(json=listed))
    sent: list[Any] = []
    refusal = {"field": "spread.regions", "problem": "must be known", "allowed": "eu"}
    answer = {"error": True, "error_message": "No.", "code": "invalid_parameters", "details": [refusal]}

    def refuse(route: Route) -> None:
        sent.append(route.request.post_data_json)
        route.fulfill(status=400, json=answer)

    page.context.route("**/start", refuse)
    sign_in(page)
    card = fill(page, "latency_injection")
    card.get_by_text("Reason, alarms, hypothesis, label, ticket, spread").click()
    assert card.get_by_label("Pause (seconds)").get_attribute("placeholder") == "5"
    start(page, "latency_injection", Ticket="C-7", Regions="eu, us,", Reason="why", **{"Max error": "0,5"})
    regions = card.get_by_label("Regions")
    expect(regions).to_be_focused()
    expect(regions).to_have_accessible_description(
        re.compile(
            "^Where first. At most 2 entries, separated by commas. Regions must be at most 2 entries, .*“eu, us,”"
        )
    )
    picture(page, "new-options")
    card.get_by_label("In order").uncheck()
    card.get_by_role("button", name="Start Latency injection").click()
    expect(regions).to_be_focused()
    defaults = {"duration_seconds": 30, "percentage": 100, "delay_seconds": 2, "allow_timeout": False}
    options = {"reason": "why", "hypothesis": {"max_error_rate": 0.5}, "ticket": "C-7"}
    start_of_it = {"experiment_name": "latency_injection", **defaults, **options}
    assert sent == [
        {**start_of_it, "spread": {"regions": ["eu", "us"]}},
        {**start_of_it, "spread": {"regions": ["eu", "us"], "in_order": False}},
    ]


def test_what_runs_already_is_replaced_by_a_button(open_console: Open, server: Server) -> None:
    watched = open_console()
    page = watched.page
    sign_in(page)
    start(page, "latency_injection", Delay="0", Duration="60")
    expect(page.locator("#running article")).to_contain_text("Duration: 60")
    card = page.locator("#experiment-latency_injection")
    expect(card.get_by_role("button", name="Start")).to_be_disabled()
    expect(card.get_by_role("status")).to_have_text(
        "Latency injection is already running, started by developer. Press Replace to end that run and start a new one."
    )
    fill(page, "latency_injection", Duration="50").get_by_role("button", name="Replace Latency injection").click()
    expect(page.locator("#running article")).to_contain_text("Duration: 50")
    expect(page.locator("#running article")).to_be_focused()
    expect(page.locator("#history tr", has_text="replaced by a new run")).to_have_count(1)
    runs = server.call("GET", "/chaos_experiments/list").json()["resultset"]["active_experiments"]
    assert [run["parameters"]["duration_seconds"] for run in runs] == [50]


def test_what_somebody_else_has_just_started_is_not_started_twice(open_console: Open, server: Server) -> None:
    page = open_console().page
    sign_in(page)
    before = server.call("GET", "/chaos_experiments/list").json()
    page.context.route("**/list", lambda route: route.fulfill(json=before))
    card = fill(page, "latency_injection", Delay="0")
    body = {"experiment_name": "latency_injection", "delay_seconds": 0}
    assert server.call("POST", "/chaos_experiments/start", json=body).status_code == 200
    card.get_by_role("button", name="Start Latency injection").click()
    expect(page.locator("#notice")).to_have_text(
        "Latency injection is already running, started by developer. Press Replace to end that run and start a new one."
    )
    page.context.unroute("**/list")
    expect(card.get_by_role("button", name="Replace Latency injection")).to_be_visible()


IN_SIGHT = """article => {
    const {bottom: ceiling} = document.querySelector("header").getBoundingClientRect();
    return [article, ...article.querySelectorAll("h3, button, progress")].every(part => {
        const {top, bottom} = part.getBoundingClientRect();
        return top >= ceiling && (part === article || bottom <= innerHeight);
    });
}"""
"""Whether the card of a run begins below the bar, and its title, its countdown and its Stop are in the window."""


def hold(page: Page, path: str) -> list[Callable[[], None]]:
    """Holds the next answer of that path, as the application gave it, until what is put in the list is called."""
    held: list[Callable[[], None]] = []

    def hold_it(route: Route) -> None:
        held.append(partial(route.fulfill, response=route.fetch()))

    page.context.route(f"**/{path}", hold_it, times=1)
    return held


def test_a_start_that_is_answered_late_takes_no_focus_from_where_one_is_by_then(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    for name in FORMS:
        fill(page, name)
    held = hold(page, "start")
    start(page, "latency_injection", Delay="0")
    start(page, "error_injection", **{"Error rate": "0"})
    expect(page.get_by_role("article", name="Error injection")).to_be_focused()
    field = fill(page, "resource_exhaustion", Memory="1").get_by_label("Memory")
    expect(field).to_be_focused()
    while not held:
        page.wait_for_timeout(10)
    with page.expect_response("**/list"):
        held.pop()()
    expect(page.locator("#running article")).to_have_count(2)
    expect(field).to_be_focused()
    expect(page.locator("#experiment-latency_injection .start")).not_to_have_attribute("aria-disabled", "true")
    expect(field).to_be_focused()


def test_a_list_that_is_answered_after_a_later_one_is_not_shown(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    expect(page.locator("#state")).to_have_text("Nothing is running")
    held = hold(page, "list")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    while not held:
        page.wait_for_timeout(10)
    start(page, "latency_injection", Delay="0")
    card = page.get_by_role("article", name="Latency injection")
    expect(card).to_be_focused()
    with page.expect_response("**/list"):
        held.pop()()
    with page.expect_response("**/list"):
        pass
    expect(card).to_be_focused()


@pytest.mark.parametrize("keys", ["keyboard", "mouse"])
@pytest.mark.parametrize("width", [360, 390, 1000])
def test_what_was_started_is_in_sight_and_has_the_focus(
    open_console: Open, width: int, keys: str, picture: Picture
) -> None:
    page = open_console(viewport={"width": width, "height": 640}).page
    sign_in(page)
    start(page, "error_injection", **{"Error rate": "0"})
    expect(page.locator("#running article")).to_have_count(1)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    button = fill(page, "resource_exhaustion", Memory="1").get_by_role("button", name="Start Resource exhaustion")
    button.press("Enter") if keys == "keyboard" else button.click()
    card = page.get_by_role("article", name="Resource exhaustion")
    expect(card).to_be_focused()
    assert card.evaluate(IN_SIGHT)
    page.keyboard.press("Tab")
    expect(card.get_by_role("button", name="Stop Resource exhaustion")).to_be_focused()
    picture(page, f"started-{width}")


INVITING = """() => [...document.querySelectorAll("#experiments :is(input, button):not(:disabled)")]
    .filter(each => each.checkVisibility()).map(each => each.textContent || each.name)"""


@pytest.mark.parametrize("role", ["operator", "viewer"])
def test_while_everything_is_halted_nothing_invites_to_start(
    open_console: Open, viewer_token: str, role: str, picture: Picture
) -> None:
    page = open_console().page
    sign_in(page, TOKEN if role == "operator" else viewer_token)
    by, resumed = {"operator": ("developer", ""), "viewer": ("vera", " An operator must resume.")}[role]
    for name in FORMS:
        fill(page, name)
    assert (page.evaluate(INVITING) != []) is (role == "operator")
    halt(page, "orders are lost")
    expect(page.get_by_role("banner").get_by_role("status")).to_have_text(
        re.compile(f"^HALTED by {by} at .+. Reason: orders are lost.{resumed}$")
    )
    expect(page.locator("#halted")).to_contain_text(re.compile(f"Halted by {by} at .+. Reason: orders are lost"))
    assert page.evaluate(INVITING) == []
    expect(page.get_by_text("Start an experiment")).to_have_count(0)
    for name in FORMS:
        card = page.locator(f"#experiment-{name}")
        expect(card.get_by_role("button", name="Start")).to_be_disabled()
        expect(card.get_by_role("button", name="Start")).to_have_accessible_description(
            "Everything is halted. Nothing can be started until an operator presses Resume."
        )
        expect(card.locator(".why")).to_be_visible()
    picture(page, f"halted-{role}")
    resume = page.get_by_role("button", name="Resume")
    if role == "viewer":
        expect(resume).to_be_hidden()
        expect(page.locator("#halted")).to_contain_text("Your token has the role viewer, which cannot resume")
        return
    expect(page.locator("#halted")).to_contain_text("an operator must press Resume")
    resume.click()
    expect(page.locator("#halted")).to_be_hidden()
    start(page, "error_injection")
    expect(page.locator("#running article")).to_have_count(1)


VIEWERS = "Only operators can start, stop and resume. This token has the role viewer."


def test_a_viewer_reads_from_the_start_what_takes_an_operator(open_console: Open, viewer_token: str) -> None:
    page = open_console().page
    sign_in(page, viewer_token)
    for name in FORMS:
        button = fill(page, name).get_by_role("button", name="Start")
        expect(button).to_be_disabled()
        expect(button).to_have_accessible_description(VIEWERS)
    halt(page, "orders are lost")
    expect(page.get_by_role("button", name="Resume")).to_be_hidden()
    expect(page.locator("#halted")).to_contain_text("an operator must resume")
    assert_no_words_of_the_api(page)


def test_in_a_locked_stage_nothing_invites_to_start(open_console: Open, server: Server) -> None:
    listed = server.call("GET", "/chaos_experiments/list").json()
    listed["resultset"]["locked"] = True
    page = open_console().page
    page.context.route("**/list", lambda route: route.fulfill(json=listed))
    sign_in(page)
    expect(page.locator("#locked")).to_contain_text("its name looks like production")
    for name in FORMS:
        fill(page, name)
    assert page.evaluate(INVITING) == []
    button = page.get_by_role("button", name="Start Latency injection")
    expect(button).to_have_accessible_description(re.compile("^Nothing can be started in this stage"))


def test_a_form_that_is_halted_while_somebody_fills_it_in_hands_the_focus_on(
    open_console: Open, server: Server
) -> None:
    page = open_console().page
    sign_in(page)
    card = fill(page, "latency_injection", Delay="0.3")
    expect(card.get_by_label("Delay")).to_be_focused()
    server.call("POST", "/chaos_experiments/halt", json={"reason": "enough"})
    expect(card.locator("summary").first).to_be_focused()
    expect(card.get_by_label("Delay")).to_have_value("0.3")


DRAWN = "() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
"""Waits for the frame with what has changed, in which the page is told of its sizes."""

ROWS = """() => {
    const shown = [...document.querySelectorAll("header :is(button, strong, #state)")]
        .filter(each => each.checkVisibility()).map(each => each.getBoundingClientRect())
        .filter(rect => rect.width > 1).sort((one, other) => one.top - other.top);
    let rows = 0, bottom = -Infinity;
    for (const rect of shown) { if (rect.top >= bottom) rows++; bottom = Math.max(bottom, rect.bottom); }
    return rows;
}"""
COVERED = """() => {
    const parts = "main :is(article, details.card, #halted, h2, input, button, summary)";
    const notice = document.getElementById("notice"), covered = [];
    scrollTo(0, 0);
    for (const part of [...document.querySelectorAll(parts)].filter(each => each.checkVisibility())) {
        part.scrollIntoView({block: "nearest"});
        const {top, bottom} = part.getBoundingClientRect();
        const ceiling = document.querySelector("header").getBoundingClientRect().bottom;
        const floor = notice.hidden ? innerHeight : notice.getBoundingClientRect().top;
        const fits = bottom - top < floor - ceiling;
        if (fits && (top < ceiling - 1 || bottom > floor + 1)) covered.push(part.outerHTML.slice(0, 80));
    }
    return covered;
}"""
"""What is under the bar or under a notice although it was scrolled to."""


@pytest.mark.parametrize("width", [360, 390])
def test_on_a_phone_the_bar_has_two_rows_and_hides_nothing(
    open_console: Open, server: Server, width: int, picture: Picture
) -> None:
    page = open_console(viewport={"width": width, "height": 640}, has_touch=True, is_mobile=True).page

    def check(name: str) -> None:
        page.evaluate(DRAWN)
        assert page.evaluate(ROWS) <= 2, name
        assert page.locator("header").evaluate("bar => bar.offsetHeight") <= 100, name
        assert page.evaluate(COVERED) == [], name
        assert page.evaluate(WIDER) == [], name
        picture(page, f"phone-{width}-{name}")

    sign_in(page)
    for name in FORMS:
        fill(page, name)
    check("idle")
    start(page, "latency_injection", Delay="0", Duration="300")
    stop = page.get_by_role("banner").get_by_role("button", name="Stop Latency injection")
    expect(stop).to_be_in_viewport(ratio=1)
    check("one-run")
    start(page, "error_injection", **{"Error rate": "0", "Duration": "300"})
    start(page, "resource_exhaustion", Memory="1", Duration="300")
    expect(page.locator("#running article")).to_have_count(3)
    expect(page.locator("#running article").filter(has_text="Resource exhaustion")).to_be_focused()
    check("three-runs")
    stop.focus()
    for button in page.locator("#stops button").all():
        expect(button).to_be_focused()
        expect(button).to_be_in_viewport(ratio=0.9)
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Halt everything")).to_be_focused()
    page.context.route("**/list", lambda route: route.abort())
    expect(page.locator("#notice")).to_be_visible()
    check("unreachable")
    page.context.unroute("**/list")
    halt(page, "orders are lost, and nobody in the whole company knows why they are lost")
    check("halted")
    expect(page.get_by_role("button", name="Resume")).to_be_in_viewport(ratio=1)


PASSED_ON = {
    "internal_error",
    "store_unavailable",
    "alarms_unavailable",
    "keys_unavailable",
    "unknown_alarm",
    "alarm_active",
    "module_off",
    "misconfigured",
    "unauthenticated",
    "unknown_token",
}
"""Errors that say themselves what to do, wherever they are read; the last two never come here."""


def test_no_error_speaks_of_fields_and_codes(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    card = fill(page, "latency_injection")
    message = 'delay_seconds is wrong. Send POST /start again, with "restart": true.'
    detail = {"field": "some_field", "problem": "is_wrong", "allowed": "one of memory_mb, error_rate"}
    for error in ChaosError.__subclasses__():
        if error.code in PASSED_ON:
            continue
        answer = {"error": True, "error_message": message, "code": error.code, "details": [detail], "resultset": {}}
        page.context.unroute("**/start")
        page.context.route("**/start", partial(Route.fulfill, status=error.status, json=answer))
        card.get_by_role("button", name="Start Latency injection").click()
        text = page.locator("#notice:visible, #experiment-latency_injection form > fieldset > .problem:not(:empty)")
        expect(text).to_have_count(1)
        assert_no_words_of_the_api(page)


def assert_no_words_of_the_api(page: Page) -> None:
    """An experiment's name of the API stands in one place: in its form."""
    text = page.evaluate(
        """() => {
            const names = [...document.querySelectorAll("#experiments > details > p > code")];
            names.forEach(each => each.hidden = true);
            const labels = [...document.querySelectorAll("[aria-label]")].map(each => each.ariaLabel);
            const text = document.body.innerText + labels;
            names.forEach(each => each.hidden = false);
            return text;
        }"""
    )
    assert not re.search(r"[a-z]\w*_[a-z]|restart|POST|GET|/start|/resume", text)


def test_an_experiment_has_one_name(open_console: Open, server: Server) -> None:
    page = open_console().page
    sign_in(page)
    for name in FORMS:
        fill(page, name)
        expect(page.locator(f"#experiment-{name} > p > code")).to_have_text(name)
    with load(server):
        start(page, "latency_injection", Delay="0")
        expect(page.locator("#running .plot canvas")).to_be_visible()
        assert_no_words_of_the_api(page)
        page.get_by_role("banner").get_by_role("button", name="Stop Latency injection").click()
    expect(page.locator("#history tr").first).to_contain_text("Stopped by developer")
    halt(page, "enough")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#history tr").first).to_contain_text("Resume")
    assert_no_words_of_the_api(page)
    page.get_by_role("button", name=re.compile("^Report of Latency injection")).first.click()
    expect(page.get_by_role("heading", name="Report of Latency injection")).to_be_visible()


def test_a_report_is_read_within_the_page_and_says_what_came_of_the_hypothesis(
    open_console: Open, server: Server, picture: Picture
) -> None:
    page = open_console().page
    sign_in(page)
    card = page.locator("#experiment-latency_injection")
    card.locator("summary").first.click()
    card.locator("summary").nth(1).click()
    with load(server):
        start(
            page,
            "latency_injection",
            Delay="0.2",
            Percentage="50",
            Duration="300",
            **{"Max error rate": "0.01", "P95": "0.000001"},
        )
        running = page.locator("#running article")
        expect(running.locator(".verdict")).to_contain_text("so far: failed", timeout=60_000)
        picture(page, "hypothesis")
        running.get_by_role("button", name="Stop").click()
    expect(running).to_have_count(0)
    page.get_by_role("button", name=re.compile("^Report of Latency injection")).first.click()
    report = page.frame_locator("#report iframe")
    expect(report.get_by_role("heading", name="Latency injection: stopped")).to_be_visible()
    expect(report.locator(".verdict")).to_contain_text("The hypothesis failed")
    expect(report.locator("svg")).to_have_count(3)
    assert report.locator("body").evaluate("body => getComputedStyle(body).maxWidth") == "960px"  # its style is let in
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as Markdown").click()
    assert saved.value.path().read_text().startswith("# Latency injection: stopped")


def test_a_server_that_goes_away_is_reported_and_one_that_comes_back_too(open_console: Open, picture: Picture) -> None:
    page = open_console().page
    sign_in(page)
    start(page, "latency_injection", Delay="0")
    expect(page.locator("#running article")).to_have_count(1)
    page.context.route("**/list", lambda route: route.abort())
    expect(page.locator("#notice")).to_contain_text("The application is unreachable.")
    picture(page, "unreachable")
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
    page.get_by_role("button", name="Start Error injection").focus()
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
    expect(page.locator("#notice")).to_contain_text("Sign in with another token")
    expect(page.get_by_label("Token")).to_be_focused()
    expect(page.locator("#running article")).to_have_count(0)


def test_what_is_no_token_is_refused_and_not_sent(open_console: Open) -> None:
    watched = open_console()
    sign_in(watched.page, "abc…")
    expect(watched.page.locator("#notice")).to_contain_text("This is not a valid token")
    assert not [url for url in watched.requests if url.endswith("/list")]


def test_who_has_signed_out_is_shown_nothing_of_what_was_under_way(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    start(page, "latency_injection", Delay="0")
    expect(page.locator("#running article")).to_have_count(1)
    held: list[Route] = []
    page.context.route("**/list", lambda route: held.append(route))  # noqa: PLW0108 - Playwright takes no builtin
    while not held:
        page.wait_for_timeout(10)
    page.get_by_role("button", name="Sign out").click()
    answer = held[0].fetch(headers={**held[0].request.headers, "authorization": f"Bearer {TOKEN}"})
    with page.expect_response("**/list"):
        held[0].fulfill(response=answer)
    page.wait_for_timeout(300)  # for what must not come
    expect(page.get_by_label("Token")).to_be_visible()
    expect(page.locator("#signed-in")).to_be_hidden()


def test_a_halt_that_fails_is_reported_in_sight_and_its_reason_stays(open_console: Open) -> None:
    page = open_console(**WINDOWS["phone, light"]).page
    sign_in(page)
    page.get_by_role("button", name="Halt everything").click()
    page.get_by_label("Reason").last.fill("orders are lost")
    refusal = {"error": True, "error_message": "The table does not answer.", "code": "store_unavailable"}
    page.context.route("**/halt", lambda route: route.fulfill(status=503, json=refusal))
    page.get_by_role("button", name="Halt", exact=True).click()
    expect(page.locator("#halt-problem")).to_contain_text("The halt is NOT confirmed. The table does not answer.")
    expect(page.get_by_label("Reason").last).to_have_value("orders are lost")
    page.context.unroute("**/halt")
    page.get_by_role("button", name="Halt", exact=True).click()
    expect(page.locator("#halted")).to_contain_text("orders are lost")


def test_what_went_wrong_is_in_sight_wherever_one_has_scrolled_to(open_console: Open) -> None:
    page = open_console(**WINDOWS["phone, light"]).page
    sign_in(page)
    start(page, "latency_injection", Delay="0")
    stop = page.get_by_role("banner").get_by_role("button", name="Stop Latency injection")
    expect(stop).to_be_visible()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(stop).to_be_in_viewport()
    page.context.route("**/stop", lambda route: route.abort())
    stop.click()
    expect(page.locator("#notice")).to_contain_text("Your last action may have been carried out.")
    expect(page.locator("#notice")).to_be_in_viewport()
    page.context.unroute("**/stop")
    stop.click()
    expect(page.locator("#running article")).to_have_count(0)
    expect(page.locator("#notice")).to_be_hidden()


def test_time_goes_on_where_nothing_answers(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    start(page, "latency_injection", Delay="0", Duration="15")
    left = page.locator("#running article .left")
    expect(left).to_contain_text("s left")
    page.context.route("**/list", lambda route: route.abort())
    expect(left).to_have_text("time is up", timeout=60_000)
    expect(page.locator("#notice")).to_contain_text("Last update:")


def test_the_keyboards_place_is_kept(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    start(page, "latency_injection", Delay="0")
    card = page.locator("#running article")
    expect(card).to_be_focused()
    card.get_by_role("button", name="Stop Latency injection").click()
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
    held = hold(page, "history*before*")
    page.get_by_role("button", name="Older").dblclick()
    while not held:
        page.wait_for_timeout(10)
    held.pop()()
    expect(rows).to_have_count(40)
    server.call("POST", "/chaos_experiments/start", json=body)
    expect(rows).to_have_count(41)
    expect(rows.first).to_contain_text("Running")
    times = page.evaluate("[...document.querySelectorAll('#history [aria-label]')].map(each => each.ariaLabel)")
    assert len(times) == 41


def test_history_that_is_wanted_while_it_is_under_way_comes_after_that(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    start(page, "latency_injection", Delay="0")
    entry = page.locator("#history tr", has_text="Latency injection").first
    expect(entry).to_contain_text("Running")
    page.wait_for_timeout(4000)  # until what came of the start has been read
    held = hold(page, "history*")
    start(page, "error_injection", **{"Error rate": "0"})
    while not held:
        page.wait_for_timeout(10)
    page.locator("#running article").filter(has_text="Latency injection").get_by_role("button", name="Stop").click()
    expect(page.locator("#running article")).to_have_count(1)
    page.wait_for_timeout(4000)  # all that would read it have wanted to
    held.pop()()
    expect(entry).to_contain_text("Stopped")


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

    def check(name: str) -> None:
        picture(page, f"{window.replace(', ', '-')}-{name}")
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
        assert page.evaluate(WIDER) == [], "wider than the window"

    check("sign-in")
    sign_in(page)
    page.locator("#experiment-latency_injection > summary").click()
    page.locator("#experiment-latency_injection summary").nth(1).click()
    with load(server):
        start(page, "latency_injection", Delay="0.2", Percentage="50", Duration="300", **{"Max error rate": "0.5"})
        expect(page.locator("#running .plot canvas")).to_be_visible()
        expect(page.locator("#running .verdict")).to_contain_text("held", timeout=60_000)
        check("running")
    page.get_by_role("button", name="Halt everything").click()
    check("halting")
    page.get_by_label("Reason").last.fill("seen enough")
    page.get_by_role("button", name="Halt", exact=True).click()
    expect(page.locator("#halted")).to_be_visible()
    check("halted")


def test_whom_a_hypothesis_is_about_is_chosen_from_a_list(open_console: Open, picture: Picture) -> None:
    page = open_console().page
    sign_in(page)
    card = fill(page, "latency_injection")
    card.get_by_text("Reason, alarms, hypothesis").click()
    chosen = card.get_by_label("Judged requests")
    expect(chosen).to_have_value("untouched")
    assert chosen.locator("option").all_inner_texts() == ["Untouched", "Hit", "Both"]
    start(page, "latency_injection", Delay="0", **{"Max error rate": "0.01"})
    percentage = card.get_by_label("Percentage (%)", exact=True)
    expect(percentage).to_be_focused()
    expect(percentage).to_have_accessible_description(
        re.compile(
            "The run hits every request, so none is left for the hypothesis. Enter a lower percentage, such as 20"
        )
    )
    expect(card.get_by_role("alert")).to_have_text("Not started. Correct the marked field.")
    assert_no_words_of_the_api(page)
    picture(page, "whom-it-is-about")
    chosen.select_option("hit")
    fill(page, "latency_injection", Baseline="30")
    card.get_by_role("button", name="Start Latency injection").click()
    expect(card.get_by_label("Baseline")).to_have_accessible_description(
        re.compile("must be shorter than the duration")
    )
    fill(page, "latency_injection", Baseline="1")
    card.get_by_role("button", name="Start Latency injection").click()
    expect(page.locator("#running article .verdict")).to_contain_text("no verdict, not enough requests")


def test_a_run_that_nobody_met_says_so_in_the_history(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    start(page, "latency_injection", Delay="0", Duration="1")
    entry = page.locator("#history tr").first
    expect(entry).to_contain_text("Completed. No request reached the application while the run was active")


def test_a_run_that_is_over_before_it_was_ever_listed_is_in_the_history(open_console: Open, server: Server) -> None:
    page = open_console().page
    idle = server.call("GET", "/chaos_experiments/list").json()
    page.context.route("**/list", lambda route: route.fulfill(json=idle))
    sign_in(page)
    expect(page.locator("#nothing")).to_contain_text("Nothing is running")
    fill(page, "latency_injection").get_by_text("Reason, alarms, hypothesis").click()
    start(page, "latency_injection", Delay="0", Duration="1", Reason="over at once")
    entry = page.locator("#history tr", has_text="over at once")
    expect(entry).to_contain_text("Completed. No request reached the application while the run was active")


def test_a_run_can_be_started_in_a_share_of_the_environments_and_says_so(open_console: Open, server: Server) -> None:
    page = open_console().page
    sign_in(page)
    card = fill(page, "latency_injection")
    card.get_by_text("Aim").click()
    start(page, "latency_injection", **{"Environments percentage": "50"})
    running = page.locator("#running article")
    expect(running).to_contain_text("Environments percentage: 50")
    (run,) = server.call("GET", "/chaos_experiments/list").json()["resultset"]["active_experiments"]
    assert run["target"] == {"environments_percentage": 50.0}


def test_what_to_know_before_a_start_is_shown(open_console: Open, server: Server) -> None:
    listed = server.call("GET", "/chaos_experiments/list").json()
    page = open_console().page
    page.context.route("**/list", lambda route: route.fulfill(json=listed))
    sign_in(page)
    expect(page.locator("#warnings")).to_be_hidden()
    listed["resultset"]["warnings"] = ["One request at a time.", "A <b>second</b> one."]
    expect(page.locator("#warnings")).to_have_text("One request at a time. A <b>second</b> one.")


def test_an_answer_of_another_shape_does_not_stop_the_page(open_console: Open) -> None:
    page = open_console().page
    sign_in(page)
    page.context.route("**/list", lambda route: route.fulfill(json={"error": False, "resultset": {}}))
    expect(page.locator("#notice")).to_contain_text("Reload the page")
    page.context.unroute("**/list")
    expect(page.locator("#notice")).to_be_hidden()
