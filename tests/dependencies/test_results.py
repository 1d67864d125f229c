"""What a run about outgoing calls says of them, of the requests that made them, and of what it would do."""

import io
import threading
from random import Random
from typing import Any

import pytest
from rich.console import Console

from chalicelib.api import responses
from chalicelib.cli import render
from chalicelib.cli.exits import EXIT_NEVER_HIT
from chalicelib.cli.follow import exit_code
from chalicelib.report.documents import html, markdown
from tests.dependencies.client import Client
from tests.dependencies.harness import Dependencies, failing
from tests.injection.support import FakeCall
from tests.support import NOW, a_run

PUT = "dynamodb:PutItem"


def of(chaos: Dependencies, name: str = PUT) -> Any:
    return next(each for each in chaos.shown["dependencies"] if each["name"] == name)


def test_what_the_application_answers_in_the_end_is_what_its_retries_and_fallbacks_make_of_it() -> None:
    """Every other call fails: a client that retries survives it, and so may one with a fallback."""
    with failing(PUT, "refused", options={"every": 2}, scope_of_calls="requests") as chaos:
        retrying, alone = Client(attempts=3), Client()
        for _ in range(4):  # of the four calls the second one fails, which is made again, and the last one
            chaos.serve(200, lambda: (alone.ask(), retrying.ask(), alone.ask_in_vain()))
        chaos.serve(200, alone.ask)
        chaos.serve(404, alone.ask_in_vain)
        chaos.serve(200, alone.ask)
        chaos.serve(503, alone.ask_in_vain)
        chaos.serve(200, alone.ask)
        chaos.serve(None, alone.ask_in_vain)
        shown = of(chaos)
        assert chaos.shown["efficacy"] == "confirmed"
    expected = {"survived": 4, "degraded": 1, "failed": 2, "effective_error_rate": round(2 / 7, 6)}
    assert {name: shown[name] for name in expected} == expected
    assert (shown["client"], shown["calls"], shown["calls_hit"], shown["errors"]) == ("made-up", 22, 11, 11)
    assert shown["requests"] == {"hit": 7, "untouched": 3}
    assert shown["calls_per_request"] == {"hit": round((4 * 4 + 3) / 7, 6), "untouched": 1.0}
    assert shown["amplification"] == round(19 / 7, 6)


def test_a_client_that_retries_makes_as_many_times_more_calls() -> None:
    with failing(PUT, "refused", options={"first": {"requests": 6}}, scope_of_calls="requests") as chaos:
        for status in (503, 503, 200, 200, 200):
            chaos.serve(status, Client(attempts=3).ask_in_vain)
        shown = of(chaos)
    assert (shown["requests"], shown["amplification"]) == ({"hit": 2, "untouched": 3}, 3.0)
    assert shown["effective_error_rate"] == 1.0


def test_a_baseline_says_how_many_calls_are_usual() -> None:
    """And its calls are none that were to be hit."""
    hypothesis = {"max_error_rate": 0.5, "of": "hit", "baseline_seconds": 10.0, "min_requests": 1}
    with failing(PUT, "refused", options={"hypothesis": hypothesis}, scope_of_calls="requests") as chaos:
        for _ in range(20):
            chaos.serve(200, Client(attempts=3).ask)
        assert chaos.shown["matched"] == 0
        chaos.clock.now += 11
        chaos.refresh()
        for _ in range(5):
            chaos.serve(500, Client(attempts=3).ask_in_vain)
        shown, whole = of(chaos), chaos.shown
    assert (shown["requests"], shown["amplification"]) == ({"hit": 5, "untouched": 20}, 3.0)
    assert (whole["matched"], whole["efficacy"]) == (15, "confirmed")
    assert whole["phases"]["before"]["requests"] == 20


