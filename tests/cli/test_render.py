"""What is rendered, without a terminal."""

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from chalicelib.api import responses
from chalicelib.cli import render
from chalicelib.experiments.catalogue import installed
from chalicelib.results.tally import Counting, Served, Tally
from chalicelib.runs.run import Run
from tests.support import NOW, a_run, an_event, with_hypothesis

RUN = with_hypothesis(a_run(delay_seconds=0.5, duration_seconds=60.0), max_error_rate=0.05)


def drawn(what: Any, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(what)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def served(run: Run, *, errors: int = 0) -> Tally:
    tally = Tally(environments=2)
    for number in range(200):
        hit = number % 2 == 0
        failed = number * errors % 200 < errors
        tally.record(
            Counting(run),
            Served(
                at=NOW + number / 10,
                seconds=0.52 if hit else 0.02,
                status=500 if failed else 200,
                side="hit" if hit else "untouched",
                counters={"injected_errors": int(failed), "delay": 500_000} if hit else {},
            ),
        )
    tally.add("memory_mb", 128)
    return tally


def test_a_run_shows_its_time_its_figures_and_its_hypothesis() -> None:
    text = drawn(render.run(responses.run(RUN, NOW + 20, served(RUN))))
    assert "latency_injection running" in text
    assert "40 s left of 60 s, started by ada" in text
    assert "200 requests, 100 hit, in 2 environments, total delay 50 s, total memory 128 MB" in text
    assert "Hypothesis, so far: held. Error rate: held." in text


def test_in_its_baseline_a_run_says_that_it_hits_nothing_yet() -> None:
    run = with_hypothesis(RUN, max_error_rate=0.05, baseline_seconds=20.0)
    assert "Baseline: nothing is hit for 15 s more." in drawn(render.run(responses.run(run, NOW + 5)))
    assert "Baseline" not in drawn(render.run(responses.run(run, NOW + 21)))


def test_calls_to_the_test_endpoint_and_what_died_are_shown() -> None:
    shown: Any = responses.run(RUN, NOW + 20, served(RUN))
    shown["results"] |= {"died": 3, "test": {"requests": 20, "hit": 5}}
    text = drawn(render.run(shown))
    assert "3 began and were never answered" in text
    assert "Calls to the test endpoint: 20, 5 hit. They count nowhere else." in text


def test_a_run_that_ended_shows_who_ended_it_and_what_came_of_it() -> None:
    ended = replace(RUN.ended(now=NOW + 20, by="vic", reason="enough [/red]"), defect="it broke")
    text = drawn(render.run(responses.run(ended, NOW + 30, served(ended, errors=40))))
    assert "latency_injection stopped" in text
    assert "ended by vic: enough [/red]" in text
    assert "injected errors 10.0%" in text
    assert "Hypothesis: failed." in text
    assert "Defect: it broke" in text


def test_what_nobody_reported_and_what_never_ran_are_said_so() -> None:
    assert "No results yet" in drawn(render.run(responses.run(RUN, NOW)))
    assert "never ran" in drawn(render.run(responses.inactive(installed()[RUN.experiment])))


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ({"stage": "prod", "production": True, "locked": True}, "locked: the stage is named like production"),
        ({"stage": "qa", "halt": {"halted_by": "vic", "reason": "[b]lost"}}, "halted by vic: [b]lost"),
        ({"stage": "qa", "warnings": ["One [b]at a time.", "Two."]}, "\nWarning: One [b]at a time.\nWarning: Two."),
    ],
)
def test_the_stage_says_what_cannot_be_done(listed: dict[str, Any], expected: str) -> None:
    text = drawn(render.stage(listed))
    assert listed["stage"].upper() in text
    assert expected in text


HISTORY = [
    responses.entry(RUN.ended(now=NOW + 20, by="vic", reason="enough"), NOW + 30, {}),
    responses.entry(an_event("refusal", now=NOW + 21, details={"message": "Halted by vic"}), NOW + 30, {}),
]


def test_a_wide_window_has_the_history_as_a_table_and_folds_no_id() -> None:
    text = drawn(render.entries(HISTORY, 160), 160)
    assert "by, reason" in text
    assert RUN.run_id in text
    assert "stopped: enough" in text
    assert "Halted by vic" in text


def test_a_narrow_window_has_it_in_lines() -> None:
    text = drawn(render.entries(HISTORY, 40), 40)
    assert "by, reason" not in text
    assert "latency_injection\nada\nstopped: enough" in text


