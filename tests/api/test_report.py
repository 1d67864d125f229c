import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from chalicelib.api.http import Response
from chalicelib.results.tally import Counting, Served, Tally
from tests.api.conftest import Control
from tests.support import NOW, a_run, an_event, with_hypothesis, with_options

RUN = with_hypothesis(
    a_run(
        delay_seconds=0.5,
        duration_seconds=60.0,
        percentage=33.3,
        options={"reason": "what if <the stock> is | slow?"},
    ),
    max_error_rate=0.05,
    p95_seconds=0.1,
    min_requests=10,
)


@pytest.fixture
def told(control: Control) -> Control:
    """A third of 300 requests waited, two of the others failed by themselves."""
    control.store.start([RUN], now=NOW)
    control.store.record(an_event("halt", now=NOW + 20, reason="enough"))
    whole = Tally(environments=8)
    for number in range(300):
        hit = number % 3 == 0
        served = Served(
            at=NOW + number / 10,
            seconds=0.52 if hit else 0.02,
            status=503 if number in (1, 152) else 200,
            side="hit" if hit else "untouched",
            counters={"delay": 500_000} if hit else {},
        )
        whole.record(Counting(RUN), served)
    control.results.tallies[RUN.run_id] = whole
    control.store.stop(RUN.ended(now=NOW + 20, by="vic", reason="halted: enough"))
    control.clock.now = NOW + 100
    return control


def report(control: Control, **more: str) -> Response:
    headers = {"accept": more.pop("accept")} if "accept" in more else {}
    query = {name: [value] for name, value in {"run_id": RUN.run_id, **more}.items()}
    return control.ask("GET", "/report", query=query, headers=headers)


def test_as_json_it_is_the_run_and_what_else_happened(told: Control) -> None:
    content = json.loads(report(told).body)["resultset"]
    run = content["run"]
    assert (run["status"], run["results"]["requests_hit"], run["results"]["requests_untouched"]) == (
        "stopped",
        100,
        200,
    )
    assert run["results"]["injected_delay_seconds"] == 50.0
    assert run["results"]["environments"] == 8
    assert run["hypothesis"]["verdict"] == "held"
    assert [event["action"] for event in content["events"]] == ["halt"]