def test_background_work_is_on_neither_side() -> None:
    with failing(PUT, "refused") as chaos:
        for _ in range(5):
            Client().ask_in_vain()
        shown, whole = of(chaos), chaos.shown
    assert (shown["calls"], shown["calls_hit"], shown["errors"]) == (5, 5, 5)
    assert (shown["requests"], shown["amplification"]) == ({"hit": 0, "untouched": 0}, None)
    assert (shown["effective_error_rate"], shown["survived"]) == (None, 0)
    assert (whole["requests"], whole["matched"], whole["efficacy"]) == (0, 5, "confirmed")
    assert whole["efficacy_explanation"] == f"5 of 5 calls to {PUT} were hit."


def test_calls_fail_by_themselves_too() -> None:
    """What the client is to blame for is no failure of the dependency, unless the run has made it up."""
    with failing(PUT, "error", options={"max_requests": 1}, scope_of_calls="requests") as chaos:
        client = Client(answers=[500, 503, 429, 400, 404, 200])
        chaos.serve(200, lambda: [client.ask() for _ in range(7)])
        shown = of(chaos)
    assert (shown["calls"], shown["calls_hit"], shown["errors"], shown["survived"]) == (7, 1, 4, 1)


def test_a_request_whose_call_was_not_admitted_is_not_taken_for_hit_if_it_dies() -> None:
    with failing(PUT, "error", options={"max_requests": 1}, scope_of_calls="requests") as chaos:
        client = Client(answers=[200, 200])
        chaos.serve(200, client.ask)
        with chaos.request() as result:
            client.ask()
        assert (result.hits, [*result.meets]) == ([], [])


def test_a_call_that_ends_after_its_request_is_background_work() -> None:
    with failing(PUT, "refused", scope_of_calls="requests") as chaos, chaos.request() as result:
        result.is_answered = True
        Client().ask()
        assert chaos.shown["matched"] == 0


def test_a_request_is_untouched_where_no_call_of_it_was_hit() -> None:
    with failing(PUT, "refused", scope_of_calls="requests") as chaos:
        hit = chaos.serve(200, Client().ask_in_vain)
        untouched = chaos.serve(200, Client(operation="GetItem").ask)
        silent = chaos.serve(200, lambda: None)
        shown = chaos.shown
    assert (bool(hit.hits), untouched.hits, silent.hits) == (True, [], [])
    assert (shown["requests"], shown["requests_hit"], shown["requests_untouched"]) == (3, 1, 2)
    assert [each["name"] for each in shown["dependencies"]] == [PUT]


def test_each_operation_is_a_dependency_of_its_own() -> None:
    with failing("dynamodb", "refused", scope_of_calls="requests") as chaos:
        for operation in ("PutItem", "GetItem", "PutItem"):
            chaos.serve(200, Client(operation=operation).ask_in_vain)
        assert {each["name"]: each["calls"] for each in chaos.shown["dependencies"]} == {PUT: 2, "dynamodb:GetItem": 1}


def test_there_are_at_most_twenty_and_the_others_are_one() -> None:
    with failing("dynamodb", "refused", scope_of_calls="requests") as chaos:
        for number in range(30):
            chaos.serve(200, Client(operation=f"Operation{number:02}").ask_in_vain)
        chaos.serve(200, Client(operation=f"A|{'B' * 200}").ask_in_vain)
        shown = chaos.shown["dependencies"]
        counted = {
            name.rpartition("|")[0] for name in chaos.results.tallies[chaos.started[0].run_id].counts if "|" in name
        }
    assert len(counted) == 21, "a process sends no more"
    assert len(shown) == 21
    assert (shown[-1]["name"], shown[-1]["calls"], shown[-1]["requests"]["hit"]) == ("others", 11, 11)
    assert sum(each["calls_hit"] for each in shown) == 31


def test_what_a_client_cannot_be_made_to_meet_is_said() -> None:
    with failing(PUT, "garbage", scope_of_calls="requests") as chaos:
        for _ in range(3):
            chaos.serve(200, Client().ask)
        shown, whole = of(chaos), chaos.shown
    assert (shown["calls"], shown["calls_hit"], shown["unreached"]) == (3, 0, 3)
    assert (whole["matched"], whole["unreached"], whole["efficacy"]) == (3, 3, "never_hit")
    assert whole["efficacy_explanation"] == (
        f"Calls to {PUT} came (3), but none was hit so far. "
        "3 of them could not be hit: their client library cannot be made to meet this fault."
    )


