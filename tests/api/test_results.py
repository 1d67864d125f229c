"""How a run's results and verdicts look, whatever they are made by."""

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from chalicelib.api import responses, results
from chalicelib.api.results import UNREAD
from chalicelib.cli import render
from chalicelib.faults.base import Applied, Counter, Fault, HitCall
from chalicelib.report.documents import html, markdown
from chalicelib.results.judgement import Figure, Judgement, Recovery, SideJudgement, Verdict
from chalicelib.results.tally import AfterPart, Phase, Side, SideCounts, Tally
from chalicelib.runs.run import Run
from tests.support import NOW, a_run, with_hypothesis

RUN = with_hypothesis(a_run(duration_seconds=60.0, percentage=20.0), max_error_rate=0.01, of="both")
OVER = NOW + 100


class Counted(Tally):
    """Two died, and after the run it took a while."""

    def side_counts(self, side: Side, run: Run, now: float) -> SideCounts:
        return SideCounts(
            requests=10, errors=1, slow=0, died=2 if side == "hit" else 1, open=0, blocks=(),
            block_seconds=run.duration_seconds + now - now, times_leave_out_queue=False,
        )  # fmt: skip

    def phases(self, now: float = OVER) -> Mapping[str, Phase]:
        assert now > RUN.started_at
        return {
            "before": Phase(requests=100, errors=1, p95_seconds=0.1),
            "during": Phase(requests=300, errors=9, p95_seconds=0.4),
            "after": Phase(requests=0, errors=0, p95_seconds=None),
        }

    def after(self, run: Run) -> tuple[AfterPart, ...]:
        return (AfterPart(at=run.expires_at, seconds=5.0, requests=9, errors=1, slow=2, mean_seconds=0.25),)


TALLY = Counted({"requests": 40, "hit.2xx": 8, "hit.b20": 8, "test.requests": 20, "test.hit": 4})


def judged(verdict: Verdict, requests: int, *, needed: int | None = None) -> SideJudgement:
    figure = Figure(
        measure="error_rate", allowed=0.01, observed=0.1234567, low=0.0, high=None, verdict=verdict, needed=needed,
        reason=None,
    )  # fmt: skip
    return SideJudgement(verdict=verdict, requests=requests, explanation=f"It {verdict}.", figures=(figure,))


def shown(run: Run = RUN, tally: Tally | None = TALLY, now: float = OVER, *, whole: bool = True) -> Any:
    return results.results(run, tally, now, whole=whole)


def test_each_side_has_its_verdict_and_the_run_the_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    sides: dict[Side, SideJudgement] = {
        "hit": judged("failed", 8),
        "untouched": judged("too_few_requests", 32, needed=338),
    }
    made = Judgement(verdict="failed", explanation="It failed.", sides=sides)
    monkeypatch.setattr(results, "judge", lambda *_: made)
    expected: Any = results.hypothesis(RUN, TALLY, OVER)
    assert (expected["verdict"], expected["explanation"]) == ("failed", "It failed.")
    assert (expected["of"], expected["baseline_seconds"]) == ("both", 0.0)
    assert {side: each["verdict"] for side, each in expected["sides"].items()} == {
        "hit": "failed",
        "untouched": "too_few_requests",
    }
    assert expected["figures"] == expected["sides"]["untouched"]["figures"]
    (figure,) = expected["figures"]
    assert (figure["observed"], figure["high"], figure["needed"], figure["reason"]) == (0.123457, None, 338, None)


def test_where_only_hit_requests_are_judged_the_figures_are_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Judgement(verdict="held", explanation="It held.", sides={"hit": judged("held", 8)})
    monkeypatch.setattr(results, "judge", lambda *_: made)
    expected: Any = results.hypothesis(RUN, TALLY, OVER)
    assert [figure["verdict"] for figure in expected["figures"]] == ["held"]
    assert set(expected["sides"]) == {"hit"}


def test_nothing_is_said_of_what_could_not_be_read() -> None:
    expected: Any = results.hypothesis(RUN, UNREAD, OVER)
    texts = {expected["explanation"], *(side["explanation"] for side in expected["sides"].values())}
    assert texts == {"The results could not be read from the table. Try again."}
    assert shown(tally=UNREAD) == {}


def test_calls_to_the_test_endpoint_and_requests_that_died_are_counted_apart() -> None:
    made = shown()
    assert made["test"] == {"requests": 20, "hit": 4}
    assert (made["requests"], made["died"]) == (40, 3)


BASELINE = with_hypothesis(RUN, max_error_rate=0.01, baseline_seconds=10.0)