def test_other_programs_get_a_line_an_entry() -> None:
    first, second = render.lines(HISTORY).splitlines()
    assert first.split("\t") == ["2027-01-15 08:00:00", "latency_injection", "ada", "stopped: enough", RUN.run_id]
    assert second.split("\t")[1:] == ["refusal", "ada", "Halted by vic", ""]


def test_bars_are_as_long_as_there_are_many() -> None:
    text = drawn(render.bars({"200": 10, "500": 5}))
    assert [line.count("━") for line in text.splitlines()] == [18, 9]
    assert "200  10" in text


@pytest.mark.parametrize(("value", "expected"), [(None, "-"), (0.0123, "12.3 ms"), (2.0, "2 s")])
def test_seconds_are_reported_to_three_digits(value: float | None, expected: str) -> None:
    assert render.seconds(value) == expected


def test_a_run_that_the_application_cannot_read_is_shown_with_what_there_is() -> None:
    damaged = {
        **responses.run(RUN, NOW),
        "parameters": {},
        "end_time": None,
        "remaining_seconds": 0.0,
        "started_by": None,
    }
    assert "ends when it is stopped" in drawn(render.run(damaged))
    assert "21 s left" in drawn(render.run({**damaged, "remaining_seconds": 21.0}))


AIM: dict[str, Any] = {
    "label": "slow-orders",
    "scenario": "s-1",
    "target": {
        "methods": ["GET", "HEAD"],
        "headers": {
            "x-tenant": "acme",
            "user-agent": [{"prefix": "curl/"}, {"glob": "*wget*"}],
            "x-beta": {"exists": True},
        },
        "environments_percentage": 50.0,
    },
    "max_requests": 100,
    "first": {"requests": 2, "key": {"header": "x-order-id"}},
    "every": 3,
    "sticky": {"query": "user"},
    "seed": "2026-11-25",
    "ramp_seconds": 30.0,
    "propagate": True,
}


def shown(**more: Any) -> dict[str, Any]:
    return {**responses.run(RUN, NOW + 20, served(RUN)), **more}


def test_a_run_shows_its_label_and_scenario_and_which_requests_it_may_hit_as_it_is_typed() -> None:
    text = drawn(render.run(shown(**AIM)), 200)
    for line in (
        "slow-orders (latency_injection) running",
        "target: methods GET or HEAD, headers x-tenant=acme and user-agent=curl/* or user-agent=*wget* and x-beta,",
        "x-beta, environments percentage 50",
        "max requests 100, first 2 of each header x-order-id, every 3, sticky query user, seed 2026-11-25, ramp",
        "seed 2026-11-25, ramp seconds 30 s, propagate to other services",
        "scenario s-1",
    ):
        assert line in text, text
    first_of_all = drawn(render.run(shown(first={"requests": 2})))
    assert "first 2\n" in first_of_all


def test_a_run_without_any_of_it_shows_nothing_of_it() -> None:
    text = drawn(render.run(shown(label=RUN.experiment)))
    assert text.startswith("latency_injection running\n")
    for word in ("target", "first", "every", "scenario", "dry run", "would hit", "matched", "without the key"):
        assert word not in text


def test_a_run_shows_what_matched_what_had_no_key_and_what_a_dry_run_would_have_hit() -> None:
    dry = shown(dry_run=True)
    dry["results"] |= {"would_hit": 120, "requests": 3000, "matched": 1200, "without_key": 30}
    text = drawn(render.run(dry), 160)
    assert "latency_injection running dry run" in text
    assert "would hit 120 of 3,000, 1,200 matched the target, 30 without the key" in text
    entry = {**responses.entry(RUN, NOW + 30, {}), "run": dry}
    assert render.lines([entry]).split("\t")[3] == "running, dry run, would hit 120 of 3,000"


def test_what_matched_is_shown_also_where_it_is_none() -> None:
    run = shown()
    run["results"] |= {"would_hit": None, "matched": 0, "without_key": 0}
    text = drawn(render.run(run), 160)
    assert "0 matched the target" in text
    assert "without the key" not in text


def test_a_run_that_has_hit_all_that_it_was_to_hit_says_so() -> None:
    reason = "max_requests: 100 calls were hit"
    spent = shown(status="completed", ended_by="environment a4e63a4e", end_reason=reason)
    assert f"latency_injection completed\ncompleted before its time: {reason}\n" in drawn(render.run(spent))


def test_the_history_shows_labels() -> None:
    entry = responses.entry(RUN, NOW + 30, {})
    entry = {**entry, "run": {**entry["run"], "label": "slow-orders"}}  # type: ignore[dict-item]
    assert render.lines([entry]).split("\t")[1] == "slow-orders (latency_injection)"