@pytest.mark.parametrize("scope", ["requests", "process"])
def test_where_no_call_matched_it_says_what_to_look_at(scope: str) -> None:
    with failing("sqs", "refused", scope_of_calls=scope) as chaos:
        chaos.serve(200, Client().ask)
        explanation = chaos.shown["efficacy_explanation"]
        assert chaos.shown["efficacy"] == "never_hit"
    assert explanation.startswith("No call has matched sqs so far. GET /dependencies shows what the application calls.")
    assert ("scope_of_calls is process" in explanation) is (scope == "requests")


def test_a_share_of_the_calls_is_hit_and_efficacy_is_about_that_share() -> None:
    with failing(PUT, "refused", percentage=20.0, scope_of_calls="requests") as chaos:
        chaos.chance = Random(1).random  # noqa: S311 - by chance, and the same each time
        for _ in range(400):
            chaos.serve(200, Client().ask_in_vain)
        shown, whole = of(chaos), chaos.shown
    assert 50 < shown["calls_hit"] < 110
    assert (whole["matched"], whole["efficacy"]) == (400, "confirmed")


@pytest.mark.parametrize("options", [{}, {"target": {"paths": ["/orders"]}}], ids=["all", "of a target"])
def test_calls_that_are_hit_too_seldom_confirm_nothing(options: dict[str, Any]) -> None:
    """Also with a target: it is known which calls are made for its requests."""
    with failing(PUT, "refused", options=options, scope_of_calls="requests") as chaos:
        chaos.chance = lambda: 0.5
        for number in range(100):
            if number == 10:
                for plan in chaos.chaos.engine.snapshot.get():
                    plan.hitting.share = 1e-9  # as if something kept the others from being hit
            chaos.serve(200, Client().ask_in_vain)
        shown, whole = of(chaos), chaos.shown
    assert (whole["matched"], shown["calls_hit"], whole["efficacy"]) == (100, 10, "too_few")
    assert whole["efficacy_explanation"].startswith(f"Only 10 of 100 calls to {PUT} were hit: too few to say")


def test_a_request_that_dies_with_its_process_has_failed() -> None:
    with failing(PUT, "refused", scope_of_calls="requests") as chaos:
        with chaos.request():
            Client().ask_in_vain()
            chaos.chaos.engine.recorder.flush_last()
        assert (of(chaos)["failed"], of(chaos)["requests"]) == (1, {"hit": 1, "untouched": 0})


# How it is shown


def run_of(chaos: Dependencies) -> Any:
    """The run, as the API shows it."""
    assert chaos.shown
    (run,) = chaos.started
    return responses.run(run, chaos.clock.now, chaos.results.tallies[run.run_id])


def typed(chaos: Dependencies) -> list[str]:
    """What the command line prints of it."""
    printed = io.StringIO()
    Console(width=200, file=printed).print(render.run(run_of(chaos)))
    return printed.getvalue().splitlines()


def test_people_read_what_came_of_the_calls_in_the_command_line_and_in_the_report() -> None:
    with failing(PUT, "refused", options={"first": {"requests": 6}}, scope_of_calls="requests") as chaos:
        for status in (503, 200, 200, 200, 200, 200, 200):
            chaos.serve(status, Client(attempts=3).ask_in_vain)
        lines, report = typed(chaos), {"run": run_of(chaos), "events": []}
    assert f"{PUT} by made-up: 11 calls, 6 hit, 6 failed" in lines
    assert "  3 calls a request that was hit, 3 times as many as of untouched ones" in lines
    assert "  of 2 such requests 1 survived, 0 degraded, 1 failed: effective error rate 50.0%" in lines
    assert any(line.startswith("7 requests, 2 hit, in 1 environment, 11 calls matched") for line in lines)
    text, page = markdown(report), html(report)
    assert f"| {PUT} | made-up | 11 | 6 | 6 | 0 | 3 | 1 | 3 |" in text
    assert f"| {PUT} | made-up | 2 | 1 | 0 | 1 | 50 % |" in text
    assert "| Outgoing calls that matched | 11 |" in text
    assert "effective error rate" in page
    assert f"{PUT}</th><td>made-up</td><td>2</td><td>1</td><td>0</td><td>1</td><td>50 %</td>" in page