def test_both_distributions_are_apart(told: Control) -> None:
    buckets = json.loads(report(told).body)["resultset"]["run"]["results"]["distribution"]
    assert max(bucket["up_to_seconds"] for bucket in buckets if bucket["untouched"]) < 0.03
    assert min(bucket["up_to_seconds"] for bucket in buckets if bucket["hit"]) > 0.5


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "style")]
        if tag not in ("meta", "rect", "line", "circle", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line", "circle", "polyline"):
            assert self.open.pop() == tag


def test_as_html_it_is_one_page_that_needs_nothing_else_and_repeats_no_markup(told: Control) -> None:
    answer = report(told, format="html")
    assert answer.all_headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.all_headers["Content-Security-Policy"]
    page = Page(answer.body)
    assert page.open == []
    assert page.links == []
    assert page.seen.count("svg") == 3
    assert "script" not in page.seen
    assert "&lt;the stock&gt;" in answer.body
    assert "<the stock>" not in answer.body
    assert "198 with 2xx, 2 with 5xx" in answer.body
    assert "2 of 200 untouched requests failed" in answer.body


def test_as_markdown_its_tables_hold_whatever_is_in_them(told: Control) -> None:
    text = report(told, accept="text/markdown").body
    assert text.startswith("# Latency injection: stopped\n")
    assert "what if \\<the stock> is \\| slow?" in text
    assert "| Ended | 2027-01-15T08:00:20.000Z, stopped by vic: halted: enough |" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


def test_in_markdown_what_somebody_wrote_is_text(told: Control) -> None:
    reason = "![x](https://evil.example/p.png) [log](javascript:1)\r\r# Heading\n* `code`"
    told.store.record(an_event("halt", now=NOW + 21, token="2", reason=reason))
    text = report(told, format="markdown").body
    assert "| !\\[x\\](https://evil.example/p.png) \\[log\\](javascript:1) # Heading \\* \\`code\\` |" in text


def test_what_happened_is_in_its_order_over_midnight_too(control: Control) -> None:
    midnight = NOW // 86400 * 86400 + 86400
    late = a_run(now=midnight - 60, duration_seconds=120)
    control.store.start([late], now=midnight - 60)
    control.clock.now = midnight + 100
    text = report(control, run_id=late.run_id, format="markdown").body
    happened = text.partition("## Timeline")[2]
    assert happened.index("| start |") < happened.index("| completed |")


def test_what_is_asked_for_in_the_query_goes_before_what_is_accepted(told: Control) -> None:
    accepted = "text/html,application/xhtml+xml"
    assert report(told, accept=accepted).all_headers["Content-Type"].startswith("text/html")
    assert report(told, accept=accepted, format="json").all_headers["Content-Type"] == "application/json"
    assert report(told, accept="*/*").all_headers["Content-Type"] == "application/json"


def test_a_hypothesis_that_failed_says_why(told: Control) -> None:
    whole = told.results.tallies[RUN.run_id]
    whole.merge({"untouched.5xx": 50, "untouched.b31": 50})
    for form in ("html", "markdown"):
        text = report(told, format=form).body
        assert "The hypothesis failed" in text
        assert "52 of 250 untouched requests failed, 20.8" in text


def test_a_run_that_nobody_told_of_has_a_report_that_says_so(control: Control) -> None:
    control.store.start([RUN], now=NOW)
    for form in ("html", "markdown"):
        text = report(control, format=form).body
        assert "No results: no request was served while the run was active" in text
        assert "Latency injection: running" in text
        assert "2027-01-15T08:01:00.000Z, unless it is stopped before" in text


def test_alarms_a_defect_and_what_another_run_hit_are_in_it(told: Control) -> None:
    guarded = replace(with_options(RUN, alarms=["orders-5xx"], hypothesis=None), defect="it broke")
    told.store.past[RUN.run_id] = guarded
    told.results.tallies[RUN.run_id].record(Counting(guarded), Served(at=NOW, seconds=0.1, status=200, side=None))
    text = report(told, format="markdown").body
    assert "| Alarms | orders-5xx |" in text
    assert "| Defect | it broke |" in text
    assert "| Requests hit by other runs only | 1 |" in text
    assert "hypothesis" not in text.lower()


def test_where_all_requests_are_another_runs_there_is_nothing_to_plot(told: Control) -> None:
    only = Tally(environments=1)
    only.record(Counting(RUN), Served(at=NOW, seconds=0.1, status=200, side=None))
    told.results.tallies[RUN.run_id] = only
    assert report(told, format="html").body.count("No requests were counted.") == 2


def test_a_time_without_requests_is_a_gap_in_the_plot(told: Control) -> None:
    gap = Tally(environments=1)
    for at in (NOW, NOW + 18):
        gap.record(Counting(RUN), Served(at=at, seconds=0.1, status=200, side="untouched"))
    told.results.tallies[RUN.run_id] = gap
    centres = re.findall(r'<circle class="untouched" cx="([0-9.]+)"', report(told, format="html").body)
    assert [float(x) for x in centres] == pytest.approx([60 + 730 * 0.5 / 19, 60 + 730 * 18.5 / 19], abs=0.1)


def test_what_is_wrong_is_told(told: Control) -> None:
    assert report(told, format="pdf").content["code"] == "invalid_parameters"
    assert report(told, run_id="20260101T000000.000Z-0").content["code"] == "unknown_run"
    assert report(told, run_id="a\nb").content["code"] == "unknown_run"
    assert told.ask("GET", "/report").content["code"] == "missing_parameter"


def test_what_environments_saw_stands_in_nobodys_way(told: Control) -> None:
    told.clock.now = NOW + 5
    told.store.start([replace(RUN, run_id="again")], now=NOW + 5)
    told.results.broken = True
    for path in ("/list", "/history"):
        answer = told.ask("GET", path)
        assert answer.status == 200
        assert "The results could not be read from the table. Try again." in answer.body
        assert "a verdict needs" not in answer.body


def test_a_report_without_what_environments_saw_would_be_none(told: Control) -> None:
    told.results.broken = True
    for answer in (report(told), report(told, format="html"), status(told)):
        assert (answer.status, answer.content["code"]) == (503, "store_unavailable")


def status(control: Control) -> Response:
    return control.ask("GET", "/status", query={"experiment_name": ["latency_injection"]})


def test_a_run_that_a_halt_ended_is_ended_wherever_it_is_shown(told: Control) -> None:
    run = replace(RUN, run_id="20270115T080001.000Z-again", started_at=NOW + 21)
    told.clock.now = NOW + 30
    told.store.start([run], now=NOW + 21)
    told.store.halt(an_event("halt", now=NOW + 25, token="2", reason="enough"))
    assert status(told).content["resultset"]["status"] == "stopped"
    assert report(told, run_id=run.run_id).content["resultset"]["run"]["status"] == "stopped"
    entries = told.ask("GET", "/history").content["resultset"]["entries"]
    assert {entry["run"]["status"] for entry in entries if entry["run"]} == {"stopped"}
