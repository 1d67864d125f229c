"""What a report says of a verdict, of a run that nobody met, and of the time before and after the run."""

import re
from typing import Any

import pytest

from chalicelib.api import responses
from chalicelib.report.documents import html, markdown
from chalicelib.results.tally import Counting, Served, Tally
from tests.support import NOW, a_run, with_hypothesis

RUN = with_hypothesis(a_run(duration_seconds=60.0, percentage=20.0), max_error_rate=0.01, of="both")
AFTER = [
    {"at": "2027-01-15T08:01:00.000Z", "seconds": 5.0, "requests": 9, "errors": 3, "slow": 0, "mean_seconds": 0.2},
    {"at": "2027-01-15T08:01:05.000Z", "seconds": 5.0, "requests": 9, "errors": 0, "slow": 0, "mean_seconds": 0.1},
]
USUAL = {"requests": 100, "errors": 1, "error_rate": 0.01, "p95_seconds": 0.1}


def reported(**results: Any) -> dict[str, Any]:
    """The report of a run that is over, in which one request was hit and one was not."""
    tally = Tally(environments=1)
    for number in range(60):
        served = Served(at=NOW + number, seconds=0.1, status=200, side="hit" if number % 5 == 0 else "untouched")
        tally.record(Counting(RUN), served)
    run: Any = responses.run(RUN, NOW + 200, tally)
    run["results"] |= {"efficacy": "confirmed", "recovery": None, **results}
    return {"run": run, "events": []}


def texts(report: dict[str, Any]) -> tuple[str, str]:
    return markdown(report), re.sub(r"<[^>]+>", " ", html(report)).replace("&nbsp;", " ")


def test_hit_and_untouched_requests_have_verdicts_of_their_own() -> None:
    report = reported()
    expected = report["run"]["hypothesis"]
    expected["verdict"] = "failed"
    expected["sides"]["hit"] |= {"verdict": "failed", "explanation": "12 of 12 failed."}
    expected["sides"]["untouched"] |= {"verdict": "cannot_tell", "explanation": "The queue is not in the times."}
    for text in texts(report):
        assert "The hypothesis failed." in text
        assert "Hit requests: failed. 12 of 12 failed." in text
        assert "Untouched requests: no verdict. The queue is not in the times." in text
        assert "Of the untouched requests, and of the hit ones, at most 1 % fail" in text
    classes = re.findall(r'<p class="\w+ (\w+)">', html(report))
    assert sorted(classes) == ["cannot_tell", "failed", "failed"]


@pytest.mark.parametrize("of", ["untouched", "hit"])
def test_one_side_has_one_verdict(of: str) -> None:
    report = reported()
    expected = report["run"]["hypothesis"]
    expected |= {"of": of, "verdict": "too_few_requests", "explanation": "338 more are needed."}
    expected["sides"] = {of: expected["sides"][of]}
    for text in texts(report):
        assert "No verdict: too few requests. 338 more are needed." in text
        assert f"Of the {of} requests at most 1 % fail" in text


def test_a_run_that_nobody_met_says_so_above_all_else() -> None:
    report = reported(efficacy="never_hit", efficacy_explanation="Requests came (9), but none was hit.")
    assert markdown(report).split("\n\n")[1] == "Requests came (9), but none was hit."
    assert html(report).index("none was hit") < html(report).index("No verdict")


def test_before_during_and_after_stand_in_one_table() -> None:
    report = reported()
    report["run"]["results"]["phases"] |= {
        "before": USUAL,
        "after": {**USUAL, "requests": 18, "errors": 3, "error_rate": 0.166},
    }
    report["run"]["hypothesis"]["baseline_seconds"] = 10.0
    text = markdown(report)
    assert "| before, 10 s | 100 | 1 (1 %) | 100 ms |" in text
    assert "| during | 48 | 0 (0 %) | " in text
    assert "| after, up to 60 s | 18 | 3 (16.6 %) | 100 ms |" in text
    assert "nothing was hit in the first 10 s" in text