def test_background_work_alone_is_shown_too() -> None:
    with failing(PUT, "refused") as chaos:
        for _ in range(5):
            Client().ask_in_vain()
        assert f"{PUT} by made-up: 5 calls, 5 hit, 5 failed" in typed(chaos)
        assert exit_code({**run_of(chaos), "status": "completed"}) == 0


def test_where_nothing_was_called_it_says_so_and_scripts_learn_it() -> None:
    with failing("sqs", "refused") as chaos:
        chaos.serve(200, Client().ask)
        (line,) = [line for line in typed(chaos) if "GET /dependencies" in line]
        assert line == "No call has matched sqs so far. GET /dependencies shows what the application calls."
        assert exit_code({**run_of(chaos), "status": "completed"}) == EXIT_NEVER_HIT
        assert "No call has matched sqs" in markdown({"run": run_of(chaos), "events": []})


def test_a_run_about_requests_has_no_dependencies() -> None:
    chaos = Dependencies(a_run(now=NOW, delay_seconds=0.1))
    chaos.refresh()
    chaos.serve(200, Client().ask)
    shown, lines = chaos.shown, typed(chaos)
    chaos.stop()
    assert (shown["dependencies"], shown["unreached"], shown["matched"]) == (None, None, None)
    assert not any("calls" in line for line in lines)


def test_untouched_requests_are_judged_and_where_there_are_too_few_it_says_what_to_do() -> None:
    hypothesis = {"max_error_rate": 0.1, "of": "untouched", "min_requests": 5}
    with failing(PUT, "refused", options={"hypothesis": hypothesis}, scope_of_calls="requests") as chaos:
        for _ in range(5):
            chaos.serve(503, Client().ask_in_vain)
        expected = run_of(chaos)["hypothesis"]
        assert expected["verdict"] == "too_few_requests"
        assert expected["explanation"].endswith(
            "Requests that do not call the dependency are untouched. To judge what the application answers where its "
            'calls are hit, start with "of": "hit" in hypothesis.'
        )
        for _ in range(100):
            chaos.serve(200, lambda: None)
        assert run_of(chaos)["hypothesis"]["verdict"] == "held"


def test_who_judges_the_hit_requests_needs_no_such_advice() -> None:
    options = {"hypothesis": {"max_error_rate": 0.1, "of": "hit"}}
    with failing(PUT, "refused", options=options, scope_of_calls="requests") as chaos:
        chaos.serve(200, Client().ask_in_vain)
        expected = run_of(chaos)["hypothesis"]
    assert expected["verdict"] == "too_few_requests"
    assert "untouched" not in expected["explanation"]


@pytest.mark.parametrize(("attempts", "status", "verdict"), [(2, 200, "held"), (1, 503, "failed")])
def test_the_hit_requests_are_judged_by_what_the_application_answered(attempts: int, status: int, verdict: str) -> None:
    options = {"hypothesis": {"max_error_rate": 0.1, "of": "hit"}, "every": 2}
    with failing(PUT, "refused", options=options, scope_of_calls="requests") as chaos:
        for _ in range(100):
            chaos.serve(200, Client().ask)
            chaos.serve(status, Client(attempts=attempts).ask_in_vain)
            if attempts == 2:
                chaos.serve(200, Client().ask_in_vain)
        assert run_of(chaos)["hypothesis"]["verdict"] == verdict


# Options of a start, which are about calls