def test_before_is_shown_with_a_baseline_and_after_when_the_run_is_over() -> None:
    assert [shown(now=NOW + 5)["phases"][name] for name in ("before", "after")] == [None, None]
    phases = shown(BASELINE)["phases"]
    assert phases["before"] == {"requests": 100, "errors": 1, "error_rate": 0.01, "p95_seconds": 0.1}
    assert phases["during"]["error_rate"] == 0.03
    assert phases["after"] == {"requests": 0, "errors": 0, "error_rate": None, "p95_seconds": None}


def test_recovery_is_of_a_run_that_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Recovery(recovered_after_seconds=15.0, explanation="Back after 15 s.")
    monkeypatch.setattr(results, "recovery", lambda *_: found)
    assert shown()["recovery"] == {"recovered_after_seconds": 15.0, "explanation": "Back after 15 s."}
    assert shown(now=NOW + 5)["recovery"] is None
    assert shown(a_run())["recovery"] is None
    monkeypatch.setattr(results, "recovery", lambda *_: None)
    assert shown()["recovery"] is None


def test_the_course_after_the_run_is_left_out_of_the_history() -> None:
    (part,) = shown()["after"]
    assert part == {
        "at": "2027-01-15T08:01:00.000Z", "seconds": 5.0, "requests": 9, "errors": 1, "slow": 2, "mean_seconds": 0.25,
    }  # fmt: skip
    assert not {"after", "timeline", "distribution"} & set(shown(whole=False))


@pytest.mark.parametrize(
    ("efficacy", "counts", "now", "expected"),
    [
        ("never_hit", {}, OVER, "No request reached the application while the run was active."),
        ("never_hit", {"test.requests": 9}, NOW + 5, "No request has reached the application so far."),
        ("never_hit", {"requests": 9}, OVER, "Requests came (9), but none was hit."),
        ("never_hit", {"requests": 9}, NOW + 5, "Requests came (9), but none was hit so far."),
        ("too_few", {"requests": 90, "hit.2xx": 2}, OVER, "Only 2 of 90 requests were hit: too few to say"),
        ("confirmed", {"requests": 90, "hit.2xx": 20}, OVER, "20 of 90 requests were hit."),
        ("too_few", {"hit.died": 3, "untouched.died": 1}, OVER, "Only 3 of 4 requests were hit: too few to say"),
    ],
)
def test_whether_it_hit_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, efficacy: str, counts: dict[str, int], now: float, expected: str
) -> None:
    monkeypatch.setattr(results, "efficacy", lambda *_: efficacy)
    made = shown(tally=Tally(counts), now=now)
    assert made["efficacy"] == efficacy
    assert made["efficacy_explanation"].startswith(expected)


def test_a_run_that_nobody_met_says_so_once_all_counts_must_be_flushed() -> None:
    stopped = RUN.ended(now=NOW + 20, by="vic", reason=None)
    for run, end in ((RUN, NOW + 60), (stopped, NOW + 20)):
        assert shown(run, None, end + 1) == {}
        made = shown(run, None, end + 3)
        assert (made["requests"], made["efficacy"], made["timeline"]) == (0, "never_hit", [])
    assert shown(replace(RUN, run_id="running"), None, NOW + 30) == {}


# A run that says more than a percentage

AIMED = Tally({"requests": 40, "untouched.2xx": 40, "matched": 12, "without_key": 5, "would_hit": 7})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (None, None, None)),
        ({"target": {"environments_percentage": 50.0, "functions": ["billing"]}}, (None, None, None)),
        ({"target": {"paths": ["/orders"]}}, (12, None, None)),
        ({"sticky": {"header": "x-user"}}, (None, 5, None)),
        ({"first": {"requests": 2}}, (None, None, None)),
        ({"first": {"requests": 2, "key": {"query": "user"}}}, (None, 5, None)),
        ({"dry_run": True}, (None, None, 7)),
        ({"target": "damaged", "first": "damaged"}, (None, None, None)),
    ],
)
def test_what_is_counted_of_an_option_is_shown_where_the_run_has_it(options: Any, expected: tuple[int | None]) -> None:
    found = shown(replace(RUN, options=options), AIMED, whole=False)
    assert tuple(found[name] for name in ("matched", "without_key", "would_hit")) == expected


def explained(tally: Tally, **options: Any) -> str:
    return str(shown(replace(RUN, options=options), tally)["efficacy_explanation"])


def test_a_dry_run_would_have_hit() -> None:
    assert explained(AIMED, dry_run=True) == "7 of 40 requests would have been hit."
    assert explained(Tally({"requests": 4}), dry_run=True) == "Requests came (4), but none would have been hit."


