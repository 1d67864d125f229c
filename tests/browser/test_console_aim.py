"""The target editor, the preview beside it, labels, scenarios and dry runs, against answers that these tests make."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import Open, Picture
from tests.browser.pages import WIDER, fill, sign_in, start
from tests.contract.servers import Server

pytestmark = pytest.mark.timeout(300)

TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
ONE = [
    TEXT,
    {
        "type": "object",
        "properties": {**dict.fromkeys(("equals", "prefix", "glob"), TEXT), "exists": {"type": "boolean"}},
    },
]
CONDITIONS = {"type": "object", "additionalProperties": {"anyOf": [*ONE, {"type": "array", "items": {"anyOf": ONE}}]}}
CRITERIA: dict[str, Any] = {
    "methods": {"type": "array", "items": {"type": "string", "maxLength": 20}, "description": "HTTP methods."},
    "paths": {"type": "array", "items": TEXT, "maxItems": 20, "description": "Paths, decoded."},
    "headers": {**CONDITIONS, "description": "Headers, each with a condition."},
    "query": {**CONDITIONS, "description": "Fields of the query, each with a condition."},
    "functions": {"type": "array", "items": {"type": "string", "maxLength": 64}, "description": "Lambda functions."},
    "environments_percentage": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 100,
        "unit": "percent",
        "description": "Share.",
    },
}
TARGET = {
    "type": "object",
    "description": "Which calls the run may hit.",
    "properties": CRITERIA,
    "anyOf": [{"required": [name]} for name in CRITERIA],
}
DEFAULTS = {"duration_seconds": 30, "percentage": 100, "delay_seconds": 2, "allow_timeout": False}

HIT: dict[str, Any] = {"would_hit": True, "criteria": [], "faults": [], "refused": [], "dry_run": False}
FIRST_OF_EACH_ORDER: dict[str, Any] = {
    **HIT,
    "would_hit": 0.2,
    "criteria": [
        {"name": "target.paths", "allowed": ["/orders/*"], "seen": "/orders/7", "passes": True, "probability": 1.0},
        {
            "name": "target.headers.x-tenant",
            "allowed": [{"prefix": "ac"}, "b"],
            "seen": None,
            "passes": False,
            "probability": 0.0,
        },
        {"name": "percentage", "allowed": 20.0, "seen": None, "passes": None, "probability": 0.2},
        {"name": "first.requests", "allowed": 2, "seen": None, "passes": None, "probability": None},
    ],
    "faults": [{"kind": "wait", "share": 0.5, "delay_seconds": 2.0}],
}


class Answers:
    """What `POST /preview` is asked, and the answers, each held back until it is let go where `holds`."""

    def __init__(self, page: Page, answer: dict[str, Any]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer = answer
        self.status = 200
        self.holds = False
        self.held: list[tuple[Route, dict[str, Any]]] = []
        page.context.route("**/preview", self._take)

    def _take(self, route: Route) -> None:
        self.asked.append(route.request.post_data_json)
        if self.holds:
            self.held.append((route, self.answer))
        else:
            self._send(route, self.answer)

    def _send(self, route: Route, answer: dict[str, Any]) -> None:
        shape = {"error": False, "error_message": None, "resultset": answer} if self.status == 200 else answer
        route.fulfill(status=self.status, json=shape)

    def let_go(self) -> None:
        route, answer = self.held.pop(0)
        self._send(route, answer)


def publish(page: Page, server: Server, change: Callable[[dict[str, Any]], None] = lambda _listed: None) -> None:
    """A list whose target has all criteria; what runs is as the application says, each time."""

    def answer(route: Route) -> None:
        listed = server.call("GET", "/chaos_experiments/list").json()
        listed["resultset"]["start_options"]["properties"]["target"] = TARGET
        change(listed["resultset"])
        route.fulfill(json=listed)

    page.context.route("**/list", answer)


def opened(page: Page, name: str = "latency_injection") -> Locator:
    """The card of an experiment, with its target editor."""
    card = fill(page, name)
    card.get_by_text("Aim and preview").click()
    return card


def add_line(card: Locator, table: str, name: str, how: str, value: str | None = None) -> Locator:
    group = card.get_by_role("group", name=table, exact=True)
    group.get_by_role("button", name=f"Add to {table.lower()}").click()
    expect(group.get_by_label("Name").last).to_be_focused()
    group.get_by_label("Name").last.fill(name)
    group.get_by_label("How").last.select_option(how)
    if value is not None:
        group.get_by_label("Value").last.fill(value)
    return group


def said(card: Locator) -> Locator:
    return card.locator(".preview .said")


def aim_at_everything(card: Locator) -> dict[str, Any]:
    """Fills in every option; returns what is then to be sent."""
    card.get_by_label("Methods").fill("GET, POST")
    card.get_by_label("Paths").fill("/orders/*\n\n /a,b \n")
    card.get_by_label("Functions").fill("billing-*")
    card.get_by_label("Environments percentage").fill("50")
    add_line(card, "Headers", "x-tenant", "equals", "acme")
    add_line(card, "Headers", "x-beta", "exists")
    add_line(card, "Headers", "user-agent", "starts with", "curl/")
    add_line(card, "Headers", "user-agent", "matches", "Mozilla*")
    add_line(card, "Query", "debug", "does not exist")
    first = card.get_by_role("group", name="First", exact=True)
    first.get_by_label("Requests").fill("2")
    first.get_by_label("Header").fill("x-order-id")
    card.get_by_role("group", name="Sticky").get_by_label("Query").fill("user")
    for label, value in {"Every": "3", "Max requests": "100", "Seed": "s", "Ramp": "30"}.items():
        card.get_by_label(label, exact=label == "Every").fill(value)
    card.get_by_label("Travels between services").check()
    card.get_by_label("Dry run").check()
    return {
        "target": {
            "methods": ["GET", "POST"],
            "paths": ["/orders/*", "/a,b"],
            "functions": ["billing-*"],
            "environments_percentage": 50,
            "headers": {
                "x-tenant": "acme",
                "x-beta": {"exists": True},
                "user-agent": [{"prefix": "curl/"}, {"glob": "Mozilla*"}],
            },
            "query": {"debug": {"exists": False}},
        },
        "first": {"requests": 2, "key": {"header": "x-order-id"}},
        "sticky": {"query": "user"},
        "every": 3,
        "max_requests": 100,
        "seed": "s",
        "ramp_seconds": 30,
        "propagate": True,
        "dry_run": True,
    }


def test_every_option_by_which_one_aims_is_previewed_and_sent(
    open_console: Open, server: Server, picture: Picture
) -> None:
    page = open_console(viewport={"width": 1200, "height": 900}).page
    publish(page, server)
    preview = Answers(page, FIRST_OF_EACH_ORDER)
    sent: list[Any] = []
    page.context.route("**/start", lambda route: (sent.append(route.request.post_data_json), route.abort()))
    sign_in(page)
    card = opened(page)
    options = aim_at_everything(card)
    card.get_by_text("Reason, alarms, hypothesis, label").click()
    card.get_by_label("Label").fill("slow-orders")
    card.get_by_label("Path and query").fill("/orders/7%2F?debug=1&a=x&a=y")
    card.get_by_label("Request headers").fill("x-tenant: acme: 1\nX-Beta:\n")
    expected = {"experiment_name": "latency_injection", **DEFAULTS, **options, "label": "slow-orders"}
    request = {
        "method": "GET",
        "path": "/orders/7/",
        "headers": {"x-tenant": "acme: 1", "X-Beta": ""},
        "query": {"debug": "1", "a": ["x", "y"]},
    }
    expect(said(card)).to_contain_text("probability of 20")
    expect_asked(page, preview, {**expected, "request": request})
    picture(page, "aim")
    card.get_by_role("button", name="Start Latency injection").click()
    expect(card.locator("form > fieldset > .problem")).to_contain_text("unreachable")
    assert sent == [expected]


def test_one_preview_is_asked_for_at_a_time_and_an_outdated_answer_is_dropped(
    open_console: Open, server: Server
) -> None:
    page = open_console().page
    publish(page, server)
    preview = Answers(page, HIT)
    sign_in(page)
    card = opened(page)
    expect(said(card)).to_have_text("This request would be hit.")
    preview.asked.clear()
    preview.holds = True
    path = card.get_by_label("Path and query")
    path.press("End")
    with page.expect_request("**/preview"):
        path.fill("/abc")
    preview.answer = {**HIT, "would_hit": False}
    path.press_sequentially("de", delay=400)
    assert len(preview.asked) == 1
    with page.expect_request("**/preview"):
        preview.let_go()
    expect(said(card)).to_have_text("This request would be hit.")
    assert [each["request"]["path"] for each in preview.asked] == ["/abc", "/abcde"]
    preview.answer = HIT
    path.press_sequentially("f")
    with page.expect_request("**/preview"):
        preview.let_go()
    assert page.locator(".said", has_text="not").count() == 0, "an answer to /abcde, when /abcdef was typed"
    preview.let_go()
    expect(said(card)).to_have_text("This request would be hit.")


VERDICTS: dict[str, tuple[dict[str, Any], str]] = {
    "hit": ({}, "This request would be hit."),
    "not hit": ({"would_hit": False}, "This request would not be hit."),
    "perhaps": ({"would_hit": 0.0001}, "This request is hit with a probability of 0.01\u00a0%."),
    "dry": (
        {"dry_run": True},
        "This request would be hit. It is a dry run: the request would only be counted and marked.",
    ),
    "refused": (
        {"refused": [{"code": "halted", "message": "POST /resume", "details": []}]},
        "This request would be hit. But a start would be refused.",
    ),
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_preview_says_whether_a_request_would_be_hit(open_console: Open, server: Server, verdict: str) -> None:
    page = open_console().page
    publish(page, server)
    changed, text = VERDICTS[verdict]
    Answers(page, {**HIT, **changed})
    sign_in(page)
    card = opened(page)
    expect(card.get_by_role("region", name="Would this request be hit?").get_by_role("status")).to_have_text(text)
    if verdict == "refused":
        expect(card.locator(".found .refused")).to_contain_text("An operator must press Resume first")


def test_a_preview_says_of_each_criterion_what_was_seen(open_console: Open, server: Server) -> None:
    page = open_console().page
    publish(page, server)
    criteria = [
        {"name": "excluded", "allowed": {"not": ["/health"]}, "seen": "/o", "passes": True, "probability": 1.0},
        {"name": "target.query.debug", "allowed": "1", "seen": ["0", "2"], "passes": False, "probability": 0.0},
        {"name": "sticky", "allowed": {"header": "x-user-id"}, "seen": None, "passes": False, "probability": 0.0},
    ]
    Answers(page, {**FIRST_OF_EACH_ORDER, "criteria": [*FIRST_OF_EACH_ORDER["criteria"], *criteria]})
    sign_in(page)
    card = opened(page)
    expect(card.locator(".criteria li")).to_have_text(
        [
            "\u2713Passes: Paths /orders/* \u2013 seen: /orders/7",
            "\u2717Does not pass: Headers: x-tenant starts with ac or equals b \u2013 not there",
            "~Not certain: Percentage 20\u00a0%, with a probability of 20\u00a0%",
            "?Not certain: First, requests 2; whether it passes is not known beforehand",
            "\u2713Passes: Not excluded (by /health) \u2013 seen: /o",
            "\u2717Does not pass: Query: debug equals 1 \u2013 seen: 0 or 2",
            "\u2717Does not pass: Sticky header x-user-id \u2013 not there",
        ]
    )
    expect(card.locator(".faults li")).to_have_text("Wait (50\u00a0% of the hits), Delay: 2\u00a0seconds")


def refusal(field: str, problem: str) -> dict[str, Any]:
    detail = {"field": field, "problem": problem, "allowed": "an object with one of equals, prefix"}
    return {"error": True, "error_message": "No.", "code": "invalid_parameters", "details": [detail], "resultset": {}}


def test_what_cannot_be_is_said_in_the_preview_and_at_a_start_beside_its_line(
    open_console: Open, server: Server
) -> None:
    page = open_console().page
    publish(page, server)
    answer = refusal("target.headers.x.b", 'must be a text; got "\\"a: ": it has control characters; leave them out')
    preview = Answers(page, answer)
    preview.status = 400
    page.context.route("**/start", lambda route: route.fulfill(status=400, json=answer))
    sign_in(page)
    card = opened(page)
    add_line(card, "Headers", "x.a", "equals", "1")
    group = add_line(card, "Headers", "x.b", "equals", "2")
    expect(said(card)).to_have_text("No preview yet. x.b: it has control characters; leave them out.")
    expect(card.locator("[aria-invalid]")).to_have_count(0)
    card.get_by_role("button", name="Start Latency injection").click()
    name = group.get_by_label("Name").last
    expect(name).to_be_focused()
    expect(name).to_have_value("x.b")
    expect(name).to_have_accessible_description("x.b: it has control characters; leave them out.")
    group.get_by_role("button", name="Remove").last.click()
    expect(group.get_by_role("button", name="Add to headers")).to_be_focused()
    expect(group.get_by_label("Name")).to_have_count(1)
    expect_asked_of(page, preview, lambda body: body["target"] == {"headers": {"x.a": "1"}})


PARAMETERS: dict[str, Any] = {
    "status_code": {"type": "integer", "minimum": 400, "maximum": 599, "description": "Status."},
    "distribution": {"anyOf": [{"type": "string", "enum": ["fixed", "uniform"]}, {"type": "null"}], "default": None},
    "headers": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Headers of the answer."},
    "body": {"anyOf": [{"type": "string", "maxLength": 99}, {"type": "object"}, {"type": "array"}]},
    "is_quick": {"anyOf": [{"type": "boolean"}, {"type": "null"}], "default": None},
}
"""Kinds of parameters of which nothing is sent where nothing is entered."""


@pytest.mark.parametrize(
    ("entered", "body"), [("", None), ("Sorry {", "Sorry {"), ("{no", "{no"), ('[{"a": 1}]', [{"a": 1}])]
)
def test_parameters_may_be_maps_and_json_and_are_sent_where_they_were_entered(
    open_console: Open, server: Server, entered: str, body: Any
) -> None:
    page = open_console().page

    def change(listed: dict[str, Any]) -> None:
        named = {each["name"]: each["parameters"]["properties"] for each in listed["available_experiments"]}
        named["error_injection"] |= PARAMETERS

    publish(page, server, change)
    sent: list[Any] = []
    page.context.route("**/start", lambda route: (sent.append(route.request.post_data_json), route.abort()))
    sign_in(page)
    card = fill(page, "error_injection", **{"Error rate": "1"})
    expected: dict[str, Any] = {}
    if entered:
        headers = card.get_by_role("group", name="Headers").first
        headers.get_by_role("button", name="Add to headers").click()
        headers.get_by_label("Name").fill("Retry-After")
        headers.get_by_label("Value").fill("120")
        assert headers.get_by_label("How").count() == 0
        card.get_by_label("Body").fill(entered)
        card.get_by_label("Status code").fill("503")
        card.get_by_label("Distribution").select_option("uniform")
        chosen = {"headers": {"Retry-After": "120"}, "status_code": 503, "distribution": "uniform"}
        expected = {**chosen, "body": body}
    card.get_by_role("button", name="Start Error injection").click()
    wait_for(page, lambda: bool(sent))
    defaults = {"duration_seconds": 30, "percentage": 100, "error_rate": 1}
    assert sent == [{"experiment_name": "error_injection", **defaults, **expected}]


TOGETHER: dict[str, tuple[dict[str, str], str, str]] = {
    "a label that is taken": ({"field": "label", "kind": "taken_label"}, "Label", "has this name. Choose a label"),
    "a ramp that is never over": (
        {"field": "ramp_seconds", "kind": "no_time_to_hit"},
        "Ramp",
        "The ramp must not be longer than the duration",
    ),
    "a dry run that is judged": (
        {"field": "hypothesis.of", "kind": "no_hit_requests"},
        "Judged requests",
        "A dry run hits no request",
    ),
    "an entry of a list": (
        {"field": "target.paths", "problem": 'must be a list; got "orders" as item 1: it does not begin with a slash'},
        "Paths",
        "Paths: it does not begin with a slash.",
    ),
    "no key": ({"field": "sticky", "problem": "must be an object"}, "Header", "Fill in the header or the query."),
}


@pytest.mark.parametrize("kind", TOGETHER)
def test_what_is_wrong_with_an_option_is_explained_beside_its_field(
    open_console: Open, server: Server, kind: str
) -> None:
    page = open_console().page
    publish(page, server)
    Answers(page, HIT)
    detail, label, text = TOGETHER[kind]
    answer = refusal("", "")
    answer["details"] = [{"problem": "is wrong", "allowed": "right", **detail}]
    page.context.route("**/start", lambda route: route.fulfill(status=400, json=answer))
    sign_in(page)
    card = fill(page, "latency_injection")
    card.get_by_role("button", name="Start Latency injection").click()
    place = card.get_by_role("group", name="Sticky") if kind == "no key" else card
    control = place.get_by_label(label).first
    expect(control).to_be_focused()
    assert text in (control.evaluate("control => document.getElementById(control.id + '-problem').textContent") or "")


MARKUP = "<img src=x onerror=alert(1)>"


def test_nothing_that_is_typed_or_answered_is_read_as_markup(open_console: Open, server: Server) -> None:
    page = open_console().page
    run = a_run(label=MARKUP, scenario=MARKUP, target={"headers": {MARKUP: {MARKUP: MARKUP}}}, seed=MARKUP)
    publish(page, server, lambda listed: listed.update(active_experiments=[run]))
    criterion = {"name": f"target.headers.{MARKUP}", "allowed": {"prefix": MARKUP}, "seen": MARKUP, "passes": True}
    Answers(
        page,
        {
            **HIT,
            "criteria": [criterion, {"name": MARKUP, "allowed": {MARKUP: MARKUP}, "seen": [MARKUP], "passes": None}],
            "faults": [{"kind": MARKUP, "share": 1, MARKUP: MARKUP}],
            "refused": [{"code": MARKUP, "message": MARKUP, "details": []}],
        },
    )
    sign_in(page)
    card = opened(page)
    add_line(card, "Headers", MARKUP, "equals", MARKUP)
    card.get_by_label("Path and query").fill("/" + MARKUP)
    card.get_by_label("Seed").fill(MARKUP)
    expect(card.locator(".refused li")).to_have_text(MARKUP)
    expect(card.locator(".criteria li").first).to_contain_text(MARKUP)
    card.get_by_role("button", name="Add to scenario").click()
    expect(page.locator("#scenario-list li")).to_contain_text(MARKUP)
    expect(page.locator("#running article").first).to_contain_text(MARKUP)
    expect(page.locator("#scenarios")).to_contain_text(MARKUP)
    assert page.locator("#signed-in img, header img").count() == 0


def expect_asked(page: Page, preview: Answers, body: dict[str, Any]) -> None:
    expect_asked_of(page, preview, lambda asked: asked == body)


def expect_asked_of(page: Page, preview: Answers, is_it: Callable[[dict[str, Any]], bool]) -> None:
    """The newest question comes, after a moment, to be this."""
    for _ in range(200):
        if preview.asked and is_it(preview.asked[-1]):
            return
        page.wait_for_timeout(50)
    raise AssertionError(preview.asked[-1])


NO_RESULTS: dict[str, Any] = {"requests": 0, "died": 0, "timeline": [], "environments": 0}


def a_run(name: str = "latency_injection", **more: Any) -> dict[str, Any]:
    """A run as `/list` shows it."""
    return {
        "run_id": f"id-{more.get('label', name)}",
        "name": name,
        "label": name,
        "scenario": None,
        "parameters": {"duration_seconds": 60, "percentage": 20},
        "remaining_seconds": 50,
        "end_time": "2026-11-25T12:00:00.000Z",
        "started_by": "olga",
        "reason": None,
        "alarms": [],
        "hypothesis": None,
        "defect": None,
        "results": NO_RESULTS,
        **more,
    }


def test_runs_of_one_experiment_are_shown_and_stopped_one_by_one(
    open_console: Open, server: Server, picture: Picture
) -> None:
    page = open_console().page
    runs = [a_run(), a_run(label="slow-orders", scenario="s1"), a_run("error_injection", label="b", scenario="s1")]
    publish(page, server, lambda listed: listed.update(active_experiments=runs))
    sent = stopped(page)
    sign_in(page)
    expect(page.locator("#running h3")).to_have_text(
        ["Latency injection", "Latency injection: slow-orders", "Error injection: b"]
    )
    expect(page.locator("#state")).to_have_text("3 running")
    card = page.get_by_role("article", name="Latency injection: slow-orders")
    card.get_by_role("button", name="Stop Latency injection: slow-orders").click()
    page.get_by_role("banner").get_by_role("button", name="Stop Latency injection", exact=True).click()
    expect(page.locator("#scenarios")).to_contain_text(
        "Started together: Latency injection: slow-orders, Error injection: b."
    )
    page.get_by_role("button", name="Stop the scenario").click()
    wait_for(page, lambda: len(sent) == 3)
    assert sent == [{"run_id": "id-slow-orders"}, {"run_id": "id-latency_injection"}, {"scenario": "s1"}]
    picture(page, "labels")
    del runs[1:]
    expect(page.locator("#scenarios > *")).to_have_count(0)
    expect(page.locator("#running-title")).to_be_focused()


def stopped(page: Page) -> list[Any]:
    sent: list[Any] = []

    def answer(route: Route) -> None:
        sent.append(route.request.post_data_json)
        route.fulfill(json={"error": False, "error_message": None, "resultset": {}})

    page.context.route("**/stop", answer)
    return sent


def wait_for(page: Page, holds: Callable[[], bool]) -> None:
    for _ in range(200):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError("It did not come to be.")


def test_what_is_in_the_way_of_a_start_is_the_run_with_its_label(open_console: Open, server: Server) -> None:
    page = open_console().page
    publish(page, server, lambda listed: listed.update(active_experiments=[a_run(label="slow-orders")]))
    Answers(page, HIT)
    sign_in(page)
    card = fill(page, "latency_injection")
    begin = card.get_by_role("button", name="Start Latency injection")
    expect(begin).to_be_enabled()
    card.get_by_text("Reason, alarms, hypothesis, label").click()
    card.get_by_label("Label").fill("slow-orders")
    expect(begin).to_be_disabled()
    expect(card.get_by_role("button", name="Replace Latency injection")).to_be_visible()
    expect(card.locator(".why")).to_have_text(
        "Latency injection: slow-orders is already running, started by olga. "
        "Press Replace to end that run and start a new one."
    )
    card.get_by_label("Label").fill("slow-order")
    expect(begin).to_be_enabled()


def test_a_dry_run_is_marked_and_its_results_say_what_would_have_been_hit(
    open_console: Open, server: Server, picture: Picture
) -> None:
    page = open_console().page
    counted = {"requests": 40, "matched": 9, "would_hit": 4, "without_key": 3, "requests_hit": 0}
    results = {**NO_RESULTS, **counted, "requests_untouched": 40, "hit": {}, "untouched": {}}
    run = a_run(dry_run=True, target={"paths": ["/orders/*"], "headers": {"x-beta": {"exists": True}}}, results=results)
    over = {**run, "status": "completed", "ended_by": None, "end_reason": None}
    entry = {"id": "1", "at": "2026-11-25T12:00:00.000Z", "by": "olga", "reason": None, "details": {}, "action": "run"}
    history = {"entries": [{**entry, "run": over}], "next": None}
    publish(page, server, lambda listed: listed.update(active_experiments=[run]))
    page.context.route("**/history?*", lambda route: route.fulfill(json={"error": False, "resultset": history}))
    sign_in(page)
    card = page.get_by_role("article", name="Latency injection")
    expect(card.locator(".dry")).to_have_text("Dry run")
    expect(card.locator(".aims")).to_have_text(
        "Dry run: nothing is done to requests, they are counted and marked. Paths: /orders/*. Headers: x-beta exists"
    )
    figures = dict(zip(card.locator("dt").all_inner_texts(), card.locator("dd").all_inner_texts(), strict=True))
    assert {
        **figures,
        "Requests": "40",
        "Matched the target": "9",
        "Would be hit": "4",
        "Without a key": "3",
    } == figures
    row = page.locator("#history tr").first
    expect(row).to_contain_text("Latency injection (dry run)")
    expect(row).to_contain_text("Completed. 4 of 40 requests would have been hit")
    picture(page, "dry-run")


def test_an_active_run_is_previewed_by_its_id_by_viewers_too(
    open_console: Open, server: Server, viewer_token: str
) -> None:
    page = open_console().page
    publish(page, server, lambda listed: listed.update(active_experiments=[a_run()]))
    preview = Answers(page, {**HIT, "would_hit": False})
    sign_in(page, viewer_token)
    card = page.get_by_role("article", name="Latency injection")
    card.get_by_text("Would a request be hit?").click()
    card.get_by_label("Path and query").fill("/cart")
    expect(said(card)).to_have_text("This request would not be hit.")
    request = {"method": "GET", "path": "/cart", "headers": {}, "query": {}}
    expect_asked(page, preview, {"run_id": "id-latency_injection", "request": request})


def test_several_experiments_are_started_as_one_scenario(open_console: Open, server: Server, picture: Picture) -> None:
    page = open_console().page
    publish(page, server)
    Answers(page, HIT)
    sent: list[Any] = []
    answer: dict[str, Any] = refusal("experiments.1.error_rate", "must be less; got 2")

    def take(route: Route) -> None:
        sent.append(route.request.post_data_json)
        route.fulfill(status=400 if answer["error"] else 200, json=answer)

    page.context.route("**/start", take)
    sign_in(page)
    expect(page.locator("#scenario")).to_be_hidden()
    for name, fields in {"latency_injection": {"Delay": "0.5"}, "error_injection": {"Error rate": "2"}}.items():
        fill(page, name, **fields).get_by_role("button", name="Add to scenario").click()
    resource = fill(page, "resource_exhaustion", Memory="1")
    resource.get_by_role("button", name="Add to scenario").click()
    scenario = page.get_by_role("region", name="Scenario")
    expect(scenario.get_by_role("status")).to_have_text(
        "3 experiments are in the scenario. All are started together, or none."
    )
    scenario.get_by_role("button", name="Remove Resource exhaustion from the scenario").click()
    expect(scenario.locator("li")).to_have_count(2)
    picture(page, "scenario")
    scenario.get_by_role("button", name="Start all").click()
    expect(scenario.get_by_role("alert")).to_have_text(
        "Not started. Error injection: Error rate must be an object with one of equals, prefix."
    )
    names = [each["experiment_name"] for each in sent[0]["experiments"]]
    assert (names, list(sent[0])) == (["latency_injection", "error_injection"], ["experiments"])
    answer = {"error": False, "error_message": None, "resultset": {"scenario": "s", "runs": []}}
    scenario.get_by_role("button", name="Start all").click()
    expect(page.locator("#scenario")).to_be_hidden()
    expect(page.locator("#running-title")).to_be_focused()


def test_nothing_is_shown_of_what_an_older_application_does_not_publish(open_console: Open, server: Server) -> None:
    page = open_console().page
    older = a_run()
    del older["label"], older["scenario"]

    def change(listed: dict[str, Any]) -> None:
        options = listed["start_options"]["properties"]
        known = {name: options[name] for name in ("reason", "alarms", "hypothesis", "restart") if name in options}
        shares = {**TARGET, "properties": {"environments_percentage": CRITERIA["environments_percentage"]}}
        listed["start_options"]["properties"] = {**known, "target": shares}
        listed["active_experiments"] = [older]

    publish(page, server, change)
    preview, sent = Answers(page, HIT), stopped(page)
    sign_in(page)
    card = fill(page, "error_injection")
    card.get_by_text("Target", exact=True).first.click()
    expect(card.get_by_label("Environments percentage")).to_be_visible()
    for label in ("Paths", "Label", "Path and query", "Dry run", "Sticky"):
        assert card.get_by_label(label).count() == 0, label
    assert page.get_by_role("button", name="Add to scenario").count() == 0
    page.locator("#running").get_by_role("button", name="Stop Latency injection").click()
    wait_for(page, lambda: bool(sent))
    assert (sent, preview.asked) == ([{"experiment_name": "latency_injection"}], [])


def test_where_there_is_no_preview_none_is_shown(open_console: Open, server: Server) -> None:
    page = open_console().page
    publish(page, server)
    preview = Answers(page, {"error": True, "error_message": "No.", "code": "unknown_endpoint", "details": []})
    preview.status = 404
    sign_in(page)
    card = opened(page)
    expect(card.locator(".preview")).to_have_count(0)
    expect(card.get_by_label("Paths")).to_be_visible()


WINDOWS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1200, "height": 900}},
    "phone, dark": {"color_scheme": "dark", "viewport": {"width": 360, "height": 800}, "has_touch": True},
    "phone, light": {"color_scheme": "light", "viewport": {"width": 360, "height": 800}, "has_touch": True},
}


@pytest.mark.parametrize("window", WINDOWS)
def test_the_editor_keeps_nobody_out_by_colour_size_or_markup(
    open_console: Open, server: Server, window: str, picture: Picture
) -> None:
    page = open_console(**WINDOWS[window]).page
    runs = [a_run(label=f"slow-orders-{number}", scenario="s1", dry_run=True) for number in range(20)]
    publish(page, server, lambda listed: listed.update(active_experiments=runs))
    refused = [{"code": "too_many_runs", "message": "POST /stop", "details": []}]
    Answers(page, {**FIRST_OF_EACH_ORDER, "refused": refused, "dry_run": True})
    sign_in(page)
    card = opened(page)
    aim_at_everything(card)
    card.get_by_role("button", name="Add to scenario").click()
    card.get_by_label("Request headers").fill("w" * 200)
    expect(card.locator(".refused li")).to_contain_text("As many runs are active as there can be")
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate(WIDER) == [], "wider than the window"
    bar = page.get_by_role("banner").bounding_box()
    assert bar
    assert bar["height"] < 140, "twenty runs fill the window"
    picture(page, f"aim-{window.replace(', ', '-')}")


def test_the_editor_is_worked_by_the_keyboard_alone(open_console: Open, server: Server) -> None:
    page = open_console().page
    publish(page, server)
    preview = Answers(page, HIT)
    sign_in(page)
    card = fill(page, "latency_injection")
    card.get_by_text("Aim and preview").focus()
    page.keyboard.press("Enter")
    card.get_by_role("button", name="Add to headers").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("x-beta")
    page.keyboard.press("Tab")
    page.keyboard.type("exists")
    page.keyboard.press("Tab")
    expect(card.get_by_role("button", name="Remove")).to_be_focused()
    expect_asked_of(page, preview, lambda body: body.get("target") == {"headers": {"x-beta": {"exists": True}}})
    page.keyboard.press("Enter")
    expect(card.get_by_role("button", name="Add to headers")).to_be_focused()
    expect_asked_of(page, preview, lambda body: "target" not in body)


def test_the_applications_own_preview_agrees_with_what_is_typed(open_console: Open, picture: Picture) -> None:
    page = open_console(viewport={"width": 1200, "height": 900}).page
    sign_in(page)
    card = opened(page)
    expect(said(card)).to_have_text("This request would be hit.")
    card.get_by_label("Paths").fill("/orders/*")
    add_line(card, "Headers", "x-tenant", "starts with", "ac")
    expect(said(card)).to_have_text("This request would not be hit.")
    card.get_by_label("Path and query").fill("/orders/7?debug=1")
    card.get_by_label("Request headers").fill("X-Tenant: acme")
    expect(said(card)).to_have_text("This request would be hit.")
    fill(page, "latency_injection", Percentage="20")
    expect(said(card)).to_have_text("This request is hit with a probability of 20\u00a0%.")
    expect(card.locator(".criteria")).to_contain_text("Headers: x-tenant starts with ac \u2013 seen: acme")
    card.get_by_label("Methods").fill("get")
    expect(said(card)).to_have_text("No preview yet. Methods: methods are in upper case; send it so.")
    picture(page, "real-preview")


def test_labels_and_scenarios_are_the_applications_own(open_console: Open, server: Server) -> None:
    page = open_console().page
    sign_in(page)
    card = fill(page, "latency_injection", Delay="0", Duration="120")
    card.get_by_text("Reason, alarms, hypothesis, label").click()
    label, begin = card.get_by_label("Label"), card.get_by_role("button", name="Start Latency injection")
    for name in ("a", "b"):
        label.fill(name)
        begin.click()
        expect(page.get_by_role("article", name=f"Latency injection: {name}")).to_be_focused()
    expect(begin).to_be_disabled()
    scenario = page.get_by_role("region", name="Scenario")
    for name in ("c", "b"):
        label.fill(name)
        card.get_by_role("button", name="Add to scenario").click()
    scenario.get_by_role("button", name="Start all").click()
    expect(scenario.get_by_role("alert")).to_have_text(
        "Not started. Latency injection: b is already running, started by developer. "
        "Stop that run, or choose another label."
    )
    label.fill("c")
    card.get_by_role("button", name="Add to scenario").click()
    scenario.get_by_role("button", name="Remove Latency injection: b from the scenario").click()
    scenario.get_by_role("button", name="Start all").click()
    expect(scenario.get_by_role("alert")).to_contain_text("Latency injection: c: Another run of the scenario")
    scenario.get_by_role("button", name="Remove Latency injection: c from the scenario").last.click()
    fill(page, "error_injection", **{"Error rate": "0", "Duration": "120"})
    page.locator("#experiment-error_injection").get_by_role("button", name="Add to scenario").click()
    scenario.get_by_role("button", name="Start all").click()
    titles = page.locator("#running h3")
    expect(titles).to_have_count(4)
    page.get_by_role("button", name="Stop the scenario").click()
    expect(titles).to_have_text(["Latency injection: a", "Latency injection: b"])
    page.get_by_role("article", name="Latency injection: a").get_by_role("button", name="Stop").click()
    expect(titles).to_have_text(["Latency injection: b"])
    expect(page.locator("#history tr", has_text="Latency injection: a")).to_contain_text("Stopped by developer")
    (left,) = server.call("GET", "/chaos_experiments/list").json()["resultset"]["active_experiments"]
    assert (left["label"], left["scenario"]) == ("b", None)
    assert server.call("POST", "/chaos_experiments/stop", json={"run_id": left["run_id"]}).status_code == 200


# Outgoing calls


CALLED = {
    "name": "dynamodb:PutItem",
    "client": "botocore",
    "calls": 11,
    "calls_hit": 6,
    "errors": 6,
    "unreached": 0,
    "requests": {"hit": 2, "untouched": 5},
    "calls_per_request": {"hit": 3.0, "untouched": 1.0},
    "amplification": 3.0,
    "survived": 1,
    "degraded": 0,
    "failed": 1,
    "effective_error_rate": 0.5,
}


def test_calls_to_a_dependency_are_made_to_fail_by_a_form_and_the_card_says_what_came_of_them(
    open_console: Open, server: Server
) -> None:
    page = open_console().page
    sign_in(page)
    card = fill(page, "dependency_failure")
    expect(card.get_by_label("Dependency", exact=True)).to_have_accessible_description(
        re.compile("^What the outgoing calls are to that fail. An AWS service .dynamodb., one of its operations")
    )
    start(page, "dependency_failure", Dependency="DynamoDB")
    expect(card.get_by_label("Dependency", exact=True)).to_be_focused()
    expect(card).to_contain_text("Dependency: AWS services are in lower case, as botocore calls them.")
    start(page, "dependency_failure", Dependency="dynamodb:PutItem", **{"Status code": "503"})
    expect(card).to_contain_text(
        "Status code is for HTTP, and dynamodb:PutItem is an AWS service, whose errors have a code: send code instead."
    )
    fill(page, "dependency_failure", **{"Status code": ""})
    card.get_by_label("Fault", exact=True).select_option("dns")
    card.get_by_text("Aim and preview").click()
    expect(card.locator(".preview .said")).to_have_text(
        "A call to dynamodb:PutItem that is made for this request is hit."
    )
    card.get_by_role("button", name="Start Dependency failure").click()
    running = page.locator("#running article")
    expect(running).to_contain_text("dynamodb:PutItem")
    listed = server.call("GET", "/chaos_experiments/list").json()
    (run,) = listed["resultset"]["active_experiments"]
    assert (run["parameters"]["fault"], run["results"].get("dependencies", [])) == ("dns", [])
    status = server.call("GET", "/chaos_experiments/status?experiment_name=dependency_failure").json()
    run["results"] = {**status["resultset"]["results"], **results_of_calls()}
    page.context.route("**/list", lambda route: route.fulfill(json=listed))
    calls = "11 calls, 6 hit, 6 failed; 3 calls a request (3 times as many as usual)"
    ends = "1 survived, 0 degraded, 1 failed: effective error rate 50\u00a0%"
    finding = "No timeout, shop/orders.py:42, botocore to dynamodb:PutItem: 7 calls had none. Set one."
    for text in ("dynamodb:PutItem, botocore", f"{calls}; {ends}", "Calls matched", finding):
        expect(running).to_contain_text(text)


FOUND = {
    "finding": "no_timeout", "client": "botocore", "dependency": "dynamodb:PutItem", "place": "shop/orders.py:42",
    "calls": 7, "explanation": "7 calls had none.", "remedy": "Set one.",
}  # fmt: skip


def results_of_calls() -> dict[str, Any]:
    side = {"requests": 1, "statuses": {}, "p50_seconds": None, "p95_seconds": None, "p99_seconds": None}
    counts = {"requests": 7, "requests_hit": 2, "requests_untouched": 5, "environments": 1}
    return {
        **counts,
        "matched": 11,
        "unreached": 0,
        "dependencies": [CALLED],
        "audit": [FOUND],
        "hit": side,
        "untouched": side,
    }