def test_a_dry_run_lets_every_call_pass_and_marks_the_answer_once() -> None:
    with failing(PUT, "refused", options={"dry_run": True}, scope_of_calls="requests") as chaos:
        client = Client()
        result = chaos.serve(200, lambda: (client.ask(), client.ask(), client.ask()))
        shown = chaos.shown
    assert client.made == 3
    assert (result.hits, result.headers) == ([], {"X-Chaos-Dry-Run": "dependency_failure"})
    assert (shown["would_hit"], shown["matched"], shown["requests_untouched"]) == (3, 3, 1)
    assert shown["dependencies"][0]["requests"] == {"hit": 0, "untouched": 1}
    assert (
        shown["efficacy_explanation"]
        == f"3 of 3 calls to {PUT} would have been hit: too few to say that the run did what it was to do."
    )


@pytest.mark.parametrize("options", [{"max_requests": 5}, {"first": {"requests": 5}}], ids=["max_requests", "first"])
def test_a_budget_is_used_by_calls(options: dict[str, Any]) -> None:
    with failing(PUT, "refused", options=options, scope_of_calls="requests") as chaos:
        clients = [Client(attempts=3) for _ in range(4)]
        for client in clients:
            chaos.serve(200, client.ask_in_vain)
        shown = chaos.shown
    assert [client.made for client in clients] == [0, 1, 1, 1]
    assert (shown["dependencies"][0]["calls_hit"], shown["efficacy"]) == (5, "confirmed")


def test_first_of_each_key_counts_the_calls_of_the_requests_that_have_it() -> None:
    """`first: 2`: the third attempt succeeds, for each tenant."""
    options = {"first": {"requests": 2, "key": {"header": "x-tenant"}}}
    with failing(PUT, "refused", options=options, scope_of_calls="requests") as chaos:
        tenants = ("acme", "acme", "globex", None)
        clients = [Client(attempts=3) for _ in tenants]
        for tenant, client in zip(tenants, clients, strict=True):
            chaos.serve(200, client.ask_in_vain, FakeCall("/", **({"x_tenant": tenant} if tenant else {})))
        shown = chaos.shown
    assert [client.made for client in clients] == [1, 1, 1, 1]
    assert (shown["dependencies"][0]["calls_hit"], shown["without_key"], shown["dependencies"][0]["survived"]) == (
        4,
        1,
        2,
    )


def test_every_counts_calls() -> None:
    with failing(PUT, "refused", options={"every": 3}, scope_of_calls="requests") as chaos:
        client = Client()
        for _ in range(5):
            chaos.serve(200, lambda: (client.ask_in_vain(), client.ask_in_vain()))
        assert (of(chaos)["calls"], of(chaos)["calls_hit"], client.made) == (10, 3, 7)


def test_a_sticky_key_is_of_the_request_so_all_attempts_meet_the_same() -> None:
    options = {"sticky": {"header": "x-tenant"}}
    with failing(PUT, "refused", options=options, percentage=50.0, scope_of_calls="requests") as chaos:
        made = {}
        for tenant in map(str, range(20)):
            client = Client(attempts=3)
            chaos.serve(200, client.ask_in_vain, FakeCall("/", x_tenant=tenant))
            made[tenant] = client.made
        shown = of(chaos)
    assert set(made.values()) == {0, 1}, "Some tenants are hit at every attempt, others at none."
    assert shown["calls_hit"] == 3 * sum(not each for each in made.values())


def test_a_target_is_of_the_request_and_calls_of_others_do_not_match() -> None:
    options = {"target": {"paths": ["/orders"]}}
    with failing(PUT, "refused", options=options, scope_of_calls="requests") as chaos:
        for path in ("/orders", "/health"):
            chaos.serve(200, Client().ask_in_vain, FakeCall(path))
        shown = chaos.shown
    assert (shown["matched"], shown["requests_hit"], shown["requests_untouched"]) == (1, 1, 1)


def test_threads_that_count_at_once_lose_nothing() -> None:
    with failing(PUT, "refused") as chaos:
        threads = [threading.Thread(target=lambda: [Client().ask_in_vain() for _ in range(200)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (of(chaos)["calls"], of(chaos)["calls_hit"]) == (800, 800)