def test_what_nothing_matched_and_who_lacked_the_key_is_said() -> None:
    none = Tally({"requests": 40, "untouched.2xx": 40})
    target = {"paths": ["/orders"]}
    assert explained(none, target=target) == "Requests came (40), but none was hit. The target matched none of them."
    without = Tally({"requests": 40, "without_key": 5})
    said = "Requests came (40), but none was hit. 5 of them had no key to decide by."
    assert explained(without, sticky={"header": "x-user"}) == said


class Freeze(Fault):
    """A kind of fault of another package."""

    kind = "freeze"
    order = 11
    counters = (Counter(name="frozen_minutes", title="Frozen, total", unit="minutes", key="frozen", per_unit=60),)

    def apply(self, call: HitCall) -> Applied:
        raise NotImplementedError


def test_what_any_kind_of_fault_counts_is_shown_as_it_declares() -> None:
    found = shown(tally=Counted({**TALLY.counts, "delay": 1_500_000, "frozen": 90, "memory_mb": 7}))
    names = ("injected_errors", "injected_delay_seconds", "held_memory_mb")
    assert {name: found[name] for name in names} == dict(zip(names, (0, 1.5, 7), strict=True))
    assert found["counters"] == [
        {"name": "held_memory_mb", "title": "Held memory, total of all environments", "unit": "MB", "value": 7},
        {"name": "injected_delay_seconds", "title": "Injected delay, total", "unit": "seconds", "value": 1.5},
        {"name": "frozen_minutes", "title": "Frozen, total", "unit": "minutes", "value": 1.5},
    ]


def test_a_report_and_a_terminal_show_it_too() -> None:
    run: Any = responses.run(RUN, OVER, Counted({**TALLY.counts, "frozen": 90, "injected_errors": 8}))
    text = markdown({"run": run, "events": []})
    assert "| Injected errors | 8 (20 % of the requests) |" in text
    assert "| Frozen, total | 1.5 minutes |" in text
    drawn = io.StringIO()
    Console(file=drawn, width=200).print(render.run(run))
    assert "frozen, total: 1.5 minutes" in drawn.getvalue()


# Retries and time-outs


def drawn(run: Any) -> str:
    """As the command line shows it."""
    text = io.StringIO()
    Console(file=text, width=400).print(render.run(run))
    return text.getvalue()


FOUND = Tally(
    {
        "f|no_timeout|urllib3|payments.example:443|shop/orders.py:42|n": 7,
        "f|no_jitter|httpx|a:1|b.py:1|n": 3,
        "requests": 9,
    }
)
OF_DEPENDENCY = a_run("dependency_failure", duration_seconds=60.0, dependency="payments.example", fault="error")


def test_a_run_about_outgoing_calls_says_what_they_show_of_retries_and_time_outs() -> None:
    (found,) = shown(OF_DEPENDENCY, FOUND)["audit"]
    assert {name: found[name] for name in ("finding", "client", "dependency", "place", "calls")} == {
        "finding": "no_timeout",
        "client": "urllib3",
        "dependency": "payments.example:443",
        "place": "shop/orders.py:42",
        "calls": 7,
    }
    assert found["explanation"].startswith("7 calls had no time-out")
    assert "timeout=(3, 10)" in found["remedy"]
    assert shown(OF_DEPENDENCY, Tally({"requests": 9}))["audit"] == []


def test_a_run_about_requests_says_nothing_of_outgoing_calls() -> None:
    assert shown()["audit"] is None


def test_findings_have_the_place_and_the_remedy_in_the_report_and_in_the_command_line() -> None:
    report: Any = responses.run(OF_DEPENDENCY, OVER, FOUND)
    for text in (markdown({"run": report, "events": []}), html({"run": report, "events": []}), drawn(report)):
        for part in ("shop/orders.py:42", "urllib3 to payments.example:443", "had no time-out", "timeout=(3, 10)"):
            assert part in " ".join(text.split())
    assert "## Retries and time-outs" in markdown({"run": report, "events": []})


def test_a_report_says_that_nothing_was_found_and_leaves_the_section_out_where_nothing_is_looked_for() -> None:
    sound: Any = responses.run(OF_DEPENDENCY, OVER, Tally({"requests": 9}))
    assert "nothing found" in markdown({"run": sound, "events": []})
    of_requests: Any = responses.run(RUN, OVER, TALLY)
    assert "Retries and time-outs" not in markdown({"run": of_requests, "events": []})


def test_a_place_that_nobody_knows_is_called_unknown() -> None:
    report: Any = responses.run(OF_DEPENDENCY, OVER, Tally({"f|no_timeout|redis|a:1||n": 1, "requests": 1}))
    for text in (markdown({"run": report, "events": []}), drawn(report)):
        assert "unknown place: redis to a:1" in text