def test_what_was_not_measured_says_how_to_measure_it() -> None:
    report = reported()
    report["run"]["results"]["phases"]["after"] = None
    text = markdown(report)
    assert "| before | not measured: start with baseline\\_seconds" in text.replace("baseline_", "baseline\\_")
    assert "| after, up to 60 s | the run is not over |" in text
    report["run"]["hypothesis"] = None
    assert "| before | not measured |" in markdown(report)


@pytest.mark.parametrize(("after", "kind"), [(12.0, "recovered"), (None, "unmet")])
def test_when_it_was_back_within_the_bounds_is_a_finding(after: float | None, kind: str) -> None:
    report = reported(recovery={"recovered_after_seconds": after, "explanation": "It was back after 12 s."})
    assert "After the run: It was back after 12 s." in markdown(report)
    assert f'<p class="finding {kind}">After the run: It was back' in html(report)


def shades(report: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Where the shaded parts of the plot over time begin and end, by their names."""
    found = re.findall(r'<rect class="shade" x="([\d.]+)" y="30" width="([\d.]+)".*?<title>(.*?)</title>', html(report))
    return {name: (float(x), float(x) + float(width)) for x, width, name in found}


def test_the_time_after_the_run_is_shaded_in_the_plots_and_has_its_errors() -> None:
    assert shades(reported()) == {}
    report = reported(after=AFTER)
    assert shades(report)["after the run"] == pytest.approx((60 + 730 * 60 / 70, 790), abs=0.2)
    page = html(report)
    assert "Errors over time: 3 application errors" in page
    assert "3 application errors, 2027-01-15T08:01:00.000Z" in page
    last = re.findall(r'<circle class="untouched" cx="([\d.]+)"', page)[-1]
    assert float(last) == pytest.approx(60 + 730 * 67.5 / 70, abs=0.2)


def test_the_baseline_is_shaded_too() -> None:
    report = reported()
    report["run"]["hypothesis"]["baseline_seconds"] = 12.0
    assert shades(report)["before"] == pytest.approx((60, 60 + 730 * 12 / 60), abs=0.2)


def test_a_baseline_without_counts_of_its_own_is_shaded_as_well() -> None:
    report = reported()
    report["run"]["hypothesis"]["baseline_seconds"] = 12.0
    timeline = report["run"]["results"]["timeline"]
    del timeline[: next(n for n, part in enumerate(timeline) if part["at"] >= "2027-01-15T08:00:12.000Z")]
    assert shades(report)["before"] == pytest.approx((60, 60 + 730 * 12 / 60), abs=0.2)


def test_requests_that_died_and_calls_to_test_are_in_it() -> None:
    text = markdown(reported(died=4, test={"requests": 20, "hit": 5}))
    assert "| Requests that began and were never answered | 4 |" in text
    assert "| Calls to the test endpoint | 20, 5 hit; they count nowhere else |" in text


def test_what_is_counted_of_an_aim_is_in_it_where_the_run_has_one() -> None:
    text = markdown(reported(matched=12, without_key=None, would_hit=7))
    assert "| Requests that the target matched | 12 |" in text
    assert "| Requests that the dry run would have hit | 7 |" in text
    assert "have no key" not in text
    assert "Dry run" not in text


def test_a_dry_run_says_that_nothing_was_injected() -> None:
    report = reported()
    report["run"]["dry_run"] = True
    assert "| Dry run | nothing was injected: what would have been hit was counted |" in markdown(report)


def test_a_run_is_named_by_its_label_and_its_scenario() -> None:
    report = reported()
    other = a_run(now=NOW + 1, label="slow-orders")
    report["run"] |= {"label": "slow-payments", "scenario": "20270115T080000.000Z-s"}
    report["events"] = [responses.entry(other, NOW + 200, {})]
    for text in texts(report):
        assert "Latency injection (slow-payments): completed" in text
        assert re.search(r"Label\W+slow-payments", text)
        assert re.search(r"Scenario\W+20270115T080000.000Z-s", text)
        assert "start of latency_injection, slow-orders" in text


def test_a_spent_run_is_completed_for_its_reason() -> None:
    report = reported()
    report["run"] |= {"end_reason": "it has hit 100 requests", "end_time": "2027-01-15T08:00:10.000Z"}
    for text in texts(report):
        assert "2027-01-15T08:00:10.000Z, completed: it has hit 100 requests" in text
